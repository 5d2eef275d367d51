//! The moving end of the log, shared by all event streams: one follower a process, whatever their number.
//!
//! It only says that something came. Each stream reads what it wants by itself, so a slow one holds up nobody
//! and nothing is kept for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use audit_journal::{Bookmark, Bounds, FollowEvent, Journal, Partition, ReadError, Topic};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The shared follower; it runs while somebody listens.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    ticks: Ticks,
}

/// What the follower ticks with: here as long as it runs, and taken away by itself when it ends, so that nobody listens to
/// one that is gone.
#[derive(Clone, Debug, Default)]
struct Ticks(Arc<Mutex<Option<watch::Sender<u64>>>>);

impl Ticks {
    fn lock(&self) -> MutexGuard<'_, Option<watch::Sender<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the follower's sender away if nobody listens to it; whether it was. Somebody may have come since it was seen.
    fn end_unheard(&self, sender: &watch::Sender<u64>) -> bool {
        let mut held = self.lock();
        let is_unheard = sender.is_closed();
        if is_unheard {
            *held = None;
        }
        is_unheard
    }
}

impl Tail {
    /// Ticks whenever the log has grown since `bounds` were read. The sender side ends on shutdown, and with the journal.
    pub(crate) fn listen(
        &self,
        journal: &Journal,
        bounds: &[Bounds],
        shutdown: &CancellationToken,
    ) -> watch::Receiver<u64> {
        let mut ticks = self.ticks.lock();
        if let Some(sender) = ticks.as_ref() {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(0);
        *ticks = Some(sender.clone());
        let epoch = journal.identity().epoch;
        let from = bounds.iter().map(|bounds| (bounds.partition, at_end(bounds, epoch))).collect();
        tokio::spawn(follow(journal.clone(), from, sender, self.ticks.clone(), shutdown.clone()));
        receiver
    }
}

/// A bookmark without an anchor: this reader keeps no position, so there is nothing to compare.
fn at_end(bounds: &Bounds, epoch: u32) -> Bookmark {
    Bookmark { next: bounds.end, epoch, anchor: None }
}

async fn follow(
    journal: Journal,
    from: Vec<(Partition, Bookmark)>,
    ticks: watch::Sender<u64>,
    shared: Ticks,
    shutdown: CancellationToken,
) {
    let mut follow = journal.follow(Topic::Records, from).await;
    loop {
        let event = tokio::select! {
            event = follow.next() => event,
            () = ticks.closed() => {
                if shared.end_unheard(&ticks) {
                    return;
                }
                continue;
            }
            () = shutdown.cancelled() => None,
        };
        match event {
            Some(FollowEvent::Messages(_)) => ticks.send_modify(|tick| *tick += 1),
            Some(FollowEvent::Level { .. }) => {}
            Some(FollowEvent::Stopped(stop)) => {
                tracing::warn!(%stop, "event streams miss a partition from here on");
            }
            None => {
                *shared.lock() = None;
                return;
            }
        }
    }
}

/// The present ends of the log.
pub(crate) async fn ends(journal: &Journal) -> Result<Vec<Bounds>, ReadError> {
    journal.bounds(Topic::Records).await
}
