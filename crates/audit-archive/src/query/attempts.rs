//! Reading delivery attempts: pages of one endpoint's, and its latest for figures.
//!
//! What an attempt says is the webhook consumer's; here it is a row with an endpoint, a record, an outcome and a
//! time.

use std::str::FromStr;

use audit_journal::Partition;
use rusqlite::{Row as SqlRow, params};
use serde::{Deserialize, Serialize};

use super::cursor::CursorError;
use super::page::QueryError;
use super::pool::File;
use super::reader::Reader;
use super::wire;

/// Most attempts of one page.
pub const ATTEMPTS_PAGE_MAX: usize = 500;

/// How many attempts of the endpoint one page looks at, a partition, to find those that were asked for.
const SCANNED_MAX: usize = 20_000;

/// The version of cursors that this release makes and takes.
const CURSOR_VERSION: u32 = 1;

/// Which attempts of one endpoint. Every condition must hold; the latest come first.
#[derive(Clone, Debug, Default)]
pub struct AttemptQuery {
    /// The endpoint's id.
    pub endpoint: String,
    /// Only at this record.
    pub record: Option<String>,
    /// Only with one of these outcomes; all where there is none.
    pub outcomes: Vec<String>,
    /// Only those that the log took at or after this time, milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Only those before this one.
    pub to_ms: Option<i64>,
    /// Rows wanted: clamped to 1..=[`ATTEMPTS_PAGE_MAX`].
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<AttemptCursor>,
}

/// One attempt as archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// The partition of its record.
    pub partition: Partition,
    /// Its number among the partition's attempts.
    pub seq: u64,
    /// When the log took it, milliseconds since 1970.
    pub appended_at_ms: i64,
    /// The attempt, exactly the bytes on the log.
    pub json: String,
}

/// A page of attempts.
#[derive(Clone, Debug)]
pub struct AttemptPage {
    /// The rows, the latest first; perhaps fewer than the limit although more follow.
    pub rows: Vec<AttemptRow>,
    /// Where to go on; absent: nothing more matches.
    pub next: Option<AttemptCursor>,
}

/// Where a page of attempts ended. As text it is opaque, printable and safe in a URL; it is only positions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptCursor {
    v: u32,
    /// The partitions that are left, and the number before which to go on.
    left: Vec<(Partition, u64)>,
}

impl std::fmt::Display for AttemptCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        wire::write(self, f)
    }
}

impl FromStr for AttemptCursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let cursor: Self = wire::read(text, CURSOR_VERSION)?;
        // SQLite's numbers are signed.
        if cursor.left.iter().any(|(_, before)| i64::try_from(*before).is_err()) {
            return Err(CursorError::Malformed);
        }
        Ok(cursor)
    }
}

/// One partition's part of a page.
struct Lane {
    partition: Partition,
    rows: std::vec::IntoIter<AttemptRow>,
    /// Nothing at or after this number is left to be looked at, once `rows` are taken.
    scanned_to: u64,
}

impl Reader {
    /// One page of an endpoint's attempts. What is archived between two pages comes before both and is in neither.
    pub fn attempts(&self, query: &AttemptQuery) -> Result<AttemptPage, QueryError> {
        let limit = query.limit.clamp(1, ATTEMPTS_PAGE_MAX);
        let session = self.pool.session(None)?;
        let mut lanes = Vec::new();
        for file in &session.files {
            let before = match &query.cursor {
                None => i64::MAX as u64,
                Some(cursor) => {
                    match cursor.left.iter().find(|(partition, _)| *partition == file.partition) {
                        Some((_, before)) => *before,
                        None => continue,
                    }
                }
            };
            lanes.push(lane(file, query, before, limit).map_err(|error| file.error(error))?);
        }
        Ok(merge(lanes, limit))
    }

    /// Shows the latest attempts of an endpoint to `each`, the latest first within a partition: those that the log
    /// took since `since_ms`, and at least the very latest; at most `rows_max` a partition. Returns whether that
    /// bound left none out.
    pub fn latest_attempts(
        &self,
        endpoint: &str,
        since_ms: i64,
        rows_max: usize,
        mut each: impl FnMut(AttemptRow),
    ) -> Result<bool, QueryError> {
        let session = self.pool.session(None)?;
        let mut whole = true;
        for file in &session.files {
            let mut read = || -> rusqlite::Result<bool> {
                let mut select = file.conn.prepare_cached(
                    "SELECT seq, appended_at_ms, json FROM attempt
                     WHERE json ->> '$.endpoint' = ?1 AND json IS NOT NULL ORDER BY seq DESC",
                )?;
                let mut rows = select.query([endpoint])?;
                let mut seen = 0;
                while let Some(row) = rows.next()? {
                    let row = attempt_row(file.partition, row)?;
                    if seen > 0 && row.appended_at_ms < since_ms {
                        return Ok(true);
                    }
                    if seen >= rows_max.max(1) {
                        return Ok(false);
                    }
                    seen += 1;
                    each(row);
                }
                Ok(true)
            };
            whole &= read().map_err(|error| file.error(error))?;
        }
        Ok(whole)
    }

