//! What readers took off a partition beyond what was asked. A fetch brings more than one read wants, and a reader that
//! goes on to another partition would have to fetch and unpack the rest again.
//!
//! Not a cache: what is given out is gone. What reaches the end of the log as it then was is not kept, so who is given
//! something from here always has more to ask for, and hears of the end from the broker.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::message::Message;
use crate::position::{Offset, Partition};
use crate::read::{Range, ReadLimit};
use crate::topic::Topic;

/// Most bytes kept of one partition: about what one fetch unpacks to beyond a read.
pub(super) const PARTITION_BYTES_MAX: usize = 1536 * 1024;

/// Most bytes kept of all partitions.
const BYTES_MAX: usize = 6 * 1024 * 1024;

/// How long something is kept that nobody asks for.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// Consecutive messages of one partition.
#[derive(Debug)]
struct Kept {
    topic: Topic,
    partition: Partition,
    /// What a read must begin at to be given these.
    from: Offset,
    messages: VecDeque<Message>,
    /// Where to go on after the last.
    next: Offset,
    /// The end of the partition when they were read; beyond `next`.
    end: Offset,
    bytes: usize,
    read_at: Instant,
}

/// What is at hand, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    kept: VecDeque<Kept>,
    bytes: usize,
}

impl Ahead {
    /// Keeps what was read of a partition from `from` to `next`, in place of what was kept of it before. `end` is the
    /// partition's end as it was known then: messages that reach it are left out.
    pub(super) fn keep(
        &mut self,
        (topic, partition): (Topic, Partition),
        (from, mut next): (Offset, Offset),
        end: Offset,
        mut messages: VecDeque<Message>,
    ) {
        self.forget(topic, partition);
        while next >= end
            && let Some(last) = messages.pop_back()
        {
            next = last.offset;
        }
        if messages.is_empty() {
            return;
        }
        let bytes = messages.iter().map(Message::bytes).sum();
        self.bytes += bytes;
        let read_at = Instant::now();
        self.kept.push_back(Kept { topic, partition, from, messages, next, end, bytes, read_at });
        while self.bytes > BYTES_MAX {
            self.drop_oldest();
        }
    }

