//! The six topics of a deployment. On Kafka their names follow the configured prefix; in the embedded
//! file they are rows of one table.

use std::time::Duration;

/// How long delivery attempts and rejected requests are kept, on the log and wherever they are archived: 400 days.
pub const DETAIL_KEPT: Duration = Duration::from_secs(400 * 24 * 3600);

/// A topic. `schemas/asyncapi.yaml` describes the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// The audit log: N partitions, kept for ever unless the operator sets a retention.
    Records,
    /// Settings as events: one partition, kept for ever, not compacted.
    Control,
    /// The owned consumers' state: compacted, N partitions, same index as the records.
    Progress,
    /// One message per delivery attempt: N partitions, same index as the records, 400 days.
    Deliveries,
    /// What could not become a record: one partition, 400 days.
    Rejected,
    /// Signed tree heads: N partitions, same index as the records, kept.
    Checkpoints,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 6] =
        [Self::Records, Self::Control, Self::Progress, Self::Deliveries, Self::Rejected, Self::Checkpoints];

    /// The name without the prefix.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Control => "control",
            Self::Progress => "progress",
            Self::Deliveries => "deliveries",
            Self::Rejected => "rejected",
            Self::Checkpoints => "checkpoints",
        }
    }

    /// Whether the topic has a single partition whatever the log's partition count is.
    pub fn is_single_partition(self) -> bool {
        matches!(self, Self::Control | Self::Rejected)
    }
}
