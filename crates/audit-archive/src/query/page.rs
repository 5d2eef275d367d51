//! What is asked and what is answered.

use audit_journal::{Offset, Partition};
use audit_record::{Filter, Period};

use super::cursor::{Cursor, CursorError};

/// Most rows of one page.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// Which end of the log comes first. Records are ordered by when the log took them, then partition, then
/// place in it; within a partition always by place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Latest first.
    #[default]
    Newest,
    /// Earliest first.
    Oldest,
}

/// What is asked. Every condition must hold.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Which records.
    pub filter: Filter,
    /// When they happened.
    pub period: Period,
    /// Words that must all occur in the record's sentence, names, reason or ticket, in any order, without
    /// regard to case and diacritics. What stands in double quotes must occur side by side.
    pub text: Option<String>,
    /// Which come first.
    pub order: Order,
    /// Rows wanted: clamped to 1..=[`PAGE_ROWS_MAX`].
    pub limit: usize,
    /// Where the last page ended. It must come from the same question (the limit may differ).
    pub cursor: Option<Cursor>,
}

/// One record as archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its partition.
    pub partition: Partition,
    /// Its offset on the log.
    pub offset: Offset,
    /// Its number in the partition, without holes: leaf `seq` is message `seq`.
    pub seq: u64,
    /// When the log took it, milliseconds since 1970.
    pub appended_at_ms: i64,
    /// When it happened, microseconds since 1970.
    pub occurred_at_us: i64,
    /// When it was taken in, microseconds since 1970.
    pub recorded_at_us: i64,
    /// The record, exactly the bytes on the log; of an erased one what its leaf's header and its columns still say, which
    /// is no whole record, with a field `erased` that names the record of the erasure.
    pub json: String,
    /// Whether its body was erased.
    pub erased: bool,
}

/// A page of an answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// The rows, in the order asked for; perhaps fewer than the limit, or none, although more follow.
    pub rows: Vec<Row>,
    /// Where to go on. Absent: nothing more matches among the records that the first page could see.
    pub next: Option<Cursor>,
    /// Whether the page ended because the scan budget was used up. The cursor goes on from there.
    pub partial: bool,
    /// Records that a text query could not see, because full text is not yet built over them.
    pub unsearched: u64,
}

/// Why a question can't be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The cursor is none, or belongs to another question.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// Full text is asked for, but the archive keeps none.
    #[error(
        "this archive keeps no full text: leave out the text, or set archive.full_text = true and run `flagtrail archive rebuild`"
    )]
    NoFullText,
    /// The text holds no word.
    #[error("the text {0:?} holds no letter or digit to search for")]
    EmptyText(String),
    /// The text is longer than a search may be.
    #[error("the text to search for has {bytes} bytes, {max} are allowed")]
    TextTooLong {
        /// What it has.
        bytes: usize,
        /// What it may have.
        max: usize,
    },
    /// Full text does not cover all that is to be read yet.
    #[error("full text is still being built over {missing} records: try again later, or leave out the text")]
    TextTrails {
        /// Records that it does not cover.
        missing: u64,
    },
    /// Reading took longer than a question may.
    #[error("the query takes too long: narrow the period, or name a project or a flag")]
    TooLong,
    /// All readers are busy for too long.
    #[error("too many queries at once: try again")]
    Busy,
    /// There is no archive.
    #[error("there is no archive in {0}: start one with `flagtrail up` or `flagtrail serve --roles archive`")]
    NoArchive(String),
    /// A file was written by a later release.
    #[error(
        "{file} was written by a later release (its version is {found}, this release knows {known}): use that release"
    )]
    Newer {
        /// The file.
        file: String,
        /// What stands there.
        found: i64,
        /// What is known.
        known: i64,
    },
    /// A file can't be read.
    #[error("{file} can't be read: {problem}")]
    Storage {
        /// The file.
        file: String,
        /// What the file system or SQLite says.
        problem: String,
    },
}
