//! Copying an archive while it is written.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::{MaintenanceError, archived_partitions, open_to_read};
use crate::layout::{partition_file, partitions, remove_if_there, side_files};
use rusqlite::Connection;
use rusqlite::backup::Backup;

/// All pages in one step: the copy is the state of one moment. A writer goes on beside it; its write-ahead
/// log grows until the copy is done.
const ALL_PAGES: i32 = i32::MAX;

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// Files.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
}

/// Copies every file of the archive in `dir` into `to`, which may not hold one. Each copy is whole and carries
/// the position that belongs to its rows, so that a writer started on the copy goes on from there. The files are
/// not of one moment with each other, and need not be: partitions are independent.
///
/// Each file appears under its name when it is complete and on the disk. If we crash half-way, what is there is
/// whole, and the rest is missing.
pub fn backup(dir: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<BackupReport, MaintenanceError> {
    let (dir, to) = (dir.as_ref(), to.as_ref());
    let found = archived_partitions(dir)?;
    std::fs::create_dir_all(to).map_err(|error| MaintenanceError::at(to, error))?;
    if !partitions(to).map_err(|error| MaintenanceError::at(to, error))?.is_empty() {
        return Err(MaintenanceError::Occupied(to.display().to_string()));
    }
    let mut report = BackupReport { files: 0, bytes: 0 };
    for partition in found {
        let target = partition_file(to, partition);
        report.bytes += copy(&partition_file(dir, partition), &target)?;
        report.files += 1;
    }
    File::open(to).and_then(|dir| dir.sync_all()).map_err(|error| MaintenanceError::at(to, error))?;
    Ok(report)
}

fn copy(from: &Path, to: &Path) -> Result<u64, MaintenanceError> {
    let source = open_to_read(from)?;
    let beside = to.with_extension("part");
    let [wal, shm] = side_files(&beside);
    for remnant in [&beside, &wal, &shm] {
        remove_if_there(remnant).map_err(|error| MaintenanceError::at(remnant, error))?;
    }
    let copied = || -> rusqlite::Result<()> {
        let mut target = Connection::open(&beside)?;
        Backup::new(&source, &mut target)?.run_to_completion(ALL_PAGES, Duration::ZERO, None)?;
        target.close().map_err(|(_, error)| error)
    };
    copied().map_err(|error| MaintenanceError::at(&beside, error))?;
    let synced = || -> std::io::Result<u64> {
        let file = File::open(&beside)?;
        file.sync_all()?;
        std::fs::rename(&beside, to)?;
        Ok(file.metadata()?.len())
    };
    synced().map_err(|error| MaintenanceError::at(to, error))
}
