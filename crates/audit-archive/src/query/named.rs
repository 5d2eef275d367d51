//! What the words of a filter stand for: which scopes, and which environments, flags and authors by the labels that
//! their tags are made of.
//!
//! A filter names a project by whatever its records call it; a scope, and a tag, is made of the most stable label alone.
//! What is found here is never too little: every record that fits the filter is of one of these scopes, and concerns
//! one of these subjects.

use std::collections::BTreeSet;

use audit_record::{Filter, RoutingKey};
use rusqlite::Connection;

use super::page::QueryError;
use super::pool::File;
use super::reader::Reader;
use crate::things::{Kind, labelled};

/// The organisation of Flagtrail's own records, and the source that they name.
const OWN: (&str, &str) = ("~flagtrail", "flagtrail");

/// A thing by the label that its tag is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StableLabel {
    /// Which label: `id`, `key`, `name`, or for authors `email`.
    pub label: &'static str,
    /// What it says.
    pub text: String,
}

/// What a filter's words stand for. `None` where the filter has none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The scopes that organisations, sources and projects lead to.
    pub scopes: Option<BTreeSet<RoutingKey>>,
    /// The environments.
    pub environments: Option<BTreeSet<StableLabel>>,
    /// The flags.
    pub flags: Option<BTreeSet<StableLabel>>,
    /// The authors.
    pub authors: Option<BTreeSet<StableLabel>>,
}

impl Reader {
    /// What the words of a filter stand for in the records that are archived here.
    pub fn named(&self, filter: &Filter) -> Result<Named, QueryError> {
        let session = self.pool.session(None)?;
        let mut named = Named::default();
        for file in &session.files {
            look(file, filter, &mut named).map_err(|error| file.error(error))?;
        }
        Ok(named)
    }
}

fn look(file: &File, filter: &Filter, named: &mut Named) -> rusqlite::Result<()> {
    let conn = &file.conn;
    for (kind, words, found) in [
        (Kind::Environment, &filter.environment, &mut named.environments),
        (Kind::Flag, &filter.flag, &mut named.flags),
        (Kind::Author, &filter.author, &mut named.authors),
    ] {
        if !words.is_empty() {
            found.get_or_insert_default().extend(stable(conn, kind, words)?);
        }
    }
    let Filter { organisation, source, project, .. } = filter;
    if organisation.is_empty() && source.is_empty() && project.is_empty() {
        return Ok(());
    }
    let texts = |kind, words: &[String]| -> rusqlite::Result<BTreeSet<String>> {
        Ok(stable(conn, kind, words)?.into_iter().map(|label| label.text).collect())
    };
    let organisations = texts(Kind::Organisation, organisation)?;
    let projects = texts(Kind::Project, project)?;
    let fits = |scope: &RoutingKey| {
        if *scope == RoutingKey::own() {
            let (organisation_name, source_name) = OWN;
            return project.is_empty()
                && (organisation.is_empty() || organisation.iter().any(|word| word == organisation_name))
                && (source.is_empty() || source.iter().any(|word| word == source_name));
        }
        let parts = scope.parts();
        (organisation.is_empty() || organisations.contains(&parts.organisation))
            && (source.is_empty() || source.contains(&parts.source))
            && (project.is_empty() || parts.project.is_some_and(|project| projects.contains(&project)))
    };
    let mut select = conn.prepare_cached("SELECT key FROM thing WHERE kind = ?1")?;
    let keys = select.query_map([Kind::RoutingKey.as_str()], |row| row.get::<_, Option<String>>(0))?;
    let scopes = named.scopes.get_or_insert_default();
    for key in keys {
        scopes.extend(key?.and_then(|key| RoutingKey::parse(&key).ok()).filter(fits));
    }
    Ok(())
}

/// The things of a kind that these words name, by their most stable labels.
fn stable(conn: &Connection, kind: Kind, words: &[String]) -> rusqlite::Result<Vec<StableLabel>> {
    let mut found = Vec::new();
    for word in words {
        for thing in labelled(conn, kind, word)? {
            let label = conn
                .prepare_cached("SELECT id, key, name, email FROM thing WHERE thing = ?1")?
                .query_row([thing], |row| {
                    let labels = match kind {
                        Kind::Author => [("id", 0), ("email", 3), ("name", 2)],
                        _ => [("id", 0), ("key", 1), ("name", 2)],
                    };
                    for (label, column) in labels {
                        if let Some(text) = row.get::<_, Option<String>>(column)? {
                            return Ok(Some(StableLabel { label, text }));
                        }
                    }
                    Ok(None)
                })?;
            found.extend(label);
        }
    }
    Ok(found)
}
