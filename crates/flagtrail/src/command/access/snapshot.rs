//! A list of who has access, as CSV, and the records that say the same. No I/O but reading the list.

use std::collections::HashMap;
use std::io::Read;

use audit_digest::Sha256;
use audit_record::{AuditRecord, Draft, RecordError, Timestamp};
use csv::StringRecord;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Most rows of one list: each is held until all are known to be right.
const ROWS_MAX: usize = 200_000;

/// Most wrong lines that are named; the rest is counted.
const WRONG_MAX: usize = 100;

/// What the ids of these records are derived in, so that the same list gives the same records, whoever imports it.
const NAMESPACE: Uuid = Uuid::from_u128(0x8f1c_2a52_6d0e_5b7c_9a41_57d3_0e6b_c2f9);

/// The columns that a list may have.
const COLUMNS: [&str; 12] = [
    "kind",
    "subject_id",
    "subject_email",
    "subject_name",
    "scope_type",
    "scope_id",
    "scope_key",
    "scope_name",
    "project_id",
    "project_key",
    "project_name",
    "role",
];

/// The records of a list.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// One a row.
    pub(super) rows: Vec<Value>,
    /// The one that says that all are there.
    pub(super) completed: Value,
}

/// Everything that is wrong with a list: line and mend.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) lines: Vec<(u64, String)>,
    /// Wrong lines beyond those.
    pub(super) left_out: usize,
}

impl Snapshot {
    /// Reads a list and makes its records. Either all rows are right, or what is wrong with each is told.
    pub(super) fn read(list: impl Read, source: &str, as_of: Timestamp) -> Result<Self, Wrong> {
        let mut wrong = Wrong { lines: Vec::new(), left_out: 0 };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(list);
        let columns = match reader.headers().map_err(|error| error.to_string()).and_then(columns) {
            Ok(columns) => columns,
            Err(problem) => return Err(Wrong { lines: vec![(1, problem)], left_out: 0 }),
        };
        let mut seen: HashMap<String, u64> = HashMap::new();
        let mut rows = Vec::new();
        for read in reader.records() {
            let line = read.as_ref().ok().and_then(StringRecord::position).map_or(0, csv::Position::line);
            let made =
                read.map_err(|error| (error.position().map_or(line, csv::Position::line), error.to_string()));
            let made = made.and_then(|row| {
                record(&Row { columns: &columns, row: &row }, source, as_of)
                    .map_err(|problem| (line, problem))
            });
            match made {
                Ok(made) => {
                    let id = made["id"].as_str().unwrap_or_default().to_owned();
                    if let Some(first) = seen.insert(id, line) {
                        wrong.add(line, format!("says the same as line {first}: remove one of them"));
                    }
                    rows.push(made);
                }
                Err((line, problem)) => wrong.add(line, problem),
            }
            if rows.len() > ROWS_MAX {
                wrong.add(line, format!("a list may have {ROWS_MAX} rows: import it project by project, each as a source of its own"));
                break;
            }
        }
        if rows.is_empty() && wrong.lines.is_empty() {
            wrong.add(
                1,
                "no row follows: a list that names nobody would say that nobody has access".to_owned(),
            );
        }
        if !wrong.lines.is_empty() {
            return Err(wrong);
        }
        let mut ids: Vec<&String> = seen.keys().collect();
        ids.sort_unstable();
        let list =
            hex::encode(ids.iter().fold(Sha256::new(), |sum, id| sum.chain_update(id.as_bytes())).finalize());
        let completed = completed(source, as_of, rows.len(), &list);
        Ok(Self { rows, completed })
    }
}

impl Wrong {
    fn add(&mut self, line: u64, problem: String) {
        if self.lines.len() < WRONG_MAX { self.lines.push((line, problem)) } else { self.left_out += 1 }
    }
}

/// Where each column stands.
fn columns(header: &StringRecord) -> Result<HashMap<String, usize>, String> {
    let mut columns = HashMap::new();
    for (index, name) in header.iter().enumerate() {
        let name = name.trim_start_matches('\u{feff}').to_lowercase();
        if !COLUMNS.contains(&name.as_str()) {
            return Err(format!("there is no column {name:?}: there are {}", COLUMNS.join(", ")));
        }
        if columns.insert(name.clone(), index).is_some() {
            return Err(format!("the column {name} stands twice: remove one"));
        }
    }
    if !columns.contains_key("scope_type") {
        return Err(
            "the column scope_type is missing: account, project or environment in each row".to_owned()
        );
    }
    Ok(columns)
}

struct Row<'r> {
    columns: &'r HashMap<String, usize>,
    row: &'r StringRecord,
}

impl Row<'_> {
    /// What stands in a column; empty cells count as absent.
    fn get(&self, column: &str) -> Option<&str> {
        self.columns.get(column).and_then(|index| self.row.get(*index)).filter(|cell| !cell.is_empty())
    }

    /// An object of the cells that are there.
    fn object(&self, fields: &[(&str, &str)]) -> Map<String, Value> {
        let given =
            fields.iter().filter_map(|(field, column)| Some(((*field).to_owned(), json!(self.get(column)?))));
        given.collect()
    }
}