    /// The latest attempt of an endpoint at each of these records, where there is one.
    pub fn latest_attempt_at(
        &self,
        endpoint: &str,
        records: &[String],
    ) -> Result<Vec<Option<AttemptRow>>, QueryError> {
        let session = self.pool.session(None)?;
        let mut found: Vec<Option<AttemptRow>> = vec![None; records.len()];
        for file in &session.files {
            let mut read = || -> rusqlite::Result<()> {
                let mut select = file.conn.prepare_cached(
                    "SELECT seq, appended_at_ms, json FROM attempt
                     WHERE json ->> '$.record' = ?1 AND +(json ->> '$.endpoint') = ?2 AND json IS NOT NULL
                     ORDER BY seq DESC LIMIT 1",
                )?;
                for (record, found) in records.iter().zip(&mut found) {
                    let mut rows = select.query(params![record, endpoint])?;
                    let Some(row) = rows.next()? else { continue };
                    let row = attempt_row(file.partition, row)?;
                    if found.as_ref().is_none_or(|before| before.appended_at_ms <= row.appended_at_ms) {
                        *found = Some(row);
                    }
                }
                Ok(())
            };
            read().map_err(|error| file.error(error))?;
        }
        Ok(found)
    }
}

fn attempt_row(partition: Partition, row: &SqlRow<'_>) -> rusqlite::Result<AttemptRow> {
    Ok(AttemptRow { partition, seq: row.get(0)?, appended_at_ms: row.get(1)?, json: row.get(2)? })
}

/// Up to `limit` matches of one partition before the number `before`.
fn lane(file: &File, query: &AttemptQuery, before: u64, limit: usize) -> rusqlite::Result<Lane> {
    // The two questions differ in the index that answers them: a record has few attempts, an endpoint many. The
    // unary plus keeps the other index out.
    let sql = match &query.record {
        Some(_) => {
            "SELECT seq, appended_at_ms, json, json ->> '$.outcome' FROM attempt
             WHERE +(json ->> '$.endpoint') = ?1 AND json ->> '$.record' = ?2 AND json IS NOT NULL AND seq < ?3
             ORDER BY seq DESC"
        }
        None => {
            "SELECT seq, appended_at_ms, json, json ->> '$.outcome' FROM attempt
             WHERE json ->> '$.endpoint' = ?1 AND ?2 IS NULL AND json IS NOT NULL AND seq < ?3 ORDER BY seq DESC"
        }
    };
    let mut select = file.conn.prepare_cached(sql)?;
    let mut rows = select.query(params![query.endpoint, query.record, before])?;
    let mut found = Vec::new();
    let mut scanned = 0;
    let scanned_to = loop {
        let Some(row) = rows.next()? else { break 0 };
        let attempt = attempt_row(file.partition, row)?;
        if query.from_ms.is_some_and(|from| attempt.appended_at_ms < from) {
            break 0;
        }
        let outcome: Option<String> = row.get(3)?;
        let wanted =
            query.outcomes.is_empty() || outcome.is_some_and(|outcome| query.outcomes.contains(&outcome));
        let seq = attempt.seq;
        if wanted && query.to_ms.is_none_or(|to| attempt.appended_at_ms < to) {
            found.push(attempt);
        }
        scanned += 1;
        if found.len() >= limit || scanned >= SCANNED_MAX {
            break seq;
        }
    };
    Ok(Lane { partition: file.partition, rows: found.into_iter(), scanned_to })
}

/// The latest of all lanes, and where each goes on.
fn merge(lanes: Vec<Lane>, limit: usize) -> AttemptPage {
    let mut rows = Vec::new();
    let mut heads: Vec<(Lane, Option<AttemptRow>)> = lanes
        .into_iter()
        .map(|mut lane| {
            let head = lane.rows.next();
            (lane, head)
        })
        .collect();
    while rows.len() < limit {
        // A lane whose rows are used up although it has more would bring later ones next: the page ends there.
        if heads.iter().any(|(lane, head)| head.is_none() && lane.scanned_to > 0) {
            break;
        }
        let latest = heads
            .iter_mut()
            .filter(|(_, head)| head.is_some())
            .max_by_key(|(lane, head)| (head.as_ref().map(|row| row.appended_at_ms), lane.partition));
        let Some((lane, head)) = latest else { break };
        rows.extend(head.take());
        *head = lane.rows.next();
    }
    let left: Vec<(Partition, u64)> = heads
        .into_iter()
        .map(|(lane, head)| (lane.partition, head.map_or(lane.scanned_to, |row| row.seq + 1)))
        .filter(|(_, before)| *before > 0)
        .collect();
    let next = (!left.is_empty()).then_some(AttemptCursor { v: CURSOR_VERSION, left });
    AttemptPage { rows, next }
}

