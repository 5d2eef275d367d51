//! Kafka to SQLite archive with its minimum index set, complete at the end, against a bare loop without any.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use audit_archive::Reader;
use flagtrail_testkit::kafka::{self, Cluster};

use crate::Scale;
use crate::figure::Figure;
use crate::product::Product;
use crate::raw;
use crate::topic;

/// Records.
const RECORDS: usize = 1_000_000;

/// Pause between two looks at the archive.
const POLL: Duration = Duration::from_millis(20);

/// How long the archive may take in all.
const DONE_WITHIN: Duration = Duration::from_secs(600);

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let records = scale.of(RECORDS);
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let (brokers, prefix) = (cluster.bootstrap(), kafka::unique("bench"));
    topic::fill(&brokers, &prefix, 0..records).await?;
    let root = tempfile::tempdir()?;
    let log = (brokers.as_str(), prefix.as_str());
    let least = archive(&root.path().join("least"), log, records, "full_text = false").await?;
    let all = archive(&root.path().join("all"), log, records, "full_text = true").await?;
    let topic = format!("{prefix}.records");
    let raw = tokio::task::spawn_blocking(move || {
        raw::kafka::consume_and_insert(&brokers, &topic, records, root.path())
    })
    .await??;
    let loop_without_index = (raw, "consume, parse, hash, insert, no index");
    Ok(vec![
        Figure::rate(
            "Kafka → archive, minimum index set complete",
            least.rate,
            "records/s",
            loop_without_index,
            0.6,
            "≥ 0.6",
        ),
        Figure::rate(
            "Kafka → archive, full text complete too",
            all.rate,
            "records/s",
            loop_without_index,
            0.35,
            "≥ 0.35 with everything",
        ),
        Figure::plain("… first row after", all.first_row, "s", "< 2 s", Some(all.first_row < 2.0)),
        Figure::plain("… resident at most", all.peak_mb, "MB", "≤ 250 MB", Some(all.peak_mb <= 250.0)),
    ])
}

/// What one archive took.
struct Archived {
    /// Records a second, from the start of the process until all is complete.
    rate: f64,
    /// Seconds from the start of the process.
    first_row: f64,
    peak_mb: f64,
}

/// Archives the whole topic in a process of its own.
async fn archive(
    dir: &Path,
    (brokers, prefix): (&str, &str),
    records: usize,
    settings: &str,
) -> Result<Archived> {
    let settings = format!("[archive]\n{settings}\n");
    let began = Instant::now();
    let product =
        Product::start_with(dir, &["serve", "--roles", "archive"], Some((brokers, prefix)), &settings)
            .await?;
    let reader = Reader::open(product.data.join("archive"));
    let mut first_row = None;
    loop {
        let status = reader.status().unwrap_or_default();
        let messages: u64 = status.partitions.iter().map(|partition| partition.messages).sum();
        if messages > 0 {
            first_row.get_or_insert_with(|| began.elapsed());
        }
        let complete =
            status.partitions.iter().all(|p| !p.unindexed && p.text_seq.is_none_or(|seq| seq >= p.end.seq));
        if messages >= records as u64 && complete {
            break;
        }
        ensure!(began.elapsed() < DONE_WITHIN, "{messages} of {records} archived");
        tokio::time::sleep(POLL).await;
    }
    let archived = Archived {
        rate: records as f64 / began.elapsed().as_secs_f64(),
        first_row: first_row.unwrap_or_default().as_secs_f64(),
        peak_mb: product.peak_mb()?,
    };
    product.stop()?;
    Ok(archived)
}
