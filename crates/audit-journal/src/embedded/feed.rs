//! Feeding a follower: one task for each, woken by the writing thread, that reads ahead a bounded number
//! of batches.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::follow::{Batch, FollowEvent, Stop, Wanted};
use crate::position::{Bookmark, Offset, Partition};
use crate::read::{Range, ReadError, ReadLimit};
use crate::resume::resume_at;
use crate::topic::Topic;

/// Events that wait for a follower who does not ask.
pub(crate) const EVENTS_MAX: usize = 16;

/// Most of one batch: with the events that may wait, at most 16 MiB a follower (and one message more).
pub(crate) const BATCH: ReadLimit = ReadLimit { messages: 1000, bytes: 1024 * 1024 };

/// How long a follower waits after a read failed, before it tries again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where a follower is in one partition.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) partition: Partition,
    next: Offset,
    /// Where it was last said to be level with the end.
    level_at: Option<Offset>,
}

impl Cursor {
    pub(crate) fn at(partition: Partition, next: Offset) -> Self {
        Self { partition, next, level_at: None }
    }
}

/// Feeds a follower of a topic, until it is dropped or the log is closed.
pub(crate) async fn feed_whole(
    shared: Arc<Shared>,
    topic: Topic,
    wanted: Wanted,
    events: mpsc::Sender<FollowEvent>,
    stopped: CancellationToken,
) {
    tokio::select! {
        () = stopped.cancelled() => {}
        () = shared.closed.cancelled() => {}
        _ = feed(&shared, topic, &wanted, &events) => {}
    }
}

/// Ends when nobody listens any more.
async fn feed(
    shared: &Arc<Shared>,
    topic: Topic,
    wanted: &Wanted,
    events: &mpsc::Sender<FollowEvent>,
) -> Option<()> {
    let mut commits = shared.commits();
    let mut cursors = Vec::new();
    for table in shared.tables.of(topic) {
        let partition = table.partition;
        if !wanted.has(partition) {
            continue;
        }
        match begin(shared, topic, partition, wanted.bookmark(partition)).await {
            Ok(next) => cursors.push(Cursor::at(partition, next)),
            Err(stop) => events.send(FollowEvent::Stopped(stop)).await.ok()?,
        }
    }
    loop {
        commits.borrow_and_update();
        let mut is_idle = true;
        let mut index = 0;
        while index < cursors.len() {
            let step = step(shared, topic, &mut cursors[index]).await;
            is_idle &= matches!(step, Step::Idle);
            index += 1;
            let event = match step {
                Step::Idle | Step::Unreadable => continue,
                Step::Messages(batch) => FollowEvent::Messages(batch),
                Step::Level { partition, next } => FollowEvent::Level { partition, next },
                Step::Stopped(stop) => {
                    index -= 1;
                    cursors.remove(index);
                    FollowEvent::Stopped(stop)
                }
            };
            events.send(event).await.ok()?;
        }
        if is_idle {
            commits.changed().await.ok()?;
        }
    }
}

/// Where a follower with this bookmark begins. Waits while the file can't be read.
pub(crate) async fn begin(
    shared: &Arc<Shared>,
    topic: Topic,
    partition: Partition,
    bookmark: Option<Bookmark>,
) -> Result<Offset, Stop> {
    loop {
        let reading = Arc::clone(shared);
        let found = shared.readers.read(move |connection| {
            let broken = |e: rusqlite::Error| ReadError::Unavailable(e.to_string());
            let snapshot = connection.unchecked_transaction().map_err(broken)?;
            let table = &reading.tables.of(topic)[partition as usize];
            let bounds = table.bounds(&snapshot).map_err(broken)?;
            let anchor = bookmark.and_then(|bookmark| bookmark.anchor);
            let at_anchor = match anchor {
                Some(anchor) => table.one(&snapshot, anchor.offset).map_err(broken)?,
                None => None,
            };
            Ok((bounds, at_anchor.map(|message| message.hash())))
        });
        match found.await {
            Ok((bounds, at_anchor)) => {
                return match bookmark {
                    Some(bookmark) => resume_at(&bookmark, bounds, at_anchor, shared.epoch),
                    None => Ok(bounds.start),
                };
            }
            Err(error) => wait_after(&error, topic, partition).await,
        }
    }
}

/// What one look at a partition brings.
#[derive(Debug)]
pub(crate) enum Step {
    Messages(Batch),
    Level {
        partition: Partition,
        next: Offset,
    },
    Stopped(Stop),
    /// Nothing to say until the next commit.
    Idle,
    /// Nothing to say for now: to be looked at again at once, the wait was had.
    Unreadable,
}

/// Looks once. Moves the cursor past what it brings.
pub(crate) async fn step(shared: &Arc<Shared>, topic: Topic, cursor: &mut Cursor) -> Step {
    let partition = cursor.partition;
    if cursor.next >= shared.end(topic, partition) {
        if cursor.level_at == Some(cursor.next) {
            return Step::Idle;
        }
        cursor.level_at = Some(cursor.next);
        return Step::Level { partition, next: cursor.next };
    }
    let (reading, from) = (Arc::clone(shared), cursor.next);
    let range = shared
        .readers
        .read(move |connection| reading.tables.of(topic)[partition as usize].read(connection, from, BATCH));
    match range.await {
        Ok(Range { messages, next, end }) => {
            cursor.next = next;
            if messages.is_empty() {
                cursor.level_at = Some(next);
                return Step::Level { partition, next };
            }
            Step::Messages(Batch { partition, messages, end, epoch: shared.epoch })
        }
        Err(ReadError::OutOfRange { from, start, .. }) if from < start => {
            Step::Stopped(Stop::Overtaken { partition, start, next: from })
        }
        Err(ReadError::OutOfRange { from, end, .. }) => {
            Step::Stopped(Stop::Truncated { partition, end, next: from })
        }
        Err(error) => {
            wait_after(&error, topic, partition).await;
            Step::Unreadable
        }
    }
}

async fn wait_after(error: &ReadError, topic: Topic, partition: Partition) {
    tracing::warn!(%error, topic = topic.suffix(), partition, "a follower can't read the log; it tries again");
    tokio::time::sleep(RETRY_AFTER).await;
}
