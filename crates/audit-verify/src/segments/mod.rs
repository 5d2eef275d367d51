//! Checks a destination of sealed segments: the log, cut into files, each partition's one after the other.
//!
//! Of each segment it reads the manifest and the leaf hashes, and hashes the rows: the hashes, in their order, have to lead to
//! the root that the log's keys have signed, and the keys have signed the SHA-256 of both files. It does not open Parquet: given
//! a [`RowReader`], it compares each row with its leaf and the columns with each other; without, that a row says what its leaf
//! was made of is asserted by whoever has the log's keys, and the columns `leaf_header`, `salt` and `json` show it to any reader
//! of Parquet.

mod chain;
mod columns;
mod kept;
mod manifest;
mod name;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use audit_proof::{Checkpoint, NoteVerifier};
use audit_record::Timestamp;

use self::chain::{Chain, Found};
use self::kept::Marks;
use self::manifest::is_key_of;
use self::name::{Name, Tree};
pub use self::rows::{Cell, NamedCell, RowReader};
use crate::bag::files_under;
use crate::report::Report;
use crate::trust::Trust;

/// Most files that no manifest names which are told one by one.
const STRAY_NAMED_MAX: usize = 20;

/// Whether a directory is a destination's prefix with segments, or their folder itself, and no export.
pub(crate) fn are_in(dir: &Path) -> bool {
    !dir.join("manifest.json").exists() && folder_of(dir).is_some()
}

/// The folder `segments`: below what is given, or that itself.
fn folder_of(dir: &Path) -> Option<PathBuf> {
    let has_some = |folder: &PathBuf| folder.join("proofs").is_dir() || folder.join("records").is_dir();
    [dir.join("segments"), dir.to_owned()].into_iter().find(has_some)
}

/// Checks every segment below a destination's prefix (or in the folder `segments` itself): that its files are what its manifest
/// says, that the segments of each partition follow one another without gap or overlap, that their leaf hashes lead
/// to the roots of their checkpoints, and, as far as `trust` has keys and kept checkpoints, that the log's keys have signed
/// them and that nothing has changed since. Given a reader of Parquet, also that each row says what its leaf was made of. An
/// `Err` means that there is nothing to check.
pub fn verify_segments(dir: &Path, trust: &Trust, reader: Option<&dyn RowReader>) -> io::Result<Report> {
    let none =
        |what: &str| io::Error::new(io::ErrorKind::NotFound, format!("{} holds no {what}", dir.display()));
    let folder = folder_of(dir).ok_or_else(|| none("segments"))?;
    let mut report = Report::default();
    let mut left = listed(&folder, &mut report);
    let trees = trees(&mut left, &mut report);
    if trees.is_empty() && report.findings.is_empty() {
        return Err(none("manifest of a segment"));
    }
    let (mut files, mut rows) = (0, 0);
    let mut unread = BTreeSet::new();
    for (tree, names) in &trees {
        let origin = tree.origin();
        let mut marks = Marks::of(&origin, trust, &mut report);
        let is_known = trust.keys.iter().any(|key| is_key_of(key, &origin));
        let known = is_known.then_some(&trust.keys[..]);
        let chain = Chain {
            folder: &folder,
            tree,
            known,
            reader,
            marks: &mut marks,
            left: &mut left,
            report: &mut report,
        };
        let found = chain.run(names);
        files += found.files;
        rows += found.rows;
        unread.extend(found.unread.iter().copied());
        if let (Some(covered), Some(last)) = (found.covered, names.last()) {
            marks.tell(&origin, covered, &found.holes, &last.manifest(&tree.deployment), &mut report);
        }
        tell(tree, &found, is_known, trust, &mut report);
    }
    // What files those have is not known.
    left.retain(|path| name_of(path).is_none_or(|name| !unread.contains(&name)));
    strays(&left, &trees, &mut report);
    kept_of_others(&trees, trust, &mut report);
    tell_of_rows(reader.map(|_| rows), &mut report);
    tell_of_all(&trees, files, trust, &mut report);
    if report.is_damaged() {
        // Where something was altered, what the rest shows is worth nothing.
        report.proven.clear();
    }
    Ok(report)
}

