//! An export by the shipped binary, against the `sqlite3` program dumping the same rows of the same files into `sha256sum`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use audit_archive::Reader;
use serde_json::{Value, json};

use crate::Scale;
use crate::archiving;
use crate::figure::Figure;
use crate::product::Product;
use crate::topic;

/// Records.
const RECORDS: usize = 1_000_000;

/// Pause between two looks at the job.
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

/// A log of `records` records in `dir`, sealed, and its archive, complete.
pub(super) async fn archive(dir: &Path, records: usize) -> Result<()> {
    let data = dir.join("data");
    std::fs::create_dir_all(&data)?;
    let journal = topic::open_embedded(data.join("journal.sqlite")).await?;
    topic::append(&journal, 0..records).await?;
    journal.close().await;
    let product = Product::start(dir, &["up"], None).await?;
    let reader = Reader::open(data.join("archive"));
    archiving::complete(&reader, 0, records, DONE_WITHIN).await?;
    // Else the sealer would go on with the backlog beside what is measured.
    let began = Instant::now();
    while !archiving::is_sealed(&reader.status()?) {
        ensure!(began.elapsed() < DONE_WITHIN, "not all is sealed");
        tokio::time::sleep(POLL).await;
    }
    product.stop()
}

/// Records a second, from asking until it is done: waiting for the archive, manifest and record of it included.
async fn export(product: &Product, records: usize, format: &str, compression: &str) -> Result<f64> {
    let query = json!({"filter": {"source": ["bench"]}});
    let began = Instant::now();
    let job = done(product, &json!({"query": query, "format": format, "compression": compression})).await?;
    let rate = records as f64 / began.elapsed().as_secs_f64();
    ensure!(job["manifest"]["records"] == records, "{} records", job["manifest"]["records"]);
    Ok(rate)
}

/// Asks for an export and waits until it is done.
pub(super) async fn done(product: &Product, wanted: &Value) -> Result<Value> {
    let began = Instant::now();
    let asked = product.post("/v1/exports", wanted).await?;
    let id = asked["id"].as_str().context("the server named no export")?.to_owned();
    loop {
        let job = product.get(&format!("/v1/exports/{id}")).await?;
        match job["state"].as_str() {
            Some("done") => return Ok(job),
            Some("failed") => bail!("{}", job["problem"]),
            _ => tokio::time::sleep(POLL).await,
        }
        ensure!(began.elapsed() < DONE_WITHIN, "the export is not done: {job}");
    }
}

/// Records a second of the `sqlite3` program, which writes them as CSV into `sha256sum`, file after file.
fn dump(dir: &Path, records: usize) -> Result<f64> {
    let began = Instant::now();
    for partition in 0..topic::PARTITIONS {
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
