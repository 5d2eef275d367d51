//! The records of an export, one after another through all its files, where they are there byte for byte.

use std::io;
use std::path::{Path, PathBuf};

use audit_record::RECORD_BYTES_MAX;

use super::lines::Lines;
use crate::checksums::stays_inside;
use crate::export::is_ndjson;
use crate::manifest::Manifest;

/// Longest line, in bytes: a record's bound, with room for its end.
const LINE_BYTES_MAX: usize = RECORD_BYTES_MAX + 1;

/// The records, in order.
#[derive(Debug)]
pub(super) struct Payload {
    dir: PathBuf,
    /// Files that are not begun, the next one last.
    left: Vec<String>,
    open: Option<(String, Lines)>,
}

/// A record, and where it stands.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) bytes: Vec<u8>,
    pub(super) file: String,
    pub(super) line: u64,
}

impl Payload {
    /// The records of an export; `None` where its format does not keep their bytes.
    pub(super) fn of(dir: &Path, manifest: &Manifest) -> Option<Self> {
        let is_kept = manifest.files.iter().all(|file| is_ndjson(&file.path));
        let left = manifest.files.iter().rev().map(|file| file.path.clone()).collect();
        is_kept.then(|| Self { dir: dir.to_owned(), left, open: None })
    }

    /// The next record. An `Err` names the file.
    pub(super) fn next_record(&mut self) -> Result<Option<Placed>, (String, io::Error)> {
        loop {
            if let Some((file, lines)) = &mut self.open {
                match lines.next_line() {
                    Ok(Some(bytes)) => {
                        let bytes = bytes.to_vec();
                        return Ok(Some(Placed { bytes, file: file.clone(), line: lines.number() }));
                    }
                    Ok(None) => self.open = None,
                    Err(error) => return Err((file.clone(), error)),
                }
            } else {
                let Some(file) = self.left.pop() else { return Ok(None) };
                let lines = if stays_inside(&file) {
                    Lines::open(&self.dir.join(&file), LINE_BYTES_MAX)
                } else {
                    Err(io::Error::new(io::ErrorKind::InvalidInput, "it leads out of the export"))
                };
                match lines {
                    Ok(lines) => self.open = Some((file, lines)),
                    Err(error) => return Err((file, error)),
                }
            }
        }
    }
}
