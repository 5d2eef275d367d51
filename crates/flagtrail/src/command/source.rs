//! `flagtrail source`: the platforms that send changes.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use hyper::Method;
use serde_json::{Value, json};

use super::Context;
use crate::print;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a source and print the URL to paste into the platform
    Create(Create),
    /// List sources, with what they last sent
    List,
    /// Change a source: its secrets, where its records belong, what it is for
    Update(Update),
    /// Take its webhooks again
    Enable {
        /// The source
        name: String,
    },
    /// Refuse its webhooks (403) without forgetting it
    Disable {
        /// The source
        name: String,
    },
    /// Make a new URL; the old one stops working
    Rotate {
        /// The source
        name: String,
    },
    /// Remove a source; its URL stops working
    Delete {
        /// The source
        name: String,
    },
}

/// A new source.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Its name: lower-case, part of where its records are kept, never changed
    name: String,
    /// flagsmith, zenmanage, abtasty, mozhno, unleash, cloudevents or native
    #[arg(long)]
    platform: String,
    /// The organisation of its records
    #[arg(long)]
    organisation: String,
    /// The project where a request names none: an id or a key
    #[arg(long)]
    project: Option<String>,
    /// The environment where a request names none
    #[arg(long)]
    environment: Option<String>,
    /// File with the secret that the platform signs with; several during a rotation
    #[arg(long)]
    secret_file: Vec<PathBuf>,
    /// After how long without a sign of it to call it silent: a record says so, such as 12h or 7d
    #[arg(long)]
    silent_after: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
}

/// What to change; what is not given stays.
#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// The source
    name: String,
    /// The project where a request names none: an id or a key
    #[arg(long)]
    project: Option<String>,
    /// The environment where a request names none
    #[arg(long)]
    environment: Option<String>,
    /// File with the secret that the platform signs with; all of them, in place of those there are
    #[arg(long)]
    secret_file: Vec<PathBuf>,
    /// After how long without a sign of it to call it silent: a record says so, such as 12h or 7d; or never
    #[arg(long)]
    silent_after: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(context: Context, command: Command) -> Result<()> {
    let client = context.client()?;
    match command {
        Command::Create(create) => {
            made(&context, &client.send(Method::POST, "/v1/sources", &body(&create)?).await?)
        }
        Command::List => list(&context, &client.get("/v1/sources").await?),
        Command::Update(update) => {
            let mut change = json!({});
            hints(
                &mut change,
                update.project.as_ref(),
                update.environment.as_ref(),
                update.description.as_ref(),
            );
            if let Some(after) = &update.silent_after {
                change["silent_after"] = if after == "never" { Value::Null } else { json!(after) };
            }
            if !update.secret_file.is_empty() {
                change["secrets"] = secrets(&update.secret_file)?;
            }
            patch(&context, &update.name, &change).await
        }
        Command::Enable { name } => patch(&context, &name, &json!({"enabled": true})).await,
        Command::Disable { name } => patch(&context, &name, &json!({"enabled": false})).await,
        Command::Rotate { name } => made(
            &context,
            &client.replace(Method::POST, &format!("/v1/sources/{name}/rotate"), None, "*").await?,
        ),
        Command::Delete { name } => {
            client.replace(Method::DELETE, &format!("/v1/sources/{name}"), None, "*").await?;
            print::line(&format!("source {name} is gone"))
        }
    }
}

async fn patch(context: &Context, name: &str, change: &Value) -> Result<()> {
    let changed =
        context.client()?.replace(Method::PATCH, &format!("/v1/sources/{name}"), Some(change), "*").await?;
    if context.json { print::json(&changed) } else { print::line(&format!("source {name} is changed")) }
}

fn body(create: &Create) -> Result<Value> {
    let mut body = json!({
        "name": create.name, "platform": create.platform, "organisation": {"key": create.organisation},
    });
    hints(&mut body, create.project.as_ref(), create.environment.as_ref(), create.description.as_ref());
    if let Some(after) = &create.silent_after {
        body["silent_after"] = json!(after);
    }
    if !create.secret_file.is_empty() {
        body["secrets"] = secrets(&create.secret_file)?;
    }
    Ok(body)
}

fn hints(
    body: &mut Value,
    project: Option<&String>,
    environment: Option<&String>,
    description: Option<&String>,
) {
    if let Some(project) = project {
        body["project"] = json!({"id": project});
    }
    if let Some(environment) = environment {
        body["environment"] = json!({"id": environment});
    }
    if let Some(description) = description {
        body["description"] = json!(description);
    }
}

fn secrets(files: &[PathBuf]) -> Result<Value> {
    let secret = |file: &PathBuf| {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("the secret in {} can't be read", file.display()))?;
        Ok(json!(text.trim_end_matches(['\r', '\n'])))
    };
    files.iter().map(secret).collect()
}

/// The URL is shown this once.
fn made(context: &Context, source: &Value) -> Result<()> {
    if context.json {
        return print::json(source);
    }
    print::line(&format!(
        "paste this URL into {}; it holds a secret and is not shown again:",
        print::cell(&source["platform"])
    ))?;
    print::line(&print::cell(&source["url"]))?;
    if source["platform"] == "mozhno" {
        print::line("\nand this as the body template, with the header Content-Type: text/plain")?;
        print::line(audit_dialect::MOZHNO_TEMPLATE)?;
    }
    Ok(())
}

fn list(context: &Context, answer: &Value) -> Result<()> {
    if context.json {
        return print::json(answer);
    }
    let row = |source: &Value| {
        let status = &source["status"];
        let state = match (&source["enabled"], &status["silent_since"]) {
            (Value::Bool(false), _) => "disabled",
            (_, Value::String(_)) => "SILENT",
            _ => "on",
        };
        let of_source = ["name", "platform"].map(|field| print::cell(&source[field]));
        let counts = ["last_received_at", "records", "accepted", "rejected", "bad_signatures"];
        let counts = counts.map(|field| print::cell(&status[field]));
        of_source.into_iter().chain([state.to_owned()]).chain(counts).collect()
    };
    let rows = answer["sources"].as_array().into_iter().flatten().map(row).collect();
    let header =
        ["name", "platform", "state", "last received", "records", "accepted", "rejected", "bad signatures"];
    print::table(&header, rows, "no sources; make one with `flagtrail source create`")
}
