//! Kafka alone, and the bare loops that a person would write around it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use audit_digest::Sha256;
use flagtrail_testkit::kafka::{self, Cluster};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};
use rusqlite::{Connection, params};
use serde_json::Value;

use crate::sample;
use crate::sink::Sink;

/// Rows of one transaction of the bare loop.
const BATCH: usize = 10_000;

/// How long a consumer waits for the next message.
const POLL: Duration = Duration::from_secs(10);

/// Records a second of Kafka's own load generator, idempotent and `acks=all`.
pub(crate) fn producer_performance(cluster: &Cluster, records: usize, bytes: usize) -> Result<f64> {
    let topic = kafka::unique("raw");
    cluster.create_topic(&topic, 4, &[])?;
    let (records, bytes, brokers) =
        (records.to_string(), bytes.to_string(), format!("bootstrap.servers={}", cluster.bootstrap()));
    let arguments = [
        "--topic",
        &topic,
        "--num-records",
        &records,
        "--record-size",
        &bytes,
        "--throughput",
        "-1",
        "--producer-props",
        &brokers,
        "acks=all",
        "enable.idempotence=true",
        "linger.ms=5",
        "compression.type=none",
    ];
    let said = kafka::run_tool("org.apache.kafka.tools.ProducerPerformance", &arguments, "")?;
    let line = said
        .lines()
        .rev()
        .find(|line| line.contains("records/sec"))
        .context("ProducerPerformance said nothing")?;
    let rate = line
        .split(", ")
        .find_map(|part| part.split_once(" records/sec"))
        .context("no rate in its last line")?
        .0;
    Ok(rate.trim().parse()?)
}

/// Rows a second of: consume, parse, hash, insert, without an index and on one thread.
pub(crate) fn consume_and_insert(brokers: &str, topic: &str, records: usize, dir: &Path) -> Result<f64> {
    let consumer = consumer(brokers, topic)?;
    let mut connection = Connection::open(dir.join("raw.sqlite"))?;
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;
         CREATE TABLE row (partition INTEGER, offset INTEGER, id TEXT, action TEXT, hash BLOB, json TEXT) STRICT;",
    )?;
    let began = Instant::now();
    let mut rows = 0;
    while rows < records {
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO row VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            for _ in 0..BATCH.min(records - rows) {
                let message =
                    consumer.poll(POLL).with_context(|| format!("the topic ended after {rows} rows"))??;
                let payload = message.payload().unwrap_or_default();
                let record: Value = serde_json::from_slice(payload)?;
                let hash: [u8; 32] = Sha256::digest(payload);
                let text = std::str::from_utf8(payload)?;
                insert.execute(params![
                    message.partition(),
                    message.offset(),
                    record["id"].as_str(),
                    record["action"].as_str(),
                    hash,
                    text
                ])?;
                rows += 1;
            }
        }
        transaction.commit()?;
    }
    Ok(rows as f64 / began.elapsed().as_secs_f64())
}

pub(super) fn consumer(brokers: &str, topic: &str) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", kafka::unique("raw"))
        // A commit's event would end a poll as if nothing were left.
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "5")
        .create()?;
    // Assigned, not subscribed: forming a group would be measured too.
    let metadata = consumer.fetch_metadata(Some(topic), POLL)?;
    let mut everything = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        everything.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&everything)?;
    Ok(consumer)
}

/// One `acks=all` produce, one fetch and one POST, one after the other: how long each round took, in milliseconds, sorted.
pub(crate) async fn produce_fetch_post(cluster: &Cluster, rounds: usize) -> Result<Vec<f64>> {
    let (topic, brokers) = (kafka::unique("raw"), &cluster.bootstrap());
    cluster.create_topic(&topic, 1, &[])?;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("linger.ms", "0")
        .create()?;
    let sink = Sink::counting()?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let record = sample::record(1);
    let send =
        || producer.send(FutureRecord::to(&topic).key("k").payload(record.canonical()), Timeout::After(POLL));
    send().await.map_err(|(error, _)| error)?;
    let consumer = consumer(brokers, &topic)?;
    ensure!(consumer.poll(POLL).is_some(), "the first message did not come");
    let mut millis = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let began = Instant::now();
        send().await.map_err(|(error, _)| error)?;
        let body =
            consumer.poll(POLL).context("a message did not come")??.payload().unwrap_or_default().to_vec();
        client.post(sink.url("/raw")).body(body).send().await?.error_for_status()?;
        millis.push(began.elapsed().as_secs_f64() * 1e3);
    }
    millis.sort_by(f64::total_cmp);
    Ok(millis)
}
