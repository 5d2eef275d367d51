//! Whether the intervals of access are what the events say.

use rusqlite::Connection;

use crate::access::fold_all;

/// The tables that the fold writes, made anew beside the file's: they hide those from it. Only the one index that it reads
/// by is there.
const BESIDE: &str = "
    CREATE TEMP TABLE access_interval (
      interval INTEGER PRIMARY KEY, holder INTEGER, scope INTEGER, role TEXT, area INTEGER, from_us INTEGER,
      from_seq INTEGER, baseline INTEGER, until_us INTEGER, until_seq INTEGER, node INTEGER);
    CREATE INDEX temp.access_held_now ON access_interval (holder, scope, role) WHERE until_us IS NULL;
    CREATE TEMP TABLE access_finding (holder INTEGER, scope INTEGER, at_us INTEGER, seq INTEGER, kind TEXT);";

/// What of both tables is the same in any order of folding.
const INTERVALS: &str = "holder, scope, role, area, from_us, from_seq, baseline, until_us, until_seq, node";
const FINDINGS: &str = "holder, scope, at_us, seq, kind";

/// Folds all events again and compares, at one moment of the file. What is wrong, in words.
pub(super) fn check_access(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let moment = conn.unchecked_transaction()?;
    let mut problems = Vec::new();
    let strays: u64 = moment.query_row(
        "SELECT count(*) FROM access_event e LEFT JOIN record r ON r.seq = e.seq
         WHERE r.occurred_at_us IS NOT e.at_us OR r.duplicate_of IS NOT NULL",
        (),
        |row| row.get(0),
    )?;
    if strays > 0 {
        problems.push(format!("{strays} statements of access are of no such record"));
    }
    moment.execute_batch(BESIDE)?;
    fold_all(&moment)?;
    for (table, columns, what) in [
        ("access_interval", INTERVALS, "intervals of access"),
        ("access_finding", FINDINGS, "findings of access"),
    ] {
        let differ: u64 = moment.query_row(
            &format!(
                "SELECT (SELECT count(*) FROM (SELECT {columns} FROM main.{table} EXCEPT SELECT {columns} FROM temp.{table}))
                   + (SELECT count(*) FROM (SELECT {columns} FROM temp.{table} EXCEPT SELECT {columns} FROM main.{table}))"
            ),
            (),
            |row| row.get(0),
        )?;
        if differ > 0 {
            problems.push(format!("{differ} {what} are not what the records say"));
        }
    }
    // A temporary table goes with the transaction that made it.
    moment.rollback()?;
    Ok(problems)
}
