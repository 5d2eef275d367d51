//! Who holds what, as the access reports read it.

use std::collections::HashMap;

use audit_archive::{
    ACCESS_PAGE_MAX, ACTORS_MAX, AccessFilter, AccessHistoryQuery, AccessQuery, AccessRow, AccessStatement,
    Actor, CalledThing, Person,
};
use audit_record::Timestamp;
use serde_json::{Value, json};

use crate::evidence::{Evidence, ReportError};

/// Most intervals of access that a report holds at a time.
const HELD_MAX: usize = 200_000;

/// What [`held_at`] comes to, in SQL. It is answered by an index over time instead of a scan, and what snapshots and other
/// partitions say against a row is looked up beside it (README, "Who had access").
const HELD_AT: &str = "SELECT * FROM access
WHERE from_us <= :at_us AND (until_us IS NULL OR until_us > :at_us)";

/// What [`history`] comes to, in SQL.
const HISTORY: &str = "SELECT * FROM access
WHERE :subject IN (subject_id, subject_email, subject_name)";

/// Everything that was held at a moment and that the filter admits, of the projects asked for.
pub(super) fn held_at(
    evidence: &mut Evidence<'_>,
    at: Timestamp,
    filter: AccessFilter,
) -> Result<Vec<AccessRow>, ReportError> {
    let shown = json!({"at_us": at.micros(), "filter": shown(&filter)});
    let mut query = AccessQuery { at, filter, limit: ACCESS_PAGE_MAX, cursor: None };
    let mut rows = Vec::new();
    loop {
        evidence.in_time()?;
        let page = evidence.reader().access(&query)?;
        rows.extend(page.rows);
        if rows.len() > HELD_MAX {
            return Err(ReportError::TooMuch("200,000 intervals of access"));
        }
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => break,
        }
    }
    rows.sort_by(|a, b| order(a).cmp(&order(b)));
    evidence.ran(HELD_AT, shown, rows.len() as u64);
    Ok(rows)
}

/// By people, for reading.
fn order(row: &AccessRow) -> (String, &str, &str, &str, Option<&str>) {
    (who(&row.subject), &row.source, &row.scope, &row.scope_identity, row.role.as_deref())
}

/// Every interval of one person at any time, by anything that they go by; in these projects alone where there are any.
pub(super) fn history(
    evidence: &mut Evidence<'_>,
    subject: &[String],
    projects: &[String],
) -> Result<Vec<AccessRow>, ReportError> {
    let filter =
        AccessFilter { subject: subject.to_vec(), project: projects.to_vec(), ..AccessFilter::default() };
    let mut query = AccessHistoryQuery { filter, limit: ACCESS_PAGE_MAX, cursor: None };
    let mut rows = Vec::new();
    loop {
        evidence.in_time()?;
        let page = evidence.reader().access_history(&query)?;
        rows.extend(page.rows);
        match page.next {
            Some(next) if rows.len() <= HELD_MAX => query.cursor = Some(next),
            Some(_) => return Err(ReportError::TooMuch("200,000 intervals of one person's access")),
            None => return Ok(rows),
        }
    }
}

/// Prints what [`history`] ran, once for all people.
pub(super) fn ran_history(evidence: &mut Evidence<'_>, people: usize, rows: u64) {
    evidence.ran(HISTORY, json!({"subject": format!("each of {people}")}), rows);
}

fn shown(filter: &AccessFilter) -> Value {
    let lists = [
        ("project", &filter.project),
        ("subject", &filter.subject),
        ("role", &filter.role),
        ("source", &filter.source),
        ("scope", &filter.scope),
    ];
    let given = lists.into_iter().filter(|(_, values)| !values.is_empty());
    Value::Object(given.map(|(name, values)| (name.to_owned(), json!(values))).collect())
}

