//! When records happened, coarsely: the first and last event time of every 1,024 records of a partition.
//!
//! Records arrive nearly in the order in which things happen, so a period is a few runs of blocks. A record
//! that tells of something long past widens its block, which costs a look at a thousand rows; it is never
//! missed.

use std::collections::BTreeMap;
use std::ops::Range;

use audit_record::{Period, Timestamp};
use rusqlite::Connection;

/// Records of one block. Part of the file's format.
const BLOCK_ROWS: u64 = 1_024;

/// What a transaction adds to the spans.
#[derive(Debug, Default)]
pub(crate) struct SpanUpdate {
    blocks: BTreeMap<u64, (i64, i64)>,
}

impl SpanUpdate {
    /// The record `seq` happened at `occurred_at`.
    pub(crate) fn add(&mut self, seq: u64, occurred_at: Timestamp) {
        let at = occurred_at.micros();
        let (min, max) = self.blocks.entry(seq / BLOCK_ROWS).or_insert((at, at));
        (*min, *max) = ((*min).min(at), (*max).max(at));
    }

    /// Writes what was added, in the transaction that is open on `conn`.
    pub(crate) fn write(self, conn: &Connection) -> rusqlite::Result<()> {
        let mut upsert = conn.prepare_cached(
            "INSERT INTO span (block, occurred_min_us, occurred_max_us) VALUES (?1, ?2, ?3)
             ON CONFLICT (block) DO UPDATE SET
               occurred_min_us = min(occurred_min_us, excluded.occurred_min_us),
               occurred_max_us = max(occurred_max_us, excluded.occurred_max_us)",
        )?;
        for (block, (min, max)) in self.blocks {
            upsert.execute((block, min, max))?;
        }
        Ok(())
    }
}

/// The runs of numbers within `among` that may hold records of `period`, in rising order.
pub(crate) fn runs(
    conn: &Connection,
    period: Period,
    among: Range<u64>,
) -> rusqlite::Result<Vec<Range<u64>>> {
    if among.is_empty() {
        return Ok(Vec::new());
    }
    if period.from.is_none() && period.to.is_none() {
        return Ok(vec![among]);
    }
    let mut select = conn.prepare_cached(
        "SELECT block FROM span WHERE block BETWEEN ?1 AND ?2 AND occurred_max_us >= ?3 AND occurred_min_us < ?4
         ORDER BY block",
    )?;
    let mut blocks = select.query((
        among.start / BLOCK_ROWS,
        (among.end - 1) / BLOCK_ROWS,
        period.from.map_or(i64::MIN, Timestamp::micros),
        period.to.map_or(i64::MAX, Timestamp::micros),
    ))?;
    let mut runs: Vec<Range<u64>> = Vec::new();
    while let Some(row) = blocks.next()? {
        let block: u64 = row.get(0)?;
        let start = (block * BLOCK_ROWS).max(among.start);
        let end = ((block + 1) * BLOCK_ROWS).min(among.end);
        match runs.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => runs.push(start..end),
        }
    }
    Ok(runs)
}
