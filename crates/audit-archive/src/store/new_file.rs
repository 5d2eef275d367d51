//! Making a partition's file, and removing one.

use std::path::Path;

use rusqlite::Connection;

use super::{StoreError, StoreIdentity};
use crate::layout::{remove_if_there, side_files};
use crate::schema::{self, FileIdentity};

/// Makes the file under another name and moves it into place whole, so that a file in place has all its
/// tables. If we crash before the rename, the remnant is removed next time.
pub(super) fn make(path: &Path, identity: &StoreIdentity) -> Result<(), StoreError> {
    let broken = |error: std::io::Error| StoreError::Broken(error.to_string());
    let beside = path.with_extension("new");
    remove(&beside)?;
    // A write-ahead log left by a file that was removed would be taken for this one's.
    remove(path)?;
    let mut conn = Connection::open(&beside)?;
    schema::create(
        &mut conn,
        &FileIdentity {
            deployment: &identity.deployment,
            partition: identity.partition,
            partitions: identity.partitions,
            full_text: identity.full_text,
        },
    )?;
    // Closing the only connection moves the write-ahead log into the file.
    conn.close().map_err(|(_, error)| error)?;
    std::fs::rename(&beside, path).map_err(broken)
}

/// Removes a file and what SQLite left beside it. If we crash in between, the file is missing, and
/// [`make`] removes the rest before it makes a new one.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    let [wal, shm] = side_files(path);
    [path, &wal, &shm]
        .into_iter()
        .try_for_each(remove_if_there)
        .map_err(|error| StoreError::Broken(error.to_string()))
}
