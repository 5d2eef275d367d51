//! How a journal is opened.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Which log.
#[derive(Clone, Debug)]
pub enum JournalConfig {
    /// One SQLite file, for one process.
    Embedded(EmbeddedConfig),
    /// Apache Kafka.
    #[cfg(feature = "kafka")]
    Kafka(KafkaConfig),
}

/// The embedded log.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// The file; made where it is missing.
    pub path: PathBuf,
    /// N at creation.
    pub partitions: u32,
}

/// A log on Kafka.
#[derive(Clone)]
pub struct KafkaConfig {
    /// `host:port,…`.
    pub brokers: String,
    /// What topics, groups and transactional ids begin with; `flagtrail` by default.
    pub prefix: String,
    /// N at creation.
    pub partitions: u32,
    /// Whether missing topics may be created.
    pub create_topics: bool,
    /// How long one append may try before it is given up as unknown; below the request's timeout. That it was
    /// given up is noticed up to a few seconds later.
    pub append_timeout: Duration,
    /// Passed to librdkafka as it stands, over our own settings: security, addresses, buffers.
    pub librdkafka: BTreeMap<String, String>,
}

/// Settings of librdkafka may be secrets (passwords, keys, tokens), so only their names are shown.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("prefix", &self.prefix)
            .field("partitions", &self.partitions)
            .field("create_topics", &self.create_topics)
            .field("append_timeout", &self.append_timeout)
            .field("librdkafka", &self.librdkafka.keys())
            .finish()
    }
}
