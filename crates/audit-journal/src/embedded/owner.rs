//! One owner: the task that feeds it, and the one that takes its commits, beside each other.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::feed::{self, Cursor, Step};
use super::group::{Change, Order};
use super::log::MESSAGE_BYTES_MAX;
use super::owning::Claimed;
use super::shared::Shared;
use super::writer::Job;
use crate::owned::{CommitError, CommitRequest, OwnedCommit, OwnedEvent};
use crate::position::{Bookmark, Partition};
use crate::topic::Topic;

/// What a feeding task knows and holds.
pub(crate) struct Feeder {
    pub(crate) id: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) events: mpsc::Sender<OwnedEvent>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) leave: oneshot::Receiver<oneshot::Sender<()>>,
    /// Cancelled when the owner is dropped, or leaves.
    pub(crate) dropped: CancellationToken,
    pub(crate) group: mpsc::Sender<Change>,
}

impl Feeder {
    /// Feeds until the owner is dropped, leaves, or the log is closed; then tells the group.
    pub(crate) async fn run(mut self) {
        let (dropped, closed) = (self.dropped.clone(), self.shared.closed.clone());
        let mut waiting = None;
        tokio::select! {
            biased;
            // An owner that leaves says so; one that is dropped only lets go of it.
            leaving = &mut self.leave => waiting = leaving.ok(),
            () = dropped.cancelled() => {}
            () = closed.cancelled() => {}
            _ = feed(&self.shared, &self.events, &mut self.orders) => {
                // The owner no longer listens, so it is leaving or being dropped; or the log is closing.
                tokio::select! {
                    leaving = &mut self.leave => waiting = leaving.ok(),
                    () = dropped.cancelled() => {}
                    () = closed.cancelled() => {}
                }
            }
        }
        // A group that is gone has released everything by now.
        let _ = self.group.send(Change::Left { id: self.id, waiting }).await;
    }
}

/// Ends when the owner no longer listens or the group is gone.
async fn feed(
    shared: &Arc<Shared>,
    events: &mpsc::Sender<OwnedEvent>,
    orders: &mut mpsc::Receiver<Order>,
) -> Option<()> {
    let mut commits = shared.commits();
    let mut cursors: Vec<Cursor> = Vec::new();
    loop {
        while let Ok(order) = orders.try_recv() {
            obey(order, shared, events, &mut cursors).await?;
        }
        commits.borrow_and_update();
        let mut is_idle = true;
        let mut index = 0;
        while index < cursors.len() {
            let step = feed::step(shared, Topic::Records, &mut cursors[index]).await;
            is_idle &= matches!(step, Step::Idle);
            index += 1;
            let event = match step {
                Step::Idle | Step::Unreadable => continue,
                Step::Messages(batch) => OwnedEvent::Messages(batch),
                Step::Level { partition, next } => OwnedEvent::Level { partition, next },
                Step::Stopped(stop) => {
                    index -= 1;
                    cursors.remove(index);
                    OwnedEvent::Stopped(stop)
                }
            };
            events.send(event).await.ok()?;
        }
        if is_idle {
            tokio::select! {
                order = orders.recv() => obey(order?, shared, events, &mut cursors).await?,
                changed = commits.changed() => changed.ok()?,
            }
        }
    }
}

async fn obey(
    order: Order,
    shared: &Arc<Shared>,
    events: &mpsc::Sender<OwnedEvent>,
    cursors: &mut Vec<Cursor>,
) -> Option<()> {
    match order {
        Order::Assign { partition, claimed } => {
            let event = match feed::begin(shared, Topic::Records, partition, claimed.bookmark).await {
                Ok(next) => {
                    cursors.push(Cursor::at(partition, next));
                    assigned(shared, partition, claimed, next)
                }
                Err(stop) => OwnedEvent::Stopped(stop),
            };
            events.send(event).await.ok()
        }
        Order::Revoke { partition, done } => {
            cursors.retain(|cursor| cursor.partition != partition);
            events.send(OwnedEvent::Revoked { partition, lost: false, done }).await.ok()
        }
    }
}

fn assigned(shared: &Shared, partition: Partition, claimed: Claimed, next: u64) -> OwnedEvent {
    let Claimed { generation, bookmark, documents, clean } = claimed;
    // Where a new epoch moved the reader, the old bookmark says nothing about this log any more.
    let bookmark = bookmark.map(|bookmark| match bookmark.next == next {
        true => bookmark,
        false => Bookmark { next, anchor: None, epoch: shared.epoch },
    });
    let end = shared.end(Topic::Records, partition);
    OwnedEvent::Assigned { partition, generation, bookmark, documents, end, clean }
}

/// Takes commits, one after the other, until every committer is dropped. A committer that outlives its
/// owner is refused by the generation.
pub(crate) async fn take_commits(
    group: String,
    shared: Arc<Shared>,
    mut requests: mpsc::Receiver<CommitRequest>,
) {
    let closed = shared.closed.clone();
    while let Some((commit, answer)) = tokio::select! {
        () = closed.cancelled() => None,
        request = requests.recv() => request,
    } {
        let mut places = commit.messages.iter().map(|(topic, message)| shared.tables.place(*topic, message));
        if let Err(refused) = places.try_for_each(|place| place.map(drop)).and_then(|()| check_sizes(&commit))
        {
            let _ = answer.send(Err(CommitError::NotCommitted(refused)));
            continue;
        }
        let bytes = commit.bytes();
        let job = Job::Commit { group: group.clone(), commit, answer };
        if shared.queue.push(job, bytes).await.is_err() {
            break;
        }
    }
}

/// Refuses a document that no message could hold, as Kafka does: this log may move there.
fn check_sizes(commit: &OwnedCommit) -> Result<(), String> {
    for (key, value) in commit.partitions.iter().flat_map(|state| &state.documents) {
        let bytes = key.len() + value.as_ref().map_or(0, Bytes::len);
        if bytes > MESSAGE_BYTES_MAX {
            let key = String::from_utf8_lossy(key);
            return Err(format!(
                "the document {key:?} has {bytes} bytes; at most {MESSAGE_BYTES_MAX} are taken"
            ));
        }
    }
    Ok(())
}
