//! `flagtrail query`: who changed what, when.

use anyhow::Result;
use serde_json::Value;

use super::Context;
use super::filter::{FilterArgs, Parameters, PeriodArgs};
use crate::client::Client;
use crate::print;

/// Most rows of one page of the server.
const PAGE_ROWS: usize = 1_000;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    period: PeriodArgs,
    /// Words that must occur; in double quotes, side by side
    #[arg(long)]
    text: Option<String>,
    /// Earliest first instead of latest first
    #[arg(long)]
    oldest_first: bool,
    /// How many records
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Every record that matches
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Prints records page by page. With --json one record a line.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    let client = context.client()?;
    let mut left = if args.all { usize::MAX } else { args.limit };
    let mut cursor = None;
    let mut rows = Vec::new();
    while left > 0 {
        let page = page(&client, &args, left.min(PAGE_ROWS), cursor.as_deref()).await?;
        for record in page["records"].as_array().into_iter().flatten() {
            left -= 1;
            if context.json { print::json(record)? } else { rows.push(row(record)) }
        }
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    if context.json { Ok(()) } else { print::table(HEADER, rows, "no record matches") }
}

async fn page(client: &Client, args: &Args, limit: usize, cursor: Option<&str>) -> Result<Value> {
    let mut parameters = Parameters::default();
    args.filter.parameters(&mut parameters);
    parameters.add_some("from", args.period.from.as_ref());
    parameters.add_some("to", args.period.to.as_ref());
    parameters.add_some("text", args.text.as_ref());
    parameters.add("order", if args.oldest_first { "oldest" } else { "newest" });
    parameters.add("limit", &limit.to_string());
    parameters.add_some("cursor", cursor.map(str::to_owned).as_ref());
    client.get(&format!("/v1/records{}", parameters.as_str())).await
}

/// The columns that people read.
pub(crate) const HEADER: &[&str] =
    &["when", "who", "action", "flag", "project", "environment", "what happened"];

/// A record as a row.
pub(crate) fn row(record: &Value) -> Vec<String> {
    let said = |value: &Value| value.as_str().map(str::to_owned);
    let thing = |thing: &Value| {
        ["key", "name", "id"].iter().find_map(|field| said(&thing[field])).unwrap_or_else(|| "–".to_owned())
    };
    let author = &record["author"];
    let who = ["email", "name", "id"].iter().find_map(|field| said(&author[field]));
    let when = said(&record["occurred_at"]).unwrap_or_default();
    vec![
        when.get(..19).unwrap_or(&when).replace('T', " "),
        who.unwrap_or_else(|| match &record["erased"] {
            Value::Object(_) => "(erased)".to_owned(),
            _ => format!("({})", print::cell(&author["type"])),
        }),
        print::cell(&record["action"]),
        thing(&record["flag"]),
        thing(&record["project"]),
        thing(&record["environment"]),
        print::cell(&record["log"]),
    ]
}
