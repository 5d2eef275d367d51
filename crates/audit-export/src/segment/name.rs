//! What a segment is called, and where its files lie.

use audit_journal::Partition;
use audit_proof::Cut;
use uuid::Uuid;

/// The places of one segment's files, below the destination's prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) parquet: String,
    pub(super) hashes: String,
    pub(super) manifest: String,
}

impl Places {
    /// Those of the segment that ends with `cut`, of a tree that began in `epoch`.
    pub(super) fn of(deployment: &Uuid, partition: Partition, epoch: u32, cut: &Cut) -> Self {
        let name = format!("p{partition:05}-e{epoch}-n{:010}-s{:012}", cut.number, cut.start.seq);
        let proofs = format!("segments/proofs/{deployment}/p{partition:05}");
        Self {
            parquet: format!("segments/records/deployment={deployment}/date={}/{name}.parquet", cut.date),
            hashes: format!("{proofs}/{name}.hashes"),
            manifest: format!("{proofs}/{name}.json"),
        }
    }
}

/// The epoch in the name of a partition's tree; `None` where it is another log's.
pub(super) fn epoch_of(origin: &str, deployment: &Uuid, partition: Partition) -> Option<u32> {
    let epoch: u32 = origin.rsplit_once('/')?.1.parse().ok()?;
    (audit_proof::origin(deployment, partition, epoch) == origin).then_some(epoch)
}
