//! Where a message lies, and where a reader goes on.

use serde::{Deserialize, Serialize};

use crate::message::MessageHash;

/// A partition's index.
pub type Partition = u32;

/// A message's place in its partition. Offsets rise but are not dense: Kafka's transactions leave holes.
pub type Offset = u64;

/// Where one message lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The partition.
    pub partition: Partition,
    /// The offset in it.
    pub offset: Offset,
}

/// The message before a bookmark, by what it was: read again on start, so that a log that was
/// re-created, truncated or restored is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Where that message lies.
    pub offset: Offset,
    /// What it was.
    pub hash: MessageHash,
}

/// Where a reader goes on in one partition. Every stored position is one of these, whole.
///
/// The log's epoch is part of it: a bookmark that the log no longer bears out ([`crate::Stop`]) stops its
/// reader while it is of the present epoch. One of an older epoch is moved instead, for that is what
/// [`crate::Journal::new_epoch`] accepted: to the first offset kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bookmark {
    /// The first offset not yet dealt with.
    pub next: Offset,
    /// The last message before it; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Anchor>,
    /// The log's epoch when it was made ([`crate::LogIdentity::epoch`]); 0 in the first.
    #[serde(default)]
    pub epoch: u32,
}

impl Bookmark {
    /// The same, further on: past a hole ([`crate::FollowEvent::Level`]) there is no new anchor.
    #[must_use]
    pub fn advanced_to(self, next: Offset) -> Self {
        Self { next: self.next.max(next), ..self }
    }
}

/// What a partition holds at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The partition.
    pub partition: Partition,
    /// The first offset still kept.
    pub start: Offset,
    /// The offset that comes next: everything below is readable (on Kafka the last stable offset).
    pub end: Offset,
}
