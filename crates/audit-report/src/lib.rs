//! The reports that auditors ask for, over the archive's query side.
//!
//! A report is a question with a fixed meaning: its [`Definition`] says in plain words what it shows, which columns it
//! has and which controls it serves; [`run`] answers it, and the [`Report`] that comes out carries all that a reader
//! needs to judge it: the SQL that was run, what the configuration calls production or privileged, and a box that says
//! what the sources behind it could and could not tell. Nothing is stored here, and nothing is served: that is
//! `audit-server`.
//!
//! Each report is one file under `reports/`.

mod cell;
mod change;
mod compliance;
mod coverage;
mod decisions;
mod definition;
mod evidence;
mod format;
mod pattern;
mod platform;
mod question;
mod report;
mod reports;
mod rows;
mod run;
mod words;

pub use cell::Cell;
pub use compliance::{Compliance, ComplianceError};
pub use coverage::{Coverage, PartitionCoverage, Silence, SourceCoverage};
pub use decisions::{
    DECISIONS, DECISIONS_MAX, DecisionLine, Decisions, WrongDecisions, WrongLine, read_decisions,
};
pub use definition::{Column, Control, Definition, Framework, Kind, ListWanted, When};
pub use evidence::{KnownSource, ReportError, SqlRun, Surroundings};
pub use format::{Format, FormatError, WriteError, write};
pub use pattern::{InvalidPattern, Pattern};
pub use question::{LIST_BYTES_MAX, Question};
pub use report::{Cut, Report, Total};
pub use reports::{definition, definitions};
pub use rows::{CELL_CHARS_MAX, ROWS_BYTES_MAX, ROWS_MAX};
pub use run::{REPORT_TIME_MAX, run};
