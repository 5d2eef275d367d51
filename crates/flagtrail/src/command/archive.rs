//! `flagtrail archive`: the SQLite archive on this machine. Works on the files, not through a server.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Context;
use crate::exit::{Exit, Stop};
use crate::print;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Ask it in SQL: the view audit_log has one row a record; .help lists the commands
    Open,
    /// Show how far it is
    Status,
    /// Look for damage
    Check,
    /// Delete it, to be filled again from the log at the next start
    ///
    /// What retention has removed from the log does not come back: make a backup first.
    Rebuild {
        /// Do it; without this it is only said what would happen
        #[arg(long)]
        yes: bool,
    },
    /// Copy it, beside a running server too
    Backup {
        /// Directory to copy to
        to: PathBuf,
    },
}

/// Runs the command.
pub(crate) async fn run(context: Context, command: Command) -> Result<()> {
    tokio::task::spawn_blocking(move || act(&context, command)).await?
}

fn act(context: &Context, command: Command) -> Result<()> {
    let dir = context.config.archive_dir();
    match command {
        Command::Open => {
            let session = audit_archive::sql_session(&dir)?;
            let prompt = io::stdin().is_terminal().then_some("archive> ");
            Ok(audit_archive::shell(&session, io::stdin().lock(), io::stdout().lock(), prompt)?)
        }
        Command::Status => status(context),
        Command::Check => check(context),
        Command::Rebuild { yes: false } => {
            print::line(&format!("would delete the archive in {}; say --yes to do it", dir.display()))
        }
        Command::Rebuild { yes: true } => {
            let files = audit_archive::rebuild(&dir)?;
            print::line(&format!(
                "{files} files deleted; the next `flagtrail up` or `serve --roles archive` fills them again"
            ))
        }
        Command::Backup { to } => {
            let report = audit_archive::backup(&dir, &to)?;
            print::line(&format!("{} files, {} bytes copied to {}", report.files, report.bytes, to.display()))
        }
    }
}

fn status(context: &Context) -> Result<()> {
    let status = audit_archive::Reader::open(context.config.archive_dir()).status()?;
    if context.json {
        let partition = |p: &audit_archive::PartitionStatus| {
            json!({
                "partition": p.end.partition, "next": p.end.next, "messages": p.messages, "duplicates": p.duplicates,
                "undecodable": p.undecodable, "lag": p.lag(), "stopped": p.stopped,
                "signed_size": p.signed.map(|head| head.size), "signed_at_s": p.signed.and_then(|head| head.at_s),
                "alarm": p.alarm, "checkpoint_alarms": p.alarms,
                "erasures_not_followed": p.unfollowed,
            })
        };
        return print::json(
            &json!({"partitions": status.partitions.iter().map(partition).collect::<Vec<_>>()}),
        );
    }
    let row = |p: &audit_archive::PartitionStatus| {
        let state = p
            .stopped
            .clone()
            .or_else(|| p.alarm.clone())
            .unwrap_or_else(|| if p.lag() == 0 { "level".to_owned() } else { "behind".to_owned() });
        let numbers = [u64::from(p.end.partition), p.messages, p.duplicates, p.undecodable, p.lag()];
        let signed = p.signed.map_or_else(|| "nothing".to_owned(), |head| head.size.to_string());
        numbers.iter().map(u64::to_string).chain([signed, state]).collect()
    };
    let header = ["partition", "messages", "duplicates", "undecodable", "behind", "signed", "state"];
    print::table(&header, status.partitions.iter().map(row).collect(), "the archive is empty")
}

fn check(context: &Context) -> Result<()> {
    let report =
        audit_archive::check(context.config.archive_dir()).context("the archive can't be checked")?;
    if context.json {
        let findings: Vec<_> =
            report.findings.iter().map(|f| json!({"file": f.file, "problem": f.problem})).collect();
        print::json(
            &json!({"files": report.files, "messages": report.messages, "found": report.found, "findings": findings}),
        )?;
    } else {
        report.findings.iter().try_for_each(|f| print::line(&format!("WRONG  {}: {}", f.file, f.problem)))?;
        print::line(&format!(
            "{} messages in {} files looked at, {} findings",
            report.messages, report.files, report.found
        ))?;
    }
    if report.is_sound() {
        Ok(())
    } else {
        Err(Stop::error(
            Exit::Failed,
            "the archive is not what it should be: `flagtrail archive rebuild` makes it anew from the log; what is wrong with a checkpoint stays",
        ))
    }
}