/// The record of a row, or what is wrong with it and how to mend it.
fn record(row: &Row<'_>, source: &str, as_of: Timestamp) -> Result<Value, String> {
    if row.row.len() > row.columns.len() {
        return Err(format!(
            "has {} cells where the first line has {}: quote a cell that holds a comma",
            row.row.len(),
            row.columns.len()
        ));
    }
    let mut subject =
        row.object(&[("id", "subject_id"), ("email", "subject_email"), ("name", "subject_name")]);
    if subject.is_empty() {
        return Err("names nobody: fill subject_id, subject_email or subject_name".to_owned());
    }
    if let Some(email) = row.get("subject_email").filter(|email| !email.contains('@')) {
        return Err(format!(
            "subject_email {email:?} is no e-mail address: mend it, or put it under subject_name"
        ));
    }
    let who =
        ["email", "name", "id"].iter().find_map(|field| subject.get(*field)?.as_str()).unwrap_or_default();
    let who = who.to_owned();
    subject.insert("type".to_owned(), json!(row.get("kind").unwrap_or("user").to_lowercase()));
    let mut scope = row.object(&[("id", "scope_id"), ("key", "scope_key")]);
    let named = !scope.is_empty();
    let thing = row.object(&[("id", "scope_id"), ("key", "scope_key"), ("name", "scope_name")]);
    let project = row.object(&[("id", "project_id"), ("key", "project_key"), ("name", "project_name")]);
    let kind = row.get("scope_type").unwrap_or_default().to_lowercase();
    let (object_type, project, environment) = match kind.as_str() {
        "account" if !project.is_empty() => {
            return Err("is about an account, which has no project: empty the project_… cells, or make it a project's".to_owned());
        }
        "account" => ("ACCOUNT_ACCESS", None, None),
        "project" | "environment" if !named => {
            return Err(format!("does not say which {kind}: fill scope_id or scope_key"));
        }
        "project" if project.values().any(|own| !thing.values().any(|other| other == own)) => {
            return Err("names two projects: for scope_type project fill scope_… alone".to_owned());
        }
        "project" => ("PROJECT_ACCESS", Some(thing), None),
        "environment" if project.is_empty() => {
            return Err("does not say in which project the environment is: fill project_id, project_key or project_name".to_owned());
        }
        "environment" => ("PROJECT_ACCESS", Some(project), Some(thing)),
        "" => return Err("scope_type is empty: account, project or environment".to_owned()),
        other => return Err(format!("scope_type {other:?} is none of account, project and environment")),
    };
    scope.insert("type".to_owned(), json!(kind));
    let mut access = json!({"subject": subject, "scope": scope, "effect": "snapshot"});
    let role = row.get("role");
    if let Some(role) = role {
        access["role"] = json!(role);
    }
    let what = environment.as_ref().or(project.as_ref()).and_then(called).unwrap_or_default();
    let mut made = json!({
        "action": "access.snapshot",
        "log": format!(
            "{who} has {} {kind}{}{what}, by a list of {}",
            role.map_or_else(|| "access to the".to_owned(), |role| format!("the role {role} in the")),
            if what.is_empty() { "" } else { " " },
            as_of.to_string().get(..10).unwrap_or_default(),
        ),
        "occurred_at": as_of.to_string(),
        "author": {"type": "system", "name": "flagtrail access import"},
        "related_object_type": object_type,
        "related_object": {"name": who},
        "access": access,
        "attributes": {"snapshot": {"source": source, "as_of": as_of.to_string()}},
    });
    for (field, thing) in [("project", project), ("environment", environment)] {
        if let Some(thing) = thing {
            made[field] = Value::Object(thing);
        }
    }
    // What the row says, not how it is written: spaces and the order of columns are not in it.
    made["id"] = json!(id(&made.to_string()));
    check(&made)?;
    Ok(made)
}

fn called(thing: &Map<String, Value>) -> Option<String> {
    ["name", "key", "id"].iter().find_map(|field| thing.get(*field)?.as_str().map(str::to_owned))
}

fn completed(source: &str, as_of: Timestamp, rows: usize, list: &str) -> Value {
    let mut made = json!({
        "action": "access.snapshot.completed",
        "log": format!("The list of who has access at {source}, as of {as_of}, is complete: {rows} rows"),
        "occurred_at": as_of.to_string(),
        "author": {"type": "system", "name": "flagtrail access import"},
        "related_object_type": "ACCOUNT_ACCESS",
        "related_object": {"name": source},
        "attributes": {"snapshot": {"source": source, "as_of": as_of.to_string(), "rows": rows, "list_sha256": list}},
    });
    made["id"] = json!(id(&made.to_string()));
    made
}

fn id(said: &str) -> String {
    Uuid::new_v5(&NAMESPACE, said.as_bytes()).to_string()
}

