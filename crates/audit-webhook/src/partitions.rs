//! How the partitions stand that this process delivers from: what an operator is told, beside the trace.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use audit_journal::Partition;

/// The partitions that this process has. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct DeliverStanding {
    stopped: Arc<Mutex<BTreeMap<Partition, Option<String>>>>,
}

impl DeliverStanding {
    /// Each of them, and why it is not delivered from; `None` where it is.
    pub fn partitions(&self) -> BTreeMap<Partition, Option<String>> {
        self.all().clone()
    }

    /// The first that is not delivered from, and why.
    pub fn problem(&self) -> Option<(Partition, String)> {
        self.all().iter().find_map(|(partition, why)| Some((*partition, why.clone()?)))
    }

    /// The partition is this process's, and nothing is known against it.
    pub(crate) fn begin(&self, partition: Partition) {
        self.all().insert(partition, None);
    }

    /// The partition is this process's, and is not delivered from.
    pub(crate) fn stop(&self, partition: Partition, why: String) {
        self.all().insert(partition, Some(why));
    }

    /// The partition is somebody else's.
    pub(crate) fn end(&self, partition: Partition) {
        self.all().remove(&partition);
    }

    /// All are somebody else's.
    pub(crate) fn end_all(&self) {
        self.all().clear();
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Partition, Option<String>>> {
        // The map is whole at every moment, whatever happened to who held it.
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
