//! The ends of followed partitions, as librdkafka's statistics tell them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use crate::position::{Offset, Partition};

use super::client::{log_error, log_line};
use super::tail::{Tail, TailEvent};

/// The ends of partitions by librdkafka's statistics: for lag, without a question to the broker.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends(Arc<Mutex<BTreeMap<Partition, Offset>>>);

/// How often librdkafka tells statistics; only the ends are taken from them.
pub(super) const STATISTICS_INTERVAL_MS: &str = "1000";

impl ClientContext for Ends {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.heard(&statistics);
    }
}

impl ConsumerContext for Ends {}

impl Ends {
    pub(super) fn heard(&self, statistics: &Statistics) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in statistics.topics.values().flat_map(|topic| topic.partitions.values()) {
            // Partitions of another owner keep stale figures; `desired` are ours.
            if partition.desired && partition.ls_offset >= 0 && partition.partition >= 0 {
                ends.insert(partition.partition as Partition, partition.ls_offset as Offset);
            }
        }
    }

    fn of(&self, partition: Partition) -> Option<Offset> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied()
    }
}

/// A context that is told the ends.
pub(super) trait HearsEnds {
    fn ends(&self) -> &Ends;
}

impl HearsEnds for Ends {
    fn ends(&self) -> &Ends {
        self
    }
}

impl<C: ConsumerContext + HearsEnds, E: TailEvent> Tail<C, E> {
    /// Takes over what the statistics say of the ends.
    pub(super) fn hear_ends(&mut self) {
        let ends = self.consumer.context().ends().clone();
        for (partition, track) in &mut self.tracks {
            if let Some(end) = ends.of(*partition) {
                track.heard_end(end);
            }
        }
    }
}
