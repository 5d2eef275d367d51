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
use serde_json::{Value, json};

use crate::client::Client;
use crate::exit::{Exit, Stop};
use crate::print;

/// Pause between two looks at the job.
const POLL: Duration = Duration::from_millis(200);

/// The files around the payload.
const FRAME: [&str; 5] =
    ["bagit.txt", "bag-info.txt", "manifest.json", "manifest-sha256.txt", "tagmanifest-sha256.txt"];

/// Asks for an export and returns its id.
pub(crate) async fn ask(client: &Client, query: Value, format: &str) -> Result<String> {
    let asked = client.send(Method::POST, "/v1/exports", &json!({"query": query, "format": format})).await?;
    Ok(asked["id"].as_str().context("the server named no export")?.to_owned())
}

/// Waits for an export and fetches it to `to`; answers with its manifest.
pub(crate) async fn receive(client: &Client, id: &str, to: &Path) -> Result<Value> {
    let manifest = wait(client, id).await?;
    fetch(client, id, &manifest, to).await.with_context(|| {
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

async fn wait(client: &Client, id: &str) -> Result<Value> {
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
async fn fetch(client: &Client, id: &str, manifest: &Value, to: &Path) -> Result<()> {
    let mut beside = to.as_os_str().to_owned();
    beside.push(".fetching");
    let beside = PathBuf::from(beside);
    if beside.exists() {
        fs::remove_dir_all(&beside)?;
    }
    fs::create_dir_all(beside.join("data"))?;
    let files = manifest["files"].as_array().context("the manifest lists no files")?;
    let payload = files.iter().filter_map(|file| file["path"].as_str());
    for path in payload.chain(FRAME) {
        ensure!(
            Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_))),
            "{path:?} leads out of the export"
        );
        let mut body = client.stream(&format!("/v1/exports/{id}/files/{path}")).await?;
        let mut file = File::create(beside.join(path))?;
        while let Some(frame) = body.frame().await {
            if let Ok(bytes) = frame.context("the transfer broke off")?.into_data() {
                file.write_all(&bytes)?;
            }
        }
        file.sync_all()?;
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
