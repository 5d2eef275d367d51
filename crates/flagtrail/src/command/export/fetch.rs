//! Getting an export from the server: asked for, waited for, fetched whole, checked.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use audit_verify::FindingKind;
use http_body_util::BodyExt;
use hyper::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::client::Client;
use crate::exit::{Exit, Stop};
use crate::print;

/// Pause between two looks at the job.
const POLL: Duration = Duration::from_millis(200);

/// The files that name all others, and are fetched first.
const CHECKSUMS: [&str; 2] = ["tagmanifest-sha256.txt", "manifest-sha256.txt"];

/// Most bytes of a file that names others: far more than an export has files.
const CHECKSUMS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Asks for an export, by what `POST /v1/exports` takes, and returns its id.
pub(crate) async fn ask(client: &Client, wanted: &Value) -> Result<String> {
    let asked = client.send(Method::POST, "/v1/exports", wanted).await?;
    Ok(asked["id"].as_str().context("the server named no export")?.to_owned())
}

/// Waits for an export and fetches it to `to`; answers with its manifest.
pub(crate) async fn receive(client: &Client, id: &str, to: &Path) -> Result<Value> {
    let manifest = wait(client, id).await?;
    fetch(client, id, to).await.with_context(|| {
        format!("export {id} is made, but could not be fetched; `flagtrail export resume {id}` tries again")
    })?;
    Ok(manifest)
}

/// Refuses a directory that there is already.
pub(crate) fn must_be_new(to: &Path) -> Result<()> {
    if to.exists() {
        let problem = format!("{} exists already: name another directory", to.display());
        return Err(Stop::error(Exit::Usage, problem));
    }
    Ok(())
}

/// Waits until an export is made, and answers with its manifest.
pub(crate) async fn wait(client: &Client, id: &str) -> Result<Value> {
    let style = ProgressStyle::with_template("{spinner} export: {msg} ({elapsed})")?;
    let bar = ProgressBar::new_spinner().with_style(style);
    loop {
        let job = client.get(&format!("/v1/exports/{id}")).await?;
        match job["state"].as_str() {
            Some("done") => {
                bar.finish_and_clear();
                return Ok(job["manifest"].clone());
            }
            Some("failed") => bail!("export {id} failed: {}", print::cell(&job["problem"])),
            Some("running") => bar.set_message(format!("{} records", job["records"])),
            _ => bar.set_message("waiting"),
        }
        bar.tick();
        tokio::time::sleep(POLL).await;
    }
}

/// Fetches into a folder beside `to` and renames: `to` is there whole or not at all.
async fn fetch(client: &Client, id: &str, to: &Path) -> Result<()> {
    let mut beside = to.as_os_str().to_owned();
    beside.push(".fetching");
    let beside = PathBuf::from(beside);
    if beside.exists() {
        fs::remove_dir_all(&beside)?;
    }
    fs::create_dir_all(&beside)?;
    for path in CHECKSUMS {
        fetch_file(client, id, &beside, path).await?;
    }
    for sums in CHECKSUMS {
        let sums = beside.join(sums);
        ensure!(fs::metadata(&sums)?.len() <= CHECKSUMS_BYTES_MAX, "{} is too large", sums.display());
        for line in fs::read_to_string(&sums)?.lines() {
            let (_, path) = line.split_once("  ").with_context(|| format!("{line:?} is no checksum line"))?;
            if !CHECKSUMS.contains(&path) {
                fetch_file(client, id, &beside, path).await?;
            }
        }
    }
    let checked = {
        let beside = beside.clone();
        tokio::task::spawn_blocking(move || audit_verify::verify_export(&beside)).await??
    };
    if let Some(wrong) = checked.findings.iter().find(|finding| finding.kind == FindingKind::Damage) {
        bail!("what was fetched is not what was written: {wrong}");
    }
    fs::rename(&beside, to)?;
    Ok(())
}

/// Fetches one file to its place under `root`.
async fn fetch_file(client: &Client, id: &str, root: &Path, path: &str) -> Result<()> {
    ensure!(
        Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_))),
        "{path:?} leads out of the export"
    );
    let place = root.join(path);
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut body = client.stream(&format!("/v1/exports/{id}/files/{path}")).await?;
    let mut file = File::create(place)?;
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.context("the transfer broke off")?.into_data() {
            file.write_all(&bytes)?;
        }
    }
    file.sync_all()?;
    Ok(())
}
