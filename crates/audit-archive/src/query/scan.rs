//! Reading everything that matches, for exports: in constant memory, partition by partition.

use audit_journal::Partition;

use super::page::{QueryError, Row};

/// Where a scan goes on: the first message not yet looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScanPosition {
    /// The partition.
    pub partition: Partition,
    /// The number in it.
    pub seq: u64,
}

/// The rows that match, in order of (partition, seq). No transaction is held between two rows.
#[derive(Debug)]
pub struct Scan {}

impl Scan {
    /// Where to go on after the row that came last: to be stored by whoever resumes.
    pub fn position(&self) -> ScanPosition {
        todo!()
    }
}

impl Iterator for Scan {
    type Item = Result<Row, QueryError>;
    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
