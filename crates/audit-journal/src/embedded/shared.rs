//! What the writing thread, the followers and the callers share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::log::{PartitionState, Tables};
use super::writer::Job;
use crate::position::{Offset, Partition};
use crate::sqlite::queue::Queue;
use crate::sqlite::readers::Readers;
use crate::topic::Topic;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) tables: Tables,
    pub(crate) epoch: u32,
    pub(crate) queue: Queue<Job>,
    pub(crate) readers: Readers,
    /// Cancelled when the log is closed: every follower ends.
    pub(crate) closed: CancellationToken,
    /// The end of every partition after the last commit, in the order of the tables.
    ends: Vec<AtomicU64>,
    /// Rises with every commit: what followers at the end wait for.
    commits: watch::Sender<u64>,
    is_writable: AtomicBool,
}

impl Shared {
    pub(crate) fn new(tables: Tables, epoch: u32, readers: Readers, states: &[PartitionState]) -> Self {
        Self {
            tables,
            epoch,
            queue: Queue::new(),
            readers,
            closed: CancellationToken::new(),
            ends: states.iter().map(|state| AtomicU64::new(state.next)).collect(),
            commits: watch::Sender::new(0),
            is_writable: AtomicBool::new(true),
        }
    }

    /// Makes a commit known. Everything below these ends is readable by now.
    pub(crate) fn publish(&self, states: &[PartitionState]) {
        for (end, state) in self.ends.iter().zip(states) {
            end.store(state.next, Ordering::Release);
        }
        self.commits.send_modify(|commits| *commits += 1);
    }

    /// The end of a partition as of the last commit.
    pub(crate) fn end(&self, topic: Topic, partition: Partition) -> Offset {
        self.ends[self.tables.index(topic, partition)].load(Ordering::Acquire)
    }

    /// Wakes with every commit.
    pub(crate) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.is_writable.load(Ordering::Relaxed)
    }

    /// A transaction failed. Said once, until it is mended.
    pub(crate) fn set_broken(&self, error: &rusqlite::Error) {
        if self.is_writable.swap(false, Ordering::Relaxed) {
            tracing::error!(%error, "the embedded log can't be written; appends are refused until it can");
        }
    }

    pub(crate) fn set_mended(&self) {
        if !self.is_writable.swap(true, Ordering::Relaxed) {
            tracing::info!("the embedded log can be written again");
        }
    }
}
