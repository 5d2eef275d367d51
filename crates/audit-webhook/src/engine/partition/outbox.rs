//! What a partition says with its next commit: attempts, and records that tell of them.

use audit_journal::{NewMessage, Topic};

/// Most messages that wait to be committed. At the bound nothing more begins, and no cursor moves, until the log
/// takes commits again.
const MESSAGES_MAX: usize = 16_384;

/// Most bytes of them, likewise: they are one transaction, which on Kafka has seconds to get through. What is in
/// flight when they are reached comes on top.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// How much it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    messages: usize,
    bytes: usize,
}

impl Load {
    pub(super) fn and(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }

    /// Whether no more is to be begun.
    pub(super) fn is_full(self) -> bool {
        self.messages >= MESSAGES_MAX || self.bytes >= BYTES_MAX
    }
}

/// What waits to be collected, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: Vec<(Topic, NewMessage)>,
    load: Load,
}

impl Outbox {
    pub(super) fn push(&mut self, topic: Topic, message: NewMessage) {
        self.load = self.load.and(Load { messages: 1, bytes: message.bytes() });
        self.messages.push((topic, message));
    }

    /// How much waits.
    pub(super) fn load(&self) -> Load {
        self.load
    }

    /// Takes out everything. Never a part of it: a document tells of a delivery as settled, and what tells of that
    /// delivery belongs into the same transaction.
    pub(super) fn take(&mut self) -> (Vec<(Topic, NewMessage)>, Load) {
        let Self { messages, load } = std::mem::take(self);
        (messages, load)
    }
}

#[cfg(test)]
mod tests {
    use audit_journal::{NewMessage, Placement, Topic};
    use bytes::Bytes;

    use super::{BYTES_MAX, Load, MESSAGES_MAX, Outbox};

    fn message(bytes: usize) -> NewMessage {
        NewMessage {
            key: Bytes::new(),
            headers: Vec::new(),
            value: Some(vec![b'x'; bytes].into()),
            placement: Placement::Fixed(0),
        }
    }

    #[test]
    fn few_large_messages_fill_it_as_many_small_ones_do() {
        let (mut small, mut large) = (Outbox::default(), Outbox::default());
        for _ in 1..MESSAGES_MAX {
            small.push(Topic::Deliveries, message(1));
        }
        for _ in 1..8 {
            large.push(Topic::Deliveries, message(BYTES_MAX / 8));
        }
        assert!(!small.load().is_full() && !large.load().is_full());
        small.push(Topic::Deliveries, message(1));
        large.push(Topic::Deliveries, message(BYTES_MAX / 8));
        assert!(small.load().is_full() && large.load().is_full());
    }

    #[test]
    fn what_is_being_committed_counts_until_it_is_committed() {
        let mut outbox = Outbox::default();
        outbox.push(Topic::Deliveries, message(BYTES_MAX / 2));
        let (messages, committing) = outbox.take();
        assert_eq!((messages.len(), outbox.load()), (1, Load::default()));
        outbox.push(Topic::Deliveries, message(BYTES_MAX / 2));
        assert!(!outbox.load().is_full() && outbox.load().and(committing).is_full());
    }
}
