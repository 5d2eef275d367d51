//! The directory of an archive: its files by name, and its lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use audit_journal::Partition;

/// Held by whoever writes the directory.
const LOCK_FILE: &str = "archive.lock";

/// The file of a partition.
pub(crate) fn partition_file(dir: &Path, partition: Partition) -> PathBuf {
    dir.join(format!("records-{partition:02}.sqlite"))
}

/// Every partition that has a file, by number.
pub(crate) fn partitions(dir: &Path) -> io::Result<Vec<Partition>> {
    let mut found = Vec::new();
    for entry in dir.read_dir()? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| {
            name.strip_prefix("records-")?.strip_suffix(".sqlite")?.parse::<Partition>().ok()
        });
        // `records-0.sqlite` and `records-000.sqlite` are none of ours.
        found.extend(number.filter(|partition| *name == *format!("records-{partition:02}.sqlite")));
    }
    found.sort_unstable();
    Ok(found)
}

/// What SQLite puts beside a file.
pub(crate) fn side_files(file: &Path) -> [PathBuf; 2] {
    ["-wal", "-shm"].map(|suffix| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

/// Removes a file that may be missing.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The right to write a directory, until dropped. The system gives it back when the process dies.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

/// Why a directory can't be locked.
#[derive(Debug)]
pub(crate) enum LockError {
    Held,
    Io(io::Error),
}

impl DirectoryLock {
    /// Locks `dir`, making it where it is missing.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, LockError> {
        std::fs::create_dir_all(dir).map_err(LockError::Io)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(LOCK_FILE))
            .map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held),
            Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
        }
    }
}
