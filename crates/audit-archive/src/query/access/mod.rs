//! Who had access: at a moment, and somebody's over time.
//!
//! Intervals are read as [`crate::access`] wrote them, one partition at a time; [`standing`] puts together what several
//! partitions say.

mod acts;
mod at;
mod cursor;
mod history;
mod question;
mod row;
mod standing;

pub use acts::{ACTORS_MAX, Actor};
pub use cursor::AccessCursor;
pub use history::{AccessFinding, AccessHistory, AccessHistoryQuery, FINDINGS_MAX};
pub use question::{ACCESS_PAGE_MAX, AccessFilter, AccessPage, AccessQuery};
pub use row::{AccessRow, AccessStatement, CalledThing, Person};

#[cfg(test)]
mod tests;
