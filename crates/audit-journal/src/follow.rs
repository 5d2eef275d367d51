//! Following a topic beside its owners: every partition or some, the position kept by the sink.

use std::collections::BTreeSet;

use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

use crate::message::Message;
use crate::position::{Anchor, Bookmark, Offset, Partition};

/// Consecutive messages of one partition.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The partition.
    pub partition: Partition,
    /// At least one message, in order.
    pub messages: Vec<Message>,
    /// The end of the partition as last heard, for lag.
    pub end: Offset,
    /// The log's epoch. Higher than the bookmark's where a new epoch moved the reader.
    pub epoch: u32,
}

impl Batch {
    /// Where to go on after the batch.
    pub fn bookmark(&self) -> Option<Bookmark> {
        let last = self.messages.last()?;
        Some(Bookmark {
            next: last.offset + 1,
            anchor: Some(Anchor { offset: last.offset, hash: last.hash() }),
            epoch: self.epoch,
        })
    }
}

/// Why a partition can't be followed any further. Only `flagtrail log new-epoch` leads on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Another message stands where the anchor was.
    #[error(
        "partition {partition}: the message at offset {offset} is not the one that was read before: the topic was re-created or restored; `flagtrail log new-epoch` accepts the new log"
    )]
    Replaced {
        /// The partition.
        partition: Partition,
        /// Where.
        offset: Offset,
    },
    /// The log ends before the bookmark.
    #[error(
        "partition {partition}: the log ends at offset {end}, but {next} was reached before: the topic was truncated or re-created; `flagtrail log new-epoch` accepts the new log"
    )]
    Truncated {
        /// The partition.
        partition: Partition,
        /// Where the log ends.
        end: Offset,
        /// Where the reader was.
        next: Offset,
    },
    /// Retention removed what was not yet read.
    #[error(
        "partition {partition}: offsets {next} to {start} were removed by retention before they were read; `flagtrail log new-epoch` accepts the gap"
    )]
    Overtaken {
        /// The partition.
        partition: Partition,
        /// The first offset kept.
        start: Offset,
        /// Where the reader was.
        next: Offset,
    },
}

/// What following brings.
#[derive(Debug)]
pub enum FollowEvent {
    /// Messages, in order within their partition.
    Messages(Batch),
    /// Everything up to `next` was delivered. Sent on reaching the end and, while idle, when the end
    /// moves without messages (transaction markers), so that a stored position can pass it.
    Level {
        /// The partition.
        partition: Partition,
        /// Where to go on; the anchor does not change.
        next: Offset,
    },
    /// This partition goes no further; the others do.
    Stopped(Stop),
}

/// What a follower brings of a topic.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// These partitions alone; absent: all.
    pub(crate) only: Option<BTreeSet<Partition>>,
    /// Where it goes on; a partition that is not named begins at its first message.
    pub(crate) from: Vec<(Partition, Bookmark)>,
}

impl Wanted {
    /// Whether the partition is followed.
    pub(crate) fn has(&self, partition: Partition) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&partition))
    }

    /// Where the partition's reader stands.
    pub(crate) fn bookmark(&self, partition: Partition) -> Option<Bookmark> {
        self.from.iter().find(|(named, _)| *named == partition).map(|(_, bookmark)| *bookmark)
    }
}

/// A running follower. Dropping it stops it.
#[derive(Debug)]
pub struct Follow {
    pub(crate) events: mpsc::Receiver<FollowEvent>,
    /// Stops the feeding thread; held by us, watched by it.
    pub(crate) _stop: DropGuard,
}

impl Follow {
    /// The next event; `None` after the journal was closed. A follower that is not asked waits: at most a
    /// bounded number of batches is read ahead. Safe to cancel.
    pub async fn next(&mut self) -> Option<FollowEvent> {
        self.events.recv().await
    }
}
