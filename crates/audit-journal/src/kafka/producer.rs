//! Single appends: one idempotent producer, `acks=all`, an outcome for each message.
//!
//! Nothing here waits for one message before it sends the next: all are queued, librdkafka batches them,
//! and its delivery reports are gathered per call.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use crate::append::AppendOutcome;
use crate::message::NewMessage;
use crate::position::{Offset, Partition, Position};
use crate::topic::Topic;

use super::client::{Clients, log_error, log_line, partition_for, reason};
use super::health::{Health, Heard};
use super::pace::Pace;
use super::wire::produce;

/// Most bytes that wait for the brokers, in KiB. An append past it is refused, not queued elsewhere.
const QUEUED_KIB_MAX: usize = 64 * 1024;

/// Most messages that wait for the brokers.
const QUEUED_MESSAGES_MAX: usize = 200_000;

/// How long a message waits for others to share its batch: not at all. Even 0.2 ms doubles a single
/// append's time, for librdkafka then sleeps to its next tick; under load batches form by themselves while
/// earlier ones are under way.
const LINGER_MS: &str = "0";

/// How much longer than `message.timeout.ms` an append waits for its delivery reports. librdkafka looks for
/// messages whose time is up only about once a second, and may send one until it does. So an append that
/// ended with the time itself would be called unknown while its message may still be delivered, and who looks
/// at the log at once would look too early. After this, only a producer that is stuck has not reported.
const REPORT_MARGIN: Duration = Duration::from_secs(3);

/// How long one probe of silent brokers may take, and so how long an append waits to be refused.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// How long a closing journal waits for what is queued.
const FLUSH_WAIT: Duration = Duration::from_secs(10);

/// How often the supervisor wakes without being called.
const IDLE_WAKE: Duration = Duration::from_secs(60);

/// What a delivery report is matched with.
pub(super) struct Ticket {
    answers: Arc<Answers>,
    index: usize,
}

/// The outcomes of one call, gathered from delivery reports.
struct Answers {
    outcomes: Mutex<Vec<Option<AppendOutcome>>>,
    left: AtomicUsize,
    done: Mutex<Option<oneshot::Sender<()>>>,
    appended_at_ms: Mutex<Option<i64>>,
}

impl Answers {
    fn set(&self, index: usize, outcome: AppendOutcome) {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(outcome);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(done) = self.done.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // Nobody listens to a call that waited its longest or was given up.
            let _ = done.send(());
        }
    }
}

pub(super) struct Reports {
    health: Arc<Health>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Fatal) => {
                tracing::error!(reason, "the producer can't go on and is replaced");
                self.health.fatal();
            }
            Some(RDKafkaErrorCode::AllBrokersDown) => self.health.fell_silent(),
            _ => {}
        }
        log_error(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let outcome = match result {
            Ok(message) => {
                self.health.answered();
                let millis = message.timestamp().to_millis();
                *ticket.answers.appended_at_ms.lock().unwrap_or_else(PoisonError::into_inner) = millis;
                AppendOutcome::Appended(Position {
                    partition: message.partition() as Partition,
                    offset: message.offset() as Offset,
                })
            }
            Err((error, _)) => {
                match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::MessageTimedOut) => self.health.fell_silent(),
                    Some(RDKafkaErrorCode::Fatal) => self.health.fatal(),
                    _ => {}
                }
                failed(error)
            }
        };
        ticket.answers.set(ticket.index, outcome);
    }
}

/// What a failure says about the message. Refusals of the message itself are refusals on every attempt,
/// so it is on no log. Of everything else (a timeout, a purged queue in which attempts that were already
/// made wait for their repetition) librdkafka's code does not say whether an earlier attempt arrived.
fn failed(error: &KafkaError) -> AppendOutcome {
    use RDKafkaErrorCode as Code;
    let text = reason(error);
    match error.rdkafka_error_code() {
        Some(
            Code::MessageSizeTooLarge
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::PolicyViolation
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::UnknownPartition
            | Code::UnknownTopic,
        ) => AppendOutcome::NotAppended(text),
        _ => AppendOutcome::Unknown(text),
    }
}

type Running = ThreadedProducer<Reports>;

/// Appends. Shared by all callers.
pub(super) struct Appender {
    clients: Clients,
    health: Arc<Health>,
    producer: RwLock<Arc<Running>>,
    append_timeout: Duration,
    /// N, once it is known.
    partitions: OnceLock<u32>,
}

