//! What became of an append.

use crate::position::Position;

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Durable, at this position.
    Appended(Position),
    /// Surely not on the log, and never will be. It may be sent again.
    NotAppended(String),
    /// The answer was lost: it may or may not be on the log. Sending it again may double it; the
    /// record's id tells the two apart.
    Unknown(String),
}

/// What became of messages that were appended together or not at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// None is on the log.
    #[error("not appended: {0}")]
    NotAppended(String),
    /// The answer was lost: all are on the log, or none.
    #[error("it is not known whether it was appended: {0}")]
    Unknown(String),
}
