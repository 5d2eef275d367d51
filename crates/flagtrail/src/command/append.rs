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
    /// Check the records and show what would be appended, and append nothing
    #[arg(long)]
    dry_run: bool,
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
    let path = if args.dry_run { "/v1/records?dry_run=true" } else { "/v1/records" };
    let answer = context.client()?.send_bytes(path, content_type, body).await.with_context(|| name)?;
    if context.json {
        return print::json(&answer);
    }
    if args.dry_run {
        // The records as they would stand, one a line.
        return answer["records"]
            .as_array()
            .into_iter()
            .flatten()
            .try_for_each(|one| print::json(&one["record"]));
    }
    for record in answer["records"].as_array().into_iter().flatten() {
        let at = format!("{}:{}", record["partition"], record["offset"]);
        print::line(&format!("{}  {at}", print::cell(&record["id"])))?;
    }
    Ok(())
}
