//! Where a page of access ended, as an opaque text that only this crate reads.

use std::fmt;
use std::str::FromStr;

use audit_digest::Sha256;
use audit_journal::Partition;
use serde::{Deserialize, Serialize};

use super::question::AccessFilter;
use crate::query::cursor::CursorError;
use crate::query::wire;

/// The version of cursors that this release makes and takes.
const VERSION: u32 = 1;

/// Where a page of access ended. As text it is opaque, printable and safe in a URL; it holds positions, and where it is
/// about one person the role that came last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessCursor {
    v: u32,
    /// Which question it belongs to.
    q: String,
    /// The moment that the question is about.
    pub(super) at_us: i64,
    /// The partition to go on in.
    pub(super) partition: Partition,
    /// What to go on after there; its beginning where absent.
    pub(super) after: Option<After>,
}

/// The last of a partition that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum After {
    /// Among what is filed by time: the area, the place in it, and the edge and number of the interval.
    Place { area: i64, place: usize, edge_us: i64, interval: i64 },
    /// Among what somebody holds.
    Held { holder: i64, scope: i64, role: String },
    /// Among what somebody held.
    Interval { holder: i64, scope: i64, role: String, from_us: i64, interval: i64 },
}

impl AccessCursor {
    pub(super) fn new(q: &str, at_us: i64, partition: Partition, after: Option<After>) -> Self {
        Self { v: VERSION, q: q.to_owned(), at_us, partition, after }
    }

    /// Refuses a cursor of another question.
    pub(super) fn check(&self, q: &str) -> Result<(), CursorError> {
        if self.q == q { Ok(()) } else { Err(CursorError::OtherQuery) }
    }
}

/// Names a question: its kind and filter, not its moment.
pub(super) fn question(kind: &str, filter: &AccessFilter) -> String {
    let text = serde_json::to_string(&(kind, filter)).expect("a filter has string keys only");
    hex::encode(&Sha256::digest(text)[..8])
}

impl FromStr for AccessCursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        wire::read(text, VERSION)
    }
}

impl fmt::Display for AccessCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        wire::write(self, f)
    }
}
