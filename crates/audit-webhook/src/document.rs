//! How far one endpoint is in one partition: the document in `progress`, version 2, key = endpoint id.
//! Version 1, which lacks the fields that have a default, is read as well.
//!
//! A missing document, or one of an older incarnation, means *begin at the start vector*, never
//! *settled*. Payloads are never in it: a retry reads the record back from the log.

use audit_journal::Offset;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The version of the document that this release writes, and the highest that it reads.
const DOCUMENT_VERSION: u32 = 2;

/// Why a document can't be used. The partition is not delivered from, for to go on without the document
/// would be to lose what it holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error(
        "it was written by a later release (its version is {0}, this one reads up to {DOCUMENT_VERSION}): use that release here, or stop this process, so that one of that release takes the partition"
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
    /// The log's epoch that its offsets are of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) epoch: u32,
    /// The first offset not yet looked at. Absent while the endpoint rides the tail: then it is the
    /// partition's watermark, which is committed in the same transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Offset>,
    /// The last record settled of each of the projects that were last heard of, of ordered endpoints: what the
    /// next one names as its predecessor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) last: Vec<Last>,
    /// Deliveries before the cursor that are not settled, by offset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending: Vec<Pending>,
    /// Projects that wait behind a record that is not settled, of ordered endpoints. Everything of such a
    /// project from there to the cursor is not settled either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) blocked: Vec<Blocked>,
    /// Replays under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) replays: Vec<Replay>,
    /// What came of replays that are through, while their orders stand among the settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) through: Vec<Through>,
    /// The number of the last replay that was taken up: each is taken up once.
    #[serde(default, skip_serializing_if = "is_zero_u64")]
    pub(crate) replayed: u64,
    /// How often a record was skipped that the endpoint's format has no word for, in replays too. What lies past the
    /// watermark comes again after a crash, and counts again.
    #[serde(default, skip_serializing_if = "is_zero_u64")]
    pub(crate) skipped: u64,
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
    /// Where its first record that is not settled stands, or is to be looked for.
    pub(crate) from: Offset,
    /// Whether it stands there, among the pending.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) pending: bool,
}

/// The last record of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Last {
    /// Its routing key.
    pub(crate) key: String,
    /// Where the record stands.
    pub(crate) offset: Offset,
}

/// A replay: a cursor of its own, with what before it is not settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replay {
    /// Which one: the number of its order.
    pub(crate) number: u64,
    /// Where it goes on.
    pub(crate) next: Offset,
    /// Where it ends.
    pub(crate) to: Offset,
    /// Deliveries before that which are not settled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending: Vec<Pending>,
    /// Projects that wait, as in the document itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) blocked: Vec<Blocked>,
    /// What came of those that are settled.
    #[serde(default, skip_serializing_if = "Tally::is_empty")]
    pub(crate) tally: Tally,
}

/// A replay that is through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Through {
    /// Which one: the number of its order.
    pub(crate) number: u64,
    /// What came of its deliveries.
    pub(crate) tally: Tally,
}

/// What came of deliveries. Each counts once, with the commit that settles it: if that is lost, so is the count, and
/// the delivery is made and counted again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tally {
    /// They arrived.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub(crate) sent: u64,
    /// The endpoint's format has no word for their records.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub(crate) skipped: u64,
    /// Every attempt failed.
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub(crate) given_up: u64,
}

impl Tally {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero_u64(number: &u64) -> bool {
    *number == 0
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
            epoch: 0,
            cursor: None,
            last: Vec::new(),
            pending: Vec::new(),
            blocked: Vec::new(),
            replays: Vec::new(),
            through: Vec::new(),
            replayed: 0,
            skipped: 0,
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

#[cfg(test)]
mod tests {
    use super::{Document, DocumentError};

    #[test]
    fn a_document_of_a_later_release_is_refused_with_what_to_do() {
        let error = Document::read(br#"{"v":99,"what_is_this":true}"#).expect_err("of a later release");
        assert_eq!(error, DocumentError::Newer(99));
        assert!(error.to_string().contains("use that release here, or stop this process"), "{error}");
    }
}
