//! One partition's writer: takes what the log brings from its queue and puts it into its file.
//!
//! It makes one transaction of all that waits, up to a bound. So transactions are small at the tail, where
//! little waits, and large while far behind, without a switch between the two.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use audit_journal::{Batch, Message, Offset};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio_util::sync::CancellationToken;

use crate::alarm::ALARMS_WAITING_MAX;
use crate::queue::WorkQueue;
use crate::space::free_bytes;
use crate::store::checkpoints::Alarm;
use crate::store::{Store, StoreError};

/// Most messages of one transaction (one more batch may top it).
const TRANSACTION_MESSAGES_MAX: usize = 10_000;

/// Most bytes of values of one transaction (one more batch may top it).
const TRANSACTION_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How often free space is looked at, and how long a pause lasts before it is looked at again.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);

/// How soon clearing up is tried again that readers have put off.
const CLEAR_UP_INTERVAL: Duration = Duration::from_secs(2);

/// How often a pausing writer looks whether it is to end, and one that waits to clear up whether work has come.
const SHUTDOWN_INTERVAL: Duration = Duration::from_millis(100);

/// What a partition's writer is given.
#[derive(Debug)]
pub(crate) enum Work {
    /// Consecutive messages.
    Messages(Batch),
    /// Consecutive delivery attempts.
    Attempts(Batch),
    /// Consecutive documents of consumers' progress.
    Progress(Batch),
    /// Consecutive checkpoints.
    Checkpoints(Batch),
    /// The end of the records is reached: everything before this offset was brought.
    Level(Offset),
    /// The same of the delivery attempts.
    AttemptsLevel(Offset),
    /// The same of the consumers' progress.
    ProgressLevel(Offset),
    /// The same of the checkpoints.
    CheckpointsLevel(Offset),
    /// The alarm about this checkpoint is on the record.
    AlarmTold(u64),
    /// Delivery attempts that the log took before are as old as it keeps them, milliseconds since 1970.
    AttemptsTooOld(i64),
    /// A topic can't be followed any further, for this reason.
    Stopped(String),
}

impl Work {
    /// What its messages weigh, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Messages(batch)
            | Self::Attempts(batch)
            | Self::Progress(batch)
            | Self::Checkpoints(batch) => batch.messages.iter().map(Message::bytes).sum(),
            Self::Level(_)
            | Self::AttemptsLevel(_)
            | Self::ProgressLevel(_)
            | Self::CheckpointsLevel(_)
            | Self::AlarmTold(_)
            | Self::AttemptsTooOld(_)
            | Self::Stopped(_) => 0,
        }
    }
}

/// Why a partition's writer ended before it was told to.
enum End {
    Shutdown,
    Failed(StoreError),
}

/// A partition's writer.
pub(crate) struct PartitionWriter {
    pub(crate) store: Store,
    pub(crate) dir: PathBuf,
    pub(crate) free_bytes_min: u64,
    pub(crate) work: WorkQueue,
    pub(crate) shutdown: CancellationToken,
    pub(crate) space_seen: Option<Instant>,
    /// Why a topic can't be followed any further; it outlasts every pause.
    pub(crate) stopped: Option<String>,
    /// Who puts alarms about checkpoints on the record.
    pub(crate) alarms: mpsc::Sender<Alarm>,
    /// Alarms that were handed over and are not known to be on the record yet.
    pub(crate) alarmed: BTreeSet<u64>,
    /// Delivery attempts from before are to be forgotten, milliseconds since 1970; `None`: all that were too old are.
    pub(crate) attempts_before_ms: Option<i64>,
}

impl PartitionWriter {
    /// Works until the queue is closed and empty, or the partition can't go on. Blocking.
    pub(crate) fn run(mut self) {
        if let Err(End::Failed(error)) = self.work_off() {
            let why = sentence(&error, &self.store.name());
            tracing::error!(file = self.store.name(), why, "archive: partition stopped");
            // Best effort: the log line above is the alarm, this is for readers.
            if let Err(error) = self.store.set_stopped(Some(&why)) {
                tracing::warn!(file = self.store.name(), ?error, "archive: can't write down why it stopped");
            }
        }
    }

