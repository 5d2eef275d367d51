//! The writers of the partitions that a sealer owns, and what they share.

use std::collections::BTreeMap;
use std::sync::Arc;

use audit_journal::{Journal, Offset, Partition};
use audit_proof::CutName;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::writer::Writer;
use crate::destination::Destination;
use crate::seal::{SealKeys, SealStanding};

/// Segments that are in memory at once, over all partitions: built, and being put. Each takes some hundred megabytes at the most.
const IN_HAND_MAX: usize = 1;

/// Written segments that the sealer has not taken note of yet; a writer waits while there are as many.
const WRITTEN_WAITING_MAX: usize = 64;

/// A segment is at its destination.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) partition: Partition,
    /// That of the assignment under which it was written.
    pub(crate) generation: u64,
    /// Its cut.
    pub(crate) cut: CutName,
    /// Where on `checkpoints` the next cut can be.
    pub(crate) read_from: Offset,
}

/// The writers of the partitions that a sealer owns.
#[derive(Debug)]
pub(crate) struct Writers {
    shared: Arc<Shared>,
    running: BTreeMap<Partition, Running>,
    written: mpsc::Receiver<Written>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) journal: Journal,
    pub(super) keys: SealKeys,
    pub(super) destination: Destination,
    pub(super) in_hand: Semaphore,
    pub(super) written: mpsc::Sender<Written>,
    pub(super) standing: SealStanding,
}

#[derive(Debug)]
struct Running {
    nudge: Arc<Notify>,
    _stop: DropGuard,
}

impl Writers {
    /// Nobody writes yet.
    pub(crate) fn new(
        journal: Journal,
        keys: SealKeys,
        destination: Destination,
        standing: SealStanding,
    ) -> Self {
        let (sender, written) = mpsc::channel(WRITTEN_WAITING_MAX);
        let in_hand = Semaphore::new(IN_HAND_MAX);
        let shared = Arc::new(Shared { journal, keys, destination, in_hand, written: sender, standing });
        Self { shared, running: BTreeMap::new(), written }
    }

    /// Begins with the first cut after `written`, which is looked for from `read_from` on.
    pub(crate) fn begin(
        &mut self,
        partition: Partition,
        generation: u64,
        written: Option<CutName>,
        read_from: Offset,
    ) {
        let (stop, nudge) = (CancellationToken::new(), Arc::new(Notify::new()));
        let writer = Writer {
            shared: Arc::clone(&self.shared),
            partition,
            generation,
            before: written,
            read_from,
            nudge: Arc::clone(&nudge),
            stop: stop.clone(),
        };
        tokio::spawn(writer.run());
        self.running.insert(partition, Running { nudge, _stop: stop.drop_guard() });
    }

    /// There is a new cut.
    pub(crate) fn nudge(&self, partition: Partition) {
        if let Some(running) = self.running.get(&partition) {
            running.nudge.notify_one();
        }
    }

    /// The partition is somebody else's.
    pub(crate) fn end(&mut self, partition: Partition) {
        self.running.remove(&partition);
    }

    /// The next segment that was written. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Option<Written> {
        self.written.recv().await
    }
}
