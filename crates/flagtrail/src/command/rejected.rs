//! `flagtrail rejected`: what could not become a record, kept whole, to be tried again once the cause is mended.

use anyhow::Result;
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
    /// Show one whole
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
            print::line(&serde_json::to_string_pretty(&client.get(&format!("/v1/rejected/{id}")).await?)?)
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

fn list(answer: &Value) -> Result<()> {
    let row = |rejected: &Value| {
        ["id", "at", "source", "why", "status", "reason"].map(|field| print::cell(&rejected[field])).to_vec()
    };
    let rows = answer["rejected"].as_array().into_iter().flatten().map(row).collect();
    print::table(&["id", "at", "source", "why", "status", "reason"], rows, "nothing is rejected")
}
