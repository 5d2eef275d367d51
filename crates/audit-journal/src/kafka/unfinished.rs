//! Topics that a log is being copied to: they are there and have no identity, so nobody can open them as a log.
//!
//! Offsets are the brokers' to give, one after the other; what has none of ours in between is written so that
//! they skip as many. The mark of a transaction's end takes an offset that no reader sees: a message in a
//! transaction of its own leaves a gap of one behind it, and an aborted transaction of n messages one of n + 1.
//! What lies before a partition's start is filled, then deleted, as retention would.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::admin::AdminOptions;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::append::AppendOutcome;
use crate::config::KafkaConfig;
use crate::error::OpenError;
use crate::message::{Message, NewMessage, Placement};
use crate::position::{Bounds, Offset, Partition};
use crate::read::{Range, ReadError, ReadLimit};
use crate::topic::Topic;

use super::client::{Clients, REQUEST_WAIT, blocking, reason};
use super::open;
use super::producer::Appender;
use super::reader::Readers;
use super::topics::Topics;
use super::transaction::{TransactionError, Transactor};

/// How long one append may try: nobody waits for a single message of a copy.
const APPEND_TIMEOUT: Duration = Duration::from_secs(60);

/// Most messages that fill a gap at a time.
const FILLERS_MAX: u64 = 10_000;

/// The key of what fills gaps. No reader sees it.
const FILLER_KEY: &[u8] = b"~filler";

/// How long a commit whose answer is lost is asked for again.
const COMMIT_WAIT: Duration = Duration::from_secs(20);

/// How long the brokers may take to write the mark of a transaction's end.
const MARK_WAIT: Duration = Duration::from_secs(30);

/// How often it is looked for.
const MARK_TICK: Duration = Duration::from_millis(2);

/// The topics.
pub(crate) struct Unfinished {
    clients: Clients,
    topics: Topics,
    partitions: u32,
    appender: Arc<Appender>,
    readers: Arc<Readers>,
    /// Away while a thread uses it.
    transactor: Option<Transactor>,
}

impl Unfinished {
    /// Makes what is missing, checks what is there, and ends what a copy that was killed had under way.
    pub(crate) async fn open(config: KafkaConfig, partitions: u32) -> Result<Self, OpenError> {
        let refused = |error: rdkafka::error::KafkaError| OpenError::Refused(reason(&error));
        let clients = Clients::new(KafkaConfig { append_timeout: APPEND_TIMEOUT, ..config })?;
        let topics = Topics::new(clients.clone())?;
        open::prepare(&topics, partitions).await?;
        let appender = Appender::start(clients.clone()).map_err(refused)?;
        let readers = Readers::start(clients.clone()).map_err(refused)?;
        let mut transactor = Transactor::with_id(clients.clone(), "copy", "log");
        let (transactor, settled) = blocking(move || {
            let settled = transactor.settle();
            (transactor, settled)
        })
        .await;
        let opened = Self { clients, topics, partitions, appender, readers, transactor: Some(transactor) };
        let settled = settled.map_err(|error| OpenError::Unavailable(said(error)));
        let led = match settled {
            Ok(()) => opened.await_leaders().await,
            refused => refused,
        };
        match led {
            Ok(()) => Ok(opened),
            Err(error) => {
                opened.close().await;
                Err(error)
            }
        }
    }

