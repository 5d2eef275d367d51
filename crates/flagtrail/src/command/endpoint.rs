//! `flagtrail endpoint`: the webhook endpoints that records are delivered to.

use anyhow::Result;
use hyper::Method;
use serde_json::{Value, json};

use super::Context;
use super::filter::FilterArgs;
use crate::print;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make an endpoint and print the secret that its deliveries are signed with
    Create(Box<Create>),
    /// List endpoints, with how far each is
    List,
    /// Show one
    Show {
        /// Its id
        id: String,
    },
    /// Stop delivering; what comes meanwhile is delivered after `enable`
    Disable {
        /// Its id
        id: String,
    },
    /// Go on where it was disabled
    Enable {
        /// Its id
        id: String,
    },
    /// Show the last attempts
    Deliveries {
        /// Its id
        id: String,
    },
    /// Remove an endpoint
    Delete {
        /// Its id
        id: String,
    },
}

/// A new endpoint.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Where to deliver
    url: String,
    /// What people call it; the URL's host by default
    #[arg(long)]
    name: Option<String>,
    /// Which actions: exact, 'flag.*' or '*'
    #[arg(long, value_delimiter = ',', default_value = "*")]
    events: Vec<String>,
    /// Where to begin: now, earliest, or a time
    #[arg(long, default_value = "now")]
    start: String,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Runs the command.
pub(crate) async fn run(context: Context, command: Command) -> Result<()> {
    let client = context.client()?;
    let path = |id: &str| format!("/v1/endpoints/{id}");
    match command {
        Command::Create(create) => {
            let host = create.url.split('/').nth(2).unwrap_or("endpoint").to_owned();
            let body = json!({
                "name": create.name.unwrap_or(host), "url": create.url, "events": create.events, "start": create.start,
                "filter": create.filter.to_json(),
            });
            let made = client.send(Method::POST, "/v1/endpoints", &body).await?;
            if context.json {
                return print::json(&made);
            }
            print::line(&format!(
                "endpoint {}; its deliveries are signed with this secret, which is not shown again:",
                print::cell(&made["id"])
            ))?;
            print::line(&print::cell(&made["secret"]))
        }
        Command::List => list(&context, &client.get("/v1/endpoints").await?),
        Command::Show { id } => print::line(&serde_json::to_string_pretty(&client.get(&path(&id)).await?)?),
        Command::Disable { id } => switch(&client, &path(&id), false).await,
        Command::Enable { id } => switch(&client, &path(&id), true).await,
        Command::Deliveries { id } => {
            deliveries(&context, &client.get(&format!("{}/deliveries", path(&id))).await?)
        }
        Command::Delete { id } => {
            client.replace(Method::DELETE, &path(&id), None, "*").await?;
            print::line(&format!("endpoint {id} is gone"))
        }
    }
}

async fn switch(client: &crate::client::Client, path: &str, enabled: bool) -> Result<()> {
    client.replace(Method::PATCH, path, Some(&json!({"enabled": enabled})), "*").await?;
    print::line(if enabled { "enabled" } else { "disabled" })
}

fn list(context: &Context, answer: &Value) -> Result<()> {
    if context.json {
        return print::json(answer);
    }
    let row = |endpoint: &Value| {
        let status = &endpoint["status"];
        vec![
            print::cell(&endpoint["id"]),
            print::cell(&endpoint["name"]),
            print::cell(&endpoint["url"]),
            print::cell(&status["state"]),
            print::cell(&status["pending"]),
            print::cell(&status["last_error"]),
        ]
    };
    let rows = answer["endpoints"].as_array().into_iter().flatten().map(row).collect();
    print::table(
        &["id", "name", "url", "state", "pending", "last error"],
        rows,
        "no endpoints; make one with `flagtrail endpoint create`",
    )
}

fn deliveries(context: &Context, answer: &Value) -> Result<()> {
    if context.json {
        return print::json(answer);
    }
    let row = |attempt: &Value| {
        ["at", "record_id", "attempt", "status", "error", "duration_ms", "next_due"]
            .map(|field| print::cell(&attempt[field]))
            .to_vec()
    };
    let rows = answer["deliveries"].as_array().into_iter().flatten().map(row).collect();
    print::table(&["at", "record", "attempt", "status", "error", "ms", "next"], rows, "no attempts")
}
