//! `flagtrail report`: what auditors ask for.
//!
//! The server runs the report and answers with the whole document; what is shown or written is made of that here, so that
//! a file and what stands beside it are of one run.

mod show;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use audit_record::Timestamp;
use audit_report::{Format, Report, write};
use serde_json::Value;

use super::Context;
use super::filter::{Parameters, PeriodArgs, moment};
use crate::exit::{Exit, Stop};
use crate::print;

/// Runs a report, or lists them.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(flatten)]
    ask: Ask,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What else to do.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the reports: what each means, its columns, the controls that it serves
    List {
        /// Only this one, with its columns
        name: Option<String>,
    },
    /// Put on the record what reviewers decided on the lines of a report
    ///
    /// The file is the report's CSV with reviewer, decision, decision_at and, where there is something to say, rationale
    /// filled in. It is taken as a whole or not at all; the same file again changes nothing.
    ImportDecisions {
        /// The filled-in CSV, in UTF-8
        file: PathBuf,
        /// The report that it is a review of; told from its columns by default
        #[arg(long)]
        report: Option<String>,
    },
}

/// Which report.
#[derive(Debug, clap::Args)]
struct Ask {
    /// Its name, such as change_log; `flagtrail report list` names them all
    #[arg(required = true)]
    name: Option<String>,
    /// Project, by id, key or name; may be repeated
    #[arg(long)]
    project: Vec<String>,
    /// For reports of one moment: a time, a day, or how long ago
    #[arg(long, value_parser = moment, conflicts_with_all = ["from", "to"])]
    at: Option<Timestamp>,
    #[command(flatten)]
    period: PeriodArgs,
    /// The list to compare with, as CSV in UTF-8 with a header line; `flagtrail report list NAME` says what stands in it
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// How to write it; table by default, or what the output file's name ends with
    #[arg(long, value_enum)]
    format: Option<Shape>,
    /// File to write; standard output by default. Beside a CSV file a .meta.json with all but the rows is written
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// How a report is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Shape {
    Table,
    Csv,
    Xlsx,
    Json,
    Html,
}

impl Shape {
    fn format(self) -> Option<Format> {
        match self {
            Self::Table => None,
            Self::Csv => Some(Format::Csv),
            Self::Xlsx => Some(Format::Xlsx),
            Self::Json => Some(Format::Json),
            Self::Html => Some(Format::Html),
        }
    }
}

/// Runs the command that was asked for.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    match args.command {
        Some(Command::List { name }) => list(&context, name.as_deref()).await,
        Some(Command::ImportDecisions { file, report }) => import(&context, &file, report.as_deref()).await,
        None => ask(&context, args.ask).await,
    }
}

async fn ask(context: &Context, ask: Ask) -> Result<()> {
    let format = format_of(context, &ask)?;
    let document = fetch(context, &ask).await?;
    let Some(format) = format else {
        let report: Report = serde_json::from_value(document).context("the server's answer is no report")?;
        return show::table(&report);
    };
    let bytes = if format == Format::Json {
        // As the server sent it, whatever release it is.
        serde_json::to_vec(&document)?
    } else {
        let report = serde_json::from_value(document.clone()).context("the server's answer is no report")?;
        write(&report, format)?
    };
    match &ask.output {
        None => print::bytes(&bytes),
        Some(path) => {
            save(path, &bytes)?;
            if format == Format::Csv {
                save(
                    &path.with_extension("meta.json"),
                    &serde_json::to_vec_pretty(&without_rows(document))?,
                )?;
            }
            print::line(&format!("{} is written", path.display()))
        }
    }
}

/// All of the document but its rows, which stand in a file of their own.
fn without_rows(mut document: Value) -> Value {
    if let Some(fields) = document.as_object_mut() {
        fields.remove("rows");
    }
    document
}

fn format_of(context: &Context, ask: &Ask) -> Result<Option<Format>> {
    let ending = ask.output.as_ref().and_then(|path| path.extension()?.to_str()?.parse().ok());
    let format = match ask.format {
        Some(shape) => shape.format(),
        None if context.json => Some(Format::Json),
        None => ending,
    };
    if ask.output.is_some() && format.is_none() {
        let problem = "--output needs --format csv, xlsx, json or html, or a file name that ends so";
        return Err(Stop::error(Exit::Usage, problem));
    }
    let to_terminal = ask.output.is_none() && std::io::IsTerminal::is_terminal(&std::io::stdout());
    if format == Some(Format::Xlsx) && to_terminal {
        return Err(Stop::error(Exit::Usage, "a workbook is no text: give --output FILE"));
    }
    Ok(format)
}

async fn fetch(context: &Context, ask: &Ask) -> Result<Value> {
    let client = context.client()?;
    let name = ask.name.as_deref().unwrap_or_default();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let problem = format!("there is no report {name:?}: flagtrail report list names them all");
        return Err(Stop::error(Exit::Usage, problem));
    }
    let mut parameters = Parameters::default();
    ask.project.iter().for_each(|project| parameters.add("project", project));
    parameters.add_some("at", ask.at.as_ref());
    parameters.add_some("from", ask.period.from.as_ref());
    parameters.add_some("to", ask.period.to.as_ref());
    parameters.add("format", "json");
    let path = format!("/v1/reports/{name}{}", parameters.as_str());
    match &ask.list {
        None => client.get(&path).await,
        Some(file) => {
            let list = std::fs::read(file).map_err(|error| {
                Stop::error(Exit::Usage, format!("the list {} can't be read: {error}", file.display()))
            })?;
            client.send_bytes(&path, "text/csv", list).await
        }
    }
}

fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("{} can't be written", path.display()))
}

async fn import(context: &Context, file: &Path, report: Option<&str>) -> Result<()> {
    let body = std::fs::read(file).map_err(|error| {
        Stop::error(Exit::Usage, format!("the review {} can't be read: {error}", file.display()))
    })?;
    let mut parameters = Parameters::default();
    parameters.add_some("report", report.map(str::to_owned).as_ref());
    let path = format!("/v1/reviews{}", parameters.as_str());
    let answer = context.client()?.send_bytes(&path, "text/csv", body).await?;
    if context.json {
        return print::json(&answer);
    }
    print::line(&format!(
        "{} decisions are on the record, {} lines have none",
        print::cell(&answer["recorded"]),
        print::cell(&answer["undecided"])
    ))
}

async fn list(context: &Context, name: Option<&str>) -> Result<()> {
    let mut answer = context.client()?.get("/v1/reports").await?;
    if let (Some(name), Some(reports)) = (name, answer["reports"].as_array_mut()) {
        reports.retain(|report| report["name"] == name);
        if reports.is_empty() {
            let problem = format!("there is no report {name:?}: flagtrail report list names them all");
            return Err(Stop::error(Exit::Usage, problem));
        }
    }
    if context.json {
        return print::json(&answer);
    }
    let mut reports = answer["reports"].as_array().into_iter().flatten();
    if name.is_some() {
        return reports.try_for_each(show::definition);
    }
    let row = |report: &Value| {
        let when = if report["when"] == "at" { "--at" } else { "--from, --to" };
        vec![
            print::cell(&report["name"]),
            print::cell(&report["title"]),
            when.to_owned(),
            show::controls(report),
        ]
    };
    print::table(&["report", "title", "about", "serves"], reports.map(row).collect(), "there is none")
}
