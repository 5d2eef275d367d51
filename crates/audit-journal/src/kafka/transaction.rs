//! Transactions: messages of several topics, and a group's offsets, together or not at all. Blocking; the
//! caller owns the thread.
//!
//! What may be in doubt is narrow: until the commit is sent, an end of any kind leaves nothing visible
//! (the broker aborts what is not committed). Only a commit whose answer is lost is unknown, and it is
//! asked again until it is known.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use crate::message::NewMessage;
use crate::position::{Offset, Partition, Position};
use crate::topic::Topic;

use super::client::{Clients, MESSAGE_BYTES_MAX, log_error, log_line, partition_for, reason};
use super::group_offsets::{GroupOffsets, Left, Unprepared};
use super::wire::produce;

/// After this the broker aborts a transaction whose process died. Until then, readers of committed
/// messages wait before it.
const TRANSACTION_TIMEOUT_MS: &str = "10000";

/// How long the brokers may take to let a producer in, and to end what it left unfinished before.
const INIT_WAIT: Duration = Duration::from_secs(10);

/// How long the messages of one transaction may take to be taken by the brokers, the wait for a place in the
/// queue included. Below the transaction's timeout, so that it is we who give up.
const DELIVERY_WAIT: Duration = Duration::from_secs(8);

/// How often a message is offered again to a full queue while no delivery report comes. A report says so at
/// once, but librdkafka frees the place only after it.
const QUEUE_FULL_TICK: Duration = Duration::from_millis(10);

/// How long one request of the protocol may take. A commit is then asked for again, anything else is given up.
pub(super) const STEP_WAIT: Duration = Duration::from_secs(5);

/// Most bytes in one transaction's queue, in KiB.
const QUEUED_KIB_MAX: usize = 32 * 1024;

/// Why a transaction did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TransactionError {
    /// The group's member that the offsets are of is no member any more. Nothing is visible.
    Fenced(String),
    /// Nothing is visible, nor ever will be.
    Aborted(String),
    /// The commit was sent and its answer is lost. Whether these positions hold the messages tells, once
    /// the transaction has ended ([`Transactor::settle`]).
    Unknown(String, Vec<Position>),
}

/// The delivery reports of the transaction under way; there is one at a time.
#[derive(Default)]
struct Reports {
    gathered: Mutex<Gathered>,
    changed: Condvar,
}

#[derive(Default)]
struct Gathered {
    positions: Vec<Option<Position>>,
    left: usize,
    failed: Option<String>,
}

#[derive(Clone, Default)]
pub(super) struct Context(Arc<Reports>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let mut gathered = self.0.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(message) => {
                let partition = message.partition() as Partition;
                let position = Position { partition, offset: message.offset() as Offset };
                if let Some(slot) = gathered.positions.get_mut(index) {
                    *slot = Some(position);
                }
            }
            Err((error, _)) => gathered.failed = Some(reason(error)),
        }
        gathered.left = gathered.left.saturating_sub(1);
        self.0.changed.notify_all();
    }
}

pub(super) type Running = ThreadedProducer<Context>;

/// A message, and the topic and partition that it goes to.
type Placed<'m> = (String, Partition, &'m NewMessage);

/// A transactional producer, made when first needed and made anew after a fatal error.
pub(super) struct Transactor {
    clients: Clients,
    name: &'static str,
    transactional_id: String,
    reports: Arc<Reports>,
    producer: Option<Arc<Running>>,
    left: Left,
}

impl Transactor {
    /// `name` tells what it is for; the transactional id is this process's own.
    pub(super) fn new(clients: Clients, name: &'static str) -> Self {
        Self::with_id(clients, name, &uuid::Uuid::new_v4().simple().to_string())
    }

    /// The same with a transactional id that others may have used before, or in vain may try to use still: the
    /// broker lets in whoever came last, and ends what the one before left unfinished.
    pub(super) fn with_id(clients: Clients, name: &'static str, id: &str) -> Self {
        let transactional_id = format!("{}-{name}-{id}", clients.config().prefix);
        Self {
            clients,
            name,
            transactional_id,
            reports: Arc::default(),
            producer: None,
            left: Left::default(),
        }
    }

