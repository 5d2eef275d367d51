//! How every Kafka client of the journal is configured, and where librdkafka's own lines go.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;

use crate::config::KafkaConfig;
use crate::error::OpenError;
use crate::message::{NewMessage, Placement};
use crate::partitioner::partition_of;
use crate::position::Partition;
use crate::topic::Topic;

/// Largest message, in bytes: the topics' `max.message.bytes`, and what the producers take.
pub(super) const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a question to the brokers may take (metadata, offsets, topic settings).
pub(super) const REQUEST_WAIT: Duration = Duration::from_secs(5);

/// What a consumer fetches ahead, in KiB. With what a follower gathers (a batch of 512 KiB a partition) and its feed holds
/// that makes 16 MiB for 12 partitions. More partitions take more; so do large messages, of which one is a batch by itself.
const FETCHED_AHEAD_KIB_MAX: usize = 8 * 1024;

/// What a consumer fetches ahead, in messages a partition. With fewer, librdkafka stalls between fetches.
const FETCHED_AHEAD_MESSAGES: usize = 100_000;

/// What one fetch brings of one partition, in bytes as they stand on the log: compressed, so it may take five times the
/// room here. Partitions come by turns and not one after the other. A larger message comes all the same.
const FETCH_BYTES_A_PARTITION: usize = 512 * 1024;

/// Settings on which the journal's promises rest; `[kafka.librdkafka]` may not change them.
const RESERVED: [&str; 19] = [
    "acks",
    "auto.commit.enable",
    "auto.offset.reset",
    "bootstrap.servers",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.protocol",
    "isolation.level",
    "max.in.flight.requests.per.connection",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "request.required.acks",
    "transactional.id",
];

/// Makes clients. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    config: Arc<KafkaConfig>,
}

impl Clients {
    /// Refuses settings that are not for configuration, and those that librdkafka does not know.
    pub(super) fn new(config: KafkaConfig) -> Result<Self, OpenError> {
        if let Some(key) = config.librdkafka.keys().find(|key| RESERVED.contains(&key.as_str())) {
            return Err(OpenError::Refused(format!(
                "kafka.librdkafka.{key} can't be set: what the log promises rests on it; remove it"
            )));
        }
        if config.partitions == 0 {
            return Err(OpenError::Refused("kafka.partitions is 0: give it at least 1".to_owned()));
        }
        let clients = Self { config: Arc::new(config) };
        clients.base().create_native_config().map_err(|e| OpenError::Refused(reason(&e)))?;
        Ok(clients)
    }

    pub(super) fn config(&self) -> &KafkaConfig {
        &self.config
    }

    /// A topic's name: `prefix.suffix`.
    pub(super) fn topic_name(&self, topic: Topic) -> String {
        topic_name_of(&self.config.prefix, topic)
    }

    /// What all clients have in common, the operator's settings over ours.
    pub(super) fn base(&self) -> ClientConfig {
        self.configured(&[])
    }

    /// A producer. `name` tells its lines in the broker's log apart.
    pub(super) fn producer(&self, name: &str, settings: &[(&str, &str)]) -> ClientConfig {
        let client_id = format!("{}-{name}", self.config.prefix);
        let message_bytes = MESSAGE_BYTES_MAX.to_string();
        let mut all = vec![
            ("client.id", client_id.as_str()),
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("message.max.bytes", &message_bytes),
            ("compression.type", "lz4"),
        ];
        all.extend_from_slice(settings);
        self.configured(&all)
    }

