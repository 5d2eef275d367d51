//! SQLite alone.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use rusqlite::{Connection, params};

use crate::sample;

/// Rows a second with one transaction a row, WAL, `synchronous=FULL`.
pub(crate) fn one_transaction_a_row(path: &Path, time: Duration) -> Result<f64> {
    let connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE row (id INTEGER PRIMARY KEY, value BLOB) STRICT;")?;
    let record = sample::record(1);
    let mut insert = connection.prepare("INSERT INTO row (value) VALUES (?1)")?;
    let began = Instant::now();
    let mut rows = 0u32;
    while began.elapsed() < time {
        insert.execute(params![record.canonical()])?;
        rows += 1;
    }
    Ok(f64::from(rows) / began.elapsed().as_secs_f64())
}
