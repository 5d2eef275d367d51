//! The moving end of the log, shared by all event streams: one follower a process, whatever their number.
//!
//! It only says that something came. Each stream reads what it wants by itself, so a slow one holds up nobody
//! and nothing is kept for it.

use std::sync::{Mutex, PoisonError};

use audit_journal::{Bookmark, Bounds, FollowEvent, Journal, Partition, ReadError, Topic};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The shared follower; it runs while somebody listens.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    ticks: Mutex<Option<watch::Sender<u64>>>,
}

impl Tail {
    /// Ticks whenever the log has grown since `bounds` were read. The sender side ends on shutdown.
    pub(crate) fn listen(
        &self,
        journal: &Journal,
        bounds: &[Bounds],
        shutdown: &CancellationToken,
    ) -> watch::Receiver<u64> {
        let mut ticks = self.ticks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = ticks.as_ref().filter(|sender| !sender.is_closed()) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(0);
        *ticks = Some(sender.clone());
        let epoch = journal.identity().epoch;
        let from = bounds.iter().map(|bounds| (bounds.partition, at_end(bounds, epoch))).collect();
        tokio::spawn(follow(journal.clone(), from, sender, shutdown.clone()));
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
    shutdown: CancellationToken,
) {
    let mut follow = journal.follow(Topic::Records, from).await;
    loop {
        let event = tokio::select! {
            event = follow.next() => event,
            () = ticks.closed() => return,
            () = shutdown.cancelled() => return,
        };
        match event {
            Some(FollowEvent::Messages(_)) => ticks.send_modify(|tick| *tick += 1),
            Some(FollowEvent::Level { .. }) => {}
            Some(FollowEvent::Stopped(stop)) => {
                tracing::warn!(%stop, "event streams miss a partition from here on");
            }
            None => return,
        }
    }
}

/// The present ends of the log.
pub(crate) async fn ends(journal: &Journal) -> Result<Vec<Bounds>, ReadError> {
    journal.bounds(Topic::Records).await
}
