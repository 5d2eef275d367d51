//! What came from each source, counted with the rows, in their transaction.

use std::collections::HashMap;

use rusqlite::{Connection, params};

/// What one transaction adds. As many entries as there are sources among its messages.
#[derive(Debug, Default)]
pub(super) struct HeardUpdate {
    /// By source: records, the first message, and when the log took the last.
    sources: HashMap<i64, (u64, u64, i64)>,
}

impl HeardUpdate {
    /// A message of a source; `is_new` where it is no record that was seen before.
    pub(super) fn add(&mut self, source: i64, seq: u64, appended_at_ms: i64, is_new: bool) {
        let (records, _, last) = self.sources.entry(source).or_insert((0, seq, i64::MIN));
        *records += u64::from(is_new);
        *last = appended_at_ms.max(*last);
    }

    pub(super) fn write(&self, conn: &Connection) -> rusqlite::Result<()> {
        let mut upsert = conn.prepare_cached(
            "INSERT INTO heard (source, records, first_seq, last_appended_at_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (source) DO UPDATE SET records = records + excluded.records,
               last_appended_at_ms = max(last_appended_at_ms, excluded.last_appended_at_ms)",
        )?;
        for (source, (records, first_seq, last)) in &self.sources {
            upsert.execute(params![source, records, first_seq, last])?;
        }
        Ok(())
    }
}
