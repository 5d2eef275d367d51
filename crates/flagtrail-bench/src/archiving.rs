//! The archive as a process of its own that catches up with a topic, and how it is told that an archive is complete.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use audit_archive::{PartitionStatus, Reader, Status};

use crate::product::Product;

/// Pause between two looks at an archive.
const POLL: Duration = Duration::from_millis(20);

/// How often it is told how far one is.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// How long a process may take to catch up.
const DONE_WITHIN: Duration = Duration::from_secs(1_800);

/// What catching up took.
pub(crate) struct Archived {
    /// Records a second, from the start of the process until all is complete.
    pub(crate) rate: f64,
    /// Seconds from the start of the process until the first of them was archived.
    pub(crate) first_row: f64,
    /// The largest resident memory, in MB.
    pub(crate) peak_mb: f64,
}

/// Archives the `records` of a topic, which may go on from what the archive in `into` holds, in a process of its own
/// that lives in `dir`.
pub(crate) async fn archive(
    dir: &Path,
    (brokers, prefix): (&str, &str),
    into: &Path,
    records: usize,
    full_text: bool,
) -> Result<Archived> {
    let settings = format!("[archive]\ndir = {into:?}\nfull_text = {full_text}\n");
    let reader = Reader::open(into);
    let held = messages(&reader.status().unwrap_or_default());
    let began = Instant::now();
    let product =
        Product::start_with(dir, &["serve", "--roles", "archive"], Some((brokers, prefix)), &settings)
            .await?;
    let first_row = complete(&reader, held, records, DONE_WITHIN).await?;
    let archived = Archived {
        rate: records as f64 / began.elapsed().as_secs_f64(),
        first_row: first_row.map_or(0.0, |at| at.duration_since(began).as_secs_f64()),
        peak_mb: product.peak_mb()?,
    };
    product.stop()?;
    Ok(archived)
}

/// Messages that an archive holds.
pub(crate) fn messages(status: &Status) -> usize {
    status.partitions.iter().map(|partition| partition.messages as usize).sum()
}

/// Whether all that an archive holds is signed. The archive knows: it follows the checkpoints, too.
pub(crate) fn is_sealed(status: &Status) -> bool {
    let signed = |partition: &PartitionStatus| partition.signed.as_ref().map_or(0, |head| head.size);
    status.partitions.iter().all(|partition| signed(partition) >= partition.messages)
}

/// Whether indexes stand and words are found over all that an archive holds.
pub(crate) fn is_complete(status: &Status) -> bool {
    status.partitions.iter().all(|p| !p.unindexed && p.text_seq.is_none_or(|seq| seq >= p.end.seq))
}

/// Waits until an archive that held `held` messages has `more`, and is complete. Tells when the first of these was
/// seen.
pub(crate) async fn complete(
    reader: &Reader,
    held: usize,
    more: usize,
    within: Duration,
) -> Result<Option<Instant>> {
    let began = Instant::now();
    let (mut first, mut told) = (None, began);
    loop {
        // Before the first message there is no archive to ask.
        let status = reader.status().unwrap_or_default();
        let now = messages(&status);
        if now > held {
            first.get_or_insert_with(Instant::now);
        }
        if now >= held + more && is_complete(&status) {
            return Ok(first);
        }
        if let Some(why) = status.partitions.iter().find_map(|partition| partition.stopped.as_deref()) {
            bail!("the archive does not go on: {why}");
        }
        let archived = now.saturating_sub(held);
        ensure!(began.elapsed() < within, "{archived} of {more} archived, or not complete, after {within:?}");
        if told.elapsed() > TOLD_EVERY {
            told = Instant::now();
            eprintln!("  {archived} of {more} archived");
        }
        tokio::time::sleep(POLL).await;
    }
}
