//! Sorted lists of record numbers, read lazily: what a condition says in the file's indexes.
//!
//! Every list answers one question: which is your first number at or beyond this one, in the direction of the
//! walk? Intersecting lists by asking them in turn ([`super::walk`]) visits about as many numbers as the
//! shortest has, without knowing beforehand which one that is.

use std::collections::VecDeque;
use std::ops::Range;

use rusqlite::{Connection, params};

use super::budget::Budget;
use super::page::Order;

/// Numbers fetched at first, and again after each jump beyond what was fetched.
const CHUNK_MIN: usize = 32;

/// The same of full text, which looks up every word anew each time: that costs as much as hundreds of numbers.
const TEXT_CHUNK_MIN: usize = 128;

/// Most numbers fetched at once; it doubles from the least while a list is read without jumps.
const CHUNK_MAX: usize = 1_024;

/// Where a list's numbers come from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// The index on a column of `record`, for one thing.
    Thing(Column, i64),
    /// The words, for one FTS5 expression.
    Text(String),
}

/// The columns of `record` that have an index.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    Project,
    Flag,
    Object,
    Author,
}

impl Column {
    fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Flag => "flag",
            Self::Object => "object",
            Self::Author => "author",
        }
    }
}

/// One list.
#[derive(Debug)]
pub(crate) struct Postings {
    origin: Origin,
    sql: String,
    order: Order,
    /// Numbers outside are none of the list's.
    within: Range<u64>,
    fetched: VecDeque<u64>,
    chunk: usize,
    /// Whether nothing is left beyond what was fetched.
    drained: bool,
}

impl Postings {
    pub(crate) fn new(origin: Origin, order: Order, within: Range<u64>) -> Self {
        let direction = match order {
            Order::Newest => "DESC",
            Order::Oldest => "ASC",
        };
        let sql = match &origin {
            Origin::Thing(column, _) => {
                let column = column.as_str();
                format!(
                    "SELECT seq FROM record INDEXED BY record_{column}
                     WHERE {column} = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq {direction} LIMIT ?4"
                )
            }
            Origin::Text(_) => format!(
                "SELECT rowid FROM text
                 WHERE text MATCH ?1 AND rowid >= ?2 AND rowid < ?3 ORDER BY rowid {direction} LIMIT ?4"
            ),
        };
        let chunk = chunk_min(&origin) / 2;
        Self { origin, sql, order, within, fetched: VecDeque::new(), chunk, drained: false }
    }

    /// The first number at or beyond `at`; `None` where there is none.
    pub(crate) fn seek(
        &mut self,
        conn: &Connection,
        at: u64,
        budget: &mut Budget,
    ) -> rusqlite::Result<Option<u64>> {
        let mut passed = 0;
        while self.fetched.front().is_some_and(|first| self.order.is_before(*first, at)) {
            self.fetched.pop_front();
            passed += 1;
        }
        if self.fetched.is_empty() && !self.drained {
            let jumped = passed > 1;
            self.chunk = if jumped { chunk_min(&self.origin) } else { (self.chunk * 2).min(CHUNK_MAX) };
            self.fetch(conn, at, budget)?;
        }
        Ok(self.fetched.front().copied())
    }

    fn fetch(&mut self, conn: &Connection, at: u64, budget: &mut Budget) -> rusqlite::Result<()> {
        let (from, to) = match self.order {
            Order::Newest => (self.within.start, self.within.end.min(at.saturating_add(1))),
            Order::Oldest => (self.within.start.max(at), self.within.end),
        };
        let mut statement = conn.prepare_cached(&self.sql)?;
        let mut rows = match &self.origin {
            Origin::Thing(_, thing) => statement.query(params![thing, from, to, self.chunk])?,
            Origin::Text(expression) => statement.query(params![expression, from, to, self.chunk])?,
        };
        while let Some(row) = rows.next()? {
            self.fetched.push_back(row.get(0)?);
        }
        match self.origin {
            Origin::Thing(..) => budget.fetched_from_index(self.fetched.len()),
            Origin::Text(_) => budget.fetched_from_text(self.fetched.len()),
        }
        self.drained = self.fetched.len() < self.chunk;
        Ok(())
    }
}

fn chunk_min(origin: &Origin) -> usize {
    match origin {
        Origin::Thing(..) => CHUNK_MIN,
        Origin::Text(_) => TEXT_CHUNK_MIN,
    }
}

/// The union of lists.
#[derive(Debug)]
pub(crate) struct Union {
    pub(crate) lists: Vec<Postings>,
    pub(crate) order: Order,
}

impl Union {
    /// The first number at or beyond `at` in any of the lists.
    pub(crate) fn seek(
        &mut self,
        conn: &Connection,
        at: u64,
        budget: &mut Budget,
    ) -> rusqlite::Result<Option<u64>> {
        let mut first = None;
        for list in &mut self.lists {
            let Some(number) = list.seek(conn, at, budget)? else { continue };
            if first.is_none_or(|first| self.order.is_before(number, first)) {
                first = Some(number);
            }
        }
        Ok(first)
    }
}
