//! Reading a range beside the tail: retries, catch-up, replay, lists.

use crate::message::Message;
use crate::position::Offset;

/// How much one read may bring. It brings at least one message where there is one.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Most messages.
    pub messages: usize,
    /// Most bytes of keys, headers and values together.
    pub bytes: usize,
}

/// Consecutive messages.
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// In order; none where nothing readable lies between the start and the end.
    pub messages: Vec<Message>,
    /// Where to go on: past holes, too.
    pub next: Offset,
    /// The end of the partition at the time.
    pub end: Offset,
}

/// Why a range can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The start lies outside what is kept.
    #[error("offset {from} is outside what is kept, {start} to {end}")]
    OutOfRange {
        /// Where the read began.
        from: Offset,
        /// The first offset kept.
        start: Offset,
        /// The end.
        end: Offset,
    },
    /// The log can't be reached now.
    #[error("the log can't be read: {0}")]
    Unavailable(String),
}