#[cfg(test)]
mod tests {
    use audit_journal::{Message, NewMessage, Placement};
    use serde_json::{Value, json};

    use super::{AttemptQuery, AttemptRow};
    use crate::query::Reader;
    use crate::samples::{on_log, store};

    fn attempt(offset: u64, endpoint: &str, record: &str, outcome: &str) -> Message {
        let value = json!({"v": 1, "endpoint": endpoint, "record": record, "outcome": outcome, "n": offset});
        on_log(
            offset,
            NewMessage {
                key: endpoint.to_owned().into(),
                headers: Vec::new(),
                value: Some(value.to_string().into()),
                placement: Placement::ByKey,
            },
        )
    }

    /// Twenty attempts, of `a` and `b` in turn, at five records; every fourth failed.
    fn archived(dir: &std::path::Path) -> Reader {
        let one = |n: u64| {
            let outcome = if n.is_multiple_of(4) { "retry" } else { "delivered" };
            attempt(n, ["a", "b"][n as usize % 2], &format!("r{}", n % 5), outcome)
        };
        let messages: Vec<Message> = (0..20).map(one).collect();
        store(dir).append_attempts(&messages, 0, 20).expect("appended");
        Reader::open(dir)
    }

    fn numbers(rows: &[AttemptRow]) -> Vec<u64> {
        let number = |row: &AttemptRow| {
            serde_json::from_str::<Value>(&row.json).expect("an attempt")["n"].as_u64().expect("its number")
        };
        rows.iter().map(number).collect()
    }

    #[test]
    fn the_pages_of_an_endpoint_are_its_attempts_the_latest_first_and_each_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let reader = archived(dir.path());
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let query =
                AttemptQuery { endpoint: "a".to_owned(), limit: 3, cursor, ..AttemptQuery::default() };
            let page = reader.attempts(&query).expect("a page");
            found.extend(numbers(&page.rows));
            cursor = page.next.map(|next| next.to_string().parse().expect("our own cursor"));
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, [18, 16, 14, 12, 10, 8, 6, 4, 2, 0]);
    }

    #[test]
    fn attempts_are_found_by_record_outcome_and_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let reader = archived(dir.path());
        let of_a = || AttemptQuery { endpoint: "a".to_owned(), limit: 100, ..AttemptQuery::default() };
        let found = |query: AttemptQuery| numbers(&reader.attempts(&query).expect("a page").rows);
        assert_eq!(found(AttemptQuery { record: Some("r1".to_owned()), ..of_a() }), [16, 6]);
        assert_eq!(found(AttemptQuery { outcomes: vec!["retry".to_owned()], ..of_a() }), [16, 12, 8, 4, 0]);
        let at = |n: u64| Some(on_log(n, attempt_body()).appended_at_ms);
        assert_eq!(found(AttemptQuery { from_ms: at(8), to_ms: at(13), ..of_a() }), [12, 10, 8]);
    }

    fn attempt_body() -> NewMessage {
        NewMessage { key: "a".into(), headers: Vec::new(), value: None, placement: Placement::ByKey }
    }

    #[test]
    fn an_attempt_that_sqlite_can_not_take_apart_is_kept_as_it_came() {
        let dir = tempfile::tempdir().expect("a directory");
        let deep = format!("{{\"endpoint\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
        let broken = NewMessage { value: Some(deep.into()), ..attempt_body() };
        let messages = [on_log(0, broken), attempt(1, "a", "r1", "delivered")];
        store(dir.path()).append_attempts(&messages, 0, 2).expect("appended");
        let query = AttemptQuery { endpoint: "a".to_owned(), limit: 10, ..AttemptQuery::default() };
        let page = Reader::open(dir.path()).attempts(&query).expect("a page");
        assert_eq!(numbers(&page.rows), [1]);
    }

    #[test]
    fn the_latest_attempts_are_those_of_the_window_and_at_least_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let reader = archived(dir.path());
        let latest = |since_ms, rows_max| {
            let mut rows = Vec::new();
            let whole = reader.latest_attempts("b", since_ms, rows_max, |row| rows.push(row)).expect("rows");
            (numbers(&rows), whole)
        };
        assert_eq!(latest(i64::MAX, 100), (vec![19], true));
        assert_eq!(latest(0, 3), (vec![19, 17, 15], false));
        let at_record = reader.latest_attempt_at("b", &["r1".to_owned(), "none".to_owned()]).expect("rows");
        let at_record: Vec<_> = at_record.into_iter().map(|row| row.map(|row| numbers(&[row]))).collect();
        assert_eq!(at_record, [Some(vec![11]), None]);
    }
}
