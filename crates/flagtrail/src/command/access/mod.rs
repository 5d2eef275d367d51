//! `flagtrail access`: who had access to what.

mod import;
mod snapshot;

use anyhow::Result;
use audit_record::Timestamp;
use serde_json::Value;

use super::Context;
use super::filter::{Parameters, moment};
use crate::client::Client;
use crate::print;

/// Most rows of one page of the server.
const PAGE_ROWS: usize = 1_000;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Who had access at a moment
    List(List),
    /// Somebody's access over time, and the records that did not fit
    History(History),
    /// Record who has access now, from a list that a platform or its administrator gives (CSV)
    ///
    /// Appends one record a row, and one that says that all are there. Nothing is appended unless every row is right.
    /// The same file for the same source and moment gives the same records, so a run that broke off is simply repeated.
    ///
    /// The list states the whole of the source at that moment. What was not known before begins as a baseline: held
    /// since then at the latest. What is known from records but not on the list stays, and is shown as missing from it,
    /// until a record or a later list affirms it.
    ///
    /// Columns, by their names in the first line, in any order: `kind` (user, group, api_key, …; user where empty),
    /// `subject_id`, `subject_email`, `subject_name` (one at least; give the id where the platform's own records
    /// have it, for by that they are the same person), `scope_type` (account, project or environment), `scope_id`, `scope_key`,
    /// `scope_name` (an id or a key but for an account), `project_id`, `project_key`, `project_name` (of an environment: one at
    /// least), `role` (may be empty).
    #[command(verbatim_doc_comment)]
    Import(import::Args),
}

/// Which access. A flag given twice means either value; different flags must all fit.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Which access")]
struct Filter {
    /// Project, by id, key or name: access to it and to its environments
    #[arg(long)]
    project: Vec<String>,
    /// Environment: access to that environment alone
    #[arg(long)]
    environment: Vec<String>,
    /// Organisation
    #[arg(long)]
    organisation: Vec<String>,
    /// Role
    #[arg(long)]
    role: Vec<String>,
    /// Source that tells of it
    #[arg(long)]
    source: Vec<String>,
    /// account, project or environment
    #[arg(long)]
    scope: Vec<String>,
}

impl Filter {
    fn parameters(&self, out: &mut Parameters) {
        for (name, values) in [
            ("project", &self.project),
            ("environment", &self.environment),
            ("organisation", &self.organisation),
            ("role", &self.role),
            ("source", &self.source),
            ("scope", &self.scope),
        ] {
            values.iter().for_each(|value| out.add(name, value));
        }
    }
}

/// Flags of `list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The moment: a time, a day (its midnight UTC), or how long ago (30d, 12h); now by default
    #[arg(long, value_parser = moment)]
    at: Option<Timestamp>,
    /// Whose, by id, e-mail or name
    #[arg(long)]
    subject: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// How many rows; all by default
    #[arg(long)]
    limit: Option<usize>,
}

/// Flags of `history`.
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Whose, by id, e-mail or name
    #[arg(required = true)]
    subject: Vec<String>,
    #[command(flatten)]
    filter: Filter,
}

/// Runs the command.
pub(crate) async fn run(context: Context, command: Command) -> Result<()> {
    match command {
        Command::List(list) => list_at(&context, &list).await,
        Command::History(history) => history_of(&context, &history).await,
        Command::Import(args) => import::run(context, args).await,
    }
}

async fn list_at(context: &Context, list: &List) -> Result<()> {
    let client = context.client()?;
    let mut parameters = Parameters::default();
    parameters.add_some("at", list.at.as_ref());
    list.subject.iter().for_each(|subject| parameters.add("subject", subject));
    list.filter.parameters(&mut parameters);
    let mut rows = Vec::new();
    let limit = list.limit.unwrap_or(usize::MAX);
    pages(&client, "/v1/access", &parameters, limit, |page| {
        for access in page["access"].as_array().into_iter().flatten() {
            if context.json { print::json(access)? } else { rows.push(row(access)) }
        }
        Ok(())
    })
    .await?;
    if context.json {
        return Ok(());
    }
    rows.sort();
    print::table(HEADER, rows, "nobody had such access, as far as the records say")
}

