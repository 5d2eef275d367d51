//! Comparing the two sides: by what a reader of each gets.

use std::collections::BTreeMap;

use audit_digest::Sha256;
use bytes::Bytes;

use super::{Reads, STEP};
use crate::message::MessageHash;
use crate::position::Bounds;
use crate::read::ReadError;
use crate::topic::Topic;

/// What a partition holds, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) messages: u64,
    /// Over the offset and the hash of every message, in order.
    pub(super) hash: MessageHash,
}

/// Reads a partition whole; `read` is told how many offsets are behind.
pub(super) async fn sum(
    side: &impl Reads,
    topic: Topic,
    bounds: Bounds,
    read: &mut impl FnMut(u64),
) -> Result<Sum, ReadError> {
    let Bounds { partition, start, end } = bounds;
    let mut hasher = Sha256::new();
    let (mut messages, mut from) = (0, start);
    while from < end {
        let range = side.read(topic, partition, from, STEP).await?;
        if range.next == from {
            return Err(ReadError::Unavailable("it brings nothing".to_owned()));
        }
        for message in range.messages.iter().filter(|message| message.offset < end) {
            hasher.update(message.offset.to_be_bytes());
            hasher.update(message.hash().as_bytes());
            messages += 1;
        }
        from = range.next;
        read(from.min(end) - start);
    }
    Ok(Sum { messages, hash: MessageHash::from_bytes(hasher.finalize()) })
}

/// The last value of every key of a partition of `progress`. What the journal itself puts there, and again at
/// every opening, is left out.
pub(super) async fn documents(
    side: &impl Reads,
    bounds: Bounds,
) -> Result<BTreeMap<Bytes, Bytes>, ReadError> {
    let Bounds { partition, start, end } = bounds;
    let mut live = BTreeMap::new();
    let mut from = start;
    while from < end {
        let range = side.read(Topic::Progress, partition, from, STEP).await?;
        if range.next == from {
            return Err(ReadError::Unavailable("it brings nothing".to_owned()));
        }
        from = range.next;
        for message in range.messages {
            match message.value {
                _ if message.key.starts_with(b"~") => {}
                Some(value) => drop(live.insert(message.key, value)),
                None => drop(live.remove(&message.key)),
            }
        }
    }
    Ok(live)
}
