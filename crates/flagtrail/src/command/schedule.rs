//! `flagtrail schedule`: exports that are made again and again.

use anyhow::Result;
use hyper::Method;
use serde_json::{Value, json};

use super::Context;
use super::filter::FilterArgs;
use crate::print;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a schedule
    Create(Box<Create>),
    /// List schedules, with when each was due, up to when its exports that are done hold everything, and when it is due next
    List,
    /// Delete a schedule; what it has exported stays
    Delete {
        /// Its name
        name: String,
    },
}

/// A new schedule.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Its name
    name: String,
    /// When: minute, hour, day of the month, month, day of the week, such as "0 6 * * 1"
    #[arg(long, value_name = "EXPRESSION")]
    cron: String,
    /// The time zone that it is read in, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// Name of the destination in the server's configuration that exports are brought to
    #[arg(long, value_name = "DESTINATION")]
    destination: String,
    /// How long before its due time an export begins, such as 30d; by default where the last that is done ended. Either way
    /// earlier, where one was missed, or records came late into the time of those before, so that they are in it too
    #[arg(long, value_name = "DURATION")]
    covers: Option<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Words that must occur
    #[arg(long)]
    text: Option<String>,
    /// Format of the records: ndjson, csv, parquet, sqlite or ocsf
    #[arg(long, default_value = "ndjson")]
    format: String,
    /// Compress files of lines (ndjson, csv, ocsf): none or zstd
    #[arg(long, default_value = "none")]
    compression: String,
}

/// Runs the command.
pub(crate) async fn run(context: Context, command: Command) -> Result<()> {
    let client = context.client()?;
    match command {
        Command::Create(create) => {
            let mut body = json!({
                "name": create.name, "cron": create.cron, "time_zone": create.time_zone, "destination": create.destination,
                "filter": create.filter.to_json(), "format": create.format, "compression": create.compression,
            });
            for (field, value) in [("covers", create.covers), ("text", create.text)] {
                if let Some(value) = value {
                    body[field] = json!(value);
                }
            }
            let made = client.send(Method::POST, "/v1/schedules", &body).await?;
            if context.json {
                return print::json(&made);
            }
            print::line(&format!("{} is due next at {}", create.name, print::cell(&made["next_due"])))
        }
        Command::List => list(&context, &client.get("/v1/schedules").await?),
        Command::Delete { name } => {
            client.replace(Method::DELETE, &format!("/v1/schedules/{name}"), None, "*").await?;
            print::line(&format!("schedule {name} is gone"))
        }
    }
}

fn list(context: &Context, answer: &Value) -> Result<()> {
    if context.json {
        return print::json(answer);
    }
    const COLUMNS: [&str; 8] =
        ["name", "cron", "time_zone", "destination", "format", "last_due", "covered_until", "next_due"];
    let row = |schedule: &Value| COLUMNS.map(|column| print::cell(&schedule[column])).to_vec();
    let rows = answer["schedules"].as_array().into_iter().flatten().map(row).collect();
    let header =
        ["name", "cron", "time zone", "destination", "format", "last due", "covered until", "next due"];
    print::table(&header, rows, "no schedules; make one with `flagtrail schedule create`")
}
