//! `flagtrail export`: records as files, with a manifest and checksums.
//!
//! The server makes the export in its own data directory, so that it survives an interrupted command; then the
//! files are fetched and checked against their checksums.

mod fetch;

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use super::Context;
use super::filter::{FilterArgs, PeriodArgs};
use crate::client::Client;
use crate::exit::{Exit, Stop};
use crate::print;

pub(crate) use fetch::{ask, receive};

/// How many exports are asked for at a time.
const PAGE: usize = 200;

/// Makes an export, or does something with those that the server keeps.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(flatten)]
    make: Make,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do with exports that were asked for.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the exports that the server keeps
    List,
    /// Show one: what was asked, how far it is, what of each partition it covers
    Show {
        /// Its id
        id: String,
    },
    /// Wait for one and fetch it: after an interrupted command, or on another machine
    Resume {
        /// Its id
        id: String,
        /// Directory to make
        #[arg(long, value_name = "DIRECTORY")]
        out: PathBuf,
    },
    /// Delete one on the server; what was fetched stays
    Delete {
        /// Its id
        id: String,
    },
}

/// A new export.
#[derive(Debug, clap::Args)]
struct Make {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    period: PeriodArgs,
    /// Words that must occur
    #[arg(long)]
    text: Option<String>,
    /// Format: ndjson (byte for byte as on the log), csv, parquet, sqlite, or ocsf (an OCSF event a line)
    #[arg(long, default_value = "ndjson", value_parser = ["ndjson", "csv", "parquet", "sqlite", "ocsf"])]
    format: String,
    /// Compress files of lines (ndjson, csv, ocsf); parquet is compressed within
    #[arg(long, default_value = "none", value_parser = ["none", "zstd"])]
    compression: String,
    /// Directory to make
    #[arg(long, value_name = "DIRECTORY", required_unless_present = "destination")]
    out: Option<PathBuf>,
    /// Name of a destination in the server's configuration that the server brings it to
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    let client = context.client()?;
    let path = |id: &str| format!("/v1/exports/{id}");
    match args.command {
        None => make(&context, args.make).await,
        Some(Command::List) => list(&context, &kept(&client).await?),
        Some(Command::Show { id }) => {
            let job = client.get(&path(&id)).await?;
            print::line(&serde_json::to_string_pretty(&job)?)?;
            complete(&job["manifest"])
        }
        Some(Command::Resume { id, out }) => {
            fetch::must_be_new(&out)?;
            let manifest = receive(&client, &id, &out).await?;
            told(&context, &manifest, &out)
        }
        Some(Command::Delete { id }) => {
            client.delete(&path(&id)).await?;
            print::line(&format!("export {id} is gone"))
        }
    }
}

async fn make(context: &Context, make: Make) -> Result<()> {
    if let Some(out) = &make.out {
        fetch::must_be_new(out)?;
    }
    let query = json!({
        "filter": make.filter.to_json(), "text": make.text,
        "from": make.period.from.map(|at| at.to_string()), "to": make.period.to.map(|at| at.to_string()),
    });
    let wanted = json!({
        "query": query, "format": make.format, "compression": make.compression, "destination": make.destination,
    });
    let client = context.client()?;
    let id = ask(&client, &wanted).await?;
    let Some(out) = make.out else {
        eprintln!("export {id}; if this is interrupted, the server goes on: flagtrail export show {id}");
        let manifest = fetch::wait(&client, &id).await?;
        return brought(context, &manifest, &id, make.destination.as_deref().unwrap_or_default());
    };
    // Whoever interrupts the command reads how to go on.
    eprintln!("export {id}; if this is interrupted: flagtrail export resume {id} --out {}", out.display());
    let manifest = receive(&client, &id, &out).await?;
    told(context, &manifest, &out)
}

/// Tells of an export that the server has brought to a destination; an error where it does not cover everything.
fn brought(context: &Context, manifest: &Value, id: &str, destination: &str) -> Result<()> {
    if context.json {
        print::json(manifest)?;
    } else {
        print::line(&format!("{} records at {destination}, in exports/{id}", manifest["records"]))?;
    }
    complete(manifest)
}

/// Tells of an export that was fetched; an error where it does not cover everything.
fn told(context: &Context, manifest: &Value, to: &std::path::Path) -> Result<()> {
    if context.json {
        print::json(manifest)?;
    } else {
        let to = to.display();
        print::line(&format!(
            "{} records in {to}; check it with `flagtrail verify {to}`",
            manifest["records"]
        ))?;
    }
    complete(manifest)
}

/// An error that names the partitions that are not covered whole.
fn complete(manifest: &Value) -> Result<()> {
    let partitions = manifest["partitions"].as_array().into_iter().flatten();
    let missing: Vec<String> = partitions
        .filter(|partition| partition["complete"] == false)
        .map(|partition| partition["partition"].to_string())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let problem = format!(
        "the export is not complete: the archive stopped before the end of partition {}; `flagtrail archive status` says why",
        missing.join(", ")
    );
    Err(Stop::error(Exit::Failed, problem))
}

/// Every export that the server keeps, page by page.
async fn kept(client: &Client) -> Result<Value> {
    let mut exports = Vec::new();
    let mut path = format!("/v1/exports?limit={PAGE}");
    loop {
        let mut page = client.get(&path).await?;
        if let Some(found) = page["exports"].as_array_mut() {
            exports.append(found);
        }
        let Some(before) = page["before"].as_str() else { return Ok(json!({"exports": exports})) };
        path = format!("/v1/exports?limit={PAGE}&before={before}");
    }
}

fn list(context: &Context, answer: &Value) -> Result<()> {
    if context.json {
        return print::json(answer);
    }
    let row = |job: &Value| {
        let records = job["records"].as_u64();
        let records = records.map_or_else(|| "–".to_owned(), |records| records.to_string());
        let is_whole = job["incomplete"].as_array().is_none_or(Vec::is_empty);
        let state = if is_whole { print::cell(&job["state"]) } else { "incomplete".to_owned() };
        let [id, format, by, at] =
            ["id", "format", "asked_by", "asked_at"].map(|field| print::cell(&job[field]));
        vec![id, state, format, records, by, at]
    };
    let rows = answer["exports"].as_array().into_iter().flatten().map(row).collect();
    let header = ["id", "state", "format", "records", "asked by", "asked at"];
    print::table(&header, rows, "no exports; make one with `flagtrail export --out DIRECTORY`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_export_names_the_partitions_and_is_no_success() {
        let covered = |whole: bool| {
            json!({"partitions": [
                {"partition": 0, "complete": true}, {"partition": 3, "complete": whole}, {"partition": 5, "complete": whole},
            ]})
        };
        complete(&covered(true)).unwrap();
        complete(&Value::Null).unwrap();
        let error = complete(&covered(false)).unwrap_err();
        assert!(error.to_string().contains("3, 5"), "{error}");
        assert_eq!(crate::exit::of(&error), Exit::Failed);
    }
}
