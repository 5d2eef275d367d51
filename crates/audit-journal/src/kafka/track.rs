//! One followed partition: where it stands, whether its bookmark is borne out by the log, and the batch
//! being gathered. Pure; the threads of `follow` and `owned` feed it.

use crate::follow::{Batch, Stop};
use crate::message::Message;
use crate::position::{Anchor, Bookmark, Bounds, Offset, Partition};

/// Most messages of one batch.
pub(super) const BATCH_MESSAGES_MAX: usize = 1000;

/// Most bytes of one batch, unless its first message is larger.
pub(super) const BATCH_BYTES_MAX: usize = 512 * 1024;

/// What a message did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was gathered, or needed no more than a look.
    Gathered,
    /// It was gathered, and the batch is full.
    Full,
    /// The bookmark is not borne out: the partition goes no further.
    Stop(Stop),
    /// The bookmark is not borne out, but of an older epoch: go on from this offset.
    Restart(Offset),
}

/// One followed partition.
#[derive(Debug)]
pub(super) struct Track {
    partition: Partition,
    epoch: u32,
    /// The bookmark's epoch is the log's: then a difference stops the partition.
    present: bool,
    /// The first offset kept when the track was laid.
    first_kept: Offset,
    /// The first offset not yet gathered.
    next: Offset,
    /// Still to be read again, before anything is delivered.
    anchor: Option<Anchor>,
    messages: Vec<Message>,
    bytes: usize,
    end: Offset,
    /// What was last told as the level.
    level: Option<Offset>,
    stopped: bool,
}

impl Track {
    /// Lays a track from a bookmark over what the partition holds.
    pub(super) fn lay(bookmark: Option<Bookmark>, bounds: Bounds, epoch: u32) -> Result<Self, Stop> {
        let Bounds { partition, start, end } = bounds;
        let fresh = |next: Offset| Self {
            partition,
            epoch,
            present: true,
            first_kept: start,
            next,
            anchor: None,
            messages: Vec::new(),
            bytes: 0,
            end,
            level: None,
            stopped: false,
        };
        let Some(Bookmark { next, anchor, epoch: marked }) = bookmark else { return Ok(fresh(start)) };
        let stop = if next > end {
            Some(Stop::Truncated { partition, end, next })
        } else if next < start {
            Some(Stop::Overtaken { partition, start, next })
        } else {
            None
        };
        match stop {
            Some(stop) if marked >= epoch => return Err(stop),
            Some(_) => return Ok(fresh(start)),
            None => {}
        }
        // An anchor that retention removed can't be read again; what comes after it is still there.
        let anchor = anchor.filter(|anchor| anchor.offset >= start);
        Ok(Self { anchor, present: marked >= epoch, ..fresh(next) })
    }

