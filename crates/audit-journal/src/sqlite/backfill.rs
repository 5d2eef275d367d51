//! Moves what stands in the write-ahead log of a file into the file itself, on a thread beside the writer's.
//!
//! Left to itself SQLite does this inside a commit, when the log has grown: whoever waits for that commit waits for a
//! thousand pages and an fsync more. Here a thread with a connection of its own moves what is there, which stops no
//! writer; then the writer moves the little that came meanwhile, and the log begins again from its start. If that does
//! not keep up, the writer moves what there is itself in each of its turns, until all of it is moved: so the log is
//! bounded, but for a reader that stays in one transaction.
//!
//! Nothing durable hangs on any of it: a commit is durable once it stands in the log. If we crash in the middle, the next
//! opening finds it there.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::error::OpenError;

/// Pages in the log at which they begin to be moved: 16 MiB.
const BEGIN_PAGES: i32 = 4_096;

/// Pages in the log at which the writer moves them itself, between its transactions: 128 MiB.
const PAGES_MAX: i32 = 32_768;

/// Moves what no reader needs where it is, waiting for nobody. Answers whether another connection was at it, the pages in
/// the log, and how many of them are in the file now.
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The thread, until it is dropped.
#[derive(Debug)]
pub(crate) struct Backfill {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    file: PathBuf,
    stage: Mutex<Stage>,
    bell: Condvar,
    /// Whether the last try failed: one warning is enough for all until one succeeds.
    fails: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing is to be moved.
    #[default]
    Rests,
    /// The thread is to move, or moves.
    Moves,
    /// The thread has moved what there was: the rest is the writer's.
    Moved,
    /// The log has become too long: all of it is the writer's, until it is moved.
    Overdue,
    Closed,
}

impl State {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a commit: the log has so many pages.
    fn note(&self, pages: i32) {
        let mut stage = self.stage();
        match *stage {
            Stage::Closed => {}
            _ if pages >= PAGES_MAX => *stage = Stage::Overdue,
            Stage::Rests if pages >= BEGIN_PAGES => {
                *stage = Stage::Moves;
                self.bell.notify_one();
            }
            _ => {}
        }
    }

    /// Moves what can be moved. Whether that was all there is.
    fn checkpoint(&self, connection: &Connection) -> bool {
        let outcome = connection.query_row(CHECKPOINT, [], |row| {
            let (is_busy, pages, moved): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(!is_busy && pages == moved)
        });
        let has_failed = self.fails.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Ok(is_all) => is_all,
            Err(error) => {
                if !has_failed {
                    tracing::warn!(
                        file = %self.file.display(),
                        %error,
                        "the write-ahead log can't be moved into its file: nothing is lost, but it grows until that is \
                         mended"
                    );
                }
                false
            }
        }
    }

    fn run(&self, connection: &Connection) {
        let mut stage = self.stage();
        loop {
            match *stage {
                Stage::Closed => return,
                Stage::Moves => {
                    drop(stage);
                    // What can't be moved now stays in the log, and the writer tries it next.
                    self.checkpoint(connection);
                    stage = self.stage();
                    if *stage == Stage::Moves {
                        *stage = Stage::Moved;
                    }
                }
                Stage::Rests | Stage::Moved | Stage::Overdue => {
                    stage = self.bell.wait(stage).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Backfill {
    /// For the file that `writer` writes, which from here on moves nothing inside its commits.
    pub(crate) fn start(path: &Path, writer: &mut Connection) -> Result<Self, OpenError> {
        let refused = |e: &dyn std::fmt::Display| {
            OpenError::Refused(format!("{} can't be opened: {e}", path.display()))
        };
        let state = Arc::new(State { file: path.to_owned(), ..State::default() });
        let noting = Arc::clone(&state);
        let note = move |_: &mut rusqlite::hooks::Wal, pages| {
            noting.note(pages);
            Ok(())
        };
        writer.wal_hook(Some(note)).map_err(|e| refused(&e))?;
        let connection = Connection::open(path).map_err(|e| refused(&e))?;
        let moving = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("journal-backfill".to_owned())
            .spawn(move || moving.run(&connection))
            .map_err(|e| refused(&e))?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// Lets the writer do its part, if there is one now. Between transactions.
    pub(crate) fn finish(&self, writer: &Connection) {
        if !matches!(*self.state.stage(), Stage::Moved | Stage::Overdue) {
            return;
        }
        let is_all = self.state.checkpoint(writer);
        let mut stage = self.state.stage();
        match *stage {
            Stage::Closed => {}
            // A reader needs what the file has, or the thread is at it: the writer's next turn tries again.
            Stage::Overdue if !is_all => {}
            _ => *stage = Stage::Rests,
        }
    }
}

impl Drop for Backfill {
    fn drop(&mut self) {
        *self.state.stage() = Stage::Closed;
        self.state.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rusqlite::{Connection, params};

    use super::{BEGIN_PAGES, Backfill, PAGES_MAX, Stage};
    use crate::sqlite::file::open_writer;

    const SCHEMA: [&str; 1] = ["CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB) STRICT;"];

    fn write_pages(writer: &Connection, pages: i32) {
        for _ in 0..pages / 16 {
            writer
                .execute("INSERT INTO t (value) VALUES (?1)", params![vec![7u8; 16 * 4_096]])
                .expect("written");
        }
    }

    #[test]
    fn a_log_that_has_grown_is_moved_beside_the_writer_and_begins_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file.sqlite");
        let mut writer = open_writer(&path, &SCHEMA).expect("opened");
        let backfill = Backfill::start(&path, &mut writer).expect("started");
        write_pages(&writer, BEGIN_PAGES / 2);
        assert_eq!(*backfill.state.stage(), Stage::Rests, "there is little to move");
        write_pages(&writer, BEGIN_PAGES);
        let began = Instant::now();
        while *backfill.state.stage() != Stage::Moved {
            assert!(began.elapsed() < Duration::from_secs(60), "the thread moves what there is");
            std::thread::sleep(Duration::from_millis(1));
        }
        backfill.finish(&writer);
        let before = std::fs::metadata(folder.path().join("file.sqlite-wal")).expect("a log").len();
        write_pages(&writer, BEGIN_PAGES / 2);
        let after = std::fs::metadata(folder.path().join("file.sqlite-wal")).expect("a log").len();
        assert_eq!(before, after, "it is written from its start again");
        drop(backfill);
        let rows: i64 = writer.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("counted");
        assert_eq!(rows, i64::from(2 * BEGIN_PAGES / 16));
    }

    #[test]
    fn a_log_that_is_too_long_is_the_writers_until_all_of_it_is_moved() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file.sqlite");
        let mut writer = open_writer(&path, &SCHEMA).expect("opened");
        let backfill = Backfill::start(&path, &mut writer).expect("started");
        let reader = Connection::open(&path).expect("opened");
        reader.execute_batch("BEGIN").expect("begun");
        let count = || reader.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
        assert_eq!(count().expect("counted"), 0);
        write_pages(&writer, 64);
        backfill.state.note(PAGES_MAX);
        backfill.finish(&writer);
        assert_eq!(*backfill.state.stage(), Stage::Overdue, "the reader needs the file as it is");
        assert_eq!(count().expect("counted"), 0);
        reader.execute_batch("COMMIT").expect("ended");
        backfill.finish(&writer);
        assert_eq!(*backfill.state.stage(), Stage::Rests);
    }
}
