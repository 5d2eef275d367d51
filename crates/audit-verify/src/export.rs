//! Checks one export directory.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use audit_record::AuditRecord;

use crate::bag;
use crate::evidence::{Evident, files_are_those_of};
use crate::manifest::{MANIFEST_VERSION, Manifest};
use crate::report::Report;
use crate::trust::Trust;

/// Longest line of an NDJSON file that is read, in bytes: a record's bound, with room for its end.
const LINE_BYTES_MAX: usize = audit_record::RECORD_BYTES_MAX + 2;

/// Checks an export with nothing but what it brings along itself: see [`verify_export_with`].
pub fn verify_export(dir: &Path) -> io::Result<Report> {
    verify_export_with(dir, &Trust::default())
}

/// Checks every checksum, that files and manifest agree, that every NDJSON line is a valid audit record, the counts, and
/// all that proves the export: signatures, checkpoints, headers, and that what is in scope is delivered. An `Err`
/// means that there is nothing to check: no such directory, or no manifest.
pub fn verify_export_with(dir: &Path, trust: &Trust) -> io::Result<Report> {
    let text = std::fs::read(dir.join("manifest.json")).map_err(|error| {
        io::Error::new(error.kind(), format!("{} holds no export: manifest.json: {error}", dir.display()))
    })?;
    let manifest: Manifest = match serde_json::from_slice(&text) {
        Ok(manifest) => manifest,
        Err(error) => {
            let mut report = Files::check(dir, true).report;
            report.find("manifest.json", format!("is no manifest: {error}"));
            return Ok(report);
        }
    };
    if manifest.version > MANIFEST_VERSION {
        let mut report = Files::check(dir, true).report;
        report
            .find("manifest.json", format!("was written by a later release (version {})", manifest.version));
        return Ok(report);
    }
    let evident = Evident { dir, bytes: &text, manifest: &manifest, trust };
    // Hashing the files, and growing the trees from them, are both of the order of a second for a gigabyte.
    let (files, shown) = std::thread::scope(|scope| {
        let shown = scope.spawn(|| manifest.evidence.as_ref().map(|evidence| evident.check(evidence)));
        let files = Files::check(dir, manifest.evidence.is_none());
        (files, shown.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let Files { mut report, hashes, contents } = files;
    compare(&manifest, &hashes, contents, &mut report);
    tell(&manifest, &mut report);
    match (&manifest.evidence, shown) {
        (Some(evidence), Some(shown)) => {
            files_are_those_of(evidence, &hashes, &mut report);
            report.take_in(shown);
        }
        _ => without_evidence(trust, &mut report),
    }
    if report.is_damaged() {
        // Where something was altered, what the rest shows is worth nothing.
        report.proven.clear();
    }
    Ok(report)
}

/// Every file of an export, hashed once.
struct Files {
    report: Report,
    hashes: bag::Hashes,
    contents: BTreeMap<String, Content>,
}

impl Files {
    /// Hashes every file, and counts the lines of NDJSON. Whether each is a valid record is looked at only on demand:
    /// where leaves are at hand, each is compared with the record that the log took, which is more.
    fn check(dir: &Path, validate: bool) -> Self {
        let mut report = Report::default();
        let mut contents: BTreeMap<String, Content> = BTreeMap::new();
        let hashes = bag::check(dir, &mut report, |path, bytes| {
            if !is_payload(path) {
                return;
            }
            // Not `entry`: it would copy the path for every piece.
            if !contents.contains_key(path) {
                let content = Content { is_ndjson: is_ndjson(path), validate, ..Content::default() };
                contents.insert(path.to_owned(), content);
            }
            if let Some(content) = contents.get_mut(path) {
                content.take(bytes);
            }
        });
        Self { report, hashes, contents }
    }
}

/// Whether a file holds what was asked for; what proves it has folders of its own.
fn is_payload(path: &str) -> bool {
    let evidence = ["data/proofs/", "data/keys/", "data/schema/", "data/custody.ndjson"];
    path.starts_with("data/") && !evidence.iter().any(|folder| path.starts_with(folder))
}

/// What an export without evidence, which is one of an earlier release, leaves to be believed.
fn without_evidence(trust: &Trust, report: &mut Report) {
    if !trust.keys.is_empty() || !trust.kept.is_empty() {
        report.find_gap(
            "manifest.json",
            "names nothing that proves the export, so no key and no checkpoint can",
        );
    }
    report
        .asserted
        .push("that the manifest is the one that the exporting system wrote: it is not signed".to_owned());
    report.asserted.push(
        "that the files hold every record that the query asks for, and none was altered before the export"
            .to_owned(),
    );
}

fn compare(
    manifest: &Manifest,
    hashes: &bag::Hashes,
    mut contents: BTreeMap<String, Content>,
    report: &mut Report,
) {
    for file in &manifest.files {
        match hashes.get(&file.path) {
            None => report.find(&file.path, "is in the manifest, but in no checksum file"),
            Some((sha256, bytes)) => {
                if *sha256 != file.sha256 {
                    report.find(&file.path, "is not the file of the manifest: its SHA-256 differs");
                }
                if *bytes != file.bytes {
                    report.find(&file.path, format!("has {bytes} bytes, the manifest says {}", file.bytes));
                }
            }
        }
        let content = match contents.remove(&file.path) {
            Some(content) => content,
            // An empty file: nothing of it passed by.
            None if hashes.contains_key(&file.path) => {
                Content { is_ndjson: is_ndjson(&file.path), ..Content::default() }
            }
            None => continue,
        };
        let (records, problem) = content.finish();
        if let Some(problem) = problem {
            report.find(&file.path, problem);
        }
        if let Some(records) = records
            && records != file.records
        {
            report.find(&file.path, format!("holds {records} records, the manifest says {}", file.records));
        }
    }
    for path in contents.into_keys() {
        report.find(path, "is not in the manifest");
    }
    let is_listed = |path: &str| {
        let evidence = manifest.evidence.as_ref();
        evidence.is_some_and(|evidence| evidence.files.iter().any(|file| file.path == path))
    };
    for path in hashes.keys().filter(|path| path.starts_with("data/") && !is_payload(path)) {
        if !is_listed(path) {
            report.find(path, "is not in the manifest");
        }
    }
    // A manifest may say anything: counts that are too large to add up must not end the check.
    let of_files = manifest.files.iter().map(|file| file.records).fold(0, u64::saturating_add);
    let of_partitions =
        manifest.partitions.iter().map(|partition| partition.records).fold(0, u64::saturating_add);
    if of_files != manifest.records || of_partitions != manifest.records {
        let found = format!(
            "its counts disagree: {} in all, {of_files} in files, {of_partitions} in partitions",
            manifest.records
        );
        report.find("manifest.json", found);
    }
    for partition in manifest.partitions.iter().filter(|partition| !partition.complete) {
        report.find_gap("manifest.json", format!("partition {} is not complete", partition.partition));
    }
}

fn tell(manifest: &Manifest, report: &mut Report) {
    let (files, format) = (manifest.files.len(), &manifest.format);
    let is_counted = manifest.files.iter().all(|file| is_ndjson(&file.path));
    if !report.is_damaged() {
        let records = if is_counted { format!("{} records in ", manifest.records) } else { String::new() };
        report
            .proven
            .push(format!("{records}{files} {format} files are byte for byte what the manifest lists"));
    }
    if !is_counted {
        report.asserted.push(format!("that there are {} records: only NDJSON is counted", manifest.records));
    }
}

/// Whether a file holds a record a line. OCSF events are lines, too, and what is compressed has none.
pub(crate) fn is_ndjson(path: &str) -> bool {
    path.ends_with(".ndjson") && !path.ends_with(".ocsf.ndjson")
}

/// What passes by of one payload file while it is hashed.
#[derive(Default)]
struct Content {
    is_ndjson: bool,
    /// Whether each line must be a valid record.
    validate: bool,
    line: Vec<u8>,
    records: u64,
    problem: Option<String>,
}

impl Content {
    fn take(&mut self, bytes: &[u8]) {
        if !self.is_ndjson {
            return;
        }
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            self.end_of_line();
            rest = &rest[end + 1..];
        }
        // After the first problem lines are counted alone, so that the count does not seem to be wrong as well.
        if self.problem.is_some() {
            return;
        }
        if self.line.len() + rest.len() > LINE_BYTES_MAX {
            self.problem = Some(format!("line {} is longer than any record", self.records + 1));
            return;
        }
        self.line.extend_from_slice(rest);
    }

    fn end_of_line(&mut self) {
        self.records += 1;
        if self.validate
            && self.problem.is_none()
            && let Err(error) = AuditRecord::from_json(&self.line)
        {
            self.problem = Some(format!("line {}: {error}", self.records));
        }
        self.line.clear();
    }

    /// How many records there are, where lines count, and the first that is none.
    fn finish(self) -> (Option<u64>, Option<String>) {
        let cut = (!self.line.is_empty()).then(|| "ends in the middle of a line".to_owned());
        (self.is_ndjson.then_some(self.records), self.problem.or(cut))
    }
}
