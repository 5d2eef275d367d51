//! Moves what the spool holds to the log, in order and once, whenever the log answers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use audit_journal::{
    AppendError, AppendOutcome, NamedAppender, ReadError, ReadLimit, Spool, SpoolError, Topic,
};
use audit_record::{RecordError, Timestamp};
use uuid::Uuid;

use crate::app::App;
use crate::hooks::waiting::{EntryError, Waiting, mark};

/// Pause after the log or the spool failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What is moved in one transaction. The bytes are of entries, and one is moved whatever it has: a quarter of what a
/// transaction's queue takes on Kafka, which leaves room for the headers of the messages.
const BATCH: ReadLimit = ReadLimit { messages: 256, bytes: 8 * 1024 * 1024 };

/// How far the log's clock may be from ours when its messages are looked for by time: five minutes is the
/// most that the log accepts, and as much again to be sure.
const CLOCKS_APART_US: i64 = 10 * 60 * 1_000_000;

/// How much of the log is read at a time while looking for messages.
const LOOK: ReadLimit = ReadLimit { messages: 10_000, bytes: 4 * 1024 * 1024 };

/// Why a batch did not get through. All wait in the spool, and are tried again.
#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("the log can't be searched: {0}")]
    Search(#[from] ReadError),
    #[error("the log does not take it: {0}")]
    Append(#[from] AppendError),
    #[error("entry {number} can't be read: {error}")]
    Entry { number: u64, error: EntryError },
    #[error("entry {number} holds no valid record: {error}")]
    Record { number: u64, error: RecordError },
}

/// Moves entries until the app is told to stop.
pub(crate) async fn run(app: &App, spool: &Spool) {
    let shutdown = app.shutdown();
    let mut drainer = Drainer { app, spool, appender: None, unsure: HashSet::new(), inherited: true };
    let mut has_complained = false;
    loop {
        let (count, _) = spool.backlog();
        if count == 0 {
            // While there is nothing to move, nothing is kept open for it.
            drainer.appender = None;
            if shutdown.run_until_cancelled(app.spooling().filled.notified()).await.is_none() {
                return;
            }
            continue;
        }
        // Cut short in the middle, a batch is like one of a process that crashed: the next one looks for it.
        let Some(outcome) = shutdown.run_until_cancelled(drainer.move_batch()).await else { return };
        match outcome {
            // What is counted is still being written; whoever writes it tells.
            Ok(0) => {
                let written = tokio::time::timeout(RETRY_PAUSE, app.spooling().filled.notified());
                if shutdown.run_until_cancelled(written).await.is_none() {
                    return;
                }
            }
            Ok(moved) => {
                tracing::info!(entries = moved, "webhooks moved from the spool to the log");
                app.spool_accepts(true);
                has_complained = false;
            }
            Err(error) => {
                if !has_complained {
                    tracing::warn!(%error, waiting = count, "webhooks wait in the spool");
                    has_complained = true;
                }
                if shutdown.run_until_cancelled(tokio::time::sleep(RETRY_PAUSE)).await.is_none() {
                    return;
                }
            }
        }
    }
}

struct Drainer<'a> {
    app: &'a App,
    spool: &'a Spool,
    /// Appends in the spool's name, so that what a dead process had under way in it is ended before we look.
    appender: Option<Arc<NamedAppender>>,
    /// Entries that we tried to append without learning whether it succeeded, and those that are on the log
    /// but not yet removed from the spool. They are looked for on the log before they are appended.
    unsure: HashSet<u64>,
    /// Whether the oldest entries may have been appended by the process before us: it appends in order, so
    /// only until one is found that it did not append, and we have appended that.
    inherited: bool,
}

