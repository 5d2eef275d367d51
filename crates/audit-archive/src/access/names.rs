//! Who and what access is about, as numbers: holders, scopes, and the labels that they are found by.
//!
//! Unlike a [thing](crate::things), which is a snapshot of how something was called, a holder is one identity: whatever else a
//! record calls it, it is the same one.

use std::collections::BTreeSet;

use audit_proof::TagKey;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;
use serde_json::json;

use super::event::{Event, Scope, Subject, filled};

/// `access_scope.parent` of what lies in nothing else.
const NO_PARENT: i64 = 0;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) holder: i64,
    pub(super) scope: i64,
    /// The scope that questions about a project begin at: the project of an environment, any other scope itself.
    pub(super) area: i64,
}

/// The numbers of what an event is about. What is new is written, in the transaction that is open on `conn`.
pub(super) fn numbers(conn: &Connection, key: &TagKey, event: &Event<'_>) -> rusqlite::Result<Numbers> {
    let holder = holder(conn, key, event.source, &event.subject)?;
    let organisation = event.organisation.stable();
    let number = |kind: &str, identity: &str, parent: i64| {
        scope(conn, (organisation, event.source), kind, identity, parent)
    };
    let own = |scope: &Scope| {
        filled(scope.id.as_ref()).or(filled(scope.key.as_ref())).unwrap_or_default().to_owned()
    };
    let (scope, area) = match event.scope.kind.as_str() {
        "environment" => {
            let project = event.project.stable();
            let area = if project.is_empty() { NO_PARENT } else { number("project", project, NO_PARENT)? };
            let identity = Some(own(&event.scope)).filter(|own| !own.is_empty());
            let identity = identity.unwrap_or_else(|| event.environment.stable().to_owned());
            let scope = number("environment", &identity, area)?;
            let labels = event.environment.labels();
            label(conn, "environment", scope, labels.chain(scope_labels(&event.scope)))?;
            (scope, if area == NO_PARENT { scope } else { area })
        }
        kind => {
            let identity = Some(own(&event.scope)).filter(|own| !own.is_empty());
            let identity = identity.unwrap_or_else(|| match kind {
                "project" => event.project.stable().to_owned(),
                _ => String::new(),
            });
            let scope = number(kind, &identity, NO_PARENT)?;
            if kind == "project" {
                label(conn, "project", scope, scope_labels(&event.scope))?;
            }
            (scope, scope)
        }
    };
    if event.scope.kind != "account" {
        label(conn, "project", area, event.project.labels())?;
    }
    label(conn, "organisation", area, event.organisation.labels())?;
    Ok(Numbers { holder, scope, area })
}

fn scope_labels(scope: &Scope) -> impl Iterator<Item = &str> {
    [&scope.id, &scope.key].into_iter().filter_map(|label| filled(label.as_ref()))
}

/// What a subject is known by: the first that is said of id, e-mail and name, and which of them it is, so that an id is
/// never taken for a name.
fn identity(subject: &Subject) -> String {
    let id = || Some(format!("id:{}", filled(subject.id.as_ref())?));
    let email = || Some(format!("email:{}", filled(subject.email.as_ref())?.to_lowercase()));
    let name = || Some(format!("name:{}", filled(subject.name.as_ref())?));
    id().or_else(email).or_else(name).unwrap_or_default()
}

/// Precedes the tag in the identity of a holder whom only erased records named.
const ERASED: &str = "erased:";

/// The identity of such a holder. It is a tag, so that files which don't know each other say the same of the same person,
/// and what is said of that person later still meets it.
fn erased_identity(key: &TagKey, source: &str, kind: &str, identity: &str) -> String {
    format!("{ERASED}{}", hex::encode(key.holder(source, kind, identity).as_bytes()))
}

