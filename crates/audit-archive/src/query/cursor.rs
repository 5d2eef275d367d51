//! Where a page ended, as an opaque text that only this crate reads.

use std::fmt;
use std::str::FromStr;

/// Where a page ended. Opaque, printable, safe in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

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

impl FromStr for Cursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
