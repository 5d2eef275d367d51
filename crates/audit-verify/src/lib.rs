//! Checks exports; a library without Kafka, OpenSSL or tokio.
//!
//! It shares no code with the writer: it reads what stands on the disk, as an auditor's tool would. What a
//! check can't show is part of its answer ([`Report::asserted`]).

mod bag;
mod checksums;
mod export;
mod manifest;
mod report;

pub use export::verify_export;
pub use report::{Finding, FindingKind, Report};