fn holder(conn: &Connection, key: &TagKey, source: &str, subject: &Subject) -> rusqlite::Result<i64> {
    let (kind, known_by) = (subject.kind.as_str(), identity(subject));
    let mut select = conn.prepare_cached(
        "SELECT holder FROM access_holder WHERE source = ?1 AND type = ?2 AND identity = ?3",
    )?;
    let mut find =
        |identity: &str| select.query_row((source, kind, identity), |row| row.get::<_, i64>(0)).optional();
    let holder = if let Some(holder) = find(&known_by)? {
        holder
    } else if let Some(holder) = find(&erased_identity(key, source, kind, &known_by))? {
        // A record that is not erased names it again.
        name_holder(conn, holder, &known_by)?;
        holder
    } else {
        conn.prepare_cached("INSERT INTO access_holder (source, type, identity) VALUES (?1, ?2, ?3)")?
            .execute((source, kind, &known_by))?;
        conn.last_insert_rowid()
    };
    label_holder(conn, holder, subject)?;
    Ok(holder)
}

fn name_holder(conn: &Connection, holder: i64, identity: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE access_holder SET identity = ?2 WHERE holder = ?1")?
        .execute((holder, identity))
        .map(drop)
}

fn label_holder(conn: &Connection, holder: i64, subject: &Subject) -> rusqlite::Result<()> {
    let lower = filled(subject.email.as_ref()).map(str::to_lowercase);
    let labels = [&subject.id, &subject.email, &subject.name].into_iter();
    let labels = labels.filter_map(|label| filled(label.as_ref())).chain(lower.as_deref());
    label(conn, "subject", holder, labels)
}

#[derive(Deserialize)]
struct Told {
    access: Whose,
}

#[derive(Deserialize)]
struct Whose {
    subject: Subject,
}

/// Takes from holders the names that nothing but erased records gave them. One whom nothing else names has a tag in place of
/// an identity from then on: that somebody held it, from when, until when, stays.
pub(crate) fn forget_names(conn: &Connection, key: &TagKey, holders: &BTreeSet<i64>) -> rusqlite::Result<()> {
    if holders.is_empty() {
        return Ok(());
    }
    conn.prepare_cached(
        "DELETE FROM access_label WHERE kind = 'subject' AND number IN (SELECT value FROM json_each(?1))",
    )?
    .execute([json!(holders).to_string()])?;
    let mut select = conn.prepare_cached(
        "SELECT r.json FROM access_event e JOIN record r ON r.seq = e.seq WHERE e.holder = ?1 AND r.erased_by IS NULL",
    )?;
    for holder in holders {
        let mut is_named = false;
        let mut rows = select.query([holder])?;
        while let Some(row) = rows.next()? {
            is_named = true;
            if let Ok(told) = serde_json::from_str::<Told>(row.get_ref(0)?.as_str()?) {
                label_holder(conn, *holder, &told.access.subject)?;
            }
        }
        if is_named {
            continue;
        }
        let (source, kind, identity): (String, String, String) = conn
            .prepare_cached("SELECT source, type, identity FROM access_holder WHERE holder = ?1")?
            .query_row([holder], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        if !identity.is_empty() && !identity.starts_with(ERASED) {
            name_holder(conn, *holder, &erased_identity(key, &source, &kind, &identity))?;
        }
    }
    Ok(())
}

fn scope(
    conn: &Connection,
    (organisation, source): (&str, &str),
    kind: &str,
    identity: &str,
    parent: i64,
) -> rusqlite::Result<i64> {
    let key = params![organisation, source, kind, identity, parent];
    let found = conn
        .prepare_cached(
            "SELECT scope FROM access_scope
             WHERE organisation = ?1 AND source = ?2 AND type = ?3 AND identity = ?4 AND parent = ?5",
        )?
        .query_row(key, |row| row.get(0))
        .optional()?;
    if let Some(scope) = found {
        return Ok(scope);
    }
    conn.prepare_cached(
        "INSERT INTO access_scope (organisation, source, type, identity, parent) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(key)?;
    Ok(conn.last_insert_rowid())
}

fn label<'l>(
    conn: &Connection,
    kind: &str,
    number: i64,
    labels: impl Iterator<Item = &'l str>,
) -> rusqlite::Result<()> {
    let mut insert =
        conn.prepare_cached("INSERT OR IGNORE INTO access_label (kind, label, number) VALUES (?1, ?2, ?3)")?;
    for label in labels {
        insert.execute(params![kind, label, number])?;
    }
    Ok(())
}