    /// A consumer that reads what is committed, resets nothing by itself and commits nothing by itself.
    pub(super) fn consumer(&self, name: &str, settings: &[(&str, &str)]) -> ClientConfig {
        let client_id = format!("{}-{name}", self.config.prefix);
        let group = self.reading_group();
        let ahead_kib = FETCHED_AHEAD_KIB_MAX.to_string();
        let ahead_messages = FETCHED_AHEAD_MESSAGES.to_string();
        let fetch_bytes = FETCH_BYTES_A_PARTITION.to_string();
        let mut all = vec![
            ("client.id", client_id.as_str()),
            // librdkafka asks for a name even where partitions are assigned statically; nothing joins it.
            ("group.id", &group),
            ("auto.offset.reset", "error"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("isolation.level", "read_committed"),
            // The broker answers as soon as there is a byte; this is only how long an idle fetch waits,
            // and so how long a fetch of other partitions may wait behind it.
            ("fetch.wait.max.ms", "10"),
            ("fetch.queue.backoff.ms", "10"),
            ("fetch.error.backoff.ms", "100"),
            ("queued.max.messages.kbytes", &ahead_kib),
            ("queued.min.messages", &ahead_messages),
            ("fetch.message.max.bytes", &fetch_bytes),
        ];
        all.extend_from_slice(settings);
        self.configured(&all)
    }

    /// The name of the group that readers without membership carry.
    pub(super) fn reading_group(&self) -> String {
        reading_group_of(&self.config.prefix)
    }

    fn configured(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.config.brokers)
            .set("client.id", &self.config.prefix)
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", "1000")
            .set("allow.auto.create.topics", "false")
            .set_log_level(RDKafkaLogLevel::Info);
        for (key, value) in settings {
            config.set(*key, *value);
        }
        for (key, value) in &self.config.librdkafka {
            config.set(key, value);
        }
        config
    }
}

/// A topic's name: `prefix.suffix`.
pub(super) fn topic_name_of(prefix: &str, topic: Topic) -> String {
    format!("{prefix}.{}", topic.suffix())
}

/// The name of the group that readers without membership carry.
pub(super) fn reading_group_of(prefix: &str) -> String {
    format!("{prefix}.readers")
}

/// The partition that a message goes to: never librdkafka's choice, so that every client agrees.
pub(super) fn partition_for(
    topic: Topic,
    message: &NewMessage,
    partitions: u32,
) -> Result<Partition, String> {
    if topic.is_single_partition() {
        return Ok(0);
    }
    match message.placement {
        Placement::ByKey => Ok(partition_of(&message.key, partitions)),
        Placement::Fixed(partition) if partition < partitions => Ok(partition),
        Placement::Fixed(partition) => {
            Err(format!("there is no partition {partition}: the log has {partitions}"))
        }
    }
}

/// How many partitions of a topic are the log's, whatever the topic has by now.
pub(super) fn partition_count(topic: Topic, partitions: u32) -> u32 {
    if topic.is_single_partition() { 1 } else { partitions }
}

/// Runs what blocks on a thread for that. A panic in it is passed on.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The context of clients that need no callbacks: librdkafka's lines go to `tracing`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for Logged {}

/// A consumer without callbacks.
pub(super) type PlainConsumer = BaseConsumer<Logged>;

/// What librdkafka's lines about a producer's setting on a consumer, or the other way round, are marked
/// with. `[kafka.librdkafka]` is for all clients, so they say nothing.
const SETTING_OF_ANOTHER_CLIENT: &str = "CONFWARN";

pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    use RDKafkaLogLevel as Level;
    match level {
        _ if facility == SETTING_OF_ANOTHER_CLIENT => {
            tracing::debug!(target: "librdkafka", facility, "{line}");
        }
        Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => {
            tracing::warn!(target: "librdkafka", facility, "{line}");
        }
        Level::Notice | Level::Info => tracing::info!(target: "librdkafka", facility, "{line}"),
        Level::Debug => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// librdkafka logs what it reports as an error as well, so this is for debugging only.
pub(super) fn log_error(error: &KafkaError, reason: &str) {
    tracing::debug!(target: "librdkafka", %error, "{reason}");
}

/// An error in words, without the value of a setting: it may be a secret.
pub(super) fn reason(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, key, _) => format!(
            "kafka.librdkafka.{key} is not a setting or value that librdkafka takes; its CONFIGURATION.md lists them"
        ),
        KafkaError::ClientCreation(text) => format!("a Kafka client can't be made: {text}"),
        other => match other.rdkafka_error_code() {
            Some(code) => code.to_string(),
            None => other.to_string(),
        },
    }
}
