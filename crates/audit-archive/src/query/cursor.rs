//! Where a page ended, as an opaque text that only this crate reads.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use audit_digest::Sha256;
use audit_journal::Partition;
use serde::{Deserialize, Serialize};

use super::page::{Order, Query};
use super::wire;

/// The version of cursors that this release makes and takes.
const VERSION: u32 = 1;

/// What is left to be looked at: a partition, and the first and the end of its numbers.
pub(crate) type Left = Vec<(Partition, Range<u64>)>;

/// Where a page ended. As text it is opaque, printable and safe in a URL. It holds nothing secret and grants
/// nothing: it is only positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Wire);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Wire {
    v: u32,
    /// Which question it belongs to.
    q: String,
    /// What is left of each partition: its number, and the first and the end of the numbers not yet looked at.
    left: Vec<(Partition, u64, u64)>,
}

/// Why a cursor is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not a cursor.
    #[error("the cursor is not one of ours: begin again without it")]
    Malformed,
    /// Made by a later release.
    #[error("the cursor was made by another release: begin again without it")]
    OtherVersion,
    /// Made for another question.
    #[error(
        "the cursor belongs to another query: repeat it with the same filter, period, text and order, or begin again without it"
    )]
    OtherQuery,
}

impl Cursor {
    /// Where a page of `query` ended.
    pub(crate) fn new(query: &Query, left: &[(Partition, Range<u64>)]) -> Self {
        let left = left.iter().map(|(partition, left)| (*partition, left.start, left.end)).collect();
        Self(Wire { v: VERSION, q: question(query), left })
    }

    /// What is left, if the cursor belongs to `query`.
    pub(crate) fn left(&self, query: &Query) -> Result<Left, CursorError> {
        if self.0.q != question(query) {
            return Err(CursorError::OtherQuery);
        }
        Ok(self.0.left.iter().map(|(partition, start, end)| (*partition, *start..*end)).collect())
    }
}

/// Names a question: all of it but limit and cursor.
fn question(query: &Query) -> String {
    let order = match query.order {
        Order::Newest => "newest",
        Order::Oldest => "oldest",
    };
    let period = [query.period.from, query.period.to].map(|edge| edge.map(|edge| edge.micros()));
    let text = serde_json::to_string(&(&query.filter, period, &query.text, order))
        .expect("a filter has string keys only");
    hex::encode(&Sha256::digest(text)[..8])
}

impl FromStr for Cursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let wire: Wire = wire::read(text, VERSION)?;
        // SQLite's numbers are signed.
        if wire.left.iter().any(|(_, start, end)| start > end || i64::try_from(*end).is_err()) {
            return Err(CursorError::Malformed);
        }
        Ok(Self(wire))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        wire::write(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use audit_record::Filter;

    use super::{Cursor, CursorError};
    use crate::query::Query;

    fn of_flag(flag: &str) -> Query {
        Query { filter: Filter { flag: vec![flag.to_owned()], ..Filter::default() }, ..Query::default() }
    }

    #[test]
    fn a_cursor_survives_its_own_text() {
        let query = of_flag("checkout");
        let cursor = Cursor::new(&query, &[(0, 0..17), (11, 4..4)]);
        let read: Cursor = cursor.to_string().parse().expect("our own text");
        assert_eq!(read.left(&query), Ok(vec![(0, 0..17), (11, 4..4)]));
    }

    #[test]
    fn a_cursor_of_another_question_is_refused() {
        let cursor = Cursor::new(&of_flag("checkout"), &[(0, 0..17)]);
        assert_eq!(cursor.left(&of_flag("search")), Err(CursorError::OtherQuery));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        for text in ["", "x", "🎉", "e30", "bnVsbA"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError::Malformed), "{text}");
        }
        let later = URL_SAFE_NO_PAD.encode(r#"{"v":2}"#);
        assert_eq!(later.parse::<Cursor>(), Err(CursorError::OtherVersion));
        let backwards = URL_SAFE_NO_PAD.encode(r#"{"v":1,"q":"","left":[[0,5,4]]}"#);
        assert_eq!(backwards.parse::<Cursor>(), Err(CursorError::Malformed));
    }
}
