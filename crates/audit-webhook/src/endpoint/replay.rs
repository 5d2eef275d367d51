//! Replays: deliveries made again, of a period or of single records. An order stands among the endpoint's
//! settings; each partition takes it up once, by its number, and how far it is stands in the partition's
//! document from then on.

use audit_journal::{Offset, Partition, Position};
use serde::{Deserialize, Serialize};

use super::Start;

/// Most replays of one endpoint that are not through. Past it another is refused.
pub(crate) const REPLAYS_MAX: usize = 16;

/// Most runs of offsets in one replay of single records, over all partitions. What lies between two
/// neighbours and was delivered separates runs.
pub(crate) const REPLAY_RUNS_MAX: usize = 10_000;

/// Most runs in all replays of one endpoint that are not through: they stand in its settings, which are one
/// message on the log (about 45 bytes a run, of 4 MiB). Past it another replay is refused.
pub(crate) const REPLAY_RUNS_OF_ALL_MAX: usize = 40_000;

/// A replay as people ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewReplay {
    /// With the first record appended at or after this; the first kept when left out.
    pub from: Option<Start>,
    /// Up to the last record appended before this; up to the present end when left out.
    pub to: Option<Start>,
    /// Only deliveries of that period that were given up and not made since.
    pub only_failed: bool,
}

/// What is to be delivered again, of what was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redrive {
    /// These records, those of them that were given up and not delivered since.
    Records(Vec<Position>),
    /// Everything that was given up and not delivered since, the oldest first, as much as one replay holds.
    All,
}

/// Consecutive offsets: from (inclusive) to (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) from: Offset,
    pub(crate) to: Offset,
}

/// A replay as it stands among the endpoint's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplayOrder {
    /// Rises with every replay of the endpoint: a partition takes up each number once.
    pub(crate) number: u64,
    /// What people and the header `x-flagtrail-replay` call it.
    pub(crate) id: String,
    /// Whether the endpoint's events and filter still decide; not for records that were chosen one by one.
    pub(crate) by_filter: bool,
    /// By partition, in order, disjoint.
    pub(crate) runs: Vec<Vec<Run>>,
    /// The log's epoch that the offsets are of.
    #[serde(default)]
    pub(crate) epoch: u32,
    /// When it was asked for, RFC 3339.
    pub(crate) created_at: String,
}

impl ReplayOrder {
    /// What is to be delivered of one partition.
    pub(crate) fn runs_in(&self, partition: Partition) -> &[Run] {
        self.runs.get(partition as usize).map_or(&[], Vec::as_slice)
    }

    /// How many offsets of one partition it is about, from `next` on.
    pub(crate) fn offsets_from(&self, partition: Partition, next: Offset) -> u64 {
        self.runs_in(partition).iter().map(|run| run.to.saturating_sub(run.from.max(next))).sum()
    }
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    /// Some partition has not yet begun with it or is not through.
    Running,
    /// Everything was delivered or given up.
    Done,
}

/// A replay as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayView {
    /// Which one.
    pub id: String,
    /// When it was asked for, RFC 3339.
    pub created_at: String,
    /// How far it is.
    pub state: ReplayState,
    /// Offsets that it is about, over all partitions.
    pub total: u64,
    /// Those of them that are not yet looked at.
    pub left: u64,
    /// Deliveries of it that wait to be tried again.
    pub pending: u64,
    /// Deliveries of it that arrived.
    pub sent: u64,
    /// Records of it that were not sent, for the endpoint's format has no word for them.
    pub skipped: u64,
    /// Deliveries of it that were given up.
    pub given_up: u64,
    /// By partition.
    pub partitions: Vec<ReplayProgress>,
}

/// How far a replay is in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayProgress {
    /// The partition.
    pub partition: Partition,
    /// Where it goes on.
    pub next: Offset,
    /// Where it ends.
    pub to: Offset,
}