/// When each holder last made a change at the source, up to a moment: by source and identity. For whoever may see some
/// projects alone: in these.
pub(super) fn last_acts(
    evidence: &Evidence<'_>,
    rows: &[AccessRow],
    at: Timestamp,
) -> Result<HashMap<(String, String), Timestamp>, ReportError> {
    let mut people: HashMap<(String, String), Vec<String>> = HashMap::new();
    for row in rows {
        let labels = people.entry(holder(row)).or_default();
        for label in labels_of(&row.subject) {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
    }
    let people: Vec<_> = people.into_iter().collect();
    let mut found = HashMap::new();
    for some in people.chunks(ACTORS_MAX / 4) {
        evidence.in_time()?;
        let actor = |((source, _), labels): &((String, String), Vec<String>)| Actor {
            source: source.clone(),
            labels: labels.clone(),
        };
        let actors: Vec<Actor> = some.iter().map(actor).collect();
        for ((holder, _), last) in some.iter().zip(last_acts_of(evidence, &actors, at)?) {
            found.extend(last.map(|last| (holder.clone(), last)));
        }
    }
    Ok(found)
}

/// When these last made a change, up to a moment. What somebody does in other projects is not for whoever may not see
/// those.
pub(super) fn last_acts_of(
    evidence: &Evidence<'_>,
    actors: &[Actor],
    at: Timestamp,
) -> Result<Vec<Option<Timestamp>>, ReportError> {
    let question = evidence.question();
    let projects = if question.limited { question.projects.as_slice() } else { &[] };
    Ok(evidence.reader().last_acts(actors, projects, at)?)
}

/// What one person is known by, at one source.
pub(super) fn holder(row: &AccessRow) -> (String, String) {
    (row.source.clone(), format!("{} {}", row.subject.kind, row.identity))
}

/// By what an author may be the same person: the id and the address. A name is shared too easily.
pub(super) fn labels_of(person: &Person) -> Vec<String> {
    [&person.id, &person.email].into_iter().flatten().cloned().collect()
}

/// Somebody: by e-mail, else name, else id; else what kind of subject it is, in brackets.
pub(super) fn who(person: &Person) -> String {
    let named = [&person.email, &person.name, &person.id].into_iter().flatten().next();
    named.cloned().unwrap_or_else(|| format!("({})", person.kind))
}

/// Who made a record; nothing where its body is gone.
pub(super) fn author(statement: &AccessStatement) -> Option<String> {
    statement.author.as_ref().map(who)
}

/// A thing: by key, else name, else id.
pub(super) fn called(thing: Option<&CalledThing>) -> Option<String> {
    let thing = thing?;
    [&thing.key, &thing.name, &thing.id].into_iter().flatten().next().cloned()
}

/// The project that the access is to, or what is known of it.
pub(super) fn project(row: &AccessRow) -> Option<String> {
    let own = (row.scope == "project").then(|| row.scope_identity.clone());
    called(row.project.as_ref()).or(own)
}

/// The environment that the access is to.
pub(super) fn environment(row: &AccessRow) -> Option<String> {
    (row.scope == "environment")
        .then(|| called(row.environment.as_ref()).unwrap_or_else(|| row.scope_identity.clone()))
}

/// What access is to, in words.
pub(super) fn place(row: &AccessRow) -> String {
    match (row.scope.as_str(), project(row), environment(row)) {
        ("account", ..) if row.scope_identity.is_empty() => "account".to_owned(),
        ("account", ..) => format!("account {}", row.scope_identity),
        (_, Some(project), Some(environment)) => format!("{project}/{environment}"),
        (_, Some(project), None) => project,
        (_, None, environment) => environment.unwrap_or_else(|| row.scope_identity.clone()),
    }
}

/// A role and what it is in: `editor in shop`.
pub(super) fn role_in(row: &AccessRow) -> String {
    format!("{} in {}", row.role.as_deref().unwrap_or("access"), place(row))
}

/// When it ended, by whatever ended it.
pub(super) fn ended_at(row: &AccessRow) -> Option<Timestamp> {
    let elsewhere = row.ended_elsewhere_us.and_then(|us| Timestamp::from_micros(us).ok());
    [row.until(), elsewhere].into_iter().flatten().min()
}

/// What a record's approval says: the change request, and when it was approved.
pub(super) fn approval(statement: &AccessStatement) -> (Option<String>, Option<Timestamp>) {
    let approval: Value =
        statement.approval.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let text = |field: &str| approval[field].as_str();
    (
        text("change_request_id").map(str::to_owned),
        text("approved_at").and_then(|at| Timestamp::parse(at).ok()),
    )
}

/// Whole days from one moment to another.
pub(super) fn days(from: Timestamp, to: Timestamp) -> i64 {
    (to.micros() - from.micros()).div_euclid(86_400_000_000)
}