impl Appender {
    /// Makes the producer and its supervisor. Reaches no broker yet.
    pub(super) fn start(clients: Clients) -> KafkaResult<Arc<Self>> {
        let health = Arc::new(Health::new());
        let append_timeout = clients.config().append_timeout;
        let producer = RwLock::new(Arc::new(new_producer(&clients, &health)?));
        let appender =
            Arc::new(Self { clients, health, producer, append_timeout, partitions: OnceLock::new() });
        let supervised = Arc::clone(&appender);
        thread::Builder::new()
            .name("journal-supervisor".to_owned())
            .spawn(move || supervised.supervise())
            .map_err(|e| KafkaError::ClientCreation(e.to_string()))?;
        Ok(appender)
    }

    pub(super) fn is_writable(&self) -> bool {
        !self.health.is_closed() && self.health.heard() == Heard::Answering
    }

    /// Appends, and answers each.
    pub(super) async fn append(
        &self,
        topic: Topic,
        partitions: u32,
        messages: &[NewMessage],
    ) -> Vec<AppendOutcome> {
        self.append_timed(topic, partitions, messages).await.0
    }

    /// Appends, and tells when the broker says it took the last of them.
    pub(super) async fn append_timed(
        &self,
        topic: Topic,
        partitions: u32,
        messages: &[NewMessage],
    ) -> (Vec<AppendOutcome>, Option<i64>) {
        if messages.is_empty() {
            return (Vec::new(), None);
        }
        if let Err(refusal) = self.open_for_appends().await {
            return (vec![AppendOutcome::NotAppended(refusal); messages.len()], None);
        }
        let (done, all_answered) = oneshot::channel();
        let answers = Arc::new(Answers {
            outcomes: Mutex::new(vec![None; messages.len()]),
            left: AtomicUsize::new(messages.len()),
            done: Mutex::new(Some(done)),
            appended_at_ms: Mutex::new(None),
        });
        self.queue(topic, partitions, messages, &answers);
        // librdkafka ends every message by itself, with a report; this only guards against one that never comes.
        let wait = self.append_timeout + REPORT_MARGIN;
        let _ = tokio::time::timeout(wait, all_answered).await;
        let no_answer =
            || AppendOutcome::Unknown(format!("the producer told no outcome within {} ms", wait.as_millis()));
        // Copied, not taken: late reports still find their place.
        let outcomes = answers.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if outcomes.iter().any(Option::is_none) {
            self.health.fell_silent();
        }
        let at = *answers.appended_at_ms.lock().unwrap_or_else(PoisonError::into_inner);
        (outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(no_answer)).collect(), at)
    }

    /// Queues all; after the first that does not fit, none: a key's messages keep their order.
    fn queue(&self, topic: Topic, partitions: u32, messages: &[NewMessage], answers: &Arc<Answers>) {
        let producer = Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner));
        let name = self.clients.topic_name(topic);
        let mut refused: Option<String> = None;
        for (index, message) in messages.iter().enumerate() {
            let queued = match (&refused, partition_for(topic, message, partitions)) {
                (Some(refusal), _) => Err(refusal.clone()),
                (None, Err(refusal)) => Err(refusal),
                (None, Ok(partition)) => {
                    let ticket = Box::new(Ticket { answers: Arc::clone(answers), index });
                    produce(&producer, &name, partition, message, ticket).map_err(|error| {
                        let text = reason(&error);
                        match error.rdkafka_error_code() {
                            Some(RDKafkaErrorCode::QueueFull) => {
                                let full =
                                    "as much as may wait for the brokers waits already: try again later";
                                return refused.insert(full.to_owned()).clone();
                            }
                            Some(RDKafkaErrorCode::Fatal) => self.health.fatal(),
                            _ => {}
                        }
                        text
                    })
                }
            };
            if let Err(refusal) = queued {
                answers.set(index, AppendOutcome::NotAppended(refusal));
            }
        }
    }

    /// While the brokers are silent, waits for a probe to find them; else the append is refused.
    async fn open_for_appends(&self) -> Result<(), String> {
        if self.health.is_closed() {
            return Err("the journal is closed".to_owned());
        }
        if self.health.heard() == Heard::Answering {
            return Ok(());
        }
        let mut heard = self.health.watch();
        let wait = PROBE_WAIT.min(self.append_timeout);
        let answering = heard.wait_for(|heard| *heard == Heard::Answering);
        match tokio::time::timeout(wait, answering).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err("no broker answers".to_owned()),
        }
    }

    /// Takes no more, and waits for what is queued. For a blocking thread.
    pub(super) fn close(&self) {
        self.health.close();
        let producer = Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner));
        let end = Instant::now() + FLUSH_WAIT;
        // Not `flush`, which ends only at full tenths of a second.
        while producer.in_flight_count() > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the supervisor, and with it the producer, without waiting for anything.
    pub(super) fn abandon(&self) {
        self.health.close();
    }

    /// Runs until the journal is closed: replaces a producer that met a fatal error, and probes brokers
    /// that fell silent.
    fn supervise(&self) {
        let mut pace = Pace::new();
        let mut probing = false;
        loop {
            let call = self.health.wait(if probing { pace.next_pause() } else { IDLE_WAKE });
            if call.closed {
                return;
            }
            if call.replace {
                self.replace();
            }
            probing = (probing || call.probe) && self.health.heard() == Heard::Silent && !self.probe();
            if !probing {
                pace.reset();
                self.look_for_strays();
            }
        }
    }

    /// From now on looks for records in partitions that are not the log's: added behind our back, and
    /// written to by somebody who is not us. They are no part of the log, so they are an alarm, not a stop.
    pub(super) fn watch_strays(&self, partitions: u32) {
        if self.partitions.set(partitions).is_ok() {
            self.health.probe();
        }
    }

    fn look_for_strays(&self) {
        let Some(partitions) = self.partitions.get() else { return };
        let producer = Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner));
        let name = self.clients.topic_name(Topic::Records);
        let Ok(metadata) = producer.client().fetch_metadata(Some(&name), PROBE_WAIT) else { return };
        let found = metadata.topics().iter().map(|topic| topic.partitions().len()).sum::<usize>() as u32;
        for partition in *partitions..found {
            let ends = producer.client().fetch_watermarks(&name, partition as i32, PROBE_WAIT);
            if let Ok((start, end)) = ends
                && end > start
            {
                tracing::error!(
                    topic = name,
                    partition,
                    records = end - start,
                    "somebody writes records to a partition that is not the log's: nothing reads them; the log has {partitions} partitions, and its own clients choose among those"
                );
            }
        }
    }

    /// Whether a broker answers and knows a leader for records.
    fn probe(&self) -> bool {
        let producer = Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner));
        let name = self.clients.topic_name(Topic::Records);
        let Ok(metadata) = producer.client().fetch_metadata(Some(&name), PROBE_WAIT) else { return false };
        // One leader is enough: appends to a partition without one time out by themselves, and must not
        // hold up the others.
        let led = metadata.topics().iter().any(|topic| {
            topic.error().is_none() && topic.partitions().iter().any(|partition| partition.leader() >= 0)
        });
        if led {
            tracing::info!("the brokers answer again");
            self.health.answered();
        }
        led
    }

    /// A fatal error ends a producer, not the journal. What the old one still held is answered as it is
    /// dropped: purged, so unknown.
    fn replace(&self) {
        match new_producer(&self.clients, &self.health) {
            Ok(fresh) => {
                let old = {
                    let mut running = self.producer.write().unwrap_or_else(PoisonError::into_inner);
                    if running.client().fatal_error().is_none() {
                        return;
                    }
                    std::mem::replace(&mut *running, Arc::new(fresh))
                };
                drop(old);
                tracing::info!("the producer was replaced");
            }
            Err(error) => {
                tracing::error!(reason = reason(&error), "the producer can't be replaced; it is tried again");
                thread::sleep(PROBE_WAIT);
                self.health.fatal();
            }
        }
    }
}

