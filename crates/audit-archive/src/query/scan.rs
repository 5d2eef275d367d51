//! Reading everything that matches, for exports: in constant memory, partition by partition.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use audit_journal::Partition;

use super::budget::Budget;
use super::page::{Order, Query, QueryError, Row};
use super::pool::Pool;
use super::status::PartitionEnd;
use super::walk::{Step, Walk};

/// Most rows read ahead.
const AHEAD_ROWS_MAX: usize = 1_024;

/// Most bytes of rows read ahead (the last row may top it).
const AHEAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where a scan goes on: the first message not yet looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScanPosition {
    /// The partition.
    pub partition: Partition,
    /// The number in it.
    pub seq: u64,
}

/// The rows that match, in order of (partition, seq). No transaction is held between two rows. After an error
/// the same row is tried again.
#[derive(Debug)]
pub struct Scan {
    pool: Arc<Pool>,
    query: Query,
    expression: Option<String>,
    /// What is left to be read from the files.
    left: VecDeque<(Partition, Range<u64>)>,
    ahead: VecDeque<Row>,
    position: ScanPosition,
}

impl Scan {
    pub(crate) fn new(
        pool: Arc<Pool>,
        query: Query,
        expression: Option<String>,
        mut ends: Vec<PartitionEnd>,
        from: Option<ScanPosition>,
    ) -> Self {
        ends.sort_by_key(|end| end.partition);
        let position = from.unwrap_or(ScanPosition { partition: 0, seq: 0 });
        let left = ends
            .into_iter()
            .filter(|end| end.partition >= position.partition)
            .map(|end| {
                let start = if end.partition == position.partition { position.seq } else { 0 };
                (end.partition, start.min(end.seq)..end.seq)
            })
            .collect();
        Self { pool, query, expression, left, ahead: VecDeque::new(), position }
    }

    /// Where to go on after the row that came last: to be stored by whoever resumes.
    pub fn position(&self) -> ScanPosition {
        self.position
    }

    /// The next row, for which the files are looked at in one short session at most: `None` inside where that found
    /// nothing and more may be left. Whoever may be told to stop asks this way: what matches seldom takes many
    /// sessions a row.
    pub fn look_on(&mut self) -> Option<Result<Option<Row>, QueryError>> {
        if self.ahead.is_empty() {
            if self.left.is_empty() {
                return None;
            }
            if let Err(error) = self.read_ahead() {
                return Some(Err(error));
            }
        }
        let row = self.ahead.pop_front();
        if let Some(row) = &row {
            self.position = ScanPosition { partition: row.partition, seq: row.seq + 1 };
        }
        Some(Ok(row))
    }

    /// Reads on in one short session. May find nothing although more is left.
    fn read_ahead(&mut self) -> Result<(), QueryError> {
        let Some((partition, left)) = self.left.front_mut() else { return Ok(()) };
        let session = self.pool.session(Some(*partition))?;
        let Some(file) = session.files.first() else {
            return Err(QueryError::Storage {
                file: format!("partition {partition}"),
                problem: "its file is gone".to_owned(),
            });
        };
        let mut bytes = 0;
        let mut walk_on = || -> rusqlite::Result<Step> {
            let transaction = file.conn.unchecked_transaction()?;
            let mut walk = Walk::plan(
                &transaction,
                *partition,
                &self.query,
                self.expression.as_deref(),
                Order::Oldest,
                left.clone(),
            )?;
            let mut budget = Budget::of_a_page();
            loop {
                match walk.step(&transaction, &mut budget)? {
                    Step::Match(row) => {
                        bytes += row.json.len();
                        *left = walk.left();
                        self.ahead.push_back(row);
                        if self.ahead.len() >= AHEAD_ROWS_MAX || bytes >= AHEAD_BYTES_MAX {
                            return Ok(Step::Spent);
                        }
                    }
                    other => {
                        *left = walk.left();
                        return Ok(other);
                    }
                }
            }
        };
        let step = walk_on().map_err(|error| file.error(error))?;
        drop(session);
        if matches!(step, Step::End) {
            self.left.pop_front();
        }
        Ok(())
    }
}

impl Iterator for Scan {
    type Item = Result<Row, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.look_on()?.transpose() {
                return Some(found);
            }
        }
    }
}
