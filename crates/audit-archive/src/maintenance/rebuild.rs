//! Making an archive anew from the log.

use std::path::Path;

use super::{MaintenanceError, archived_partitions};
use crate::archiver::lock;
use crate::layout::partition_file;
use crate::store;

/// Deletes every file of the archive; the next writer fills them again from the log. Refused while a writer
/// is at work. What retention has removed from the log does not come back: keep a [`super::backup`] of it.
///
/// If we crash half-way, some files are there and some are not. Each is whole in itself: the missing ones are
/// filled again, and repeating the command deletes the rest. Returns how many files were deleted.
pub fn rebuild(dir: impl AsRef<Path>) -> Result<usize, MaintenanceError> {
    let dir = dir.as_ref();
    let partitions = archived_partitions(dir)?;
    let _lock = lock(dir)?;
    for partition in &partitions {
        let file = partition_file(dir, *partition);
        store::remove(&file).map_err(|error| MaintenanceError::at(&file, format!("{error:?}")))?;
    }
    Ok(partitions.len())
}