    fn work_off(&mut self) -> Result<(), End> {
        let mut text_may_improve = true;
        let (mut may_judge, mut may_clear_up) = (true, true);
        // Those that an earlier process did not get to tell.
        self.hand_over_alarms()?;
        loop {
            let next = match self.work.try_next() {
                Ok(work) => Some(work),
                Err(TryRecvError::Disconnected) => None,
                // Rows go first; then what was signed of them.
                Err(TryRecvError::Empty) if may_judge => {
                    may_judge = self.patiently(Store::judge_more)?;
                    self.hand_over_alarms()?;
                    continue;
                }
                // What is left of erased bodies is cleared up.
                Err(TryRecvError::Empty) if may_clear_up => {
                    may_clear_up = self.patiently(Store::clear_up)?;
                    continue;
                }
                Err(TryRecvError::Empty) if self.attempts_before_ms.is_some() => {
                    self.forget_attempts()?;
                    continue;
                }
                // Words are caught up with, and their index merged, while nothing else waits.
                Err(TryRecvError::Empty) if text_may_improve => {
                    text_may_improve = self.patiently(Store::improve_text)?;
                    continue;
                }
                // Readers that were at work put clearing up off: it is looked at again, whether anything comes or not.
                Err(TryRecvError::Empty) if self.store.is_to_be_cleared_up() => match self.next_within() {
                    Ok(work) => Some(work),
                    Err(TryRecvError::Disconnected) => None,
                    Err(TryRecvError::Empty) => {
                        may_clear_up = true;
                        continue;
                    }
                },
                Err(TryRecvError::Empty) => self.work.next_blocking(),
            };
            let Some(work) = next else { return Ok(()) };
            self.work_on(work)?;
            self.hand_over_alarms()?;
            (text_may_improve, may_judge, may_clear_up) = (true, true, true);
        }
    }

    /// Waits for work, but not for long.
    fn next_within(&mut self) -> Result<Work, TryRecvError> {
        let until = Instant::now() + CLEAR_UP_INTERVAL;
        loop {
            match self.work.try_next() {
                Err(TryRecvError::Empty) if Instant::now() < until => std::thread::sleep(SHUTDOWN_INTERVAL),
                next => return next,
            }
        }
    }

    fn work_on(&mut self, first: Work) -> Result<(), End> {
        let mut next = Some(first);
        while let Some(work) = next.take() {
            match work {
                Work::Messages(batch) => {
                    let (batch, left) = self.gather(batch);
                    next = left;
                    self.patiently(|store| store.append(&batch.messages, batch.epoch, batch.end))?;
                }
                Work::Level(offset) => {
                    self.patiently(|store| store.advance(offset))?;
                    self.patiently(Store::finish_catch_up)?;
                }
                Work::Attempts(batch) => {
                    self.patiently(|store| store.append_attempts(&batch.messages, batch.epoch, batch.end))?;
                }
                Work::AttemptsLevel(offset) => self.patiently(|store| store.advance_attempts(offset))?,
                Work::Progress(batch) => {
                    self.patiently(|store| store.append_progress(&batch.messages, batch.epoch, batch.end))?;
                }
                Work::ProgressLevel(offset) => self.patiently(|store| store.advance_progress(offset))?,
                Work::Checkpoints(batch) => {
                    self.patiently(|store| {
                        store.append_checkpoints(&batch.messages, batch.epoch, batch.end)
                    })?;
                }
                Work::CheckpointsLevel(offset) => {
                    self.patiently(|store| store.advance_checkpoints(offset))?
                }
                Work::AlarmTold(seq) => {
                    self.patiently(|store| store.alarm_told(seq))?;
                    self.alarmed.remove(&seq);
                }
                Work::AttemptsTooOld(before_ms) => self.attempts_before_ms = Some(before_ms),
                Work::Stopped(why) => {
                    tracing::error!(file = self.store.name(), why, "archive: partition stopped");
                    // The other topic may have stopped before: both reasons hold.
                    let why = match self.stopped.take() {
                        Some(before) => format!("{before}; {why}"),
                        None => why,
                    };
                    self.stopped = Some(why.clone());
                    self.patiently(|store| store.set_stopped(Some(&why)))?;
                }
            }
        }
        Ok(())
    }

