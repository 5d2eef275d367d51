//! The writer: follows the log into the files.

use audit_journal::Journal;
use tokio_util::sync::CancellationToken;

use crate::config::ArchiveConfig;

/// Why an archive can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiverError {
    /// Another process writes it.
    #[error(
        "the archive in {0} is written by another process: stop that one, or give this one a directory of its own"
    )]
    Held(String),
    /// A file was written by a later release.
    #[error(
        "{file} was written by a later release (its version is {found}, this release knows {known}): use that release, or `flagtrail archive rebuild`"
    )]
    Newer {
        /// The file.
        file: String,
        /// What stands there.
        found: i64,
        /// What is known.
        known: i64,
    },
    /// The directory holds the archive of another log.
    #[error("{0}")]
    OtherLog(String),
    /// The files can't be opened or written.
    #[error("the archive in {dir} can't be written: {problem}")]
    Storage {
        /// The directory.
        dir: String,
        /// What the file system or SQLite says.
        problem: String,
    },
}

/// Writes one archive. Holds the directory's lock until dropped.
#[derive(Debug)]
pub struct Archiver {}

impl Archiver {
    /// Locks the directory and opens its files, making what is missing.
    pub fn open(_config: ArchiveConfig, _journal: &Journal) -> Result<Self, ArchiverError> {
        todo!()
    }

    /// Follows the log until `shutdown`, then commits what is in hand and returns. A partition that can't
    /// go on is stopped by name, and the others go on; [`crate::Reader::status`] says so.
    pub async fn run(self, _journal: Journal, _shutdown: CancellationToken) -> Result<(), ArchiverError> {
        todo!()
    }
}
