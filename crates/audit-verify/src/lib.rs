//! Checks exports; a library without Kafka, OpenSSL or tokio.
//!
//! It shares no code with the writer but what a record, a leaf, a tree and a signed note are: it reads what stands on
//! the disk, as an auditor's tool would. What a check can't show is part of its answer ([`Report::asserted`],
//! [`Report::not_covered`]).

mod bag;
mod checksums;
mod evidence;
mod export;
mod manifest;
mod report;
mod trust;

pub use export::{verify_export, verify_export_with};
pub use report::{Finding, FindingKind, Report};
pub use trust::{Kept, Trust};
