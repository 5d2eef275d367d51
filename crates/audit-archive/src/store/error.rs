//! Why a partition's file can't be used, by what is to be done about it.

use audit_journal::Offset;
use rusqlite::ErrorCode;

/// Why a file can't be used.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// Written by a later release.
    Newer { found: i64 },
    /// Not the archive of this partition of this log.
    Other(String),
    /// The disk is full, or another connection holds a lock for very long: trying again later may do.
    NotNow(String),
    /// Somebody else moved the position.
    Superseded { expected: Offset, found: Option<Offset> },
    /// SQLite or the file system.
    Broken(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::NotNow(error.to_string())
            }
            _ => Self::Broken(error.to_string()),
        }
    }
}