fn new_producer(clients: &Clients, health: &Arc<Health>) -> KafkaResult<Running> {
    let timeout_ms = clients.config().append_timeout.as_millis().to_string();
    let queued_kib = QUEUED_KIB_MAX.to_string();
    let queued_messages = QUEUED_MESSAGES_MAX.to_string();
    let config = clients.producer(
        "append",
        &[
            ("linger.ms", LINGER_MS),
            ("message.timeout.ms", &timeout_ms),
            ("queue.buffering.max.kbytes", &queued_kib),
            ("queue.buffering.max.messages", &queued_messages),
            ("retry.backoff.ms", "50"),
        ],
    );
    Running::from_config_and_context(&config, Reports { health: Arc::clone(health) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::config::KafkaConfig;
    use crate::message::Placement;

    fn message(value: String) -> NewMessage {
        NewMessage {
            key: Bytes::from_static(b"key"),
            headers: Vec::new(),
            value: Some(Bytes::from(value)),
            placement: Placement::ByKey,
        }
    }

    fn appender(brokers: String) -> Arc<Appender> {
        let config = KafkaConfig {
            brokers,
            prefix: "mock".to_owned(),
            partitions: 1,
            create_topics: false,
            append_timeout: Duration::from_secs(2),
            librdkafka: BTreeMap::new(),
        };
        Appender::start(Clients::new(config).expect("the settings are good")).expect("a producer is made")
    }

    async fn append(appender: &Appender, value: &str) -> AppendOutcome {
        appender.append(Topic::Records, 1, &[message(value.to_owned())]).await.remove(0)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_fatal_error_ends_a_producer_but_not_the_appender() {
        let mock = MockCluster::new(1).expect("a cluster in this process");
        mock.create_topic("mock.records", 1, 1).expect("a topic");
        let appender = appender(mock.bootstrap_servers());
        assert!(matches!(append(&appender, "before").await, AppendOutcome::Appended(_)));

        let first = Arc::clone(&appender.producer.read().expect("no writer panics"));
        mock.request_errors(
            RDKafkaApiKey::Produce,
            &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER; 3],
        );
        let refused = append(&appender, "refused").await;
        assert!(!matches!(refused, AppendOutcome::Appended(_)), "{refused:?}");
        assert!(first.client().fatal_error().is_some(), "the error was not fatal: {refused:?}");
        drop(first);

        let until = Instant::now() + Duration::from_secs(20);
        while !matches!(append(&appender, "after").await, AppendOutcome::Appended(_)) {
            assert!(Instant::now() < until, "the producer was not replaced");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::task::spawn_blocking(move || appender.close()).await.expect("closing does not fail");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_message_that_is_too_large_is_refused_and_its_neighbours_are_not() {
        let mock = MockCluster::new(1).expect("a cluster in this process");
        mock.create_topic("mock.records", 1, 1).expect("a topic");
        let appender = appender(mock.bootstrap_servers());
        let large = message("x".repeat(super::super::client::MESSAGE_BYTES_MAX + 1));
        let messages = [message("small".to_owned()), large, message("small".to_owned())];
        let outcomes = appender.append(Topic::Records, 1, &messages).await;
        assert!(matches!(outcomes[0], AppendOutcome::Appended(_)), "{outcomes:?}");
        assert!(matches!(outcomes[1], AppendOutcome::NotAppended(_)), "{outcomes:?}");
        assert!(matches!(outcomes[2], AppendOutcome::Appended(_)), "{outcomes:?}");
        tokio::task::spawn_blocking(move || appender.close()).await.expect("closing does not fail");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn past_a_full_queue_appends_are_refused_and_not_overtaken() {
        let mock = MockCluster::new(1).expect("a cluster in this process");
        mock.create_topic("mock.records", 1, 1).expect("a topic");
        let appender = appender(mock.bootstrap_servers());
        assert!(matches!(append(&appender, "before").await, AppendOutcome::Appended(_)));
        // Longer than a message may wait: what is queued stays there.
        mock.broker_round_trip_time(1, Duration::from_secs(30)).expect("a slow broker");
        let large = "x".repeat(3 * 1024 * 1024);
        let many = QUEUED_KIB_MAX / (3 * 1024) + 4;
        let mut messages: Vec<NewMessage> = (0..many).map(|_| message(large.clone())).collect();
        // One that there would be room for, behind those that there is none for.
        messages.push(message("small".to_owned()));
        let outcomes = appender.append(Topic::Records, 1, &messages).await;
        let is_full = |outcome: &AppendOutcome| matches!(outcome, AppendOutcome::NotAppended(why) if why.contains("waits already"));
        let first_refused = outcomes.iter().position(is_full).expect("not everything fits");
        assert!(first_refused > 10, "{first_refused}");
        assert!(outcomes[first_refused..].iter().all(is_full), "{outcomes:?}");
        mock.broker_round_trip_time(1, Duration::ZERO).expect("a quick broker");
        let until = Instant::now() + Duration::from_secs(60);
        while !matches!(append(&appender, "after").await, AppendOutcome::Appended(_)) {
            assert!(Instant::now() < until, "there was never room again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::task::spawn_blocking(move || appender.close()).await.expect("closing does not fail");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_no_broker_answers_is_unknown_and_then_refused() {
        let mock = MockCluster::new(1).expect("a cluster in this process");
        mock.create_topic("mock.records", 1, 1).expect("a topic");
        let appender = appender(mock.bootstrap_servers());
        assert!(matches!(append(&appender, "before").await, AppendOutcome::Appended(_)));
        mock.broker_down(1).expect("the broker goes down");
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let outcome = append(&appender, "while down").await;
            assert!(!matches!(outcome, AppendOutcome::Appended(_)), "there is no broker");
            if matches!(outcome, AppendOutcome::NotAppended(_)) {
                break;
            }
            assert!(Instant::now() < until, "silence was never noticed");
        }
        assert!(!appender.is_writable());
        mock.broker_up(1).expect("the broker comes back");
        let until = Instant::now() + Duration::from_secs(20);
        while !matches!(append(&appender, "after").await, AppendOutcome::Appended(_)) {
            assert!(Instant::now() < until, "the broker was never noticed");
        }
        tokio::task::spawn_blocking(move || appender.close()).await.expect("closing does not fail");
    }
}
