//! The one thread that writes. Whatever many callers ask for at the same time becomes one transaction
//! with one fsync, and every caller is answered when that is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior, ffi};
use tokio::sync::oneshot;

use super::log::{PartitionState, Tables, position};
use super::owning::{self, Claim, ClaimError, Claimed, Release};
use super::retention;
use super::shared::Shared;
use crate::append::AppendError;
use crate::message::{Message, NewMessage, Placement};
use crate::owned::{CommitError, OwnedCommit};
use crate::position::{Offset, Partition, Position};
use crate::sqlite::backfill::Backfill;
use crate::sqlite::file::WriteLock;
use crate::topic::Topic;

/// How often the thread looks after the file when nobody asks for anything: retention, and whether a
/// file that could not be written can be by now.
const IDLE: Duration = Duration::from_secs(1);

/// What the writing thread is asked for, and who waits for the answer.
#[derive(Debug)]
pub(crate) enum Job {
    /// Messages of which the places are checked already, together or not at all.
    Append { messages: Vec<(Topic, NewMessage)>, answer: oneshot::Sender<Result<Vec<Position>, AppendError>> },
    /// An owner takes a partition over.
    Claim { claim: Claim, answer: oneshot::Sender<Result<Claimed, ClaimError>> },
    /// An owner commits.
    Commit { group: String, commit: OwnedCommit, answer: oneshot::Sender<Result<(), CommitError>> },
    /// An owner gives a partition up.
    Release { release: Release, answer: oneshot::Sender<Result<(), String>> },
}

/// A job that was done in a transaction that is not yet committed.
enum Done {
    Append(oneshot::Sender<Result<Vec<Position>, AppendError>>, Vec<Position>),
    Claim(oneshot::Sender<Result<Claimed, ClaimError>>, Claimed),
    Commit(oneshot::Sender<Result<(), CommitError>>, Result<(), CommitError>),
    Release(oneshot::Sender<Result<(), String>>),
}

/// A transaction that did not happen, or of which that is not known.
struct Failure {
    error: rusqlite::Error,
    is_known: bool,
}

/// The thread's own state.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) backfill: Backfill,
    pub(crate) shared: Arc<Shared>,
    /// Where every partition stands, as of the last commit.
    pub(crate) states: Vec<PartitionState>,
    /// Given back when the thread has ended and nothing will be written any more.
    pub(crate) _lock: WriteLock,
}

impl Writer {
    /// Writes until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut retained_at: Option<Instant> = None;
        while let Some(jobs) = self.shared.queue.take(IDLE) {
            if !jobs.is_empty() {
                self.write(jobs);
            }
            self.backfill.finish(&self.connection);
            if !self.shared.is_writable() {
                self.probe();
            } else if retained_at.is_none_or(|at| at.elapsed() >= retention::INTERVAL) {
                let is_through = self.retain();
                retained_at = is_through.then(Instant::now);
            }
        }
        drop(self.backfill);
        // Leaves one file behind, nothing in the WAL; if this fails, the next opening does it.
        let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    fn write(&mut self, jobs: Vec<Job>) {
        let mut states = self.states.clone();
        let shared = Arc::clone(&self.shared);
        let mut done = Vec::with_capacity(jobs.len());
        let mut jobs = jobs.into_iter();
        let result = self.transact(|connection| {
            let mut desk = Desk::new(connection, &shared.tables, &mut states);
            for job in jobs.by_ref() {
                // A job that fails has its caller among `done` all the same.
                desk.perform(job, &mut done)?;
            }
            desk.store()
        });
        // If we crash here, the jobs are done and nobody was told: the second failure of a durable write.
        match result {
            Ok(()) => {
                self.states = states;
                self.shared.publish(&self.states);
                done.into_iter().for_each(Done::succeed);
            }
            Err(failure) => {
                self.shared.set_broken(&failure.error);
                let reason = failure.error.to_string();
                done.into_iter().for_each(|done| done.fail(&reason, failure.is_known));
                jobs.for_each(|job| job.fail(&reason, failure.is_known));
            }
        }
    }

    /// Finds out whether the file can be written again, by writing.
    fn probe(&mut self) {
        let written = self.transact(|connection| {
            connection.execute("UPDATE partitions SET next_offset = next_offset", []).map(|_| ())
        });
        if written.is_ok() {
            self.shared.set_mended();
        }
    }

    /// One bounded step of retention; whether nothing is left to do.
    fn retain(&mut self) -> bool {
        let mut states = self.states.clone();
        let shared = Arc::clone(&self.shared);
        let mut is_through = true;
        let result = self.transact(|connection| {
            is_through = retention::step(connection, &shared.tables, &mut states, retention::now_ms())?;
            Ok(())
        });
        match result {
            Ok(()) => {
                self.states = states;
                self.shared.publish(&self.states);
                is_through
            }
            Err(failure) => {
                self.shared.set_broken(&failure.error);
                true
            }
        }
    }