impl Drainer<'_> {
    /// Moves the oldest entries. All of them are appended in one transaction, so that no later one is on the
    /// log without an earlier one.
    ///
    /// If we crash before the transaction is committed, it is ended when the next process settles, before that
    /// looks at the log: nothing happened. If we crash after it and before the entries are removed, the next
    /// process finds their marks on the log and only removes them. Not covered is what no transaction was used
    /// for: the first attempt of a hook ([`Waiting::attempt`]) that a dead process had sent, and that a broker
    /// takes in after the next process has looked. Then the record stands there twice under one id, and readers
    /// show it once.
    async fn move_batch(&mut self) -> Result<usize, DrainError> {
        let batch = self.spool.oldest(BATCH).await?;
        if batch.is_empty() {
            return Ok(0);
        }
        let name = self.spool.id();
        let appender =
            self.appender.get_or_insert_with(|| Arc::new(self.app.journal().named_appender(name))).clone();
        // Before the look: until here a transaction of ours, or of a dead process, may become visible late.
        appender.settle().await?;
        let mut entries = Vec::with_capacity(batch.len());
        for spooled in &batch {
            let number = spooled.number;
            let waiting = Waiting::from_entry(&spooled.source, spooled.received_at_us, &spooled.request)
                .map_err(|error| DrainError::Entry { number, error })?;
            entries.push((number, waiting));
        }
        let on_log = self.on_log_already(&entries).await?;
        let mut messages = Vec::new();
        for (number, waiting) in &mut entries {
            let number = *number;
            let message = |record: &_| self.app.journal().record_message(record);
            waiting.restamp(message).map_err(|error| DrainError::Record { number, error })?;
            let missing = waiting.messages.iter().filter(|m| !on_log.contains(mark(&m.headers)));
            messages.extend(missing.map(|message| (waiting.topic, message.clone())));
        }
        // From here on it may be on the log until we know better.
        let mut doubted = Vec::new();
        for (number, waiting) in &entries {
            let is_new = self.unsure.insert(*number);
            if is_new && !waiting.marks().any(|mark| on_log.contains(mark)) {
                doubted.push(*number);
            }
        }
        if !messages.is_empty()
            && let Err(error) = appender.append_together(messages).await
        {
            if matches!(error, AppendError::NotAppended(_)) {
                // Only what this attempt put in doubt: what an earlier one did or found is still on the log.
                doubted.iter().for_each(|number| {
                    self.unsure.remove(number);
                });
            }
            return Err(error.into());
        }
        // Now that every entry of the batch is on the log and among the unsure, the process before us counts no
        // longer, if it had not come this far.
        let mut inherited = entries.iter().filter(|(_, waiting)| waiting.process != self.app.process());
        if inherited.any(|(_, waiting)| waiting.marks().any(|mark| !on_log.contains(mark))) {
            self.inherited = false;
        }
        let numbers: Vec<u64> = entries.iter().map(|(number, _)| *number).collect();
        self.spool.remove(numbers.clone()).await?;
        numbers.iter().for_each(|number| {
            self.unsure.remove(number);
        });
        Ok(numbers.len())
    }

    /// The marks of those messages of `entries` that are on the log by an earlier append.
    async fn on_log_already(&self, entries: &[(u64, Waiting)]) -> Result<HashSet<Vec<u8>>, DrainError> {
        let mut found = HashSet::new();
        let mut suspects: Vec<&Waiting> = Vec::new();
        for (number, waiting) in entries {
            let attempted = match waiting.attempt {
                Some(attempt) => self.settle(attempt, waiting, &mut found).await,
                None => false,
            };
            let is_inherited = self.inherited && waiting.process != self.app.process();
            if attempted || is_inherited || self.unsure.contains(number) {
                suspects.push(waiting);
            }
        }
        for topic in [Topic::Records, Topic::Rejected] {
            let of_topic = || suspects.iter().filter(|waiting| waiting.topic == topic);
            let Some(since) = of_topic().map(|waiting| waiting.received_at).min() else { continue };
            let wanted: HashSet<&[u8]> = of_topic().flat_map(|waiting| waiting.marks()).collect();
            self.look(topic, since, &wanted, &mut found).await?;
        }
        Ok(found)
    }

    /// Waits for the end of an append that took too long for its hook. Whether its messages must still be
    /// looked for on the log.
    async fn settle(&self, attempt: Uuid, waiting: &Waiting, found: &mut HashSet<Vec<u8>>) -> bool {
        let Some(append) = self.app.spooling().take_doubt(&attempt) else { return true };
        let Ok(outcomes) = append.await else { return true };
        let mut is_unknown = outcomes.len() != waiting.messages.len();
        for (mark, outcome) in waiting.marks().zip(&outcomes) {
            match outcome {
                AppendOutcome::Appended(_) => {
                    found.insert(mark.to_vec());
                }
                AppendOutcome::NotAppended(_) => {}
                AppendOutcome::Unknown(_) => is_unknown = true,
            }
        }
        is_unknown
    }

    /// Looks for messages by their marks, from shortly before `since` to the present end of the log.
    async fn look(
        &self,
        topic: Topic,
        since: Timestamp,
        wanted: &HashSet<&[u8]>,
        found: &mut HashSet<Vec<u8>>,
    ) -> Result<(), ReadError> {
        let journal = self.app.journal();
        let since = Timestamp::from_micros(since.micros().saturating_sub(CLOCKS_APART_US)).unwrap_or(since);
        for start in journal.offsets_at(topic, since).await? {
            let mut next = start.offset;
            loop {
                let range = journal.read(topic, start.partition, next, LOOK).await?;
                for message in &range.messages {
                    let mark = mark(&message.headers);
                    if wanted.contains(mark) {
                        found.insert(mark.to_vec());
                    }
                }
                if range.next >= range.end || range.next == next {
                    break;
                }
                next = range.next;
            }
        }
        Ok(())
    }
}
