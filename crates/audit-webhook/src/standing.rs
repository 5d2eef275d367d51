//! How an endpoint stands over all processes, told from its documents in `progress`.
//!
//! Pure: whoever reads `progress` (an archive, the log itself) hands the documents in, together with what lies
//! between a position and the log's end.

use audit_journal::{Offset, Partition};
use serde::Serialize;

use crate::document::Document;
use crate::endpoint::EndpointView;
use crate::status::EndpointState;

/// An endpoint that moves with the tail and whose oldest unseen record is younger than this is caught up: the
/// watermark trails the tail by about a second at the best of times, and what is read here is a moment old.
pub const CAUGHT_UP_WITHIN_S: u64 = 5;

/// How far an endpoint is in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStanding {
    /// The partition.
    pub partition: Partition,
    /// The first offset not yet looked at.
    pub next: Offset,
    /// Whether it moves with the tail of the partition, rather than on its own behind it.
    pub is_level: bool,
    /// Deliveries before it that are not settled.
    pub pending: u64,
    /// When the first of them is due, milliseconds since 1970.
    pub next_due_ms: Option<i64>,
    /// Records that were not sent, for the endpoint's format has no word for them.
    pub skipped: u64,
    /// Since when every attempt has failed, milliseconds since 1970.
    pub failing_since_ms: Option<i64>,
}

/// The document can't be read by this release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("how far the endpoint is in partition {partition} can't be read: {reason}")]
pub struct StandingError {
    partition: Partition,
    reason: String,
}

impl PartitionStanding {
    /// From the endpoint's document in `partition` and the partition's watermark. Without a document, or with one
    /// of an earlier incarnation, the endpoint is at its start.
    pub fn read(
        endpoint: &EndpointView,
        partition: Partition,
        document: Option<&[u8]>,
        watermark: Option<Offset>,
    ) -> Result<Self, StandingError> {
        let document = document.map(Document::read).transpose();
        let document = document.map_err(|error| StandingError { partition, reason: error.to_string() })?;
        let start = endpoint.starts.get(partition as usize).copied().unwrap_or(0);
        Ok(match document.filter(|document| document.incarnation >= endpoint.incarnation) {
            None => Self {
                partition,
                next: start,
                is_level: false,
                pending: 0,
                next_due_ms: None,
                skipped: 0,
                failing_since_ms: None,
            },
            Some(document) => Self {
                partition,
                is_level: document.cursor.is_none(),
                next: document.cursor.or(watermark).unwrap_or(start),
                pending: document.pending.len() as u64,
                next_due_ms: document.pending.iter().map(|pending| pending.due).min(),
                skipped: document.skipped,
                failing_since_ms: document.first_failure_at,
            },
        })
    }
}

/// What lies between an endpoint's positions and the ends of all partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// Records that it has not looked at, wanted or not.
    pub records: u64,
    /// Age of the oldest of them, by when the log took it.
    pub seconds: u64,
    /// Whether some of them lie in a partition in which it does not move with the tail.
    #[serde(skip)]
    is_apart: bool,
}

impl Lag {
    /// Adds a partition's part: how many records, and when the log took the first.
    pub fn add(
        &mut self,
        standing: &PartitionStanding,
        records: u64,
        first_appended_at_ms: Option<i64>,
        now_ms: i64,
    ) {
        self.records += records;
        self.is_apart |= records > 0 && !standing.is_level;
        let age_ms = first_appended_at_ms.map_or(0, |at| now_ms.saturating_sub(at).max(0));
        self.seconds = self.seconds.max(age_ms as u64 / 1_000);
    }

    /// The state of an endpoint that may deliver.
    pub fn state(self) -> EndpointState {
        if self.is_apart || self.seconds >= CAUGHT_UP_WITHIN_S {
            EndpointState::CatchingUp
        } else {
            EndpointState::CaughtUp
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lag, PartitionStanding};
    use crate::status::EndpointState;

    fn standing(is_level: bool) -> PartitionStanding {
        PartitionStanding {
            partition: 0,
            next: 7,
            is_level,
            pending: 0,
            next_due_ms: None,
            skipped: 0,
            failing_since_ms: None,
        }
    }

    fn lag(is_level: bool, records: u64, age_ms: i64) -> Lag {
        let mut lag = Lag::default();
        lag.add(&standing(is_level), records, (records > 0).then_some(100_000 - age_ms), 100_000);
        lag
    }

    #[test]
    fn an_endpoint_that_moves_with_the_tail_is_caught_up_though_records_have_just_come() {
        assert_eq!(lag(true, 3, 900).state(), EndpointState::CaughtUp);
        assert_eq!(lag(false, 0, 0).state(), EndpointState::CaughtUp);
    }

    #[test]
    fn an_endpoint_behind_the_tail_or_with_nobody_to_deliver_is_catching_up_by_records_and_seconds() {
        assert_eq!(lag(false, 3, 0).state(), EndpointState::CatchingUp);
        let stuck = lag(true, 1, 60_000);
        assert_eq!((stuck.state(), stuck.records, stuck.seconds), (EndpointState::CatchingUp, 1, 60));
    }
}
