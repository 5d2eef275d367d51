//! `flagtrail config`: what is in force, the commented defaults, and what its declared settings would change.

use anyhow::Result;
use hyper::Method;
use serde_json::{Value, json};

use super::Context;
use crate::config::DEFAULT;
use crate::exit::{Exit, Stop};
use crate::print;

/// What to show.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print the configuration in force, secrets masked
    Show,
    /// Print every setting with its default and what it means
    Default,
    /// Show what a start with this configuration would change among sources, endpoints and tokens
    ///
    /// Asks the running server, with a token that may do everything. Exit code 0: nothing would change; 1: something
    /// would, or the question failed.
    Diff,
}

/// Prints the commented defaults; needs no configuration.
pub(crate) fn print_default() -> Result<()> {
    print::line(DEFAULT.trim_end())
}

/// Runs the command.
pub(crate) async fn run(context: Context, command: Command) -> Result<()> {
    match command {
        Command::Show => print::line(&serde_json::to_string_pretty(&context.config)?),
        Command::Default => print_default(),
        Command::Diff => diff(&context).await,
    }
}

async fn diff(context: &Context) -> Result<()> {
    let Some(declaration) = context.config.declaration()? else {
        return Err(Stop::error(Exit::Usage, "there is no configuration file: name one with --config"));
    };
    let body = serde_json::to_value(&declaration)?;
    let answer = context.client()?.send(Method::POST, "/v1/settings/diff", &body).await?;
    let changes = answer["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if context.json {
        print::json(&json!({ "changes": changes }))?;
    } else {
        changes.iter().try_for_each(show)?;
    }
    match changes.len() {
        0 if context.json => Ok(()),
        0 => print::line(&format!("everything is as {} declares it", declaration.file)),
        1 => Err(Stop::error(Exit::Failed, "1 setting would change")),
        count => Err(Stop::error(Exit::Failed, format!("{count} settings would change"))),
    }
}

fn show(change: &Value) -> Result<()> {
    let [kind, name, what] = ["kind", "name", "change"].map(|field| print::cell(&change[field]));
    print::line(&format!("{what:<9}{kind} {}", print::visible(&name)))?;
    for field in change["fields"].as_array().into_iter().flatten() {
        let [path, before, after] = ["field", "before", "after"].map(|part| print::cell(&field[part]));
        print::line(&format!("           {path}: {} → {}", print::visible(&before), print::visible(&after)))?;
    }
    Ok(())
}
