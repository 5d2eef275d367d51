//! Moves what stands in the write-ahead log of a file into the file itself, on a thread beside the writer's.
//!
//! Left to itself SQLite does this inside a commit, when the log has grown: whoever waits for that commit waits for a
//! thousand pages and an fsync more. Here a thread with a connection of its own moves what is there, which stops no
//! writer; then the writer moves the little that came meanwhile, and the log begins again from its start. If that does
//! not keep up, the writer moves everything itself, so the log is bounded.
//!
//! Nothing durable hangs on any of it: a commit is durable once it stands in the log. If we crash in the middle, the next
//! opening finds it there.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::error::OpenError;

/// Pages in the log at which they begin to be moved: 16 MiB.
const BEGIN_PAGES: i32 = 4_096;

/// Pages in the log at which the writer waits until they are moved: 128 MiB.
const PAGES_MAX: i32 = 32_768;

/// Moves pages without waiting for anybody, and without making anybody wait.
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The thread, until it is dropped.
#[derive(Debug)]
pub(crate) struct Backfill {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    stage: Mutex<Stage>,
    bell: Condvar,
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
    /// The log has become too long: all of it is the writer's.
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

    fn run(&self, connection: &Connection) {
        let mut stage = self.stage();
        loop {
            match *stage {
                Stage::Closed => return,
                Stage::Moves => {
                    drop(stage);
                    // What can't be moved now stays in the log, and the writer meets the same error.
                    let _ = connection.execute_batch(CHECKPOINT);
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
        let state = Arc::new(State::default());
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
        if matches!(*self.state.stage(), Stage::Moved | Stage::Overdue) {
            // As above.
            let _ = writer.execute_batch(CHECKPOINT);
            let mut stage = self.state.stage();
            if *stage != Stage::Closed {
                *stage = Stage::Rests;
            }
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

    use super::{BEGIN_PAGES, Backfill, Stage};
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
}