    fn transact(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<(), Failure> {
        let undone = |error| Failure { error, is_known: true };
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(undone)?;
        // An error drops the transaction, which rolls it back.
        work(&transaction).map_err(undone)?;
        transaction.commit().map_err(|error| {
            let is_known = was_not_written(&error);
            Failure { error, is_known }
        })?;
        self.shared.set_mended();
        Ok(())
    }
}

/// Whether a commit that failed like this left nothing that a recovery after a crash could take for a
/// transaction: the last page of the write-ahead log, which makes it one, was not written. After a failed
/// fsync that page may be on disk, until the next commit overwrites it.
fn was_not_written(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(failure, _) = error else { return false };
    matches!(failure.code, ErrorCode::DiskFull | ErrorCode::DatabaseBusy)
        || failure.extended_code == ffi::SQLITE_IOERR_WRITE
}

/// Where jobs are done, inside a transaction.
pub(crate) struct Desk<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) tables: &'a Tables,
    states: &'a mut Vec<PartitionState>,
    /// Which partitions have new messages.
    touched: Vec<bool>,
    now_ms: i64,
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        tables: &'a Tables,
        states: &'a mut Vec<PartitionState>,
    ) -> Self {
        let touched = vec![false; states.len()];
        Self { connection, tables, states, touched, now_ms: retention::now_ms() }
    }

    fn perform(&mut self, job: Job, done: &mut Vec<Done>) -> rusqlite::Result<()> {
        match job {
            Job::Append { messages, answer } => {
                done.push(Done::Append(answer, Vec::new()));
                let positions: rusqlite::Result<Vec<Position>> =
                    messages.iter().map(|(topic, message)| self.append(*topic, message)).collect();
                if let (Some(Done::Append(_, answered)), positions) = (done.last_mut(), positions?) {
                    *answered = positions;
                }
            }
            Job::Claim { claim, answer } => match owning::claim(self, &claim) {
                Ok(Ok(claimed)) => done.push(Done::Claim(answer, claimed)),
                Ok(Err(refused)) => drop(answer.send(Err(refused))),
                Err(error) => {
                    let _ = answer.send(Err(ClaimError::NotWritten(error.to_string())));
                    return Err(error);
                }
            },
            Job::Commit { group, commit, answer } => {
                done.push(Done::Commit(answer, Ok(())));
                let result = owning::commit(self, &group, &commit)?;
                if let Some(Done::Commit(_, answered)) = done.last_mut() {
                    *answered = result;
                }
            }
            Job::Release { release, answer } => {
                done.push(Done::Release(answer));
                owning::release(self, &release)?;
            }
        }
        Ok(())
    }

    /// Writes a message at its partition's end. Append times never fall within a topic's partition,
    /// whatever the clock does.
    pub(crate) fn append(&mut self, topic: Topic, message: &NewMessage) -> rusqlite::Result<Position> {
        let partition = self.tables.place(topic, message).unwrap_or_default();
        let index = self.tables.index(topic, partition);
        let table = &self.tables.all()[index];
        let state = &mut self.states[index];
        let offset: Offset = state.next;
        state.last_appended_at_ms = state.last_appended_at_ms.max(self.now_ms);
        table.insert(self.connection, offset, state.last_appended_at_ms, message)?;
        state.next += 1;
        self.touched[index] = true;
        if topic == Topic::Progress {
            owning::compact(self, partition, &message.key, offset)?;
        }
        Ok(position(table, offset))
    }

    /// Writes a message of another log to the offset, and with the time, that it had there.
    pub(super) fn append_at(&mut self, topic: Topic, message: &Message) -> rusqlite::Result<()> {
        let Message { partition, offset, appended_at_ms, key, headers, value } = message.clone();
        let new = NewMessage { key, headers, value, placement: Placement::Fixed(partition) };
        let table = &self.tables.all()[self.tables.index(topic, partition)];
        table.insert(self.connection, offset, appended_at_ms, &new)?;
        let state = self.state(topic, partition);
        state.last_appended_at_ms = state.last_appended_at_ms.max(appended_at_ms);
        state.next = state.next.max(offset + 1);
        Ok(())
    }

    /// Where a partition stands, to be changed.
    pub(super) fn state(&mut self, topic: Topic, partition: Partition) -> &mut PartitionState {
        let index = self.tables.index(topic, partition);
        self.touched[index] = true;
        &mut self.states[index]
    }

    /// Writes where the partitions stand by now.
    pub(super) fn store(self) -> rusqlite::Result<()> {
        let touched = self.touched.iter().zip(self.tables.all()).zip(&*self.states);
        for ((_, table), state) in touched.filter(|((touched, _), _)| **touched) {
            state.store(self.connection, table)?;
        }
        Ok(())
    }
}

impl Done {
    /// A caller that no longer waits is no error: the job is done.
    fn succeed(self) {
        match self {
            Self::Append(answer, positions) => drop(answer.send(Ok(positions))),
            Self::Claim(answer, claimed) => drop(answer.send(Ok(claimed))),
            Self::Commit(answer, result) => drop(answer.send(result)),
            Self::Release(answer) => drop(answer.send(Ok(()))),
        }
    }

    fn fail(self, reason: &str, is_known: bool) {
        match self {
            Self::Append(answer, _) => drop(answer.send(Err(append_error(reason, is_known)))),
            Self::Claim(answer, _) => drop(answer.send(Err(ClaimError::NotWritten(reason.to_owned())))),
            Self::Commit(answer, Err(fenced)) => drop(answer.send(Err(fenced))),
            Self::Commit(answer, Ok(())) => drop(answer.send(Err(commit_error(reason)))),
            Self::Release(answer) => drop(answer.send(Err(reason.to_owned()))),
        }
    }
}

impl Job {
    fn fail(self, reason: &str, is_known: bool) {
        match self {
            Self::Append { answer, .. } => drop(answer.send(Err(append_error(reason, is_known)))),
            Self::Claim { answer, .. } => drop(answer.send(Err(ClaimError::NotWritten(reason.to_owned())))),
            Self::Commit { answer, .. } => drop(answer.send(Err(commit_error(reason)))),
            Self::Release { answer, .. } => drop(answer.send(Err(reason.to_owned()))),
        }
    }
}

fn append_error(reason: &str, is_known: bool) -> AppendError {
    let reason = reason.to_owned();
    if is_known { AppendError::NotAppended(reason) } else { AppendError::Unknown(reason) }
}

fn commit_error(reason: &str) -> CommitError {
    CommitError::NotCommitted(reason.to_owned())
}
