//! Writing delivery attempts as rows.
//!
//! An attempt is a JSON object of the webhook consumer's making. The archive keeps its bytes and knows
//! nothing of it: the view `delivery_attempts` takes it apart.

use audit_journal::Message;
use rusqlite::{Connection, params};

/// Writes the messages, numbered from `first` on, in the transaction that is open on `conn`. Returns how many
/// of them are no JSON; those are kept as they came.
pub(super) fn write(conn: &Connection, first: u64, messages: &[Message]) -> rusqlite::Result<u64> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO attempt (seq, log_offset, appended_at_ms, json, raw) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut undecodable = 0;
    for (seq, message) in (first..).zip(messages) {
        let value = message.value.as_deref().unwrap_or_default();
        // Read whole, not skipped over: then it is nested no deeper than SQLite reads, and its strings are text.
        // What the indexes can't take apart is refused by SQLite, and that would stop the partition.
        let json = std::str::from_utf8(value)
            .ok()
            .filter(|text| serde_json::from_str::<serde_json::Value>(text).is_ok());
        let raw = if json.is_none() { Some(value) } else { None };
        undecodable += u64::from(json.is_none());
        insert.execute(params![seq, message.offset, message.appended_at_ms, json, raw])?;
    }
    Ok(undecodable)
}
