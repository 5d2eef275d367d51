//! The spool's file and the one thread that writes it: many requests, one fsync.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::Spooled;
use super::backlog::{Backlog, Place, Waiting};
use crate::read::ReadLimit;
use crate::sqlite::file::WriteLock;
use crate::sqlite::queue::Queue;

/// What leads from an empty file to the present schema; one step a version.
pub(super) const SCHEMA: [&str; 2] = [
    // AUTOINCREMENT: a number is never used again, even when its request is gone.
    "
CREATE TABLE requests (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  source TEXT NOT NULL,
  received_at_us INTEGER NOT NULL,
  request BLOB NOT NULL
) STRICT;
",
    // One row: which spool this is, whichever process has it open.
    "
CREATE TABLE spool (id TEXT NOT NULL) STRICT;
INSERT INTO spool VALUES (lower(hex(randomblob(16))));
",
];

/// How long the thread sleeps at most; nothing depends on it.
const IDLE: Duration = Duration::from_secs(60);

/// What the thread is asked for. Answers carry the reason in words: all that a caller can do is report it.
#[derive(Debug)]
pub(super) enum Job {
    Push { place: Place, received_at_us: i64, request: Bytes, answer: oneshot::Sender<Result<u64, String>> },
    Remove { numbers: Vec<u64>, answer: oneshot::Sender<Result<(), String>> },
}

/// What a job did, in a transaction that is not yet committed.
enum Done {
    Pushed(u64),
    /// Sources and sizes of those that were there.
    Removed(Vec<(String, u64)>),
}

pub(super) struct Writer {
    connection: Connection,
    queue: Arc<Queue<Job>>,
    backlog: Arc<Backlog>,
    /// Given back when the thread has ended.
    _lock: WriteLock,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        queue: Arc<Queue<Job>>,
        backlog: Arc<Backlog>,
        lock: WriteLock,
    ) -> Self {
        Self { connection, queue, backlog, _lock: lock }
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        while let Some(jobs) = self.queue.take(IDLE) {
            if jobs.is_empty() {
                continue;
            }
            match self.write(&jobs) {
                // If we crash here, the requests are kept and nobody was told: the platform may send them
                // again, and the ids inside them tell whoever reads.
                Ok(done) => jobs.into_iter().zip(done).for_each(|(job, done)| self.succeed(job, done)),
                Err(error) => {
                    tracing::error!(%error, "the spool can't be written");
                    let reason = error.to_string();
                    jobs.into_iter().for_each(|job| job.fail(&reason));
                }
            }
        }
        // Leaves one file behind; if this fails, the next opening does it.
        let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    fn write(&mut self, jobs: &[Job]) -> rusqlite::Result<Vec<Done>> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = jobs.iter().map(|job| perform(&transaction, job)).collect::<rusqlite::Result<_>>()?;
        transaction.commit()?;
        Ok(done)
    }

    /// Counts what is durable now, then answers. A caller that no longer waits is no error.
    fn succeed(&self, job: Job, done: Done) {
        match (job, done) {
            (Job::Push { place, answer, .. }, Done::Pushed(number)) => {
                place.keep();
                let _ = answer.send(Ok(number));
            }
            (Job::Remove { answer, .. }, Done::Removed(gone)) => {
                for (source, bytes) in gone {
                    self.backlog.forget(&source, bytes);
                }
                let _ = answer.send(Ok(()));
            }
            (Job::Push { .. } | Job::Remove { .. }, _) => unreachable!("a job is done as what it is"),
        }
    }
}

impl Job {
    /// Dropping a push gives its place back.
    fn fail(self, reason: &str) {
        match self {
            Self::Push { answer, .. } => drop(answer.send(Err(reason.to_owned()))),
            Self::Remove { answer, .. } => drop(answer.send(Err(reason.to_owned()))),
        }
    }
}

fn perform(connection: &Connection, job: &Job) -> rusqlite::Result<Done> {
    match job {
        Job::Push { place, received_at_us, request, .. } => {
            connection
                .prepare_cached("INSERT INTO requests (source, received_at_us, request) VALUES (?, ?, ?)")?
                .execute(params![place.source, received_at_us, request.as_ref()])?;
            Ok(Done::Pushed(connection.last_insert_rowid() as u64))
        }
        Job::Remove { numbers, .. } => {
            let mut delete = connection
                .prepare_cached("DELETE FROM requests WHERE number = ? RETURNING source, length(request)")?;
            let gone = numbers.iter().filter_map(|number| {
                delete
                    .query_row([*number as i64], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))
                    .optional()
                    .transpose()
            });
            Ok(Done::Removed(gone.collect::<rusqlite::Result<_>>()?))
        }
    }
}

/// What waits in the file.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<Waiting> {
    let mut waiting = Waiting::default();
    let mut statement = connection.prepare("SELECT source, length(request) FROM requests")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        waiting.add(row.get_ref(0)?.as_str()?, row.get::<_, i64>(1)? as u64);
    }
    Ok(waiting)
}

/// Which spool this is.
pub(super) fn id(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("SELECT id FROM spool", [], |row| row.get(0))
}

/// The oldest requests, in order, up to the bounds; what lies past them is not read into memory.
pub(super) fn oldest(connection: &Connection, limit: ReadLimit) -> rusqlite::Result<Vec<Spooled>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, source, received_at_us, request FROM requests ORDER BY number LIMIT ?",
    )?;
    let mut rows = statement.query([i64::try_from(limit.messages.max(1)).unwrap_or(i64::MAX)])?;
    let mut requests: Vec<Spooled> = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let request = row.get_ref(3)?.as_blob()?;
        bytes += request.len();
        if bytes > limit.bytes && !requests.is_empty() {
            break;
        }
        requests.push(Spooled {
            number: row.get::<_, i64>(0)? as u64,
            source: row.get(1)?,
            received_at_us: row.get(2)?,
            request: Bytes::copy_from_slice(request),
        });
    }
    Ok(requests)
}
