//! When somebody last did something: what tells whether access is used.

use audit_record::Timestamp;
use rusqlite::{Connection, params};

use crate::query::page::QueryError;
use crate::query::reader::Reader;
use crate::things::{Kind, labelled};

/// Most people of one question: each costs some look-ups a file.
pub const ACTORS_MAX: usize = 1_000;

/// Most records of an author that are looked at, from the last of the log back: what is told late is told within so many.
const ACTS_MAX: u32 = 10_000;

/// Somebody, as the author of records of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The source.
    pub source: String,
    /// By what the author may be named: id, e-mail, name.
    pub labels: Vec<String>,
}

impl Reader {
    /// When each of these last made a change, up to a moment, in their order; absent where no record tells of any. With
    /// `projects`, by id, key or name, only changes in these count. Late records and backfills count by when they
    /// happened, among an author's last ten thousand of a partition. At most [`ACTORS_MAX`] are looked at.
    pub fn last_acts(
        &self,
        actors: &[Actor],
        projects: &[String],
        at: Timestamp,
    ) -> Result<Vec<Option<Timestamp>>, QueryError> {
        let session = self.pool.session(None)?;
        let mut found = vec![None; actors.len().min(ACTORS_MAX)];
        for file in &session.files {
            let projects = numbers(&file.conn, projects).map_err(|error| file.error(error))?;
            for (actor, found) in actors.iter().zip(&mut found) {
                let last = last_act(&file.conn, actor, projects.as_deref(), at);
                let last = last.map_err(|error| file.error(error))?;
                *found = (*found).max(last);
            }
        }
        Ok(found.into_iter().map(|us| us.and_then(|us| Timestamp::from_micros(us).ok())).collect())
    }
}

/// The projects of a file that these words name, as a JSON list of their numbers; `None` where there are no words.
fn numbers(conn: &Connection, projects: &[String]) -> rusqlite::Result<Option<String>> {
    if projects.is_empty() {
        return Ok(None);
    }
    let mut numbers = Vec::new();
    for project in projects {
        numbers.extend(labelled(conn, Kind::Project, project)?.iter().map(ToString::to_string));
    }
    Ok(Some(format!("[{}]", numbers.join(","))))
}

fn last_act(
    conn: &Connection,
    actor: &Actor,
    projects: Option<&str>,
    at: Timestamp,
) -> rusqlite::Result<Option<i64>> {
    let mut select = conn.prepare_cached(
        "SELECT max(occurred_at_us) FROM (
           SELECT occurred_at_us FROM record
           WHERE author = ?1 AND author IS NOT NULL AND source = ?2 AND occurred_at_us <= ?3 AND duplicate_of IS NULL
             AND (?5 IS NULL OR project IN (SELECT value FROM json_each(?5)))
           ORDER BY seq DESC LIMIT ?4)",
    )?;
    let mut last = None;
    for source in labelled(conn, Kind::Source, &actor.source)? {
        for label in &actor.labels {
            for author in labelled(conn, Kind::Author, label)? {
                let act: Option<i64> = select
                    .query_row(params![author, source, at.micros(), ACTS_MAX, projects], |row| row.get(0))?;
                last = last.max(act);
            }
        }
    }
    Ok(last)
}
