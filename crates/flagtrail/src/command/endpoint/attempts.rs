//! Attempts and dead letters, page by page.

use anyhow::Result;
use audit_record::Timestamp;
use serde_json::Value;

use super::super::Context;
use super::super::filter::{Parameters, moment};
use super::path;
use crate::client::Client;
use crate::print;

/// Most rows of one page of the server.
const PAGE_ROWS: usize = 500;

pub(super) const EXAMPLES: &str = "Examples:
  flagtrail endpoint deliveries cache --outcome retry,dead_lettered --from 1h
  flagtrail endpoint deliveries cache --record 019a8f…";

/// Which attempts.
#[derive(Debug, clap::Args)]
pub(crate) struct Deliveries {
    /// The endpoint
    endpoint: String,
    /// Only at the record of this id, each with the headers that were sent and the beginning of the answer
    #[arg(long)]
    record: Option<String>,
    /// Only with this outcome: delivered, retry, dead_lettered or disabled; several: one of them
    #[arg(long, value_delimiter = ',')]
    outcome: Vec<String>,
    #[command(flatten)]
    paging: Paging,
}

/// Which dead letters.
#[derive(Debug, clap::Args)]
pub(crate) struct DeadLetters {
    /// The endpoint
    endpoint: String,
    /// Those that were delivered since, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    paging: Paging,
}

/// When, and how many.
#[derive(Debug, clap::Args)]
struct Paging {
    /// From this moment on: a time, a day, or how long ago (7d, 12h)
    #[arg(long, value_parser = moment)]
    from: Option<Timestamp>,
    /// Before this moment
    #[arg(long, value_parser = moment)]
    to: Option<Timestamp>,
    /// How many
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

impl Paging {
    /// Reads pages until `limit` rows of the list `field` are there.
    async fn read(
        &self,
        client: &Client,
        path: &str,
        field: &str,
        asked: impl Fn(&mut Parameters),
    ) -> Result<Vec<Value>> {
        let (mut rows, mut cursor) = (Vec::new(), None::<String>);
        while rows.len() < self.limit {
            let mut parameters = Parameters::default();
            asked(&mut parameters);
            parameters.add_some("from", self.from.as_ref());
            parameters.add_some("to", self.to.as_ref());
            parameters.add("limit", &(self.limit - rows.len()).min(PAGE_ROWS).to_string());
            parameters.add_some("cursor", cursor.as_ref());
            let mut page = client.get(&format!("{path}{}", parameters.as_str())).await?;
            if let Value::Array(found) = page[field].take() {
                rows.extend(found);
            }
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(rows)
    }
}

/// Prints attempts.
pub(super) async fn deliveries(context: &Context, client: &Client, asked: &Deliveries) -> Result<()> {
    let path = format!("{}/deliveries", path(client, &asked.endpoint).await?);
    let parameters = |parameters: &mut Parameters| {
        parameters.add_some("record", asked.record.as_ref());
        asked.outcome.iter().for_each(|outcome| parameters.add("outcome", outcome));
    };
    let found = asked.paging.read(client, &path, "deliveries", parameters).await?;
    if context.json {
        return print::json(&Value::Object(
            [("deliveries".to_owned(), Value::Array(found))].into_iter().collect(),
        ));
    }
    let row = |attempt: &Value| {
        ["at", "record_id", "attempt", "outcome", "status", "error", "duration_ms", "next_due"]
            .map(|field| print::cell(&attempt[field]))
            .to_vec()
    };
    let header = ["at", "record", "attempt", "outcome", "status", "error", "ms", "next due"];
    print::table(&header, found.iter().map(row).collect(), "no attempts")?;
    match &asked.record {
        // They are few.
        Some(_) => found.iter().try_for_each(whole),
        None => Ok(()),
    }
}

/// What was sent by an attempt, but for the body, and what came back. The server has masked what is secret.
fn whole(attempt: &Value) -> Result<()> {
    print::line("")?;
    print::line(&format!("attempt {} was sent with", print::cell(&attempt["attempt"])))?;
    for (name, value) in attempt["request_headers"].as_object().into_iter().flatten() {
        print::line(&format!("  {name}: {}", print::visible(&print::cell(value))))?;
    }
    for (what, field) in [("it failed", "detail"), ("the answer began", "excerpt")] {
        if let Some(text) = attempt[field].as_str().filter(|text| !text.is_empty()) {
            print::line(&format!("{what}: {}", print::visible(text)))?;
        }
    }
    Ok(())
}

/// Prints dead letters.
pub(super) async fn dead_letters(context: &Context, client: &Client, asked: &DeadLetters) -> Result<()> {
    let path = format!("{}/dead-letters", path(client, &asked.endpoint).await?);
    let parameters = |parameters: &mut Parameters| {
        if asked.all {
            parameters.add("all", "true");
        }
    };
    let found = asked.paging.read(client, &path, "dead_letters", parameters).await?;
    if context.json {
        return print::json(&Value::Object(
            [("dead_letters".to_owned(), Value::Array(found))].into_iter().collect(),
        ));
    }
    let row = |letter: &Value| {
        ["at", "record_id", "action", "attempts", "error", "status", "delivered_since"]
            .map(|field| print::cell(&letter[field]))
            .to_vec()
    };
    let header = ["given up at", "record", "action", "attempts", "error", "status", "delivered since"];
    print::table(&header, found.iter().map(row).collect(), "no dead letters")
}
