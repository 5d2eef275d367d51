//! A log of sample records, filled before a measurement.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use audit_journal::{AppendOutcome, EmbeddedConfig, Journal, JournalConfig, KafkaConfig, LogIdentity, Topic};

use crate::sample;

/// Partitions of every log under measurement.
pub(crate) const PARTITIONS: u32 = 4;

/// Records appended at once.
const BATCH: usize = 2_000;

/// Opens the log on Kafka, making it where it is missing.
pub(crate) async fn open(brokers: &str, prefix: &str) -> Result<Journal> {
    let config = KafkaConfig {
        brokers: brokers.to_owned(),
        prefix: prefix.to_owned(),
        partitions: PARTITIONS,
        create_topics: true,
        append_timeout: Duration::from_secs(30),
        librdkafka: Default::default(),
    };
    Ok(Journal::open(JournalConfig::Kafka(config)).await?)
}

/// Opens the log in a file, making it where it is missing.
pub(crate) async fn open_embedded(path: PathBuf) -> Result<Journal> {
    let config = EmbeddedConfig { path, partitions: PARTITIONS };
    Ok(Journal::open(JournalConfig::Embedded(config)).await?)
}

/// Appends the sample records of these numbers to a log on Kafka, and tells which log that is.
pub(crate) async fn fill(brokers: &str, prefix: &str, numbers: Range<usize>) -> Result<LogIdentity> {
    let journal = open(brokers, prefix).await?;
    append(&journal, numbers).await?;
    let identity = journal.identity().clone();
    journal.close().await;
    Ok(identity)
}

/// Appends the sample records of these numbers.
pub(crate) async fn append(journal: &Journal, numbers: Range<usize>) -> Result<()> {
    for first in numbers.clone().step_by(BATCH) {
        let messages = (first..numbers.end.min(first + BATCH))
            .map(|number| journal.record_message(&sample::record(number)))
            .collect();
        let outcomes = journal.append(Topic::Records, messages).await;
        ensure!(
            outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::Appended(_))),
            "the log could not be filled"
        );
    }
    Ok(())
}
