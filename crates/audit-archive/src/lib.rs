//! Consumer: rows, position and tree in one SQLite transaction; and the query side that reads them.
//!
//! An archive follows the whole log into a directory with one SQLite file per partition. It is a replica:
//! it owns nothing, deleting it loses nothing, and two of them never need to know of each other. It does
//! not serve anything over the network, and it decides nothing about what a record means: it keeps the
//! bytes that the log brought, and beside them what people search by.
//!
//! [`Archiver`] writes, [`Reader`] reads; they share nothing but the files.

mod access;
mod alarm;
mod archiver;
mod beginning;
mod config;
mod csv_line;
mod decode;
mod erasure;
mod export_file;
mod following;
mod former;
mod layout;
mod maintenance;
mod partition;
mod query;
mod queue;
#[cfg(test)]
mod samples;
mod schema;
mod space;
mod spans;
mod sql;
mod store;
mod text;
mod things;

pub use archiver::{Archiver, ArchiverError};
pub use config::ArchiveConfig;
pub use csv_line::CsvLine;
pub use erasure::{ERASED_ACTION, ErasureOrder, ORDER_RUNS_MAX};
pub use export_file::{EXPORT_COLUMNS_VERSION, ExportFile, ExportFileError};
pub use maintenance::{
    BackupReport, CheckReport, FINDINGS_MAX, Finding, MaintenanceError, backup, check, rebuild,
};
pub use query::{
    ACCESS_FINDINGS_MAX, ACCESS_PAGE_MAX, ACTORS_MAX, AccessCursor, AccessFilter, AccessFinding,
    AccessHistory, AccessHistoryQuery, AccessPage, AccessQuery, AccessRow, AccessStatement, Actor,
    CalledThing, Person,
};
pub use query::{
    ATTEMPTS_PAGE_MAX, AttemptCursor, AttemptPage, AttemptQuery, AttemptRow, Behind, CHECKPOINTS_PAGE_MAX,
    CheckpointRow, Concerned, Cursor, CursorError, EvidenceError, Frontier, FrontierEnd, Inclusion,
    LEAVES_MAX, LeafRow, LogPlace, Named, Order, Over, PAGE_ROWS_MAX, Page, PartitionEnd, PartitionStatus,
    ProgressEnd, ProgressRow, Query, QueryError, Reader, Row, SUBJECTS_MAX, Scan, ScanPosition, SelectedRow,
    Selection, SignedHead, Since, SourceHeard, SqlValue, StableLabel, Statement, Status, Subjects, TreeHead,
    WHOLE_ROWS_MAX,
};
pub use query::{LeftOff, Looked};
pub use sql::{SYSTEM_SQLITE_FILES_MAX, SqlError, attach_script, shell, sql_session};