    /// Forgets some attempts that are too old.
    fn forget_attempts(&mut self) -> Result<(), End> {
        if let Some(before_ms) = self.attempts_before_ms
            && !self.patiently(|store| store.forget_attempts(before_ms))?
        {
            self.attempts_before_ms = None;
        }
        Ok(())
    }

    /// Hands over the alarms that are not on the record yet, as many as there is room for. Whoever takes them says so
    /// with [`Work::AlarmTold`]; those that come to nothing are handed over again by the next process.
    fn hand_over_alarms(&mut self) -> Result<(), End> {
        // As many as the room for those that wait, and one more that is being told of.
        while self.alarmed.len() <= ALARMS_WAITING_MAX {
            let alarmed = std::mem::take(&mut self.alarmed);
            let alarm = self.patiently(|store| store.untold_alarm(&alarmed));
            self.alarmed = alarmed;
            let Some(alarm) = alarm? else { break };
            let seq = alarm.seq;
            if self.alarms.try_send(alarm).is_err() {
                break;
            }
            self.alarmed.insert(seq);
        }
        Ok(())
    }

    /// Adds batches that wait already. Returns the work that came after them, if any was taken out.
    fn gather(&mut self, mut batch: Batch) -> (Batch, Option<Work>) {
        let mut bytes = bytes_of(&batch.messages);
        while batch.messages.len() < TRANSACTION_MESSAGES_MAX && bytes < TRANSACTION_BYTES_MAX {
            match self.work.try_next() {
                Ok(Work::Messages(more)) if more.epoch == batch.epoch => {
                    bytes += bytes_of(&more.messages);
                    batch.messages.extend(more.messages);
                    batch.end = batch.end.max(more.end);
                }
                Ok(other) => return (batch, Some(other)),
                Err(_) => break,
            }
        }
        (batch, None)
    }

    /// Does it once there is space, and again after what passes by itself. Meanwhile the archive says that it
    /// pauses, and everything else goes on.
    fn patiently<T>(&mut self, mut what: impl FnMut(&mut Store) -> Result<T, StoreError>) -> Result<T, End> {
        let mut paused = false;
        loop {
            let obstacle = match self.obstacle() {
                Some(obstacle) => obstacle,
                None => match what(&mut self.store) {
                    Ok(done) => {
                        if paused {
                            tracing::info!(file = self.store.name(), "archive: goes on");
                            self.store.set_stopped(self.stopped.as_deref()).map_err(End::Failed)?;
                        }
                        return Ok(done);
                    }
                    Err(StoreError::NotNow(why)) => why,
                    Err(error) => return Err(End::Failed(error)),
                },
            };
            if !paused {
                paused = true;
                tracing::error!(file = self.store.name(), why = obstacle, "archive: paused");
                if let Err(error) = self.store.set_stopped(Some(&format!("paused: {obstacle}"))) {
                    tracing::warn!(
                        file = self.store.name(),
                        ?error,
                        "archive: can't write down that it pauses"
                    );
                }
            }
            self.pause()?;
        }
    }

    /// What stands against writing, looked at once a second.
    fn obstacle(&mut self) -> Option<String> {
        if self.space_seen.is_some_and(|seen| seen.elapsed() < SPACE_INTERVAL) {
            return None;
        }
        let obstacle = match free_bytes(&self.dir) {
            Ok(free) if free < self.free_bytes_min => format!(
                "{} has {free} bytes free, less than archive.free_bytes_min = {}: make room",
                self.dir.display(),
                self.free_bytes_min
            ),
            // Not being able to tell is no reason to stop: SQLite will say when the disk is full.
            Ok(_) | Err(_) => {
                self.space_seen = Some(Instant::now());
                return None;
            }
        };
        self.space_seen = None;
        Some(obstacle)
    }

    fn pause(&self) -> Result<(), End> {
        let until = Instant::now() + SPACE_INTERVAL;
        while Instant::now() < until {
            if self.shutdown.is_cancelled() {
                return Err(End::Shutdown);
            }
            std::thread::sleep(SHUTDOWN_INTERVAL);
        }
        Ok(())
    }
}

