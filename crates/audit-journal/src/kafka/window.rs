//! What one turn of a reader brought of a partition, and what each request that begins inside it gets.

use crate::message::Message;
use crate::position::Offset;
use crate::read::{Range, ReadLimit};

/// Messages of one partition, read together.
pub(super) struct Window {
    pub(super) from: Offset,
    pub(super) messages: Vec<Message>,
    /// Where to go on: past holes at the end of the partition, too.
    pub(super) next: Offset,
    pub(super) end: Offset,
}

impl Window {
    /// Whether an end that the broker tells is an older one: that of a read which had come to the end here, whose news
    /// stood in the queue while more was appended. What lies before `end`, messages or holes, comes after it.
    pub(super) fn is_before_the_end(&self, position: Option<Offset>) -> bool {
        self.messages.is_empty() && position.is_none_or(|at| at <= self.from) && self.from < self.end
    }

    /// What a request gets that begins inside the window.
    pub(super) fn cut(&self, from: Offset, limit: ReadLimit) -> Range {
        let first = self.messages.partition_point(|message| message.offset < from);
        let mut messages = Vec::new();
        let mut bytes = 0;
        let mut next = self.next;
        for message in &self.messages[first..] {
            let size = message.bytes();
            let full = messages.len() >= limit.messages || bytes + size > limit.bytes;
            if full && !messages.is_empty() {
                next = message.offset;
                break;
            }
            bytes += size;
            messages.push(message.clone());
        }
        Range { messages, next, end: self.end.max(next) }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn window(from: Offset, messages: impl IntoIterator<Item = Offset>) -> Window {
        let message = |offset| Message {
            partition: 1,
            offset,
            appended_at_ms: 0,
            key: Bytes::new(),
            headers: Vec::new(),
            value: None,
        };
        let messages: Vec<Message> = messages.into_iter().map(message).collect();
        let next = messages.last().map_or(from, |message| message.offset + 1);
        Window { from, messages, next, end: 9 }
    }

    #[test]
    fn an_end_that_was_told_to_an_earlier_read_does_not_end_one_that_has_more_before_it() {
        assert!(window(5, []).is_before_the_end(Some(5)), "the earlier read ended where this one begins");
        assert!(window(5, []).is_before_the_end(None), "nothing was taken here yet");
        assert!(!window(5, [5]).is_before_the_end(Some(6)), "what was read is an answer");
        assert!(!window(5, []).is_before_the_end(Some(9)), "holes up to the end");
        assert!(!window(9, []).is_before_the_end(Some(9)), "there is no more");
    }
}
