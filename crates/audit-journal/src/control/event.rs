//! One event of `control`, as it stands on the log, and the fold's rule.

use audit_record::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::message::{Message, NewMessage, Placement};

/// The version of the event document that this release writes, and the highest that it reads.
pub(crate) const CONTROL_VERSION: u32 = 1;

/// One change of one setting. It takes effect when `base_version` is the entity's version at its place in
/// the log; otherwise somebody was earlier, and it changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ControlEvent {
    /// The version of this document.
    pub(crate) v: u32,
    /// Made up by the writer, who knows its own event by it.
    pub(crate) event: Uuid,
    /// What is changed: `endpoint`, `source`, `log`, …
    pub(crate) kind: String,
    /// Which one.
    pub(crate) id: String,
    /// The version that the writer saw; 0 to create.
    pub(crate) base_version: u64,
    /// The new document; null deletes.
    pub(crate) value: Option<Value>,
    /// When the writer wrote it, RFC 3339; for people.
    pub(crate) at: String,
}

/// Why an event can't be read. Whoever meets one goes no further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EventError {
    #[error(
        "the settings event at offset {offset} was written by a later release (its version is {found}, this release reads up to {CONTROL_VERSION}): use that release"
    )]
    Newer { offset: u64, found: u32 },
    #[error("the message at offset {offset} of the control topic is not a settings event: {reason}")]
    Unreadable { offset: u64, reason: String },
}

/// Enough of any event to tell its version: what a later release adds must not hinder that.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl ControlEvent {
    /// A new event, written now.
    pub(crate) fn new(kind: &str, id: &str, base_version: u64, value: Option<Value>) -> Self {
        let at = Timestamp::try_new(chrono::Utc::now()).map(|now| now.to_string()).unwrap_or_default();
        let (kind, id) = (kind.to_owned(), id.to_owned());
        Self { v: CONTROL_VERSION, event: Uuid::now_v7(), kind, id, base_version, value, at }
    }

    /// The event as a message: its key is `kind/id`.
    pub(crate) fn message(&self) -> NewMessage {
        let value = serde_json::to_vec(self).expect("an event has string keys only");
        NewMessage {
            key: Bytes::from(format!("{}/{}", self.kind, self.id)),
            headers: vec![("content-type".into(), Bytes::from_static(b"application/json"))],
            value: Some(Bytes::from(value)),
            placement: Placement::Fixed(0),
        }
    }

    /// Reads a message of `control`.
    pub(crate) fn read(message: &Message) -> Result<Self, EventError> {
        let offset = message.offset;
        let unreadable = |reason: String| EventError::Unreadable { offset, reason };
        let value = message.value.as_ref().ok_or_else(|| unreadable("it has no value".to_owned()))?;
        let versioned: Versioned = serde_json::from_slice(value).map_err(|e| unreadable(e.to_string()))?;
        if versioned.v > CONTROL_VERSION {
            return Err(EventError::Newer { offset, found: versioned.v });
        }
        serde_json::from_slice(value).map_err(|e| unreadable(e.to_string()))
    }
}
