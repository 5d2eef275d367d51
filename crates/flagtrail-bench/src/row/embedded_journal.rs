//! 64 writers, each waiting until its append is fsynced, against SQLite with one transaction a row.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use audit_journal::{AppendOutcome, EmbeddedConfig, Journal, JournalConfig};

use crate::Scale;
use crate::figure::Figure;
use crate::raw::sqlite::one_transaction_a_row;
use crate::sample;

/// Writers.
const WRITERS: usize = 64;

/// How long it writes.
const MILLIS: usize = 10_000;

/// What must be reached, appends a second.
const BAR: f64 = 30_000.0;

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let time = Duration::from_millis(scale.of(MILLIS) as u64);
    let config = EmbeddedConfig { path: dir.path().join("journal.sqlite"), partitions: 4 };
    let journal = Journal::open(JournalConfig::Embedded(config)).await?;
    let began = Instant::now();
    let writers = (0..WRITERS).map(|writer| {
        let journal = journal.clone();
        tokio::spawn(async move {
            let record = sample::record(writer);
            let mut appended = 0usize;
            while began.elapsed() < time {
                let outcome = journal.append_records(std::slice::from_ref(&record)).await;
                ensure!(matches!(outcome[..], [AppendOutcome::Appended(_)]), "{outcome:?}");
                appended += 1;
            }
            Ok(appended)
        })
    });
    let mut appended = 0;
    for writer in writers.collect::<Vec<_>>() {
        appended += writer.await??;
    }
    let rate = appended as f64 / began.elapsed().as_secs_f64();
    journal.close().await;
    let raw = one_transaction_a_row(&dir.path().join("raw.sqlite"), time.min(Duration::from_secs(3)))?;
    let mut figure = Figure::rate(
        "embedded journal, 64 writers, each append fsynced",
        rate,
        "appends/s",
        (raw, "SQLite, one row a transaction, FULL"),
        1.0,
        "≥ 30,000/s",
    );
    figure.met = Some(rate >= BAR);
    Ok(vec![figure])
}
