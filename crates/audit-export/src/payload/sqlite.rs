//! One SQLite file of all records: `audit-archive` makes it, which alone names SQLite; here it becomes durable and is hashed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use audit_archive::{ExportFile, ExportFileError, Row};
use audit_digest::Sha256;

use crate::error::ExportError;

/// How much of the finished file is in memory while it is hashed, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// The file.
pub(super) struct SqliteFile {
    place: PathBuf,
    file: ExportFile,
}

impl SqliteFile {
    pub(super) fn create(place: &Path) -> Result<Self, ExportFileError> {
        Ok(Self { place: place.to_owned(), file: ExportFile::create(place)? })
    }

    pub(super) fn append(&mut self, row: &Row) -> Result<(), ExportFileError> {
        self.file.append(row)
    }

    /// Makes the file durable, and answers with its SHA-256 and its size. SQLite writes here and there, so it is hashed when
    /// it is whole.
    pub(super) fn close(self) -> Result<(String, u64), ExportError> {
        self.file.finish()?;
        let mut file = File::open(&self.place)?;
        file.sync_all()?;
        Ok(hash(&mut file)?)
    }
}

fn hash(file: &mut File) -> io::Result<(String, u64)> {
    let (mut hasher, mut chunk, mut bytes) = (Sha256::new(), vec![0; CHUNK_BYTES], 0);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((hex::encode(hasher.finalize()), bytes));
        }
        hasher.update(&chunk[..read]);
        bytes += read as u64;
    }
}