async fn history_of(context: &Context, history: &History) -> Result<()> {
    let client = context.client()?;
    let mut parameters = Parameters::default();
    history.subject.iter().for_each(|subject| parameters.add("subject", subject));
    history.filter.parameters(&mut parameters);
    let (mut rows, mut findings) = (Vec::new(), Vec::new());
    pages(&client, "/v1/access/history", &parameters, usize::MAX, |page| {
        if context.json {
            return print::json(page);
        }
        rows.extend(page["access"].as_array().into_iter().flatten().map(row));
        findings.extend(page["findings"].as_array().into_iter().flatten().map(finding));
        match page["findings_left_out"].as_u64() {
            None | Some(0) => Ok(()),
            Some(more) => print::line(&format!("{more} more records did not fit; they are not listed")),
        }
    })
    .await?;
    if context.json {
        return Ok(());
    }
    rows.sort_by(|a: &Vec<String>, b| (&a[0], &a[5]).cmp(&(&b[0], &b[5])));
    print::table(HEADER, rows, "no record tells of such access")?;
    if findings.is_empty() {
        return Ok(());
    }
    print::line("\nrecords that did not fit what was known:")?;
    print::table(&["when", "who", "role", "to", "what", "by", "record"], findings, "")
}

/// Shows `each` every page, up to `limit` rows.
async fn pages(
    client: &Client,
    path: &str,
    parameters: &Parameters,
    limit: usize,
    mut each: impl FnMut(&Value) -> Result<()>,
) -> Result<()> {
    let (mut left, mut cursor) = (limit, None);
    while left > 0 {
        let mut parameters = parameters.clone();
        parameters.add("limit", &left.min(PAGE_ROWS).to_string());
        parameters.add_some("cursor", cursor.as_ref());
        let page = client.get(&format!("{path}{}", parameters.as_str())).await?;
        each(&page)?;
        left -= page["access"].as_array().map_or(0, Vec::len).min(left);
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    Ok(())
}

/// The columns that people read.
const HEADER: &[&str] = &["who", "kind", "role", "to", "source", "since", "granted by", "until", "note"];

fn row(access: &Value) -> Vec<String> {
    let notes = [
        ("baseline", access["baseline"].as_bool().unwrap_or(false).then(|| "found by an import".to_owned())),
        ("missing", told(access, "missing_from_snapshot", "not in the import of")),
        ("account", told(access, "account_access_removed", "access to the account was removed")),
        ("elsewhere", told(access, "ended_elsewhere", "ended by another record")),
        ("late", is_late(access).then(|| "told late".to_owned())),
    ];
    let notes: Vec<String> = notes.into_iter().filter_map(|(_, note)| note).collect();
    vec![
        who(&access["subject"]),
        print::cell(&access["subject"]["type"]),
        print::cell(&access["role"]),
        place(access),
        print::cell(&access["source"]),
        when(&access["granted"]["at"]),
        if access["baseline"] == true { "–".to_owned() } else { who(&access["granted"]["by"]) },
        access["removed"]["at"].as_str().map_or_else(|| "–".to_owned(), |_| when(&access["removed"]["at"])),
        notes.join("; "),
    ]
}

fn finding(finding: &Value) -> Vec<String> {
    let what = match finding["kind"].as_str() {
        Some("removal_without_grant") => "removed, but was not held",
        _ => "granted, but was held already",
    };
    let said = &finding["said"];
    vec![
        when(&said["at"]),
        print::cell(&finding["subject"]),
        print::cell(&finding["role"]),
        format!("{} {}", print::cell(&finding["scope"]), print::cell(&finding["scope_id"])),
        what.to_owned(),
        who(&said["by"]),
        print::cell(&said["record"]),
    ]
}

fn told(access: &Value, field: &str, words: &str) -> Option<String> {
    access[field].as_str().map(|_| format!("{words} {}", when(&access[field])))
}

fn is_late(access: &Value) -> bool {
    access["granted"]["late"] == true || access["removed"]["late"] == true
}

fn who(person: &Value) -> String {
    let said = |field: &str| person[field].as_str().map(str::to_owned);
    ["email", "name", "id"].iter().find_map(|field| said(field)).unwrap_or_else(|| match &person["type"] {
        Value::Null => "–".to_owned(),
        kind => format!("({})", print::cell(kind)),
    })
}

/// What the access is to, in words: `project Shop`, `environment prod of Shop`.
fn place(access: &Value) -> String {
    let called = |thing: &Value| {
        ["name", "key", "id"].iter().find_map(|field| thing[field].as_str().map(str::to_owned))
    };
    let own = access["scope_id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
    match access["scope"].as_str() {
        Some("project") => format!("project {}", called(&access["project"]).or(own).unwrap_or_default()),
        Some("environment") => {
            let environment = called(&access["environment"]).or(own).unwrap_or_default();
            let of = called(&access["project"]).map(|project| format!(" of {project}"));
            format!("environment {environment}{}", of.unwrap_or_default())
        }
        _ => own.map_or_else(|| "account".to_owned(), |own| format!("account {own}")),
    }
}

fn when(at: &Value) -> String {
    let at = at.as_str().unwrap_or_default();
    at.get(..19).unwrap_or(at).replace('T', " ")
}