    /// Runs one transaction. `commit_wait` bounds how long a lost commit is asked for again.
    pub(super) fn run(
        &mut self,
        messages: &[(Topic, NewMessage)],
        partitions: u32,
        group: Option<&GroupOffsets>,
        commit_wait: Duration,
    ) -> Result<Vec<Position>, TransactionError> {
        // One that can't be placed is refused before anything begins.
        let placed = self.placed(messages, partitions)?;
        let producer = self.begin()?;
        // Crash from here on: nothing is visible; the broker aborts after the transaction timeout.
        let prepared = self.prepare(&producer, &placed, group);
        match prepared {
            // What still comes of that producer is not of the next transaction, which is let in under the same id: from
            // then on nothing of this one can be committed.
            Err(Unprepared::Left) => {
                self.reports = Arc::default();
                let text = "the group's coordinator did not take its offsets in time".to_owned();
                Err(TransactionError::Aborted(text))
            }
            Err(Unprepared::Failed(error)) => {
                if abort(&producer) {
                    self.producer = Some(producer);
                }
                Err(error)
            }
            Ok(positions) => {
                let outcome = commit(&producer, commit_wait, &positions);
                if producer.client().fatal_error().is_none()
                    && !matches!(outcome, Err(TransactionError::Unknown(..)))
                {
                    self.producer = Some(producer);
                }
                // Crash after the commit was sent: it is there whole or not at all.
                outcome.map(|()| positions)
            }
        }
    }

    /// Writes messages that nobody is to see: they are there, and then aborted.
    pub(super) fn discard(
        &mut self,
        messages: &[(Topic, NewMessage)],
        partitions: u32,
    ) -> Result<(), TransactionError> {
        let placed = self.placed(messages, partitions)?;
        let producer = self.begin()?;
        match self.prepare(&producer, &placed, None) {
            Ok(_) => {}
            Err(Unprepared::Failed(error)) => return Err(error),
            Err(Unprepared::Left) => {
                return Err(TransactionError::Aborted("it was given up before its end".to_owned()));
            }
        }
        if !abort(&producer) {
            let text = "what is not to be seen was not aborted in time";
            return Err(TransactionError::Aborted(text.to_owned()));
        }
        self.producer = Some(producer);
        Ok(())
    }

    /// Ends what a lost commit, or a predecessor of the same id, left in doubt: a producer is let in only when
    /// the transaction before it has ended, one way or the other, with its markers in every partition. What a
    /// predecessor still sends is refused from then on.
    pub(super) fn settle(&mut self) -> Result<(), TransactionError> {
        if self.producer.is_none() {
            self.producer = Some(self.start()?);
        }
        Ok(())
    }