fn bytes_of(messages: &[Message]) -> usize {
    messages.iter().map(|message| message.value.as_ref().map_or(0, bytes::Bytes::len)).sum()
}

/// What went wrong, for people.
pub(crate) fn sentence(error: &StoreError, file: &str) -> String {
    match error {
        StoreError::Superseded { expected, found } => format!(
            "{file}: another writer moved the position from {expected} to {}: two processes write this archive; \
             stop one of them",
            found.map_or_else(|| "nothing".to_owned(), |found| found.to_string())
        ),
        StoreError::Newer { found } => format!("{file} has version {found}, of a later release"),
        StoreError::Other(why) | StoreError::NotNow(why) => format!("{file}: {why}"),
        StoreError::Broken(why) => {
            format!(
                "{file} can't be written: {why}; `flagtrail archive check` tells more, `flagtrail archive rebuild` makes it anew from the log"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use audit_journal::{NewMessage, Placement};
    use flagtrail_testkit::wait;
    use serde_json::json;

    use super::*;
    use crate::query::{AttemptQuery, Reader};
    use crate::queue::Room;
    use crate::samples::{on_log, store};

    fn writer(dir: &Path, work: WorkQueue) -> PartitionWriter {
        PartitionWriter {
            store: store(dir),
            dir: dir.to_owned(),
            free_bytes_min: 0,
            work,
            shutdown: CancellationToken::new(),
            space_seen: None,
            stopped: None,
            alarms: mpsc::channel(1).0,
            alarmed: BTreeSet::new(),
            attempts_before_ms: None,
        }
    }

    #[tokio::test]
    async fn attempts_that_are_too_old_are_forgotten_while_nothing_else_waits() {
        let dir = tempfile::tempdir().expect("a directory");
        let (queue, work) = Room::new().queue();
        let writer = writer(dir.path(), work);
        let running = tokio::task::spawn_blocking(move || writer.run());
        let attempt = |offset| {
            let value = json!({"v": 1, "endpoint": "e", "record": "r", "outcome": "delivered"}).to_string();
            let (key, value) = ("e".into(), Some(value.into()));
            on_log(offset, NewMessage { key, headers: Vec::new(), value, placement: Placement::ByKey })
        };
        let messages: Vec<Message> = (0..5).map(attempt).collect();
        let before_ms = messages[3].appended_at_ms;
        queue.send(Work::Attempts(Batch { partition: 0, messages, end: 5, epoch: 0 })).await;
        queue.send(Work::AttemptsTooOld(before_ms)).await;
        let reader = Reader::open(dir.path());
        wait::until(Duration::from_secs(60), "the attempts of before are gone", || async {
            let query = AttemptQuery { endpoint: "e".to_owned(), limit: 10, ..AttemptQuery::default() };
            let rows = reader.attempts(&query).expect("a page").rows;
            rows.iter().map(|row| row.seq).collect::<Vec<_>>() == [4, 3]
        })
        .await;
        drop(queue);
        running.await.expect("it ends");
    }

    #[test]
    fn a_pause_does_not_make_a_stopped_partition_look_healthy() {
        let dir = tempfile::tempdir().expect("a directory");
        let (_queue, work) = Room::new().queue();
        let mut writer = writer(dir.path(), work);
        let stopped = || {
            let status = Reader::open(dir.path()).status().expect("a status");
            status.partitions[0].stopped.clone()
        };
        assert!(writer.work_on(Work::Stopped("the log was replaced".to_owned())).is_ok());
        assert!(writer.work_on(Work::Stopped("delivery attempts: truncated".to_owned())).is_ok());
        let both = "the log was replaced; delivery attempts: truncated";
        assert_eq!(stopped().as_deref(), Some(both));

        let mut is_full = true;
        let done = writer.patiently(|_| {
            if std::mem::take(&mut is_full) {
                return Err(StoreError::NotNow("the disk is full".to_owned()));
            }
            assert_eq!(stopped().as_deref(), Some("paused: the disk is full"));
            Ok(())
        });
        assert!(done.is_ok());
        assert_eq!(stopped().as_deref(), Some(both));
    }
}
