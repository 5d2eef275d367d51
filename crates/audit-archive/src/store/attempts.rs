//! Writing delivery attempts as rows, and forgetting them when they are as old as the topic keeps them.
//!
//! An attempt is a JSON object of the webhook consumer's making. The archive keeps its bytes and knows nothing of it but what its
//! indexes are made of (the view `delivery_attempts` takes it apart), and that `excerpt` is what the receiver answered. An answer
//! may repeat what it was sent: of a record whose body was erased none is kept.

use audit_journal::Message;
use rusqlite::{Connection, params};

use crate::schema::ATTEMPTS;

/// Most attempts that are forgotten in one transaction.
const FORGOTTEN_AT_ONCE_MAX: usize = 1_000;

/// Writes the messages, numbered from `first` on, in the transaction that is open on `conn`. Returns how many
/// of them are no JSON; those are kept as they came.
pub(super) fn write(conn: &Connection, first: u64, messages: &[Message]) -> rusqlite::Result<u64> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO attempt (seq, log_offset, appended_at_ms, json, raw)
         VALUES (?1, ?2, ?3,
           CASE WHEN ?4 ->> '$.excerpt' IS NOT NULL AND EXISTS (
             SELECT 1 FROM record
             WHERE id = ?4 ->> '$.record' AND id IS NOT NULL AND duplicate_of IS NULL AND erased_by IS NOT NULL)
           THEN json_remove(?4, '$.excerpt') ELSE ?4 END,
           ?5)",
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

/// Removes what receivers answered from the attempts at the record of this id, whose body is dropped. Of attempts that come
/// later [`write`] sees to it.
pub(super) fn forget_answers(conn: &Connection, id: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE attempt SET json = json_remove(json, '$.excerpt')
         WHERE json ->> '$.record' = ?1 AND json IS NOT NULL AND json ->> '$.excerpt' IS NOT NULL",
    )?
    .execute([id])
    .map(drop)
}

/// Forgets the oldest attempts that the log took before `before_ms`, some at a time, in a transaction of its own; whether more
/// are left. How many were forgotten stands beside the position, so that none can be missing for another reason.
pub(super) fn forget(conn: &mut Connection, before_ms: i64) -> rusqlite::Result<bool> {
    let tx = conn.transaction()?;
    let oldest: Vec<(u64, i64, bool)> = tx
        .prepare_cached("SELECT seq, appended_at_ms, json IS NULL FROM attempt ORDER BY seq LIMIT ?1")?
        .query_map([FORGOTTEN_AT_ONCE_MAX], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let count = oldest.iter().take_while(|(_, at_ms, _)| *at_ms < before_ms).count();
    let old = &oldest[..count];
    let Some((last, ..)) = old.last() else { return Ok(false) };
    let undecodable = old.iter().filter(|(.., is_undecodable)| *is_undecodable).count();
    tx.prepare_cached("DELETE FROM attempt WHERE seq <= ?1")?.execute([last])?;
    tx.prepare_cached(
        "UPDATE position SET duplicates = duplicates + ?1, undecodable = undecodable - ?2 WHERE topic = ?3",
    )?
    .execute(params![count, undecodable, ATTEMPTS])?;
    tx.commit()?;
    Ok(count == FORGOTTEN_AT_ONCE_MAX)
}

#[cfg(test)]
mod tests {
    use audit_journal::{Message, NewMessage, Placement};
    use serde_json::json;

    use super::FORGOTTEN_AT_ONCE_MAX;
    use crate::samples::{file, message, on_log, record, store};

    fn attempt(offset: u64) -> Message {
        let value = match offset {
            3 => "no JSON".to_owned(),
            _ => json!({"v": 1, "endpoint": "e", "record": "r", "outcome": "delivered"}).to_string(),
        };
        let value = Some(value.into());
        on_log(
            offset,
            NewMessage { key: "e".into(), headers: Vec::new(), value, placement: Placement::ByKey },
        )
    }

    #[test]
    fn attempts_are_forgotten_once_they_are_too_old_in_bounded_steps_and_none_else_may_be_missing() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = store(dir.path());
        store.append(&[message(0, &record("r", json!({})))], 0, 1).expect("appended");
        let old = FORGOTTEN_AT_ONCE_MAX as u64 + 200;
        let attempts: Vec<Message> = (0..old + 300).map(attempt).collect();
        store.append_attempts(&attempts, 0, old + 300).expect("appended");
        let before_ms = attempt(old).appended_at_ms;
        assert!(store.forget_attempts(before_ms).expect("a step"), "there are more");
        assert!(!store.forget_attempts(before_ms).expect("a step"));
        assert!(!store.forget_attempts(before_ms).expect("a step that finds nothing"));
        store.append_attempts(&[attempt(old + 300)], 0, old + 301).expect("appended");
        let conn = rusqlite::Connection::open(file(dir.path())).expect("the file");
        let kept: (u64, u64, u64) = conn
            .query_row("SELECT min(seq), max(seq), count(*) FROM attempt", (), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .expect("a row");
        assert_eq!(kept, (old, old + 300, 301));
        let report = crate::check(dir.path()).expect("a report");
        assert!(report.is_sound(), "{report:?}");

        conn.execute("DELETE FROM attempt WHERE seq = ?1", [old]).expect("deleted");
        let report = crate::check(dir.path()).expect("a report");
        let found: Vec<&str> = report.findings.iter().map(|finding| finding.problem.as_str()).collect();
        assert_eq!(found, ["1 of 301 delivery attempts are missing"]);
    }
}
