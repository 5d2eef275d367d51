//! The disk alone.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use crate::sample;

/// Writes a record and waits until the disk has it, `rate` times a second. Returns how long each took, in
/// milliseconds, sorted.
pub(crate) async fn paced_syncs(path: &Path, rate: u32, count: usize) -> Result<Vec<f64>> {
    let mut file = File::create(path)?;
    let record = sample::record(1);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut millis = Vec::with_capacity(count);
    for _ in 0..count {
        ticks.tick().await;
        let began = Instant::now();
        file.write_all(record.canonical())?;
        tokio::task::block_in_place(|| file.sync_data())?;
        millis.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    millis.sort_by(f64::total_cmp);
    Ok(millis)
}
