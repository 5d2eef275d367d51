//! A file: its lock, its version, its connections.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::OpenError;

/// How long a connection waits for SQLite's own locks. Only tools that open the file beside us hold them.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepared statements kept by a connection: a few for each topic and partition of a log.
const STATEMENTS_MAX: usize = 256;

/// The right of one process to write the file; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct WriteLock {
    _file: File,
}

impl WriteLock {
    /// Takes the lock: a lock of the operating system on a file beside the database, which ends with the
    /// process however it ends.
    pub(crate) fn take(database: &Path) -> Result<Self, OpenError> {
        let path = beside(database, ".lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| OpenError::Refused(format!("{} can't be opened: {e}", path.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Held(database.display().to_string())),
            Err(TryLockError::Error(e)) => {
                Err(OpenError::Refused(format!("{} can't be locked: {e}", path.display())))
            }
        }
    }
}

/// `path` with `suffix` at its end.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens the writing connection, making the file where it is missing. `steps` lead from an empty file to the
/// present schema, each from one version to the next; those that a file lacks are taken. Afterwards the file
/// is in WAL mode, and every commit is fsynced.
pub(crate) fn open_writer(path: &Path, steps: &[&str]) -> Result<Connection, OpenError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|e| OpenError::Refused(format!("{} can't be made: {e}", folder.display())))?;
    }
    let refused = |e: rusqlite::Error| OpenError::Refused(format!("{} can't be opened: {e}", path.display()));
    let mut connection = Connection::open(path).map_err(refused)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(refused)?;
    let found: u32 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(refused)?;
    let known = steps.len() as u32;
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(refused)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(refused)?;
    if found < known {
        // If we crash in here, the file is as it was, and the next opening does this again.
        let transaction = connection.transaction().map_err(refused)?;
        for step in &steps[found as usize..] {
            transaction.execute_batch(step).map_err(refused)?;
        }
        transaction.pragma_update(None, "user_version", known).map_err(refused)?;
        transaction.commit().map_err(refused)?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // A statement is planned once, not for every value bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(refused)?;
    Ok(connection)
}

/// Opens a connection that can't write.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}
