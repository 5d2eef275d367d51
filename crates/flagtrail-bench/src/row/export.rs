//! An export by the shipped binary, against the `sqlite3` program dumping the same rows of the same files into `sha256sum`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use audit_archive::Reader;
use audit_journal::{AppendOutcome, EmbeddedConfig, Journal, JournalConfig};
use serde_json::json;

use crate::Scale;
use crate::figure::Figure;
use crate::product::Product;
use crate::sample;

/// Records.
const RECORDS: usize = 1_000_000;

/// Partitions of the log, and files of the archive.
const PARTITIONS: u32 = 4;

/// Records appended at once.
const BATCH: usize = 2_000;

/// Pause between two looks at the archive or the job.
const POLL: Duration = Duration::from_millis(20);

/// How long the archive may take to be complete, and a job to be done.
const DONE_WITHIN: Duration = Duration::from_secs(1_800);

/// The formats measured beside NDJSON, which alone has a bar.
const OTHERS: [(&str, &str); 5] =
    [("ndjson", "zstd"), ("csv", "none"), ("parquet", "none"), ("sqlite", "none"), ("ocsf", "none")];

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let records = scale.records(RECORDS);
    let root = tempfile::tempdir()?;
    archive(root.path(), records).await?;
    // A process of its own: what it needs to archive is not what it needs to export.
    let product = Product::start(root.path(), &["up"], None).await?;
    let rate = export(&product, records, "ndjson", "none").await?;
    let peak_mb = product.peak_mb()?;
    let dir = product.data.join("archive");
    let dump = tokio::task::spawn_blocking(move || dump(&dir, records)).await??;
    let mut figures = vec![
        Figure::rate(
            "export to NDJSON with manifest",
            rate,
            "records/s",
            (dump, "sqlite3 -csv | sha256sum, same rows"),
            1.0,
            "faster than the CLI",
        ),
        Figure::plain("… resident at most", peak_mb, "MB", "≤ 100 MB", Some(peak_mb <= 100.0)),
    ];
    for (format, compression) in OTHERS {
        let rate = export(&product, records, format, compression).await?;
        let what = match compression {
            "none" => format!("export to {format}"),
            _ => format!("export to {format}, {compression}"),
        };
        figures.push(Figure::plain(&what, rate, "records/s", "", None));
    }
    let peak_mb = product.peak_mb()?;
    figures.push(Figure::plain("… resident at most, of all formats", peak_mb, "MB", "", None));
    product.stop()?;
    Ok(figures)
}

/// A log of `records` records in `dir`, and its archive, complete.
async fn archive(dir: &Path, records: usize) -> Result<()> {
    let data = dir.join("data");
    std::fs::create_dir_all(&data)?;
    let config = EmbeddedConfig { path: data.join("journal.sqlite"), partitions: PARTITIONS };
    let journal = Journal::open(JournalConfig::Embedded(config)).await?;
    for first in (0..records).step_by(BATCH) {
        let batch: Vec<_> = (first..records.min(first + BATCH)).map(sample::record).collect();
        let outcomes = journal.append_records(&batch).await;
        ensure!(
            outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::Appended(_))),
            "the log could not be filled"
        );
    }
    journal.close().await;
    let product = Product::start(dir, &["up"], None).await?;
    let reader = Reader::open(data.join("archive"));
    let began = Instant::now();
    loop {
        let status = reader.status().unwrap_or_default();
        let messages: u64 = status.partitions.iter().map(|partition| partition.messages).sum();
        let complete =
            status.partitions.iter().all(|p| !p.unindexed && p.text_seq.is_none_or(|seq| seq >= p.end.seq));
        if messages >= records as u64 && complete {
            break;
        }
        ensure!(began.elapsed() < DONE_WITHIN, "{messages} of {records} archived");
        tokio::time::sleep(POLL).await;
    }
    product.stop()
}

/// Records a second, from asking until it is done: waiting for the archive, manifest and record of it included.
async fn export(product: &Product, records: usize, format: &str, compression: &str) -> Result<f64> {
    let query = json!({"filter": {"source": ["bench"]}});
    let began = Instant::now();
    let asked = product
        .post("/v1/exports", &json!({"query": query, "format": format, "compression": compression}))
        .await?;
    let id = asked["id"].as_str().context("the server named no export")?.to_owned();
    let manifest = loop {
        let job = product.get(&format!("/v1/exports/{id}")).await?;
        match job["state"].as_str() {
            Some("done") => break job["manifest"].clone(),
            Some("failed") => bail!("{}", job["problem"]),
            _ => tokio::time::sleep(POLL).await,
        }
        ensure!(began.elapsed() < DONE_WITHIN, "the export is not done: {job}");
    };
    let rate = records as f64 / began.elapsed().as_secs_f64();
    ensure!(manifest["records"] == records, "{} records", manifest["records"]);
    Ok(rate)
}

/// Records a second of the `sqlite3` program, which writes them as CSV into `sha256sum`, file after file.
fn dump(dir: &Path, records: usize) -> Result<f64> {
    let began = Instant::now();
    for partition in 0..PARTITIONS {
        let file = dir.join(format!("records-{partition:02}.sqlite"));
        let mut dumping = Command::new("sqlite3")
            .args(["-readonly", "-csv"])
            .arg(&file)
            .arg("SELECT json FROM record WHERE problem IS NULL AND duplicate_of IS NULL")
            .stdout(Stdio::piped())
            .spawn()
            .context("the sqlite3 program is what users would pick instead: install it")?;
        let rows = dumping.stdout.take().context("sqlite3 has no output")?;
        let hashed = Command::new("sha256sum").stdin(rows).output()?;
        ensure!(hashed.status.success() && dumping.wait()?.success(), "sqlite3 or sha256sum failed");
    }
    Ok(records as f64 / began.elapsed().as_secs_f64())
}
