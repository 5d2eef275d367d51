//! What records point at, each distinct one stored once: projects, flags, authors, actions, …
//!
//! A thing is a snapshot: a flag that was renamed is two things, and each record keeps the one that it named.
//! A label is anything that a thing is found by: its id, uuid, key, name or e-mail. A question that names a
//! flag is first a look-up of all things with that label, then a search by their numbers, so one word finds
//! the records that name the flag by its id and those that name it by its key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;

/// Most things of one kind that a writer remembers by their text. When there are more, it forgets them all
/// and asks the file again: the few that recur are back at once.
const REMEMBERED_MAX: usize = 4_096;

/// What kind of thing. The word stands in `thing.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Organisation,
    Project,
    Environment,
    Flag,
    Object,
    Author,
    Action,
    ObjectType,
    Source,
    RoutingKey,
}

impl Kind {
    const COUNT: usize = 10;

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Project => "project",
            Self::Environment => "environment",
            Self::Flag => "flag",
            Self::Object => "object",
            Self::Author => "author",
            Self::Action => "action",
            Self::ObjectType => "object_type",
            Self::Source => "source",
            Self::RoutingKey => "routing_key",
        }
    }

    /// What a record's text says of a thing of this kind. What else the text says stays in the record.
    fn read(self, text: &str) -> Result<Called, serde_json::Error> {
        let called = match self {
            Self::Organisation | Self::Project | Self::Environment | Self::Flag => {
                let Ref { id, key, name } = serde_json::from_str(text)?;
                Called { id, key, name, ..Called::default() }
            }
            Self::Object => {
                let Object { uuid, id, key, name } = serde_json::from_str(text)?;
                Called { uuid, id, key, name, ..Called::default() }
            }
            Self::Author => {
                let Author { r#type, id, email, name } = serde_json::from_str(text)?;
                Called { r#type, id, email, name, ..Called::default() }
            }
            Self::Action | Self::ObjectType | Self::Source | Self::RoutingKey => {
                Called { key: Some(text.to_owned()), ..Called::default() }
            }
        };
        Ok(called.without_empty())
    }
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Ref {
    id: Option<String>,
    key: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Object {
    uuid: Option<String>,
    id: Option<String>,
    key: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Author {
    r#type: Option<String>,
    id: Option<String>,
    email: Option<String>,
    name: Option<String>,
}

/// How a thing is called.
#[derive(Debug, Default, PartialEq, Eq)]
struct Called {
    r#type: Option<String>,
    uuid: Option<String>,
    id: Option<String>,
    key: Option<String>,
    name: Option<String>,
    email: Option<String>,
}

impl Called {
    /// The empty string counts as absent, as it does in a record.
    fn without_empty(mut self) -> Self {
        let fields =
            [&mut self.r#type, &mut self.uuid, &mut self.id, &mut self.key, &mut self.name, &mut self.email];
        for field in fields {
            field.take_if(|text| text.is_empty());
        }
        self
    }

    /// What the thing is found by, the most telling first.
    fn labels(&self) -> impl Iterator<Item = &str> {
        [&self.uuid, &self.id, &self.email, &self.key, &self.name].into_iter().filter_map(|l| l.as_deref())
    }
}

/// Why a thing has no number.
#[derive(Debug)]
pub(crate) enum ThingError {
    /// The record's text does not describe one.
    Unreadable(String),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for ThingError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The numbers of things, for the one writer of a file.
#[derive(Debug, Default)]
pub(crate) struct Things {
    /// By kind, then by the text in the record.
    remembered: [HashMap<Box<str>, Option<i64>>; Kind::COUNT],
}

impl Things {
    /// The number of the thing that `text` describes; `None` where it describes nothing. A new thing is
    /// written, in the transaction that is open on `conn`.
    pub(crate) fn number(
        &mut self,
        conn: &Connection,
        kind: Kind,
        text: &str,
    ) -> Result<Option<i64>, ThingError> {
        let remembered = &mut self.remembered[kind as usize];
        if let Some(number) = remembered.get(text) {
            return Ok(*number);
        }
        let called = kind
            .read(text)
            .map_err(|error| ThingError::Unreadable(format!("{} can't be read: {error}", kind.as_str())))?;
        let number =
            if called == Called::default() { None } else { Some(find_or_insert(conn, kind, &called)?) };
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        if let Entry::Vacant(entry) = remembered.entry(text.into()) {
            entry.insert(number);
        }
        Ok(number)
    }

    /// To be called after a rollback: what was written in the transaction is gone.
    pub(crate) fn forget(&mut self) {
        self.remembered.iter_mut().for_each(HashMap::clear);
    }
}

fn find_or_insert(conn: &Connection, kind: Kind, called: &Called) -> rusqlite::Result<i64> {
    // Something of which only the type is known is found by the empty label, which no question asks for.
    let label = called.labels().next().unwrap_or_default();
    let found = conn
        .prepare_cached(
            "SELECT t.thing FROM label l JOIN thing t ON t.thing = l.thing
             WHERE l.kind = ?1 AND l.label = ?2 AND t.type IS ?3 AND t.uuid IS ?4 AND t.id IS ?5 AND t.key IS ?6
               AND t.name IS ?7 AND t.email IS ?8",
        )?
        .query_row(
            params![
                kind.as_str(),
                label,
                called.r#type,
                called.uuid,
                called.id,
                called.key,
                called.name,
                called.email
            ],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(thing) = found {
        return Ok(thing);
    }
    conn.prepare_cached(
        "INSERT INTO thing (kind, type, uuid, id, key, name, email) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        kind.as_str(),
        called.r#type,
        called.uuid,
        called.id,
        called.key,
        called.name,
        called.email
    ])?;
    let thing = conn.last_insert_rowid();
    let mut insert =
        conn.prepare_cached("INSERT OR IGNORE INTO label (kind, label, thing) VALUES (?1, ?2, ?3)")?;
    if label.is_empty() {
        insert.execute(params![kind.as_str(), "", thing])?;
    }
    for label in called.labels() {
        insert.execute(params![kind.as_str(), label, thing])?;
    }
    Ok(thing)
}

/// The numbers of all things of a kind that are found by `label`.
pub(crate) fn labelled(conn: &Connection, kind: Kind, label: &str) -> rusqlite::Result<Vec<i64>> {
    // Nothing is called by the empty string: see `find_or_insert`.
    if label.is_empty() {
        return Ok(Vec::new());
    }
    conn.prepare_cached("SELECT thing FROM label WHERE kind = ?1 AND label = ?2")?
        .query_map(params![kind.as_str(), label], |row| row.get(0))?
        .collect()
}

/// The numbers of all things of a kind of which a label begins with `prefix`, which is ASCII.
pub(crate) fn labelled_from(conn: &Connection, kind: Kind, prefix: &str) -> rusqlite::Result<Vec<i64>> {
    conn.prepare_cached(
        "SELECT DISTINCT thing FROM label WHERE kind = ?1 AND label >= ?2 AND label < ?2 || char(127)",
    )?
    .query_map(params![kind.as_str(), prefix], |row| row.get(0))?
    .collect()
}
