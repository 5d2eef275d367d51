//! Checks exports and segments of the log; a library without Kafka, OpenSSL or tokio.
//!
//! It shares no code with the writer but what a record, a leaf, a tree and a signed note are: it reads what stands on
//! the disk, as an auditor's tool would. What a check can't show is part of its answer ([`Report::asserted`],
//! [`Report::not_covered`]).

use std::io;
use std::path::Path;

mod bag;
mod checksums;
mod evidence;
mod export;
mod manifest;
mod report;
mod segments;
mod trust;

pub use export::{verify_export, verify_export_with};
pub use report::{Finding, FindingKind, Report};
pub use segments::{Cell, NamedCell, RowReader, verify_segments};
pub use trust::{Kept, Trust};

/// Checks what a directory holds: segments of the log ([`verify_segments`], with what reads their rows, where there is one), or
/// an export ([`verify_export_with`]).
pub fn verify_directory(dir: &Path, trust: &Trust, reader: Option<&dyn RowReader>) -> io::Result<Report> {
    if segments::are_in(dir) { verify_segments(dir, trust, reader) } else { verify_export_with(dir, trust) }
}
