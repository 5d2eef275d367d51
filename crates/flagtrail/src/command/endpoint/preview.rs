//! The request by which a record would be delivered.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use hyper::Method;
use serde_json::{Value, json};

use super::super::Context;
use super::form::Choices;
use super::path;
use crate::client::Client;
use crate::exit::{Exit, Stop};
use crate::print;

pub(super) const EXAMPLES: &str = "Examples:
  flagtrail endpoint preview --format flagsmith
  flagtrail endpoint preview --format @template.json --record 019a8f…
  flagtrail endpoint preview --endpoint cache --record-file record.json";

/// What to show.
#[derive(Debug, clap::Args)]
pub(crate) struct Preview {
    /// An endpoint that there is; flags below change it for this preview only
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<String>,
    /// A record of the archive, by its id; a sample without either
    #[arg(long, value_name = "ID", conflicts_with = "record_file")]
    record: Option<String>,
    /// File with a record as JSON
    #[arg(long, value_name = "FILE")]
    record_file: Option<PathBuf>,
    /// Where to deliver; an example's address for an endpoint that there is not
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    choices: Choices,
}

/// Asks for the request and prints it as it would go over the wire.
pub(super) async fn run(context: &Context, client: &Client, asked: &Preview) -> Result<()> {
    let mut body = json!({"with": asked.choices.to_json()?});
    if let Some(url) = &asked.url {
        body["with"]["url"] = json!(url);
    }
    if let Some(endpoint) = &asked.endpoint {
        let path = path(client, endpoint).await?;
        body["endpoint"] = json!(path.rsplit('/').next());
    }
    if let Some(id) = &asked.record {
        body["record_id"] = json!(id);
    }
    if let Some(file) = &asked.record_file {
        let text = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
        body["record"] = serde_json::from_slice(&text).map_err(|error| {
            Stop::error(Exit::Usage, format!("the record in {} is no JSON: {error}", file.display()))
        })?;
    }
    let shown = client.send(Method::POST, "/v1/endpoints/preview", &body).await?;
    if context.json {
        return print::json(&shown);
    }
    print::line(&print::visible(&format!(
        "{} {}",
        print::cell(&shown["method"]),
        print::cell(&shown["url"])
    )))?;
    for header in shown["headers"].as_array().into_iter().flatten() {
        print::line(&print::visible(&format!("{}: {}", print::cell(&header[0]), print::cell(&header[1]))))?;
    }
    match &shown["body"] {
        Value::String(body) => print::line(&format!("\n{}", print::visible(body))),
        _ => Ok(()),
    }
}
