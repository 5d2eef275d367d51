//! The BagIt frame (RFC 8493) of an export: declaration, checksum files, and that no payload lies beside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirEntry;
use std::io;
use std::path::Path;

use crate::checksums::{Line, hash_file, parse, stays_inside};
use crate::report::Report;

/// Files under the bag, by path, with the hash that was computed.
pub(crate) type Hashes = BTreeMap<String, (String, u64)>;

/// Checks declaration and checksum files, and hashes every payload file once; `seen` gets the bytes of
/// payload files as they pass.
pub(crate) fn check(dir: &Path, report: &mut Report, mut seen: impl FnMut(&str, &[u8])) -> Hashes {
    let mut hashes = Hashes::new();
    match std::fs::read_to_string(dir.join("bagit.txt")) {
        Ok(text) if text.starts_with("BagIt-Version: ") => {}
        Ok(_) => report.find("bagit.txt", "does not begin with BagIt-Version"),
        Err(error) => report.find("bagit.txt", format!("can't be read: {error}")),
    }
    let payload = listed(dir, "manifest-sha256.txt", report);
    let tags = listed(dir, "tagmanifest-sha256.txt", report);
    for line in payload.iter().chain(&tags) {
        if !stays_inside(&line.path) {
            report.find(&line.path, "leads out of the export");
            continue;
        }
        match hash_file(&dir.join(&line.path), |bytes| seen(&line.path, bytes)) {
            Err(error) => report.find(&line.path, format!("can't be read: {error}")),
            Ok((sha256, bytes)) => {
                if sha256 != line.sha256 {
                    report.find(
                        &line.path,
                        format!(
                            "was altered: its SHA-256 is {sha256}, the checksum file says {}",
                            line.sha256
                        ),
                    );
                }
                hashes.insert(line.path.clone(), (sha256, bytes));
            }
        }
    }
    let known: BTreeSet<&str> = payload.iter().map(|line| line.path.as_str()).collect();
    for found in files_under(dir, &dir.join("data"), report) {
        if !known.contains(found.as_str()) {
            report.find(found, "lies in the export, but no checksum names it");
        }
    }
    for needed in ["bagit.txt", "manifest.json", "manifest-sha256.txt"] {
        if !tags.iter().any(|line| line.path == needed) {
            report.find(needed, "is not named by tagmanifest-sha256.txt");
        }
    }
    hashes
}

fn listed(dir: &Path, name: &str, report: &mut Report) -> Vec<Line> {
    let text = std::fs::read_to_string(dir.join(name)).map_err(|error| format!("can't be read: {error}"));
    text.and_then(|text| parse(&text)).unwrap_or_else(|problem| {
        report.find(name, problem);
        Vec::new()
    })
}

/// Every file under `at`, relative to `dir`, with `/` between folders.
pub(crate) fn files_under(dir: &Path, at: &Path, report: &mut Report) -> Vec<String> {
    let mut files = Vec::new();
    let listed = std::fs::read_dir(at).and_then(Iterator::collect::<io::Result<Vec<DirEntry>>>);
    let entries = listed.unwrap_or_else(|error| {
        report.find(relative(dir, at), format!("can't be listed: {error}"));
        Vec::new()
    });
    for entry in entries {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files.extend(files_under(dir, &path, report)),
            Ok(kind) if kind.is_file() => files.push(relative(dir, &path)),
            // A link may lead anywhere, in circles too.
            _ => report.find(relative(dir, &path), "is no file, and links are not followed"),
        }
    }
    files.sort();
    files
}

/// A path under `dir` as checksum files have it.
fn relative(dir: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(dir).unwrap_or(path).iter();
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}
