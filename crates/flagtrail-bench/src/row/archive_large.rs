//! Kafka into an archive that holds ten million, against the same topic into an empty one.
//!
//! The archive holds what this adds afterwards. It is the last of the rows that share it, and leaves the words of what it added
//! to whoever looks at it next.

use std::path::Path;

use anyhow::Result;
use flagtrail_testkit::kafka::{self, Cluster};

use crate::Scale;
use crate::archiving::{Archived, archive};
use crate::figure::Figure;
use crate::large::{self, LargeArchive};
use crate::topic;

/// Of what it holds, how much is added: a million to ten.
const ADDED_OF: usize = 10;

pub(crate) async fn measure(scale: Scale, large: &LargeArchive) -> Result<Vec<Figure>> {
    let (_, held) = large.ready(scale.records(large::RECORDS)).await?;
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let brokers = cluster.bootstrap();
    let root = tempfile::tempdir()?;
    let records = scale.records(large::RECORDS).div_ceil(ADDED_OF);
    // First with words: without, those of what was added would be left for it to do.
    let all = pair(&brokers, &root.path().join("all"), large, records, true).await?;
    let least = pair(&brokers, &root.path().join("least"), large, records, false).await?;
    let peak_mb = all.into_large.peak_mb.max(least.into_large.peak_mb);
    Ok(vec![
        least.figure(&format!("Kafka → archive of {held}, minimum index set")),
        all.figure(&format!("Kafka → archive of {held}, full text too")),
        Figure::plain("… resident at most", peak_mb, "MB", "≤ 250 MB", Some(peak_mb <= 250.0)),
    ])
}

/// One topic into both archives.
struct Pair {
    into_empty: Archived,
    into_large: Archived,
}

impl Pair {
    fn figure(&self, what: &str) -> Figure {
        let raw = (self.into_empty.rate, "the same topic into an empty archive");
        Figure::rate(what, self.into_large.rate, "records/s", raw, 0.7, "≥ 0.7 of an empty one's")
    }
}

async fn pair(
    brokers: &str,
    dir: &Path,
    large: &LargeArchive,
    records: usize,
    full_text: bool,
) -> Result<Pair> {
    let prefix = kafka::unique("bench");
    let first = large.next_number()?;
    let log = topic::fill(brokers, &prefix, first..first + records).await?;
    let (empty_dir, large_dir) = (dir.join("empty"), dir.join("large"));
    let topic = (brokers, prefix.as_str());
    let into_empty = archive(&empty_dir, topic, &empty_dir.join("archive"), records, full_text).await?;
    large.take_up(&log)?;
    let into_large = archive(&large_dir, topic, &large.archive(), records, full_text).await?;
    Ok(Pair { into_empty, into_large })
}