    /// What is at hand for a read that begins at `from`.
    pub(super) fn take(
        &mut self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Option<Range> {
        self.drop_stale();
        let at = self.kept.iter().position(|kept| (kept.topic, kept.partition) == (topic, partition))?;
        let mut kept = self.kept.remove(at)?;
        self.bytes -= kept.bytes;
        if kept.from != from {
            return None;
        }
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while let Some(message) = kept.messages.front() {
            let size = message.bytes();
            if !messages.is_empty() && (messages.len() >= limit.messages || bytes + size > limit.bytes) {
                break;
            }
            bytes += size;
            messages.extend(kept.messages.pop_front());
        }
        let range_end = kept.end;
        let next = kept.messages.front().map_or(kept.next, |message| message.offset);
        if !kept.messages.is_empty() {
            kept.bytes -= bytes;
            kept.from = next;
            self.bytes += kept.bytes;
            self.kept.push_back(kept);
        }
        Some(Range { messages, next, end: range_end })
    }

    /// Keeps nothing of a partition any more.
    pub(super) fn forget(&mut self, topic: Topic, partition: Partition) {
        self.kept.retain(|kept| {
            let stays = (kept.topic, kept.partition) != (topic, partition);
            if !stays {
                self.bytes -= kept.bytes;
            }
            stays
        });
    }

    /// Drops what nobody asked for in time.
    pub(super) fn drop_stale(&mut self) {
        self.kept.retain(|kept| {
            let stays = kept.read_at.elapsed() < KEPT_FOR;
            if !stays {
                self.bytes -= kept.bytes;
            }
            stays
        });
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.bytes -= oldest.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;

    use super::{Ahead, BYTES_MAX};
    use crate::message::Message;
    use crate::read::ReadLimit;
    use crate::topic::Topic;

    const LIMIT: ReadLimit = ReadLimit { messages: 3, bytes: 1_000_000 };

    fn messages(offsets: impl IntoIterator<Item = u64>, bytes: usize) -> VecDeque<Message> {
        let message = |offset| Message {
            partition: 1,
            offset,
            appended_at_ms: 0,
            key: Bytes::new(),
            headers: Vec::new(),
            value: Some(Bytes::from(vec![b' '; bytes])),
        };
        offsets.into_iter().map(message).collect()
    }

    #[test]
    fn reads_that_follow_each_other_are_given_all_of_it_once_and_in_order() {
        let mut ahead = Ahead::default();
        ahead.keep((Topic::Records, 1), (5, 16), 99, messages([5, 6, 8, 9, 15], 10));
        let first = ahead.take(Topic::Records, 1, 5, LIMIT).expect("at hand");
        assert_eq!(first.messages.iter().map(|m| m.offset).collect::<Vec<_>>(), [5, 6, 8]);
        assert_eq!((first.next, first.end), (9, 99));
        let second = ahead.take(Topic::Records, 1, 9, LIMIT).expect("at hand");
        assert_eq!(second.messages.iter().map(|m| m.offset).collect::<Vec<_>>(), [9, 15]);
        assert_eq!((second.next, second.end), (16, 99));
        assert!(ahead.take(Topic::Records, 1, 16, LIMIT).is_none());
        assert_eq!((ahead.bytes, ahead.kept.len()), (0, 0));
    }

    #[test]
    fn who_asks_for_another_place_is_given_nothing_and_what_was_kept_goes() {
        let mut ahead = Ahead::default();
        ahead.keep((Topic::Records, 1), (5, 8), 99, messages(5..8, 10));
        assert!(ahead.take(Topic::Records, 0, 5, LIMIT).is_none(), "another partition");
        assert!(ahead.take(Topic::Rejected, 1, 5, LIMIT).is_none(), "another topic");
        assert!(ahead.take(Topic::Records, 1, 6, LIMIT).is_none(), "another place");
        assert!(ahead.take(Topic::Records, 1, 5, LIMIT).is_none(), "gone");
        assert_eq!(ahead.bytes, 0);
    }

    #[test]
    fn what_reaches_the_end_is_not_kept_for_the_end_may_have_moved_and_what_lies_before_it_is() {
        let mut ahead = Ahead::default();
        ahead.keep((Topic::Records, 1), (5, 8), 8, messages(5..8, 10));
        let range = ahead.take(Topic::Records, 1, 5, LIMIT).expect("at hand");
        assert_eq!(range.messages.iter().map(|m| m.offset).collect::<Vec<_>>(), [5, 6]);
        assert_eq!((range.next, range.end), (7, 8), "there is more to ask for");
        // More was appended since the end was asked for.
        ahead.keep((Topic::Records, 1), (5, 12), 8, messages(5..12, 10));
        let range = ahead.take(Topic::Records, 1, 5, LIMIT).expect("at hand");
        assert_eq!((range.messages.len(), range.next), (2, 7));
        ahead.keep((Topic::Records, 1), (7, 8), 8, messages(7..8, 10));
        assert!(ahead.take(Topic::Records, 1, 7, LIMIT).is_none(), "nothing lies before it");
        assert_eq!((ahead.bytes, ahead.kept.len()), (0, 0));
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
        let mut ahead = Ahead::default();
        for partition in 0..7 {
            ahead.keep((Topic::Records, partition), (0, 1), 9, messages([0], BYTES_MAX / 6));
        }
        assert!(ahead.bytes <= BYTES_MAX);
        assert!(ahead.take(Topic::Records, 0, 0, LIMIT).is_none(), "the oldest");
        assert!(ahead.take(Topic::Records, 6, 0, LIMIT).is_some());
    }
}
