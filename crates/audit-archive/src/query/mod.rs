//! The query side: read-only connections, short transactions, pages by cursor.

mod access;
mod attempts;
mod budget;
mod checkpoints;
mod conditions;
mod cursor;
mod erased;
mod evidence;
mod heard;
mod leaves;
mod named;
mod page;
mod pool;
mod postings;
mod progress;
mod reader;
mod scan;
mod select;
mod since;
mod status;
mod subject;
mod walk;
mod wire;

pub use access::{
    ACCESS_PAGE_MAX, ACTORS_MAX, AccessCursor, AccessFilter, AccessFinding, AccessHistory,
    AccessHistoryQuery, AccessPage, AccessQuery, AccessRow, AccessStatement, Actor, CalledThing,
    FINDINGS_MAX as ACCESS_FINDINGS_MAX, Person,
};
pub use attempts::{ATTEMPTS_PAGE_MAX, AttemptCursor, AttemptPage, AttemptQuery, AttemptRow};
pub use checkpoints::{CHECKPOINTS_PAGE_MAX, CheckpointRow};
pub use cursor::{Cursor, CursorError};
pub use evidence::{EvidenceError, Inclusion, TreeHead};
pub use heard::SourceHeard;
pub use leaves::{LEAVES_MAX, LeafRow};
pub use named::{Named, StableLabel};
pub use page::{Order, PAGE_ROWS_MAX, Page, Query, QueryError, Row};
pub use progress::{Behind, ProgressEnd, ProgressRow};
pub use reader::Reader;
pub use scan::{Scan, ScanPosition};
pub use select::{Frontier, FrontierEnd, Over, SelectedRow, Selection, SqlValue, Statement, WHOLE_ROWS_MAX};
pub use since::{LogPlace, Since};
pub use status::{PartitionEnd, PartitionStatus, SignedHead, Status};
pub use subject::{Concerned, LeftOff, Looked, SUBJECTS_MAX, Subjects};

#[cfg(test)]
mod tests;
