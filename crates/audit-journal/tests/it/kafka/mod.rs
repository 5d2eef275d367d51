//! The contract, run against Apache Kafka: one broker, and a cluster of three. And what only Kafka promises.

mod brokers;
mod cluster;
mod copy;
mod named;
mod owners;
mod security;
mod single;
mod topics;
mod unreached;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use audit_journal::{JournalConfig, KafkaConfig, Topic};
use flagtrail_testkit::kafka::{self, Cluster};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::contract::{Harness, PARTITIONS, PATIENCE, until};

/// Tells a child process where the brokers are, and the log's prefix.
const BROKERS_VARIABLE: &str = "FLAGTRAIL_TEST_KAFKA_BROKERS";
const PREFIX_VARIABLE: &str = "FLAGTRAIL_TEST_KAFKA_PREFIX";

/// How long one append may take in tests: longer than an election.
const APPEND_TIMEOUT: Duration = Duration::from_secs(40);

/// Which brokers a log is on.
pub(crate) trait Brokers: Send + Sync + 'static {
    /// Started by the first test that asks.
    fn cluster() -> &'static Cluster;

    /// See [`Harness::child_test`].
    const CHILD_TEST: &'static str;
}

/// One broker.
pub(crate) struct One;

impl Brokers for One {
    fn cluster() -> &'static Cluster {
        Cluster::shared()
    }

    const CHILD_TEST: &'static str = "kafka::single::a_child_process_appends_until_it_is_killed";
}

/// Three brokers, none of which a test kills.
pub(crate) struct Three;

impl Brokers for Three {
    fn cluster() -> &'static Cluster {
        static THREE: OnceLock<Cluster> = OnceLock::new();
        THREE.get_or_init(|| Cluster::start(3).expect("three brokers start"))
    }

    const CHILD_TEST: &'static str = "kafka::cluster::a_child_process_appends_until_it_is_killed";
}

/// A log of its own on shared brokers, kept apart by its prefix.
pub(crate) struct KafkaLog<B> {
    cluster: &'static Cluster,
    prefix: String,
    brokers: PhantomData<B>,
}

/// How a log is opened.
pub(crate) fn config(brokers: &str, prefix: &str) -> KafkaConfig {
    KafkaConfig {
        brokers: brokers.to_owned(),
        prefix: prefix.to_owned(),
        partitions: PARTITIONS,
        create_topics: true,
        append_timeout: APPEND_TIMEOUT,
        // A dead owner is noticed soon.
        librdkafka: BTreeMap::from([("session.timeout.ms".to_owned(), "6000".to_owned())]),
    }
}

/// A topic's name on the brokers.
pub(crate) fn topic_name(prefix: &str, topic: Topic) -> String {
    format!("{prefix}.{}", topic.suffix())
}

/// Runs what blocks, as all of a cluster's methods do.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("it does not panic")
}

impl<B: Brokers> Harness for KafkaLog<B> {
    fn is_available() -> bool {
        kafka::available().is_some()
    }

    async fn fresh() -> Self {
        let cluster = blocking(B::cluster).await;
        Self { cluster, prefix: kafka::unique("log"), brokers: PhantomData }
    }

    fn config(&self) -> JournalConfig {
        JournalConfig::Kafka(config(&self.cluster.bootstrap(), &self.prefix))
    }

    async fn recreate(&self) {
        let (cluster, prefix) = (self.cluster, self.prefix.clone());
        blocking(move || {
            for topic in Topic::ALL {
                cluster.delete_topic(&topic_name(&prefix, topic)).expect("the topic can be deleted");
            }
        })
        .await;
        // Until brokers have heard of it, they would say that the topics are there.
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap())
            .create()
            .expect("a client");
        let (client, prefix) = (Arc::new(client), format!("{}.", self.prefix));
        until(|| {
            let (client, prefix) = (Arc::clone(&client), prefix.clone());
            blocking(move || {
                let metadata = client.fetch_metadata(None, PATIENCE).expect("the brokers answer");
                !metadata.topics().iter().any(|topic| topic.name().starts_with(&prefix))
            })
        })
        .await;
    }

    fn child_environment(&self) -> Vec<(&'static str, String)> {
        vec![(BROKERS_VARIABLE, self.cluster.bootstrap()), (PREFIX_VARIABLE, self.prefix.clone())]
    }

    fn config_in_child() -> Option<JournalConfig> {
        let brokers = std::env::var(BROKERS_VARIABLE).ok()?;
        let prefix = std::env::var(PREFIX_VARIABLE).ok()?;
        Some(JournalConfig::Kafka(config(&brokers, &prefix)))
    }

    fn child_test() -> &'static str {
        B::CHILD_TEST
    }
}

/// Waits for something to end, which it must.
pub(crate) async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("{what} did not end in time"),
    }
}
