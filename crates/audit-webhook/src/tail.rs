//! The newest messages of a partition, shared by all lanes: those that are level read from here, those
//! that come near join here, and early retries find their record here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use audit_journal::{Anchor, Bookmark, Offset};
use tokio::time::Instant;

use crate::entry::Entry;

/// Most messages kept. When it is full, by these or by bytes, the tail waits for its lanes, but never longer than until
/// its oldest message is [`UNSETTLED_MAX`] old: slower lanes fall behind and read for themselves.
const MESSAGES_MAX: usize = 4_096;

/// How long a delivery may keep the watermark back. After that it is written down as pending.
pub(crate) const UNSETTLED_MAX: Duration = Duration::from_millis(400);

/// How long messages are kept beyond the partition's share of the room: a burst is settled by then, or its slower lanes read
/// for themselves, and there is room for the next burst, wherever it comes.
const BURST_KEPT: Duration = Duration::from_secs(2);

/// The tail of one partition.
#[derive(Debug)]
pub(crate) struct Tail {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// Most bytes kept, envelopes included.
    bytes_max: usize,
    /// From here to `next` every message there is stands in `entries`.
    start: Offset,
    next: Offset,
    /// The last message that was dropped, for the anchor.
    dropped: Option<Arc<Entry>>,
    /// Where the partition was taken over.
    origin: Bookmark,
    epoch: u32,
}

impl Tail {
    pub(crate) fn new(origin: Bookmark) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            bytes_max: usize::MAX,
            start: origin.next,
            next: origin.next,
            dropped: None,
            origin,
            epoch: origin.epoch,
        }
    }

    /// The first offset that can be served from here.
    pub(crate) fn start(&self) -> Offset {
        self.start
    }

    /// The first offset not yet seen.
    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    /// Takes a message in.
    pub(crate) fn push(&mut self, entry: Arc<Entry>, epoch: u32) {
        self.next = entry.offset() + 1;
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        self.epoch = epoch;
    }

    /// Everything up to `next` has been seen.
    pub(crate) fn level(&mut self, next: Offset) {
        self.next = self.next.max(next);
    }

    /// Whether nothing more should be taken in just now.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= MESSAGES_MAX || self.bytes >= self.bytes_max
    }

    /// How many bytes it keeps.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets how many bytes it may keep.
    pub(crate) fn set_bytes_max(&mut self, bytes: usize) {
        self.bytes_max = bytes;
    }

    /// The first message at or after `offset`.
    pub(crate) fn from(&self, offset: Offset) -> Option<&Arc<Entry>> {
        self.entries.get(self.entries.partition_point(|entry| entry.offset() < offset))
    }

    /// Every message from `offset` on.
    pub(crate) fn all_from(&self, offset: Offset) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.range(self.entries.partition_point(|entry| entry.offset() < offset)..)
    }

    /// The first offset whose message is younger than [`UNSETTLED_MAX`]: nothing before it may keep the
    /// watermark back.
    pub(crate) fn young_from(&self, now: Instant) -> Offset {
        let young = self.entries.partition_point(|entry| entry.arrived + UNSETTLED_MAX <= now);
        self.entries.get(young).map_or(self.next, |entry| entry.offset())
    }

    /// When the oldest message ceases to be young.
    pub(crate) fn aged_at(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.arrived + UNSETTLED_MAX)
    }

    /// Makes room by dropping messages before `watermark`, the oldest first, as many as must be.
    pub(crate) fn make_room(&mut self, watermark: Offset) {
        while self.is_full() && self.drop_oldest(watermark) {}
    }

    /// Whether it keeps more than its share, though the oldest message has been there for a while.
    pub(crate) fn overstays(&self, share: usize, now: Instant) -> bool {
        self.bytes > share && self.entries.front().is_some_and(|entry| entry.arrived + BURST_KEPT <= now)
    }

    /// Drops messages before `watermark` for as long as it overstays.
    pub(crate) fn give_back(&mut self, share: usize, watermark: Offset, now: Instant) {
        while self.overstays(share, now) && self.drop_oldest(watermark) {}
    }

    /// Drops the oldest message if it lies before `watermark`; whether it did.
    fn drop_oldest(&mut self, watermark: Offset) -> bool {
        if self.entries.front().is_none_or(|entry| entry.offset() >= watermark) {
            return false;
        }
        let Some(entry) = self.entries.pop_front() else { return false };
        self.bytes -= entry.bytes();
        self.start = entry.offset() + 1;
        self.dropped = Some(entry);
        true
    }

    /// A watermark as it is committed: with the message before it, by what it was.
    pub(crate) fn bookmark(&self, watermark: Offset) -> Bookmark {
        let before = self.entries.partition_point(|entry| entry.offset() < watermark);
        let last = before.checked_sub(1).and_then(|index| self.entries.get(index)).or(self.dropped.as_ref());
        let anchor = last.map(|entry| Anchor { offset: entry.offset(), hash: entry.message().hash() });
        Bookmark { next: watermark, anchor: anchor.or(self.origin.anchor), epoch: self.epoch }
    }
}

#[cfg(test)]
mod tests {
    use audit_journal::Message;
    use bytes::Bytes;

    use super::*;

    fn tail(messages: std::ops::Range<Offset>) -> Tail {
        let mut tail = Tail::new(Bookmark { next: messages.start, ..Bookmark::default() });
        for offset in messages {
            let message = Message {
                partition: 0,
                offset,
                appended_at_ms: 0,
                key: Bytes::from(vec![b' '; 100]),
                headers: Vec::new(),
                value: None,
            };
            tail.push(Arc::new(Entry::new(message)), 0);
        }
        tail
    }

    #[test]
    fn what_lies_beyond_the_share_is_given_back_after_a_while_once_it_is_settled() {
        let mut tail = tail(0..10);
        let (first, last) = (tail.entries[0].arrived, tail.entries[9].arrived);
        tail.give_back(300, 10, first);
        assert_eq!(tail.bytes(), 1_000, "it came a moment ago");
        tail.give_back(300, 4, last + BURST_KEPT);
        assert_eq!((tail.bytes(), tail.start()), (600, 4), "the rest is not settled");
        tail.give_back(300, 10, last + BURST_KEPT);
        assert_eq!((tail.bytes(), tail.start()), (300, 7), "the share is its own");
        assert_eq!(tail.bookmark(7).anchor.map(|anchor| anchor.offset), Some(6));
    }
}
