//! How far one endpoint is in one partition: the document in `progress`, version 1, key = endpoint id.
//!
//! A missing document, or one of an older incarnation, means *begin at the start vector*, never
//! *settled*. Payloads are never in it: a retry reads the record back from the log.

use audit_journal::Offset;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The version of the document that this release writes, and the highest that it reads.
const DOCUMENT_VERSION: u32 = 1;

/// Why a document can't be used. The partition is not delivered from, for to go on without the document
/// would be to lose what it holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error(
        "it was written by a later release (its version is {0}, this one reads up to {DOCUMENT_VERSION})"
    )]
    Newer(u32),
    #[error("it can't be read: {0}")]
    Unreadable(String),
}

/// The state of one (endpoint, partition).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Document {
    /// The version of this document.
    pub(crate) v: u32,
    /// Which life of the endpoint it tells of.
    pub(crate) incarnation: u64,
    /// The first offset not yet looked at. Absent while the endpoint rides the tail: then it is the
    /// partition's watermark, which is committed in the same transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Offset>,
    /// The last record sent, of ordered endpoints (which this release does not offer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_matched: Option<Offset>,
    /// Deliveries before the cursor that are not settled, by offset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending: Vec<Pending>,
    /// Projects that wait behind a failing record, of ordered endpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) blocked: Vec<Blocked>,
    /// Replays under way (which this release does not offer).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replays: Vec<Replay>,
    /// Since when every attempt has failed, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_failure_at: Option<i64>,
}

/// A delivery that is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// Where its record stands.
    pub(crate) offset: Offset,
    /// How many attempts have failed; 0 while the first is in flight.
    pub(crate) attempt: u32,
    /// When it is to be tried again, at the earliest, milliseconds since 1970.
    pub(crate) due: i64,
}

/// A project that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blocked {
    /// Its routing key.
    pub(crate) key: String,
    /// The first record that waits.
    pub(crate) from: Offset,
}

/// A replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replay {
    /// Which one.
    pub(crate) id: String,
    /// Where it goes on.
    pub(crate) next: Offset,
    /// Where it ends.
    pub(crate) to: Offset,
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl Document {
    /// A document of this incarnation that rides the tail with nothing pending.
    pub(crate) fn level(incarnation: u64) -> Self {
        Self {
            v: DOCUMENT_VERSION,
            incarnation,
            cursor: None,
            last_matched: None,
            pending: Vec::new(),
            blocked: Vec::new(),
            replays: Vec::new(),
            first_failure_at: None,
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        let unreadable = |error: serde_json::Error| DocumentError::Unreadable(error.to_string());
        let Versioned { v } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if v > DOCUMENT_VERSION {
            return Err(DocumentError::Newer(v));
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("a document of numbers and strings").into()
    }
}