/// Whether a record can be made of it, with what the server will fill in.
fn check(made: &Value) -> Result<(), String> {
    let mut filled = made.clone();
    let at = made["occurred_at"].clone();
    filled["recorded_at"] = at.clone();
    filled["organisation"] = json!({"key": "any"});
    filled["source"] = json!({"name": "any", "system": "native", "event": "any", "received_at": at});
    let said = |problems: Vec<audit_record::Violation>| {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    match AuditRecord::try_new(Draft::from_value(filled).map_err(said)?) {
        Ok(_) => Ok(()),
        Err(RecordError::Invalid(problems)) => Err(said(problems)),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_of() -> Timestamp {
        Timestamp::parse("2026-09-30T00:00:00Z").unwrap()
    }

    fn read(list: &str) -> Result<Snapshot, Wrong> {
        Snapshot::read(list.as_bytes(), "main", as_of())
    }

    const LIST: &str = "\
kind,subject_id,subject_email,scope_type,scope_id,scope_name,project_id,role
user,7,ada@example.com,project,1,Shop,,editor
,8,,account,,,,Admin
group,9,,environment,23,Production,1,
";

    #[test]
    fn each_row_is_a_record_of_what_it_says() {
        let snapshot = read(LIST).unwrap();
        let [ada, admin, group] = &snapshot.rows[..] else { panic!("three rows") };
        assert_eq!(ada["access"]["subject"], json!({"type": "user", "id": "7", "email": "ada@example.com"}));
        assert_eq!(ada["project"], json!({"id": "1", "name": "Shop"}));
        assert_eq!(
            ada["log"],
            "ada@example.com has the role editor in the project Shop, by a list of 2026-09-30"
        );
        assert_eq!(admin["access"]["scope"], json!({"type": "account"}));
        assert_eq!(
            (&admin["related_object_type"], &admin["project"]),
            (&json!("ACCOUNT_ACCESS"), &Value::Null)
        );
        assert_eq!(group["environment"], json!({"id": "23", "name": "Production"}));
        assert_eq!((&group["project"], &group["access"]["role"]), (&json!({"id": "1"}), &Value::Null));
        assert_eq!(snapshot.completed["attributes"]["snapshot"]["rows"], 3);
    }

    #[test]
    fn the_same_list_gives_the_same_records_however_it_is_written() {
        let ids = |list: &str, source: &str, at: &str| {
            let read = Snapshot::read(list.as_bytes(), source, Timestamp::parse(at).unwrap()).unwrap();
            let mut ids: Vec<_> = read.rows.iter().map(|row| row["id"].clone()).collect();
            ids.sort_by_key(ToString::to_string);
            (ids, read.completed["id"].clone())
        };
        let at = "2026-09-30T00:00:00Z";
        let first = ids(LIST, "main", at);
        let mut lines: Vec<&str> = LIST.lines().collect();
        lines[1..].reverse();
        let again = format!("\u{feff}{}\r\n", lines.join(" \r\n"));
        assert_eq!(ids(&again, "main", at), first);
        let others = [
            ids(LIST, "other", at),
            ids(LIST, "main", "2026-10-01T00:00:00Z"),
            ids(&lines[..3].join("\n"), "main", at),
        ];
        assert!(others.iter().all(|other| other.1 != first.1));
        assert!(others[..2].iter().all(|other| other.0.iter().all(|id| !first.0.contains(id))));
    }

    #[test]
    fn every_wrong_line_is_named_with_its_mend() {
        let wrong = read(
            "kind,subject_id,subject_email,scope_type,scope_id,project_id,role\n\
             user,,,project,1,,editor\n\
             user,7,,project,,,editor\n\
             user,7,nobody,project,1,,editor\n\
             user,7,,environment,23,,editor\n\
             user,7,,planet,23,,editor\n\
             user,7,,project,1,2,editor\n\
             user,7,,account,,1,editor\n\
             user,7,,project,1,,editor\n\
             user,7,,project,1,,editor\n\
             user,7,,project,1,,editor,and more\n",
        )
        .unwrap_err();
        let expected = [
            (2, "fill subject_id"),
            (3, "fill scope_id or scope_key"),
            (4, "is no e-mail address"),
            (5, "fill project_id"),
            (6, "none of account, project and environment"),
            (7, "names two projects"),
            (8, "has no project"),
            (10, "says the same as line 9"),
            (11, "quote a cell"),
        ];
        assert_eq!(wrong.lines.len(), expected.len(), "{wrong:?}");
        for ((line, problem), (expected_line, part)) in wrong.lines.iter().zip(expected) {
            assert_eq!(*line, expected_line, "{problem}");
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn a_list_without_rows_or_with_a_column_that_there_is_not_is_refused() {
        for (list, part) in [
            ("subject_id,scope_type\n", "names nobody"),
            ("", "scope_type is missing"),
            ("subject_id,scope_type,mail\n7,account,x\n", "no column \"mail\""),
            ("subject_id,subject_id,scope_type\n", "stands twice"),
        ] {
            let wrong = read(list).unwrap_err();
            assert!(wrong.lines[0].1.contains(part), "{wrong:?}");
        }
    }
}
