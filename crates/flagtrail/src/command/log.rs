//! `flagtrail log`: the log itself. Works on the log, not through a server.

use anyhow::{Context as _, Result};
use audit_journal::{Journal, Topic};
use serde_json::json;

use super::Context;
use crate::exit::{Exit, Stop};
use crate::print;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show which log this is and what its partitions hold
    Show,
    /// Accept the log as it is now, after it was re-created, truncated or restored, or after retention
    /// overtook a reader
    ///
    /// Readers that stopped by name go on at the first message that is kept. What lies between is lost to
    /// them, and the new epoch is on the record.
    NewEpoch {
        /// Do it; without this it is only said what would happen
        #[arg(long)]
        yes: bool,
    },
}

/// Runs the command.
pub(crate) async fn run(context: Context, command: Command) -> Result<()> {
    let journal = Journal::open(context.config.journal()?).await.map_err(|error| match error {
        audit_journal::OpenError::Held(_) => {
            Stop::error(Exit::Unavailable, format!("{error} (stop `flagtrail up` for this command)"))
        }
        error => Stop::error(Exit::Unavailable, error.to_string()),
    })?;
    let outcome = act(&context, &journal, command).await;
    journal.close().await;
    outcome
}

async fn act(context: &Context, journal: &Journal, command: Command) -> Result<()> {
    match command {
        Command::Show => show(context, journal).await,
        Command::NewEpoch { yes: false } => {
            let present = journal.identity().epoch;
            print::line(&format!("would end epoch {present} and begin a new one; say --yes to do it"))
        }
        Command::NewEpoch { yes: true } => {
            let identity = journal.new_epoch().await.context("the new epoch could not be written")?;
            print::line(&format!(
                "epoch {} has begun: every process accepts the log from its next start",
                identity.epoch
            ))
        }
    }
}

async fn show(context: &Context, journal: &Journal) -> Result<()> {
    let identity = journal.identity();
    let bounds = journal.bounds(Topic::Records).await?;
    if context.json {
        let partitions: Vec<_> = bounds
            .iter()
            .map(|b| json!({"partition": b.partition, "start": b.start, "end": b.end}))
            .collect();
        return print::json(&json!({
            "deployment": identity.deployment, "epoch": identity.epoch, "partitions": partitions,
        }));
    }
    print::line(&format!("deployment {}, epoch {}", identity.deployment, identity.epoch))?;
    let row =
        |b: &audit_journal::Bounds| vec![b.partition.to_string(), b.start.to_string(), b.end.to_string()];
    print::table(&["partition", "first offset", "end"], bounds.iter().map(row).collect(), "no partitions")
}
