//! What is asked of access, and what is answered.

use audit_record::Timestamp;
use rusqlite::Connection;
use serde::Serialize;

use super::cursor::AccessCursor;
use super::row::AccessRow;

/// Most rows of one page.
pub const ACCESS_PAGE_MAX: usize = 1_000;

/// Which access. Every condition must hold; of a list one. All are compared exactly, but e-mail addresses without regard
/// to case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AccessFilter {
    /// Organisations, by id, key or name.
    pub organisation: Vec<String>,
    /// Projects, by id, key or name: access to them and to their environments. Access to the account is not to a project.
    pub project: Vec<String>,
    /// Environments, by id, key or name: access to that environment alone, not what somebody may do there by a project's.
    pub environment: Vec<String>,
    /// Whose, by id, e-mail or name.
    pub subject: Vec<String>,
    /// Roles.
    pub role: Vec<String>,
    /// Sources.
    pub source: Vec<String>,
    /// `account`, `project` or `environment`.
    pub scope: Vec<String>,
}

/// A question about one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessQuery {
    /// The moment. With a cursor it is the cursor's.
    pub at: Timestamp,
    /// Which access.
    pub filter: AccessFilter,
    /// Rows wanted: clamped to 1..=[`ACCESS_PAGE_MAX`].
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<AccessCursor>,
}

/// A page of what was held.
#[derive(Clone, Debug)]
pub struct AccessPage {
    /// The moment that it is about.
    pub at: Timestamp,
    /// The rows, in no order that means anything; perhaps fewer than the limit although more follow.
    pub rows: Vec<AccessRow>,
    /// Where to go on; absent: nothing more matches.
    pub next: Option<AccessCursor>,
}

/// A filter, in the numbers of one file.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Whose; all where there is none.
    pub(super) holders: Option<Vec<i64>>,
    /// The areas to look at, rising.
    pub(super) areas: Vec<i64>,
    /// Scopes of environments; all scopes where there is none.
    environments: Option<Vec<i64>>,
    roles: Vec<String>,
    kinds: Vec<String>,
}

impl Wanted {
    pub(super) fn resolve(conn: &Connection, filter: &AccessFilter) -> rusqlite::Result<Self> {
        let lower: Vec<String> = filter.subject.iter().map(|subject| subject.to_lowercase()).collect();
        let holders = labelled(conn, "subject", &filter.subject)?;
        let holders = match holders {
            Some(mut holders) => {
                holders.extend(labelled(conn, "subject", &lower)?.into_iter().flatten());
                Some(sorted(holders))
            }
            None => None,
        };
        let organisations = labelled(conn, "organisation", &filter.organisation)?;
        let projects = labelled(conn, "project", &filter.project)?;
        let among = |wanted: &Option<Vec<i64>>, area: &i64| {
            wanted.as_ref().is_none_or(|wanted| wanted.binary_search(area).is_ok())
        };
        let mut areas = Vec::new();
        let mut select = conn.prepare_cached(
            "SELECT DISTINCT CASE parent WHEN 0 THEN scope ELSE parent END AS area, source FROM access_scope ORDER BY area",
        )?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            let (area, source): (i64, &str) = (row.get(0)?, row.get_ref(1)?.as_str()?);
            let is_of_source = filter.source.is_empty() || filter.source.iter().any(|own| own == source);
            if is_of_source && among(&organisations, &area) && among(&projects, &area) {
                areas.push(area);
            }
        }
        Ok(Self {
            holders,
            areas,
            environments: labelled(conn, "environment", &filter.environment)?,
            roles: filter.role.clone(),
            kinds: filter.scope.clone(),
        })
    }

    /// Whether what is held in an area that is looked at is asked for, whoever holds it.
    pub(super) fn admits(&self, scope: i64, kind: &str, role: &str) -> bool {
        (self.roles.is_empty() || self.roles.iter().any(|own| own == role))
            && (self.kinds.is_empty() || self.kinds.iter().any(|own| own == kind))
            && self.environments.as_ref().is_none_or(|own| own.binary_search(&scope).is_ok())
    }
}

/// The numbers of a kind that any of these labels finds, rising; `None` where there are no labels.
fn labelled(conn: &Connection, kind: &str, labels: &[String]) -> rusqlite::Result<Option<Vec<i64>>> {
    if labels.is_empty() {
        return Ok(None);
    }
    let mut select = conn.prepare_cached("SELECT number FROM access_label WHERE kind = ?1 AND label = ?2")?;
    let mut found = Vec::new();
    for label in labels {
        for number in select.query_map((kind, label), |row| row.get(0))? {
            found.push(number?);
        }
    }
    Ok(Some(sorted(found)))
}

fn sorted(mut numbers: Vec<i64>) -> Vec<i64> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
