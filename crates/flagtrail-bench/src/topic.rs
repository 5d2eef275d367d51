//! A topic of records, filled before a measurement.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, ensure};
use audit_journal::{AppendOutcome, Journal, JournalConfig, KafkaConfig, Topic};

use crate::sample;

/// Records appended at once.
const BATCH: usize = 2_000;

/// Appends the sample records of these numbers.
pub(crate) async fn fill(brokers: &str, prefix: &str, numbers: Range<usize>) -> Result<()> {
    let config = KafkaConfig {
        brokers: brokers.to_owned(),
        prefix: prefix.to_owned(),
        partitions: 4,
        create_topics: true,
        append_timeout: Duration::from_secs(30),
        librdkafka: Default::default(),
    };
    let journal = Journal::open(JournalConfig::Kafka(config)).await?;
    for first in numbers.clone().step_by(BATCH) {
        let messages = (first..numbers.end.min(first + BATCH))
            .map(|number| journal.record_message(&sample::record(number)))
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
