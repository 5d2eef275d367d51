//! Kafka to SQLite archive with its minimum index set, complete at the end, against a bare loop without any.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use audit_archive::Reader;
use audit_journal::{AppendOutcome, Journal, JournalConfig, KafkaConfig, Topic, record_message};
use flagtrail_testkit::kafka::{self, Cluster};

use crate::Scale;
use crate::figure::Figure;
use crate::product::Product;
use crate::raw;
use crate::sample;

/// Records.
const RECORDS: usize = 1_000_000;

/// Records appended at once while filling the topic.
const BATCH: usize = 2_000;

/// Pause between two looks at the archive.
const POLL: Duration = Duration::from_millis(20);

/// How long the archive may take in all.
const DONE_WITHIN: Duration = Duration::from_secs(600);

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let records = scale.of(RECORDS);
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let (brokers, prefix) = (cluster.bootstrap(), kafka::unique("bench"));
    fill(&brokers, &prefix, records).await?;
    let root = tempfile::tempdir()?;
    let began = Instant::now();
    let product = Product::start(
        &root.path().join("product"),
        &["serve", "--roles", "archive"],
        Some((&brokers, &prefix)),
    )
    .await?;
    let reader = Reader::open(product.data.join("archive"));
    let mut first_row = None;
    loop {
        let status = reader.status().unwrap_or_default();
        let messages: u64 = status.partitions.iter().map(|partition| partition.messages).sum();
        if messages > 0 {
            first_row.get_or_insert_with(|| began.elapsed());
        }
        let complete =
            status.partitions.iter().all(|p| !p.unindexed && p.text_seq.is_none_or(|seq| seq >= p.end.seq));
        if messages >= records as u64 && complete {
            break;
        }
        ensure!(began.elapsed() < DONE_WITHIN, "{messages} of {records} archived");
        tokio::time::sleep(POLL).await;
    }
    let rate = records as f64 / began.elapsed().as_secs_f64();
    let (memory, first) = (product.peak_mb()?, first_row.unwrap_or_default().as_secs_f64());
    product.stop()?;
    let topic = format!("{prefix}.records");
    let raw = tokio::task::spawn_blocking(move || {
        raw::kafka::consume_and_insert(&brokers, &topic, records, root.path())
    })
    .await??;
    Ok(vec![
        Figure::rate(
            "Kafka → archive, every index and full text complete",
            rate,
            "records/s",
            (raw, "consume, parse, hash, insert, no index"),
            0.35,
            "≥ 0.35 with everything",
        ),
        Figure::plain("… first row after", first, "s", "< 2 s", Some(first < 2.0)),
        Figure::plain("… resident at most", memory, "MB", "≤ 250 MB", Some(memory <= 250.0)),
    ])
}

async fn fill(brokers: &str, prefix: &str, records: usize) -> Result<()> {
    let config = KafkaConfig {
        brokers: brokers.to_owned(),
        prefix: prefix.to_owned(),
        partitions: 4,
        create_topics: true,
        append_timeout: Duration::from_secs(30),
        librdkafka: Default::default(),
    };
    let journal = Journal::open(JournalConfig::Kafka(config)).await?;
    for first in (0..records).step_by(BATCH) {
        let messages = (first..records.min(first + BATCH))
            .map(|number| record_message(&sample::record(number)))
            .collect();
        let outcomes = journal.append(Topic::Records, messages).await;
        ensure!(
            outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::Appended(_))),
            "the topic could not be filled"
        );
    }
    journal.close().await;
    Ok(())
}
