//! `flagtrail access import`: a baseline of who has access, through the server's front door.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use audit_record::Timestamp;
use chrono::Utc;
use hyper::Method;
use indicatif::{ProgressBar, ProgressStyle};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::snapshot::{Snapshot, Wrong};
use crate::command::Context;
use crate::command::filter::moment;
use crate::exit::{Exit, Stop};
use crate::print;

/// Records of one request: about a megabyte.
const REQUEST_RECORDS: usize = 1_000;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The source whose access it is; a token with the scope admin appends in its name
    #[arg(long)]
    source: String,
    /// As of when the list states the whole: a time, a day (its midnight UTC), or how long ago
    #[arg(long, value_parser = moment)]
    as_of: Timestamp,
    /// The list (CSV)
    file: PathBuf,
    /// Check the list and append nothing
    #[arg(long)]
    dry_run: bool,
}

/// Checks everything, then appends everything.
///
/// If we crash anywhere in between, the record that says that the list is complete is not there: what was appended is a
/// baseline, and what is not on the list is not yet missing from it. The same command again appends all of it: what is on
/// the log already is known by its id.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    if args.as_of.to_datetime() > Utc::now() {
        return Err(Stop::error(Exit::Usage, format!("--as-of {} lies in the future", args.as_of)));
    }
    let name = args.file.display().to_string();
    let file = std::fs::File::open(&args.file).with_context(|| format!("{name} can't be read"))?;
    let read = Snapshot::read(std::io::BufReader::new(file), &args.source, args.as_of);
    let Snapshot { rows, completed } = match read {
        Ok(snapshot) => snapshot,
        Err(wrong) => return Err(refused(&name, &wrong)),
    };
    let client = context.client()?;
    let id = print::cell(&completed["id"]);
    let source: String = utf8_percent_encode(&args.source, NON_ALPHANUMERIC).collect();
    let path = format!("/v1/records?source={source}");
    let count = rows.len();
    let steps = count.div_ceil(REQUEST_RECORDS);
    let progress = bar(steps * 2 + 1);
    let send = |path: String, records: Value| {
        let client = &client;
        async move { client.send(Method::POST, &path, &records).await }
    };
    // The last word on what is right is the server's: it has to be heard on all of it first.
    for chunk in rows.chunks(REQUEST_RECORDS) {
        send(format!("{path}&dry_run=true"), json!(chunk))
            .await
            .with_context(|| format!("{name}: nothing was appended"))?;
        progress.inc(1);
    }
    send(format!("{path}&dry_run=true"), completed.clone()).await?;
    if !args.dry_run {
        for (index, chunk) in rows.chunks(REQUEST_RECORDS).enumerate() {
            send(path.clone(), json!(chunk)).await.with_context(|| {
                format!("{name}: rows from {} on are not appended; run it again", index * REQUEST_RECORDS + 1)
            })?;
            progress.inc(1);
        }
        send(path, completed)
            .await
            .with_context(|| format!("{name}: it is not complete yet; run it again"))?;
    }
    progress.finish_and_clear();
    if context.json {
        return print::json(&json!({
            "source": args.source, "as_of": args.as_of.to_string(), "rows": count, "completed": id, "dry_run": args.dry_run,
        }));
    }
    if args.dry_run {
        return print::line(&format!("{count} rows are right; nothing was appended"));
    }
    print::line(&format!(
        "{count} rows of {} as of {} are on the record; {id} says that they are all",
        args.source, args.as_of
    ))
}

fn refused(name: &str, wrong: &Wrong) -> anyhow::Error {
    let mut lines: Vec<String> = wrong
        .lines
        .iter()
        .map(|(line, problem)| format!("  line {line} {}", print::visible(problem)))
        .collect();
    if wrong.left_out > 0 {
        lines.push(format!("  and {} more", wrong.left_out));
    }
    Stop::error(Exit::Failed, format!("{name} is not right, and nothing was appended:\n{}", lines.join("\n")))
}

fn bar(steps: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {percent}%  {eta}").expect("a valid template");
    ProgressBar::new(steps as u64).with_style(style)
}
