//! Read-only connections, a bounded number of them.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use audit_journal::Partition;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::page::QueryError;
use crate::layout::{partition_file, partitions};
use crate::schema;

/// Most questions under way at once; each uses one connection a partition.
const SESSIONS_MAX: usize = 8;

/// How long a question waits for its turn.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);

/// When a question is broken off in the middle of one statement. Pages end themselves long before
/// ([`super::budget`]); what remains is full text of many frequent words that never meet. The write-ahead log
/// can't shrink meanwhile.
const SESSION_TIME_MAX: Duration = Duration::from_secs(2);

/// SQLite looks at the clock every so many of its own instructions.
const CLOCK_INTERVAL_OPS: i32 = 10_000;

/// SQLite's cache of one connection, in KiB. The system caches the files beside it.
const CACHE_KIB: i64 = 512;

/// How long a statement waits for a lock; in WAL mode only recovery after a crash holds one against readers.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections of all clones of a reader.
#[derive(Debug)]
pub(crate) struct Pool {
    dir: PathBuf,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    sessions: usize,
    idle: HashMap<Partition, Vec<File>>,
}

/// An open file of a partition.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) partition: Partition,
    pub(crate) conn: Connection,
    path: PathBuf,
    /// Tells a file from another of the same name: `archive rebuild` replaces it.
    inode: u64,
}

/// The right to read for up to [`SESSION_TIME_MAX`], with a connection to every file there is.
#[derive(Debug)]
pub(crate) struct Session<'p> {
    pool: &'p Pool,
    pub(crate) files: Vec<File>,
}

impl Pool {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), state: Mutex::default(), returned: Condvar::new() }
    }

    /// Waits for its turn, then opens every file, or only those of one partition.
    pub(crate) fn session(&self, only: Option<Partition>) -> Result<Session<'_>, QueryError> {
        self.take_turn()?;
        let mut session = Session { pool: self, files: Vec::new() };
        let found = partitions(&self.dir).map_err(|_| self.missing())?;
        if found.is_empty() {
            return Err(self.missing());
        }
        let deadline = Instant::now() + SESSION_TIME_MAX;
        for partition in found.into_iter().filter(|partition| only.is_none_or(|only| only == *partition)) {
            let mut file = self.file(partition)?;
            file.conn
                .progress_handler(CLOCK_INTERVAL_OPS, Some(move || Instant::now() > deadline))
                .map_err(|error| storage(&file.path, &error))?;
            session.files.push(file);
        }
        Ok(session)
    }

    fn missing(&self) -> QueryError {
        QueryError::NoArchive(self.dir.display().to_string())
    }

    fn take_turn(&self) -> Result<(), QueryError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, waited) = self
            .returned
            .wait_timeout_while(state, TURN_WAIT_MAX, |state| state.sessions >= SESSIONS_MAX)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && state.sessions >= SESSIONS_MAX {
            return Err(QueryError::Busy);
        }
        state.sessions += 1;
        Ok(())
    }

    /// An idle connection to the file that stands there now, or a new one.
    fn file(&self, partition: Partition) -> Result<File, QueryError> {
        let path = partition_file(&self.dir, partition);
        let inode = path.metadata().map_err(|error| storage(&path, &error))?.ino();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(idle) = state.idle.get_mut(&partition).and_then(Vec::pop) {
            if idle.inode == inode {
                return Ok(idle);
            }
        }
        drop(state);
        let conn = open(&path)?;
        Ok(File { partition, conn, path, inode })
    }
}

fn open(path: &Path) -> Result<Connection, QueryError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let prepared = Connection::open_with_flags(path, flags).and_then(|conn| {
        conn.busy_timeout(BUSY_TIMEOUT)?;
        conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
        schema::keep_plans(&conn)?;
        let version = schema::version(&conn)?;
        Ok((conn, version))
    });
    let (conn, found) = prepared.map_err(|error| storage(path, &error))?;
    if found > schema::SCHEMA_VERSION {
        let file = path.display().to_string();
        return Err(QueryError::Newer { file, found, known: schema::SCHEMA_VERSION });
    }
    if found < schema::SCHEMA_VERSION {
        let problem = format!(
            "it has version {found}, of an earlier release: start the archive's writer, which makes it anew"
        );
        return Err(QueryError::Storage { file: path.display().to_string(), problem });
    }
    Ok(conn)
}

fn storage(path: &Path, problem: &dyn std::fmt::Display) -> QueryError {
    QueryError::Storage { file: path.display().to_string(), problem: problem.to_string() }
}

impl File {
    /// What an SQLite error in this file means to whoever asked.
    pub(crate) fn error(&self, error: rusqlite::Error) -> QueryError {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => QueryError::TooLong,
            _ => storage(&self.path, &error),
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sessions -= 1;
        for mut file in self.files.drain(..) {
            // A connection whose clock can't be taken off is closed instead of kept.
            if file.conn.progress_handler(0, None::<fn() -> bool>).is_ok() {
                state.idle.entry(file.partition).or_default().push(file);
            }
        }
        self.pool.returned.notify_one();
    }
}