    /// A partition that goes no further.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.messages.clear();
        self.bytes = 0;
    }

    /// Where the consumer is to read from: the anchor comes first.
    pub(super) fn read_from(&self) -> Offset {
        self.anchor.map_or(self.next, |anchor| anchor.offset)
    }

    /// Where the partition's end was last heard to be.
    pub(super) fn heard_end(&mut self, end: Offset) {
        self.end = self.end.max(end);
    }

    /// Takes the next message that the consumer has of this partition.
    pub(super) fn take(&mut self, message: Message) -> Taken {
        if self.stopped {
            return Taken::Gathered;
        }
        if let Some(anchor) = self.anchor {
            if message.offset < anchor.offset {
                return Taken::Gathered;
            }
            if message.offset == anchor.offset && message.hash() == anchor.hash {
                self.anchor = None;
                return Taken::Gathered;
            }
            return self.replaced(anchor.offset);
        }
        if message.offset < self.next {
            return Taken::Gathered;
        }
        self.next = message.offset + 1;
        self.end = self.end.max(self.next);
        self.bytes += message.bytes();
        self.messages.push(message);
        if self.messages.len() >= BATCH_MESSAGES_MAX || self.bytes >= BATCH_BYTES_MAX {
            Taken::Full
        } else {
            Taken::Gathered
        }
    }

    /// What was gathered.
    pub(super) fn batch(&mut self) -> Option<Batch> {
        if self.messages.is_empty() {
            return None;
        }
        self.bytes = 0;
        let messages = std::mem::take(&mut self.messages);
        Some(Batch { partition: self.partition, messages, end: self.end, epoch: self.epoch })
    }

    /// The consumer is at the end, at `position` (past transaction markers). Where that is news, the
    /// offset up to which everything is delivered once the batch is. An anchor that was not met by now
    /// is not there any more.
    pub(super) fn at_end(&mut self, position: Option<Offset>) -> Result<Option<Offset>, Taken> {
        if self.stopped {
            return Ok(None);
        }
        if let Some(anchor) = self.anchor {
            return Err(self.replaced(anchor.offset));
        }
        self.next = self.next.max(position.unwrap_or(0));
        self.end = self.end.max(self.next);
        if self.level == Some(self.next) {
            return Ok(None);
        }
        self.level = Some(self.next);
        Ok(Some(self.next))
    }

    /// The consumer was told that its offset is out of range: why, by what the partition holds.
    pub(super) fn out_of_range(&mut self, bounds: Bounds) -> Taken {
        let (next, Bounds { partition, start, end }) = (self.read_from(), bounds);
        if next < start {
            // Of an anchor only the reading again is lost.
            if self.anchor.take().is_some() && self.next >= start {
                return Taken::Restart(self.next);
            }
            return self.refuse(Stop::Overtaken { partition, start, next: self.next }, start);
        }
        if next > end {
            return self.refuse(Stop::Truncated { partition, end, next: self.next }, start);
        }
        Taken::Restart(next)
    }

    fn replaced(&mut self, offset: Offset) -> Taken {
        self.refuse(Stop::Replaced { partition: self.partition, offset }, self.first_kept)
    }

    fn refuse(&mut self, stop: Stop, start: Offset) -> Taken {
        self.anchor = None;
        if self.present {
            self.stop();
            return Taken::Stop(stop);
        }
        // Accepted by a new epoch: from the first offset kept.
        self.present = true;
        self.next = start;
        self.level = None;
        Taken::Restart(start)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(offset: Offset, value: &str) -> Message {
        Message {
            partition: 0,
            offset,
            appended_at_ms: 0,
            key: Bytes::from_static(b"k"),
            headers: Vec::new(),
            value: Some(Bytes::from(value.to_owned())),
        }
    }

    fn bounds(start: Offset, end: Offset) -> Bounds {
        Bounds { partition: 0, start, end }
    }

    fn bookmark(next: Offset, anchor: Option<&Message>, epoch: u32) -> Option<Bookmark> {
        let anchor = anchor.map(|m| Anchor { offset: m.offset, hash: m.hash() });
        Some(Bookmark { next, anchor, epoch })
    }

    #[test]
    fn the_anchor_is_read_again_and_not_delivered() {
        let mut track = Track::lay(bookmark(3, Some(&message(2, "b")), 0), bounds(0, 4), 0).unwrap();
        assert_eq!(track.read_from(), 2);
        assert_eq!(track.take(message(2, "b")), Taken::Gathered);
        assert!(track.batch().is_none());
        assert_eq!(track.take(message(3, "c")), Taken::Gathered);
        assert_eq!(track.batch().unwrap().messages[0].offset, 3);
    }

    #[test]
    fn another_message_at_the_anchor_stops_the_partition() {
        let mut track = Track::lay(bookmark(3, Some(&message(2, "b")), 0), bounds(0, 4), 0).unwrap();
        assert_eq!(track.take(message(2, "x")), Taken::Stop(Stop::Replaced { partition: 0, offset: 2 }));
        assert!(track.is_stopped());
        assert_eq!(track.take(message(3, "c")), Taken::Gathered);
        assert!(track.batch().is_none());
    }

    #[test]
    fn an_anchor_that_is_never_met_stops_the_partition_at_the_end() {
        let mut track = Track::lay(bookmark(3, Some(&message(2, "b")), 0), bounds(0, 4), 0).unwrap();
        assert_eq!(track.at_end(Some(4)), Err(Taken::Stop(Stop::Replaced { partition: 0, offset: 2 })));
    }

    #[test]
    fn a_log_that_ends_before_the_bookmark_was_truncated() {
        let stop = Track::lay(bookmark(9, None, 0), bounds(0, 4), 0).unwrap_err();
        assert_eq!(stop, Stop::Truncated { partition: 0, end: 4, next: 9 });
    }

    #[test]
    fn a_log_that_begins_after_the_bookmark_has_overtaken_it() {
        let stop = Track::lay(bookmark(1, None, 0), bounds(3, 4), 0).unwrap_err();
        assert_eq!(stop, Stop::Overtaken { partition: 0, start: 3, next: 1 });
    }

    #[test]
    fn an_anchor_that_retention_removed_is_not_asked_for() {
        let track = Track::lay(bookmark(3, Some(&message(2, "b")), 0), bounds(3, 4), 0).unwrap();
        assert_eq!(track.read_from(), 3);
    }

    #[test]
    fn a_new_epoch_moves_what_it_accepted_to_the_first_offset_kept() {
        let track = Track::lay(bookmark(9, None, 0), bounds(2, 4), 1).unwrap();
        assert_eq!(track.read_from(), 2);
        let mut track = Track::lay(bookmark(4, Some(&message(3, "b")), 0), bounds(2, 5), 1).unwrap();
        assert_eq!(track.take(message(3, "x")), Taken::Restart(2));
        assert_eq!(track.take(message(2, "a")), Taken::Gathered);
        assert_eq!(track.batch().unwrap().epoch, 1);
    }

    #[test]
    fn the_level_is_told_once_and_again_when_markers_move_it() {
        let mut track = Track::lay(None, bounds(0, 1), 0).unwrap();
        assert_eq!(track.take(message(0, "a")), Taken::Gathered);
        assert_eq!(track.at_end(Some(1)), Ok(Some(1)));
        assert_eq!(track.at_end(Some(1)), Ok(None));
        assert_eq!(track.at_end(Some(2)), Ok(Some(2)));
    }

    #[test]
    fn a_batch_is_bounded_in_messages_and_bytes() {
        let mut track = Track::lay(None, bounds(0, 5000), 0).unwrap();
        let full = (0..).find(|offset| track.take(message(*offset, "a")) == Taken::Full);
        assert_eq!(full, Some(BATCH_MESSAGES_MAX as u64 - 1));
        track.batch();
        assert_eq!(track.take(message(3000, &"x".repeat(BATCH_BYTES_MAX))), Taken::Full);
    }

    #[test]
    fn out_of_range_while_running_names_what_happened() {
        let mut track = Track::lay(None, bounds(0, 5), 0).unwrap();
        assert_eq!(track.out_of_range(bounds(0, 5)), Taken::Restart(0));
        let overtaken = Stop::Overtaken { partition: 0, start: 3, next: 0 };
        assert_eq!(track.out_of_range(bounds(3, 5)), Taken::Stop(overtaken));
    }
}