    fn placed<'m>(
        &self,
        messages: &'m [(Topic, NewMessage)],
        partitions: u32,
    ) -> Result<Vec<Placed<'m>>, TransactionError> {
        let place = |(topic, message): &'m (Topic, NewMessage)| {
            let partition = partition_for(*topic, message, partitions).map_err(TransactionError::Aborted)?;
            let (name, bytes) = (self.clients.topic_name(*topic), message.bytes());
            if bytes > MESSAGE_BYTES_MAX {
                return Err(TransactionError::Aborted(format!(
                    "a message of {name} with the key {:?} has {bytes} bytes; at most {MESSAGE_BYTES_MAX} are taken",
                    String::from_utf8_lossy(&message.key)
                )));
            }
            Ok((name, partition, message))
        };
        messages.iter().map(place).collect()
    }

    /// Begins a transaction. The producer is the caller's until it knows that it can go on; one that is dropped
    /// is made anew for the next.
    fn begin(&mut self) -> Result<Arc<Running>, TransactionError> {
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.start()?,
        };
        producer.begin_transaction().map_err(|error| TransactionError::Aborted(reason(&error)))?;
        Ok(producer)
    }

    fn start(&self) -> Result<Arc<Running>, TransactionError> {
        let aborted = |error: &KafkaError| TransactionError::Aborted(reason(error));
        let queued_kib = QUEUED_KIB_MAX.to_string();
        let config = self.clients.producer(
            self.name,
            &[
                ("transactional.id", &self.transactional_id),
                ("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS),
                ("message.timeout.ms", TRANSACTION_TIMEOUT_MS),
                ("linger.ms", "0"),
                ("queue.buffering.max.kbytes", &queued_kib),
                // The previous transaction's end is awaited in steps of this.
                ("retry.backoff.ms", "10"),
            ],
        );
        let producer = Running::from_config_and_context(&config, Context(Arc::clone(&self.reports)))
            .map_err(|error| aborted(&error))?;
        producer.init_transactions(INIT_WAIT).map_err(|error| aborted(&error))?;
        Ok(Arc::new(producer))
    }

    fn prepare(
        &self,
        producer: &Arc<Running>,
        placed: &[Placed<'_>],
        group: Option<&GroupOffsets>,
    ) -> Result<Vec<Position>, Unprepared> {
        *self.gathered() = Gathered { positions: vec![None; placed.len()], left: placed.len(), failed: None };
        let end = Instant::now() + DELIVERY_WAIT;
        for (index, (topic, partition, message)) in placed.iter().enumerate() {
            while let Err(error) = produce(producer, topic, *partition, message, index) {
                let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !is_full || Instant::now() >= end {
                    return Err(TransactionError::Aborted(reason(&error)).into());
                }
                // What the brokers take makes room: a batch larger than the queue goes out in parts.
                self.await_report()?;
            }
        }
        if let Some(group) = group {
            group.send(producer, &self.left)?;
        }
        let undelivered = |gathered: &mut Gathered| gathered.left > 0 && gathered.failed.is_none();
        let (gathered, _) = self
            .reports
            .changed
            .wait_timeout_while(self.gathered(), end.saturating_duration_since(Instant::now()), undelivered)
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = &gathered.failed {
            return Err(TransactionError::Aborted(failure.clone()).into());
        }
        gathered.positions.iter().copied().collect::<Option<Vec<Position>>>().ok_or_else(|| {
            TransactionError::Aborted("the brokers did not take the messages in time".to_owned()).into()
        })
    }

    /// Waits for the next delivery report, but not long. Fails once one tells of a failure: nothing that
    /// follows could save the transaction.
    fn await_report(&self) -> Result<(), TransactionError> {
        let (gathered, _) = self
            .reports
            .changed
            .wait_timeout(self.gathered(), QUEUE_FULL_TICK)
            .unwrap_or_else(PoisonError::into_inner);
        match &gathered.failed {
            Some(failure) => Err(TransactionError::Aborted(failure.clone())),
            None => Ok(()),
        }
    }

    fn gathered(&self) -> std::sync::MutexGuard<'_, Gathered> {
        self.reports.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Commits, asking again while the answer is lost.
fn commit(producer: &Running, commit_wait: Duration, positions: &[Position]) -> Result<(), TransactionError> {
    let end = Instant::now() + commit_wait;
    loop {
        let error = match producer.commit_transaction(STEP_WAIT) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let text = reason(&error);
        let KafkaError::Transaction(error) = error else {
            return Err(TransactionError::Unknown(text, positions.to_vec()));
        };
        if error.txn_requires_abort() {
            return if abort(producer) {
                Err(TransactionError::Aborted(text))
            } else {
                Err(TransactionError::Unknown(text, positions.to_vec()))
            };
        }
        if !error.is_retriable() || Instant::now() >= end {
            return Err(TransactionError::Unknown(text, positions.to_vec()));
        }
    }
}

/// Whether the abort was confirmed and the producer can go on. If not, dropping it leaves the abort to
/// the broker.
fn abort(producer: &Running) -> bool {
    producer.client().fatal_error().is_none() && producer.abort_transaction(STEP_WAIT).is_ok()
}