/// Every file of the folder, by a path that begins with `segments/`.
fn listed(folder: &Path, report: &mut Report) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for below in ["proofs", "records"] {
        let at = folder.join(below);
        if at.is_dir() {
            files.extend(files_under(folder, &at, report).iter().map(|path| format!("segments/{path}")));
        }
    }
    files
}

/// The manifests, by tree, in the order of their numbers.
fn trees(left: &mut BTreeSet<String>, report: &mut Report) -> BTreeMap<Tree, Vec<Name>> {
    let mut trees: BTreeMap<Tree, Vec<Name>> = BTreeMap::new();
    let mut misnamed = Vec::new();
    for path in left.iter().filter(|path| path.ends_with(".json")) {
        let parts: Vec<&str> = path.split('/').collect();
        let place = match parts[..] {
            ["segments", "proofs", deployment, _, file] => {
                let name = file.strip_suffix(".json").and_then(Name::parse);
                name.filter(|name| name.manifest(deployment) == *path).map(|name| (deployment, name))
            }
            _ => None,
        };
        let Some((deployment, name)) = place else {
            misnamed.push(path.clone());
            continue;
        };
        let tree = Tree { deployment: deployment.to_owned(), partition: name.partition, epoch: name.epoch };
        trees.entry(tree).or_default().push(name);
    }
    for path in misnamed {
        left.remove(&path);
        report.find(
            path,
            "is not called, or does not lie, as a segment's manifest is: it was renamed or added",
        );
    }
    trees.values_mut().for_each(|names| names.sort());
    trees
}

/// Files that no manifest names.
fn strays(left: &BTreeSet<String>, trees: &BTreeMap<Tree, Vec<Name>>, report: &mut Report) {
    for path in left.iter().take(STRAY_NAMED_MAX) {
        if is_of_the_next(path, trees) {
            report.find_gap(
                path,
                "is of a segment whose manifest is not here: it is being written just now, or the manifest was left out",
            );
        } else {
            report.find(path, "lies among the segments, but no manifest names it");
        }
    }
    if left.len() > STRAY_NAMED_MAX {
        let more = left.len() - STRAY_NAMED_MAX;
        report.find("segments", format!("{more} more files lie there that no manifest names"));
    }
}

/// The name of the segment that a file says it is of.
fn name_of(path: &str) -> Option<Name> {
    let (name, _) = path.rsplit('/').next()?.split_once('.')?;
    Name::parse(name)
}

/// Whether a file belongs to the segment that comes after the last one of its tree: its manifest is put last.
fn is_of_the_next(path: &str, trees: &BTreeMap<Tree, Vec<Name>>) -> bool {
    let Some(name) = name_of(path) else { return false };
    let deployments: BTreeSet<&str> = trees.keys().map(|tree| tree.deployment.as_str()).collect();
    deployments.into_iter().any(|deployment| {
        let is_at_its_place = path == name.hashes(deployment)
            || path.starts_with(&format!("segments/records/deployment={deployment}/date="));
        let tree = Tree { deployment: deployment.to_owned(), partition: name.partition, epoch: name.epoch };
        let next =
            trees.get(&tree).and_then(|names| names.last()).map_or(0, |last| last.number.saturating_add(1));
        is_at_its_place && name.number == next
    })
}

/// Kept checkpoints that are none, or of trees of which nothing is here.
fn kept_of_others(trees: &BTreeMap<Tree, Vec<Name>>, trust: &Trust, report: &mut Report) {
    for kept in &trust.kept {
        match Checkpoint::parse(kept.note.text()) {
            Err(error) => report.find(&kept.name, format!("is no checkpoint: {error}")),
            Ok(checkpoint) if trees.keys().all(|tree| tree.origin() != checkpoint.origin) => {
                report.find_gap(
                    &kept.name,
                    format!("is of {}, of which there is no segment here", checkpoint.origin),
                );
            }
            Ok(_) => {}
        }
    }
}

