//! One partition walked in one direction, from match to match.

use std::collections::VecDeque;
use std::ops::Range;

use audit_journal::Partition;
use rusqlite::{Connection, OptionalExtension};

use super::budget::Budget;
use super::conditions::{Conditions, JUDGED_COLUMNS, JUDGED_COUNT};
use super::erased;
use super::page::{Order, Query, Row};
use super::postings::{Origin, Postings, Union};
use crate::spans;

/// Up to this many things, a condition is looked up in its index; with more it is judged row by row.
const LISTS_MAX: usize = 64;

/// Where a walk is.
#[derive(Debug)]
pub(crate) struct Walk {
    partition: Partition,
    order: Order,
    conditions: Conditions,
    /// What is left to be looked at.
    left: Range<u64>,
    /// The runs of numbers that the period allows, in the direction of the walk.
    runs: VecDeque<Range<u64>>,
    lists: Vec<Union>,
    sql: String,
}

/// How a step of a walk ended.
#[derive(Debug)]
pub(crate) enum Step {
    /// At a record that matches. The walk is past it.
    Match(Row),
    /// Nothing more matches.
    End,
    /// The budget is spent; the walk stands where it got to.
    Spent,
}

impl Walk {
    /// Plans a walk over the numbers `left`. `expression` is the text asked for, as FTS5 reads it.
    pub(crate) fn plan(
        conn: &Connection,
        partition: Partition,
        query: &Query,
        expression: Option<&str>,
        order: Order,
        left: Range<u64>,
    ) -> rusqlite::Result<Self> {
        // What retention removed before the file was made has no rows.
        let first: u64 = conn.query_row("SELECT first_seq FROM archive", (), |row| row.get(0))?;
        let left = left.start.max(first).min(left.end)..left.end;
        let conditions = Conditions::resolve(conn, &query.filter, query.period)?;
        let sql = format!(
            "SELECT {JUDGED_COLUMNS}, log_offset, appended_at_ms, json, occurred_at_us, recorded_at_us FROM record
             WHERE seq = ?1 AND duplicate_of IS NULL AND problem IS NULL"
        );
        let mut walk =
            Self { partition, order, conditions, left, runs: VecDeque::new(), lists: Vec::new(), sql };
        if walk.conditions.are_impossible() {
            walk.left = walk.left.start..walk.left.start;
        }
        let mut runs = spans::runs(conn, query.period, walk.left.clone())?;
        if order == Order::Newest {
            runs.reverse();
        }
        walk.runs = runs.into();
        let indexed: bool = conn.query_row("SELECT indexed FROM archive", (), |row| row.get(0))?;
        let list = |origin| Postings::new(origin, order, walk.left.clone());
        if let Some(expression) = expression {
            walk.lists.push(Union { lists: vec![list(Origin::Text(expression.to_owned()))], order });
        }
        for (column, things) in
            walk.conditions.indexed().filter(|(_, things)| indexed && things.len() <= LISTS_MAX)
        {
            let lists = things.iter().map(|thing| list(Origin::Thing(column, *thing))).collect();
            walk.lists.push(Union { lists, order });
        }
        Ok(walk)
    }

    /// What is left to be looked at.
    pub(crate) fn left(&self) -> Range<u64> {
        self.left.clone()
    }

    /// Goes to the next match.
    pub(crate) fn step(&mut self, conn: &Connection, budget: &mut Budget) -> rusqlite::Result<Step> {
        let mut select = conn.prepare_cached(&self.sql)?;
        let mut moved = false;
        while !self.left.is_empty() {
            // Every step moves, however slow the machine is: whoever goes on gets on.
            if moved && budget.is_spent() {
                return Ok(Step::Spent);
            }
            moved = true;
            let at = self.order.first_of(&self.left);
            let candidate = self.candidate(conn, at, budget)?;
            let Some(candidate) = candidate else {
                self.left = self.order.rest_after_all(&self.left);
                return Ok(Step::End);
            };
            if candidate != at {
                self.left = self.order.rest_from(&self.left, candidate);
                continue;
            }
            budget.row();
            let mut found = select
                .query_row([at], |row| {
                    if !self.conditions.admit(row)? {
                        return Ok(None);
                    }
                    Ok(Some(Row {
                        partition: self.partition,
                        seq: at,
                        offset: row.get(JUDGED_COUNT)?,
                        appended_at_ms: row.get(JUDGED_COUNT + 1)?,
                        json: row.get::<_, Option<String>>(JUDGED_COUNT + 2)?.unwrap_or_default(),
                        occurred_at_us: row.get(JUDGED_COUNT + 3)?,
                        recorded_at_us: row.get(JUDGED_COUNT + 4)?,
                        erased: false,
                    }))
                })
                .optional()?
                .flatten();
            self.left = self.order.rest_after(&self.left, at);
            if let Some(row) = &mut found {
                erased::fill_in(conn, row)?;
            }
            if let Some(row) = found {
                return Ok(Step::Match(row));
            }
        }
        Ok(Step::End)
    }

    /// The farthest of the first numbers that the runs and every list have at or beyond `at`: nothing before
    /// it is in all of them. It is `at` itself where all have it.
    fn candidate(
        &mut self,
        conn: &Connection,
        at: u64,
        budget: &mut Budget,
    ) -> rusqlite::Result<Option<u64>> {
        let order = self.order;
        while self.runs.front().is_some_and(|run| order.is_before(order.last_of(run), at)) {
            self.runs.pop_front();
        }
        let Some(run) = self.runs.front() else { return Ok(None) };
        let mut farthest = order.farther(at, order.first_of(run));
        for list in &mut self.lists {
            let Some(number) = list.seek(conn, farthest, budget)? else { return Ok(None) };
            farthest = order.farther(farthest, number);
        }
        Ok(Some(farthest))
    }
}

impl Order {
    /// Whether `a` comes before `b`.
    pub(crate) fn is_before(self, a: u64, b: u64) -> bool {
        match self {
            Self::Newest => a > b,
            Self::Oldest => a < b,
        }
    }

    fn farther(self, a: u64, b: u64) -> u64 {
        if self.is_before(a, b) { b } else { a }
    }

    /// The number that comes first; `range` is not empty.
    fn first_of(self, range: &Range<u64>) -> u64 {
        match self {
            Self::Newest => range.end - 1,
            Self::Oldest => range.start,
        }
    }

    /// The number that comes last; `range` is not empty.
    fn last_of(self, range: &Range<u64>) -> u64 {
        match self {
            Self::Newest => range.start,
            Self::Oldest => range.end - 1,
        }
    }

    fn rest_from(self, range: &Range<u64>, at: u64) -> Range<u64> {
        match self {
            Self::Newest => range.start..at + 1,
            Self::Oldest => at..range.end,
        }
    }

    fn rest_after(self, range: &Range<u64>, at: u64) -> Range<u64> {
        match self {
            Self::Newest => range.start..at,
            Self::Oldest => at + 1..range.end,
        }
    }

    fn rest_after_all(self, range: &Range<u64>) -> Range<u64> {
        match self {
            Self::Newest => range.start..range.start,
            Self::Oldest => range.end..range.end,
        }
    }
}
