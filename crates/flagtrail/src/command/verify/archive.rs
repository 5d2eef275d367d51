//! An archive on this machine: whether it is whole in itself, and whether its trees begin with those of checkpoints that
//! were kept.

use std::path::Path;

use anyhow::{Context as _, Result};
use audit_archive::{EvidenceError, Reader, TreeHead};
use audit_proof::Checkpoint;
use audit_verify::{Finding, FindingKind, Report, Trust};

/// Whether a directory holds an archive.
pub(super) fn is_one(dir: &Path) -> bool {
    Reader::open(dir).status().is_ok()
}

/// Checks an archive. Reads only, beside a writer or without one.
pub(super) fn check(dir: &Path, trust: &Trust) -> Result<Report> {
    let mut report = Report::default();
    let found = audit_archive::check(dir).context("the archive can't be checked")?;
    let damage = |file: String, problem: String| Finding { kind: FindingKind::Damage, file, problem };
    for finding in found.findings {
        report.findings.push(damage(finding.file, finding.problem));
    }
    if report.findings.is_empty() {
        report.proven.push(format!(
            "all {} messages in {} files have the hashes that their leaves are made of, and the trees are made of these leaves",
            found.messages, found.files
        ));
    }
    let reader = Reader::open(dir);
    for kept in &trust.kept {
        match held_against(&reader, kept, trust) {
            Ok(sentence) => report.proven.push(sentence),
            Err(problem) => report.findings.push(damage(kept.name.clone(), problem)),
        }
    }
    report.not_covered.push(
        if trust.kept.is_empty() {
            "whether the archive is what the log says: give a checkpoint with --against, such as the checkpoint-end of an export"
        } else {
            "what was archived after the checkpoints given"
        }
        .to_owned(),
    );
    report.not_covered.push("whether a platform sent everything that happened in it".to_owned());
    Ok(report)
}

/// Whether the archive's tree of the checkpoint's log begins with the one that it signs.
fn held_against(reader: &Reader, kept: &audit_verify::Kept, trust: &Trust) -> Result<String, String> {
    let checkpoint =
        Checkpoint::parse(kept.note.text()).map_err(|error| format!("is no checkpoint: {error}"))?;
    let Checkpoint { origin, size, root } = &checkpoint;
    if !trust.keys.is_empty() {
        Checkpoint::open(&kept.note, origin, &trust.keys)
            .map_err(|error| format!("is not one that the log's keys vouch for: {error}"))?;
    }
    // flagtrail/<deployment>/records/<partition>/<epoch>
    let partition = origin.split('/').nth(3).and_then(|partition| partition.parse().ok());
    let partition: u32 =
        partition.ok_or_else(|| format!("is of {origin}, which is no partition of a log"))?;
    let trees = reader.trees(partition).map_err(|error| error.to_string())?;
    for tree in &trees {
        match reader.root_of(partition, tree.first_seq, *size) {
            Ok(found) if found == *root => {
                let vouched =
                    if trust.keys.is_empty() { " (its signature was not checked: give --key)" } else { "" };
                return Ok(format!(
                    "the first {size} leaves of partition {partition} are those that {} signs{vouched}",
                    kept.name
                ));
            }
            Ok(_) | Err(EvidenceError::NotInTree { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    let largest = trees_of(origin, &trees).iter().map(|tree| tree.size).max().unwrap_or(0);
    Err(if largest < *size {
        format!(
            "signs {size} leaves of partition {partition}, the archive has {largest}: it is behind, or the log was truncated"
        )
    } else {
        format!(
            "signs another root for the first {size} leaves of partition {partition}: the archive holds a second history"
        )
    })
}

/// The trees that are meant by this name: those that began in its epoch. An archive that was filled in a later epoch knows of
/// no earlier one: then it may be any.
fn trees_of<'t>(origin: &str, trees: &'t [TreeHead]) -> Vec<&'t TreeHead> {
    let epoch: Option<u32> = origin.rsplit_once('/').and_then(|(_, epoch)| epoch.parse().ok());
    let named: Vec<&TreeHead> = trees.iter().filter(|tree| Some(tree.epoch) == epoch).collect();
    if named.is_empty() { trees.iter().collect() } else { named }
}

#[cfg(test)]
mod tests {
    use audit_proof::empty_root;

    use super::*;

    #[test]
    fn a_former_log_that_was_larger_says_nothing_of_the_present_one() {
        let tree =
            |epoch, first_seq, size| TreeHead { partition: 3, epoch, first_seq, size, root: empty_root() };
        let trees = [tree(0, 0, 60), tree(7, 60, 20)];
        let sizes = |origin| trees_of(origin, &trees).iter().map(|tree| tree.size).collect::<Vec<_>>();
        assert_eq!(sizes("flagtrail/d/records/3/7"), [20]);
        assert_eq!(sizes("flagtrail/d/records/3/0"), [60]);
        assert_eq!(sizes("flagtrail/d/records/3/5"), [60, 20]);
    }
}
