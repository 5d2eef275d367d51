//! Delivering again: asking, watching, listing.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use audit_record::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::super::Context;
use super::super::filter::moment;
use super::{act, path};
use crate::client::Client;
use crate::print;

/// Pause between two looks at a replay.
const POLL: Duration = Duration::from_millis(300);

pub(super) const EXAMPLES: &str = "Examples:
  flagtrail endpoint replay cache --from 2h --wait
  flagtrail endpoint replay cache --from 2026-11-01 --to 2026-11-02 --only-failed
  flagtrail endpoint replay siem --from 7d --to-endpoint siem-new";

/// Which period.
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// The endpoint
    endpoint: String,
    /// Records appended from this moment on: a time, a day, or how long ago (7d, 12h); all that are kept by default
    #[arg(long, value_parser = moment)]
    from: Option<Timestamp>,
    /// Records appended before this moment; up to now by default
    #[arg(long, value_parser = moment)]
    to: Option<Timestamp>,
    /// Only deliveries of the period that were given up and have not been made since
    #[arg(long)]
    only_failed: bool,
    /// Deliver to this endpoint instead
    #[arg(long, value_name = "ENDPOINT")]
    to_endpoint: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

/// Which records.
#[derive(Debug, clap::Args)]
pub(crate) struct Redrive {
    /// The endpoint
    endpoint: String,
    /// The records' ids
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    records: Vec<String>,
    /// Everything that was given up and has not been delivered since
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    waiting: Waiting,
}

/// Whether to wait for the end.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Waiting {
    /// Wait until it is through, and show how far it is
    #[arg(long)]
    wait: bool,
}

/// Asks for a replay.
pub(super) async fn replay(context: &Context, client: &Client, asked: &Replay) -> Result<()> {
    let mut body = json!({"only_failed": asked.only_failed});
    if let Some(from) = asked.from {
        body["from"] = json!(from.to_string());
    }
    if let Some(to) = asked.to {
        body["to"] = json!(to.to_string());
    }
    if let Some(other) = &asked.to_endpoint {
        let path = path(client, other).await?;
        body["to_endpoint"] = json!(path.rsplit('/').next());
    }
    let ordered = act(client, &asked.endpoint, "replay", body).await?;
    let target = asked.to_endpoint.as_ref().unwrap_or(&asked.endpoint);
    follow(context, client, target, ordered, asked.waiting).await
}

/// Asks for what was given up.
pub(super) async fn redrive(context: &Context, client: &Client, asked: &Redrive) -> Result<()> {
    let body = if asked.all { json!({"all": true}) } else { json!({"records": asked.records}) };
    let ordered = act(client, &asked.endpoint, "redrive", body).await?;
    follow(context, client, &asked.endpoint, ordered, asked.waiting).await
}

async fn follow(
    context: &Context,
    client: &Client,
    endpoint: &str,
    ordered: Value,
    waiting: Waiting,
) -> Result<()> {
    let id = ordered["id"].as_str().context("the server named no replay")?.to_owned();
    if !waiting.wait {
        return super::said(
            context,
            &ordered,
            &format!("replay {id} is ordered; `flagtrail endpoint replays {endpoint}` shows how far it is"),
        );
    }
    let path = format!("{}/replays/{id}", path(client, endpoint).await?);
    let through = wait(client, &path, ordered).await?;
    super::said(context, &through, &format!("replay {id} is through"))
}

/// Watches a replay to its end.
async fn wait(client: &Client, path: &str, ordered: Value) -> Result<Value> {
    let style = ProgressStyle::with_template("replay {bar:30} {pos}/{len} {msg} ({elapsed})")?;
    let all = ordered["left"].as_u64().unwrap_or(0);
    let bar = ProgressBar::new(all).with_style(style);
    loop {
        let replay = client.get(path).await?;
        bar.set_position(all.saturating_sub(replay["left"].as_u64().unwrap_or(0)));
        match replay["state"].as_str() {
            Some("done") => {
                bar.finish_and_clear();
                return Ok(replay);
            }
            Some("running") => {
                bar.set_message(format!("{} to be tried again", print::cell(&replay["pending"])))
            }
            _ => bail!("the replay is {}", print::cell(&replay["state"])),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Every replay in a line.
pub(super) fn list(context: &Context, answer: &Value) -> Result<()> {
    if context.json {
        return print::json(answer);
    }
    let row = |replay: &Value| {
        ["id", "created_at", "state", "total", "left", "sent", "skipped", "pending", "given_up"]
            .map(|field| print::cell(&replay[field]))
            .to_vec()
    };
    let rows = answer["replays"].as_array().into_iter().flatten().map(row).collect();
    let heads = [
        "replay",
        "asked for",
        "state",
        "records",
        "of them left",
        "sent",
        "skipped",
        "to be tried again",
        "given up",
    ];
    print::table(&heads, rows, "no replays")
}
