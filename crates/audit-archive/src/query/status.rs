//! How far an archive is.

use audit_journal::{Offset, Partition};

/// How far one partition is archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionEnd {
    /// The partition.
    pub partition: Partition,
    /// The first offset not yet archived.
    pub next: Offset,
    /// The number that the next message gets: every message before it is archived.
    pub seq: u64,
}

/// One partition's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// How far it is.
    pub end: PartitionEnd,
    /// Messages archived, duplicates and undecodable ones included.
    pub messages: u64,
    /// Of those, the ones that repeat an id.
    pub duplicates: u64,
    /// Of those, the ones that are no record.
    pub undecodable: u64,
    /// When the log took the last of them, milliseconds since 1970; absent where there is none.
    pub last_appended_at_ms: Option<i64>,
    /// The end of the log as the writer last heard it.
    pub log_end: Offset,
    /// Full text covers every message before this number; absent where none is kept.
    pub text_seq: Option<u64>,
    /// Whether the secondary indexes are still to be built (only in a first catch-up).
    pub unindexed: bool,
    /// Why the writer stopped or paused this partition; absent while it goes on.
    pub stopped: Option<String>,
}

impl PartitionStatus {
    /// Offsets between the archive and the log's end. An upper bound of the messages missing.
    pub fn lag(&self) -> u64 {
        self.log_end.saturating_sub(self.end.next)
    }
}

/// The whole archive's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Every partition, by number.
    pub partitions: Vec<PartitionStatus>,
}
