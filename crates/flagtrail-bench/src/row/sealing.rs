//! What sealing costs the processor, a record, against what the archive of the same records costs it: while both catch up
//! with a million, and at the tail.
//!
//! Each is a process of its own. At the tail, what it takes while nothing comes is left out.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use audit_archive::Reader;
use flagtrail_testkit::kafka::{self, Cluster};

use crate::Scale;
use crate::archiving;
use crate::figure::Figure;
use crate::product::Product;
use crate::raw;
use crate::sample;
use crate::topic;

/// Records that are there when both start.
const BACKLOG: usize = 1_000_000;

/// Records that come afterwards, so many at once and so often: 500 a second.
const TAIL: usize = 60_000;
const AT_ONCE: usize = 5;
const EVERY: Duration = Duration::from_millis(10);

/// How long it is watched what both take while nothing comes.
const IDLE: Duration = Duration::from_secs(20);

/// How often a record is hashed for comparison.
const HASHED: usize = 100_000;

/// Pause between two looks at how far both are.
const POLL: Duration = Duration::from_millis(200);

/// How long both may take to catch up. The last checkpoint comes a minute after the one before it.
const SEALED_WITHIN: Duration = Duration::from_secs(1_800);

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let (backlog, tail) = (scale.records(BACKLOG), scale.of(TAIL));
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await??;
    let (brokers, prefix) = (cluster.bootstrap(), kafka::unique("bench"));
    topic::fill(&brokers, &prefix, 0..backlog).await?;
    let root = tempfile::tempdir()?;
    let both = Both::start(root.path(), (&brokers, &prefix)).await?;
    both.have_sealed(backlog).await?;
    let catching_up = both.cpu()?;

    let began = both.cpu()?;
    tokio::time::sleep(IDLE).await;
    let idle = both.cpu()?.less(began).times(1.0 / IDLE.as_secs_f64());

    let journal = topic::open(&brokers, &prefix).await?;
    let (began, began_at) = (both.cpu()?, Instant::now());
    let mut ticks = tokio::time::interval(EVERY);
    for first in (backlog..backlog + tail).step_by(AT_ONCE) {
        ticks.tick().await;
        topic::append(&journal, first..(backlog + tail).min(first + AT_ONCE)).await?;
    }
    both.have_sealed(backlog + tail).await?;
    let at_tail = both.cpu()?.less(began).less(idle.times(began_at.elapsed().as_secs_f64()));
    journal.close().await;
    both.stop()?;

    let catching_up = catching_up.figure("sealing while catching up, processor a record", backlog, None);
    let at_tail = at_tail.figure("sealing at the tail, processor a record", tail, Some(0.15));
    let hash = Figure::plain("… SHA-256 of one record", micros_of_a_hash(), "µs", "", None);
    Ok(vec![at_tail, catching_up, hash])
}

/// An archive and a sealer of one log.
struct Both {
    archive: Product,
    seal: Product,
    reader: Reader,
}

impl Both {
    async fn start(dir: &Path, log: (&str, &str)) -> Result<Self> {
        let archive =
            Product::start(&dir.join("archive"), &["serve", "--roles", "archive"], Some(log)).await?;
        let seal = Product::start(&dir.join("seal"), &["serve", "--roles", "seal"], Some(log)).await?;
        let reader = Reader::open(archive.data.join("archive"));
        Ok(Self { archive, seal, reader })
    }

    /// Waits until `records` are archived and signed.
    async fn have_sealed(&self, records: usize) -> Result<()> {
        let began = Instant::now();
        loop {
            let status = self.reader.status().unwrap_or_default();
            let archived = archiving::messages(&status);
            if archived >= records && archiving::is_complete(&status) && archiving::is_sealed(&status) {
                return Ok(());
            }
            ensure!(began.elapsed() < SEALED_WITHIN, "{archived} of {records} archived, or not all sealed");
            tokio::time::sleep(POLL).await;
        }
    }

    fn cpu(&self) -> Result<Cpu> {
        Ok(Cpu { archive: self.archive.cpu_seconds()?, seal: self.seal.cpu_seconds()? })
    }

    fn stop(self) -> Result<()> {
        self.seal.stop()?;
        self.archive.stop()
    }
}

/// Processor time of both, in seconds.
#[derive(Clone, Copy, Debug)]
struct Cpu {
    archive: f64,
    seal: f64,
}

impl Cpu {
    fn less(self, other: Self) -> Self {
        Self { archive: self.archive - other.archive, seal: self.seal - other.seal }
    }

    fn times(self, factor: f64) -> Self {
        Self { archive: self.archive * factor, seal: self.seal * factor }
    }

    /// The sealer's beside the archive's, of which it may be that share.
    fn figure(self, what: &str, records: usize, share: Option<f64>) -> Figure {
        let Self { archive, seal } = self.times(1e6 / records as f64);
        let bar = if share.is_some() { "≤ 0.15 of the archive's" } else { "" };
        let mut figure = Figure::plain(what, seal, "µs", bar, share.map(|share| seal <= share * archive));
        figure.raw = Some((archive, "the archive's, of the same records"));
        figure
    }
}

fn micros_of_a_hash() -> f64 {
    let record = sample::record(1);
    let began = Instant::now();
    for _ in 0..HASHED {
        raw::hash::bytes([record.canonical()]);
    }
    began.elapsed().as_secs_f64() * 1e6 / HASHED as f64
}