    /// Waits until every partition can be asked: one of a topic that was just made has no leader yet.
    async fn await_leaders(&self) -> Result<(), OpenError> {
        let until = tokio::time::Instant::now() + open::PROPAGATION_WAIT;
        for topic in Topic::ALL {
            loop {
                let (readers, partitions) = (Arc::clone(&self.readers), self.partitions);
                match blocking(move || readers.bounds(topic, partitions)).await {
                    Ok(_) => break,
                    Err(_) if tokio::time::Instant::now() < until => {
                        tokio::time::sleep(open::PROPAGATION_TICK).await;
                    }
                    Err(error) => return Err(OpenError::Unavailable(error.to_string())),
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, ReadError> {
        let readers = Arc::clone(&self.readers);
        blocking(move || readers.bounds_at(topic, partition)).await
    }

    pub(crate) async fn begin_at(
        &mut self,
        topic: Topic,
        partition: Partition,
        start: Offset,
    ) -> Result<(), String> {
        let there = self.bounds(topic, partition).await.map_err(|e| e.to_string())?;
        let mut next = there.end;
        while next < start {
            let count = (start - next).min(FILLERS_MAX);
            self.append_run(topic, next, fillers(partition, count)).await?;
            next += count;
        }
        if there.start >= start {
            return Ok(());
        }
        let name = self.clients.topic_name(topic);
        let mut removed = TopicPartitionList::new();
        removed
            .add_partition_offset(&name, partition as i32, KafkaOffset::Offset(start as i64))
            .map_err(|error| reason(&error))?;
        let options = AdminOptions::new().request_timeout(Some(REQUEST_WAIT));
        let outcome = self.topics.admin().delete_records(&removed, &options).await;
        // The partition's own answer stands in its element.
        let deleted =
            outcome.and_then(|answered| answered.elements().iter().try_for_each(|element| element.error()));
        deleted.map_err(|error| {
            format!("what precedes the start of {name} can't be deleted: {}", reason(&error))
        })
    }

    /// See the module: `messages` are at or after `next`, the partition's end, which becomes `until`.
    pub(crate) async fn append(
        &mut self,
        topic: Topic,
        partition: Partition,
        mut next: Offset,
        messages: Vec<Message>,
        until: Offset,
    ) -> Result<(), String> {
        let mut run: Vec<NewMessage> = Vec::new();
        let mut messages = messages.into_iter().peekable();
        if let Some(first) = messages.peek() {
            self.skip(topic, partition, next, first.offset).await?;
            next = first.offset;
        }
        while let Some(message) = messages.next() {
            let (offset, following) = (message.offset, messages.peek().map_or(until, |next| next.offset));
            run.push(NewMessage {
                key: message.key,
                headers: message.headers,
                value: message.value,
                placement: Placement::Fixed(partition),
            });
            let gap = following.saturating_sub(offset + 1);
            if gap == 0 {
                continue;
            }
            let last = if gap == 1 { run.pop() } else { None };
            let count = run.len() as u64;
            self.append_run(topic, next, std::mem::take(&mut run)).await?;
            next += count;
            match last {
                Some(last) => self.append_alone(topic, partition, next, last).await?,
                None => self.skip(topic, partition, next, following).await?,
            }
            next = following;
        }
        let count = run.len() as u64;
        self.append_run(topic, next, run).await?;
        self.skip(topic, partition, next + count, until).await
    }

    /// Appends messages whose offsets don't matter.
    pub(crate) async fn put(&mut self, topic: Topic, messages: &[NewMessage]) -> Result<(), String> {
        for outcome in self.appender.append(topic, self.partitions, messages).await {
            if let AppendOutcome::NotAppended(reason) | AppendOutcome::Unknown(reason) = outcome {
                return Err(reason);
            }
        }
        Ok(())
    }

    pub(crate) async fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Range, ReadError> {
        self.readers.read(topic, partition, from, limit).await
    }

    pub(crate) async fn close(self) {
        let Self { appender, readers, transactor, .. } = self;
        readers.close();
        blocking(move || {
            drop(transactor);
            appender.close();
        })
        .await;
    }

    /// Appends messages that must come to stand from `next` on, one after the other.
    async fn append_run(&self, topic: Topic, next: Offset, messages: Vec<NewMessage>) -> Result<(), String> {
        let outcomes = self.appender.append(topic, self.partitions, &messages).await;
        for (outcome, expected) in outcomes.into_iter().zip(next..) {
            match outcome {
                AppendOutcome::Appended(at) if at.offset == expected => {}
                AppendOutcome::Appended(at) => return Err(elsewhere(topic, at.offset, expected)),
                AppendOutcome::NotAppended(reason) | AppendOutcome::Unknown(reason) => return Err(reason),
            }
        }
        Ok(())
    }

    /// Appends a message and leaves a gap of one behind it.
    ///
    /// If we crash before it is committed, it is aborted, and its offset is lost to it: the next run finds that
    /// the destination is not the beginning of the source, and refuses it.
    async fn append_alone(
        &mut self,
        topic: Topic,
        partition: Partition,
        next: Offset,
        message: NewMessage,
    ) -> Result<(), String> {
        let partitions = self.partitions;
        let positions = self
            .transact(move |transactor| transactor.run(&[(topic, message)], partitions, None, COMMIT_WAIT))
            .await?;
        match positions.first() {
            Some(at) if at.offset != next => Err(elsewhere(topic, at.offset, next)),
            _ => self.await_end(topic, partition, next + 2).await,
        }
    }

    /// Waits for the mark of a transaction's end, which the brokers write after they have answered.
    async fn await_end(&self, topic: Topic, partition: Partition, end: Offset) -> Result<(), String> {
        let until = tokio::time::Instant::now() + MARK_WAIT;
        loop {
            let found = self.bounds(topic, partition).await.map_err(|e| e.to_string())?.end;
            if found >= end {
                return if found == end { Ok(()) } else { Err(elsewhere(topic, found, end)) };
            }
            if tokio::time::Instant::now() >= until {
                return Err(format!("a transaction in {} was not ended in time", topic.suffix()));
            }
            tokio::time::sleep(MARK_TICK).await;
        }
    }

    /// Leaves a gap.
    async fn skip(
        &mut self,
        topic: Topic,
        partition: Partition,
        mut next: Offset,
        until: Offset,
    ) -> Result<(), String> {
        while next < until {
            let gap = until - next;
            if gap == 1 {
                return Err(format!(
                    "offset {next} of {} can't be skipped: the copy was interrupted just there; delete the destination and begin again",
                    topic.suffix()
                ));
            }
            let mut count = (gap - 1).min(FILLERS_MAX);
            // A gap of one could not be made after it.
            if gap - (count + 1) == 1 {
                count -= 1;
            }
            let messages: Vec<(Topic, NewMessage)> =
                fillers(partition, count).into_iter().map(|filler| (topic, filler)).collect();
            let partitions = self.partitions;
            self.transact(move |transactor| transactor.discard(&messages, partitions)).await?;
            next += count + 1;
            self.await_end(topic, partition, next).await?;
        }
        Ok(())
    }

    async fn transact<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Transactor) -> Result<T, TransactionError> + Send + 'static,
    ) -> Result<T, String> {
        let mut transactor = self.transactor.take().ok_or("a transaction was given up")?;
        let (transactor, outcome) = blocking(move || {
            let outcome = work(&mut transactor);
            (transactor, outcome)
        })
        .await;
        self.transactor = Some(transactor);
        outcome.map_err(said)
    }
}

fn fillers(partition: Partition, count: u64) -> Vec<NewMessage> {
    let filler = NewMessage {
        key: Bytes::from_static(FILLER_KEY),
        headers: Vec::new(),
        value: None,
        placement: Placement::Fixed(partition),
    };
    vec![filler; count as usize]
}

fn elsewhere(topic: Topic, found: Offset, expected: Offset) -> String {
    format!(
        "a message of {} came to stand at offset {found} instead of {expected}: somebody else writes to the topic, or a copy that was killed still did; delete the destination and begin again",
        topic.suffix()
    )
}

fn said(error: TransactionError) -> String {
    match error {
        TransactionError::Fenced(reason)
        | TransactionError::Aborted(reason)
        | TransactionError::Unknown(reason, _) => reason,
    }
}
