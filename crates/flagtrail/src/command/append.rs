//! `flagtrail append`: records from a file or standard input.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::Context;
use crate::print;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File with one record, an array, or one record a line; standard input when absent or -
    file: Option<PathBuf>,
}

/// Sends everything in one request: all records are valid or none is appended.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    let (body, name) = match args.file.filter(|file| file.as_os_str() != "-") {
        Some(file) => {
            let body = std::fs::read(&file).with_context(|| format!("{} can't be read", file.display()))?;
            (body, file.display().to_string())
        }
        None => {
            let mut body = Vec::new();
            std::io::stdin().read_to_end(&mut body).context("standard input can't be read")?;
            (body, "standard input".to_owned())
        }
    };
    let one_document = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
    let content_type = if one_document { "application/json" } else { "application/x-ndjson" };
    let answer =
        context.client()?.send_bytes("/v1/records", content_type, body).await.with_context(|| name)?;
    if context.json {
        return print::json(&answer);
    }
    for record in answer["records"].as_array().into_iter().flatten() {
        let at = format!("{}:{}", record["partition"], record["offset"]);
        print::line(&format!("{}  {at}", print::cell(&record["id"])))?;
    }
    Ok(())
}
