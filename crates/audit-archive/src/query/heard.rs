//! What came from each source.

use std::collections::BTreeMap;

use super::page::QueryError;
use super::pool::{File, Session};

/// What came from one source, in all partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceHeard {
    /// Records; one that came again counts once.
    pub records: u64,
    /// When the log took the last message, milliseconds since 1970.
    pub last_appended_at_ms: i64,
}

/// By the source's name.
pub(crate) fn sources(session: &Session<'_>) -> Result<BTreeMap<String, SourceHeard>, QueryError> {
    let mut found: BTreeMap<String, SourceHeard> = BTreeMap::new();
    for file in &session.files {
        for (name, heard) in in_file(file).map_err(|error| file.error(error))? {
            let known = found.entry(name).or_insert(SourceHeard { records: 0, ..heard });
            known.records += heard.records;
            known.last_appended_at_ms = known.last_appended_at_ms.max(heard.last_appended_at_ms);
        }
    }
    Ok(found)
}

fn in_file(file: &File) -> rusqlite::Result<Vec<(String, SourceHeard)>> {
    let mut select = file.conn.prepare_cached(
        "SELECT t.key, h.records, h.last_appended_at_ms FROM heard h JOIN thing t ON t.thing = h.source
         WHERE t.key IS NOT NULL",
    )?;
    let rows = select.query_map((), |row| {
        Ok((row.get(0)?, SourceHeard { records: row.get(1)?, last_appended_at_ms: row.get(2)? }))
    })?;
    rows.collect()
}