/// What the check of one tree comes to.
fn tell(tree: &Tree, found: &Found, is_known: bool, trust: &Trust, report: &mut Report) {
    let origin = tree.origin();
    let Some(covered) = found.covered else { return };
    let roots =
        if is_known { "the roots that the log's keys have signed" } else { "the roots of their checkpoints" };
    let (segments, silent) = (found.segments, found.silent);
    let follow =
        format!("{segments} segments of {origin}, {silent} of them silent, follow one another without a gap");
    report.proven.push(match found.holes.len() {
        0 => format!(
            "{follow}: the hashes of leaves {} to {} lead to {roots}, and each checkpoint extends the one before",
            covered.start, covered.end
        ),
        lost => format!(
            "{follow}, and {lost} of them are without their messages: of the others, the hashes of their leaves lead to {roots}"
        ),
    });
    if let Some(at) = found.at_s.and_then(moment) {
        report
            .proven
            .push(format!("{origin} had {} leaves at {at}, as the log's cosigner says", covered.end));
    }
    if covered.start > 0 {
        report.not_covered.push(format!(
            "the first {} leaves of {origin}: they were appended before segments were written",
            covered.start
        ));
    }
    if is_known {
        return;
    }
    report.asserted.push(format!(
        "that the segments of {origin} are the log's: no key of it was given; ask the operator for the log's verifier keys"
    ));
    if !trust.keys.is_empty() {
        let file = format!("segments/proofs/{}/p{:05}", tree.deployment, tree.partition);
        report.find_gap(
            file,
            format!("is of {origin}, and none of the keys given is its: nothing vouches for it"),
        );
    }
}

/// What the comparison of the rows comes to; `None` where there was none.
fn tell_of_rows(rows: Option<u64>, report: &mut Report) {
    let Some(rows) = rows else {
        report.asserted.push(
            "that the rows of the Parquet files say what their leaves were made of: Parquet is not opened here; `flagtrail verify` compares each row with its leaf, and the columns leaf_header, salt and json show it to whoever reads them"
                .to_owned(),
        );
        return;
    };
    report.proven.push(format!(
        "{rows} rows of the Parquet files say, column by column, what their leaves were made of"
    ));
    report.asserted.push(
        "that log_offset and appended_at of each row are those of its message: no leaf holds them".to_owned(),
    );
}

/// What the check of all trees comes to.
fn tell_of_all(trees: &BTreeMap<Tree, Vec<Name>>, files: u64, trust: &Trust, report: &mut Report) {
    let is_signed = trees.keys().all(|tree| {
        let origin = tree.origin();
        trust.keys.iter().any(|key| is_key_of(key, &origin))
    });
    let signed = if is_signed { ", and the log's keys have signed these" } else { "" };
    report.proven.push(format!("{files} files are byte for byte what the segments' manifests list{signed}"));
    let named: BTreeSet<&str> = trust.keys.iter().map(NoteVerifier::name).collect();
    for name in named.into_iter().filter(|name| is_missing(name, trees)) {
        report.not_covered.push(format!(
            "{name}, of which a key was given: there is no segment of it, because nothing came to it or because they were left out"
        ));
    }
    report
        .not_covered
        .push("whether there are partitions of which nothing is here and no key was given".to_owned());
    report.not_covered.push("what came to the log after the last segment of each partition".to_owned());
    report.not_covered.push("whether a platform sent everything that happened in it".to_owned());
    if trust.kept.is_empty() {
        report.not_covered.push(
            "whether another history was signed with the same key, and whether the last segments were left out: keep a checkpoint, and give it with --against".to_owned(),
        );
    }
}

/// Whether a key's name is that of a tree of a deployment that is here, and nothing of that tree is.
fn is_missing(name: &str, trees: &BTreeMap<Tree, Vec<Name>>) -> bool {
    let partition = name.split('/').nth(3).and_then(|partition| partition.parse::<u32>().ok());
    let Some(partition) = partition else { return false };
    let is_of = |tree: &Tree| audit_proof::epoch_of(name, &tree.deployment, partition).is_some();
    trees.keys().any(is_of) && trees.keys().all(|tree| tree.origin() != name)
}

fn moment(at_s: u64) -> Option<Timestamp> {
    let micros = i64::try_from(at_s).ok()?.checked_mul(1_000_000)?;
    Timestamp::from_micros(micros).ok()
}
