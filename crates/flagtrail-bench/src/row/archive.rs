//! Kafka to SQLite archive with its minimum index set, complete at the end, against a bare loop without any.

use anyhow::Result;
use flagtrail_testkit::kafka::{self, Cluster};

use crate::Scale;
use crate::archiving::archive;
use crate::figure::Figure;
use crate::raw;
use crate::topic;

/// Records.
const RECORDS: usize = 1_000_000;

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let records = scale.records(RECORDS);
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let (brokers, prefix) = (cluster.bootstrap(), kafka::unique("bench"));
    topic::fill(&brokers, &prefix, 0..records).await?;
    let root = tempfile::tempdir()?;
    let log = (brokers.as_str(), prefix.as_str());
    let (least, all) = (root.path().join("least"), root.path().join("all"));
    let least = archive(&least, log, &least.join("archive"), records, false).await?;
    let all = archive(&all, log, &all.join("archive"), records, true).await?;
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
