//! How the partitions stand that this process seals: what an operator is told, beside the trace.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use audit_journal::Partition;

/// How one partition stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionStanding {
    /// Why it is not sealed; `None` where it is.
    pub not_sealed: Option<String>,
    /// Why it is not cut into segments; `None` where it is, or where segments go nowhere.
    pub not_cut: Option<String>,
    /// Why the next segment is not at its destination, as of the last try; `None` where nothing stood against it.
    pub not_written: Option<String>,
    /// Cuts that stand on the log and whose segments are not known to be written.
    pub waiting: u64,
    /// Segments that were written without their messages ([`crate::SegmentLoss`]), since the process took the partition up.
    pub lost: u64,
}

impl PartitionStanding {
    /// What keeps it from being sealed, cut or written; `None` where nothing does.
    pub fn problem(&self) -> Option<String> {
        let said = |what: &str, why: &Option<String>| why.as_ref().map(|why| format!("{what}: {why}"));
        said("it is not sealed", &self.not_sealed)
            .or_else(|| said("it is not cut into segments", &self.not_cut))
            .or_else(|| said("its next segment is not written", &self.not_written))
    }
}

/// The partitions that this process has, and what witnesses say of any. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SealStanding {
    partitions: Arc<Mutex<BTreeMap<Partition, PartitionStanding>>>,
    /// Whether a witness, by its place among them, has cosigned more of a partition than the log has.
    witnesses: Arc<Mutex<BTreeMap<(Partition, usize), bool>>>,
}

impl SealStanding {
    /// Each of them.
    pub fn partitions(&self) -> BTreeMap<Partition, PartitionStanding> {
        self.all().clone()
    }

    /// For each partition that witnesses are asked about, whoever seals it: whether one of them has cosigned more leaves than
    /// the log has.
    pub fn witnesses_ahead(&self) -> BTreeMap<Partition, bool> {
        let mut ahead: BTreeMap<Partition, bool> = BTreeMap::new();
        for ((partition, _), is_ahead) in locked(&self.witnesses).iter() {
            *ahead.entry(*partition).or_default() |= *is_ahead;
        }
        ahead
    }

    /// Whether a witness has cosigned more leaves of a partition than the log has.
    pub(crate) fn note_witness(&self, partition: Partition, witness: usize, is_ahead: bool) {
        locked(&self.witnesses).insert((partition, witness), is_ahead);
    }

    /// The partition is this process's.
    pub(crate) fn begin(&self, partition: Partition) {
        self.all().insert(partition, PartitionStanding::default());
    }

    /// Takes note of something; of a partition that is somebody else's by now nothing is noted.
    pub(crate) fn note(&self, partition: Partition, change: impl FnOnce(&mut PartitionStanding)) {
        if let Some(standing) = self.all().get_mut(&partition) {
            change(standing);
        }
    }

    /// The partition is somebody else's.
    pub(crate) fn end(&self, partition: Partition) {
        self.all().remove(&partition);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Partition, PartitionStanding>> {
        locked(&self.partitions)
    }
}

fn locked<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
