//! `flagtrail rejected`: what could not become a record, kept whole, to be tried again once the cause is mended.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use serde_json::{Value, json};

use super::Context;
use super::filter::Parameters;
use crate::print;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List rejected requests, the latest first
    List {
        /// Of this source only
        #[arg(long)]
        source: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show one whole; a body that is text as text
    Show {
        /// Its id
        id: String,
    },
    /// Try requests again, as if they had just come in
    Redrive {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// Runs the command.
pub(crate) async fn run(context: Context, command: Command) -> Result<()> {
    let client = context.client()?;
    match command {
        Command::List { source, limit } => {
            let mut parameters = Parameters::default();
            parameters.add("limit", &limit.to_string());
            parameters.add_some("source", source.as_ref());
            let answer = client.get(&format!("/v1/rejected{}", parameters.as_str())).await?;
            if context.json { print::json(&answer) } else { list(&answer) }
        }
        Command::Show { id } => {
            let rejected = client.get(&format!("/v1/rejected/{id}")).await?;
            if context.json { print::json(&rejected) } else { show(rejected) }
        }
        Command::Redrive { ids } => {
            for id in ids {
                let answer =
                    client.send(Method::POST, &format!("/v1/rejected/{id}/redrive"), &json!({})).await?;
                if context.json {
                    print::json(&answer)?;
                } else {
                    let records = answer["records"].as_array().map_or(0, Vec::len);
                    print::line(&format!("{id}: {records} records"))?;
                }
            }
            Ok(())
        }
    }
}

/// A body that is text is shown as text.
fn show(mut rejected: Value) -> Result<()> {
    let body = rejected["body"].as_str().and_then(|body| STANDARD.decode(body).ok());
    let text = body.and_then(|body| String::from_utf8(body).ok());
    if let (Some(_), Some(fields)) = (&text, rejected.as_object_mut()) {
        fields.remove("body");
    }
    print::line(&serde_json::to_string_pretty(&rejected)?)?;
    match text {
        Some(text) => text.lines().try_for_each(|line| print::line(&print::visible(line))),
        None => Ok(()),
    }
}

fn list(answer: &Value) -> Result<()> {
    let row = |rejected: &Value| {
        ["id", "at", "source", "why", "status", "reason"].map(|field| print::cell(&rejected[field])).to_vec()
    };
    let rows = answer["rejected"].as_array().into_iter().flatten().map(row).collect();
    print::table(&["id", "at", "source", "why", "status", "reason"], rows, "nothing is rejected")
}
