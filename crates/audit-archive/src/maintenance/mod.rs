//! What an operator does with an archive: check it, make it anew, copy it.

mod access;
mod backup;
mod check;
mod rebuild;
mod tree;

use std::io;
use std::path::Path;

pub use backup::{BackupReport, backup};
pub use check::{CheckReport, FINDINGS_MAX, Finding, check};
pub use rebuild::rebuild;

use crate::archiver::ArchiverError;
use crate::schema;

/// Why an archive can't be checked, copied or made anew.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// There is no archive.
    #[error("there is no archive in {0}")]
    NoArchive(String),
    /// It is being written.
    #[error(transparent)]
    Archiver(#[from] ArchiverError),
    /// The copy would overwrite something.
    #[error("{0} holds an archive already: name an empty directory")]
    Occupied(String),
    /// A file was written by another release.
    #[error("{file} has version {found}, this release knows {known}: use the release that wrote it")]
    OtherVersion {
        /// The file.
        file: String,
        /// What stands there.
        found: i64,
        /// What is known.
        known: i64,
    },
    /// A file can't be read or written.
    #[error("{path}: {problem}")]
    Storage {
        /// The file.
        path: String,
        /// What the file system or SQLite says.
        problem: String,
    },
}

impl MaintenanceError {
    fn at(path: &Path, problem: impl std::fmt::Display) -> Self {
        Self::Storage { path: path.display().to_string(), problem: problem.to_string() }
    }
}

/// The partitions of the archive in `dir`; at least one.
fn archived_partitions(dir: &Path) -> Result<Vec<audit_journal::Partition>, MaintenanceError> {
    let found = match crate::layout::partitions(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(MaintenanceError::at(dir, error));
        }
        found => found.unwrap_or_default(),
    };
    if found.is_empty() { Err(MaintenanceError::NoArchive(dir.display().to_string())) } else { Ok(found) }
}

/// Opens a file to read it, whether or not a writer is at work.
fn open_to_read(path: &Path) -> Result<rusqlite::Connection, MaintenanceError> {
    use rusqlite::OpenFlags;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = rusqlite::Connection::open_with_flags(path, flags)
        .map_err(|error| MaintenanceError::at(path, error))?;
    let found = schema::version(&conn).map_err(|error| MaintenanceError::at(path, error))?;
    if found != schema::SCHEMA_VERSION {
        let file = path.display().to_string();
        return Err(MaintenanceError::OtherVersion { file, found, known: schema::SCHEMA_VERSION });
    }
    Ok(conn)
}
