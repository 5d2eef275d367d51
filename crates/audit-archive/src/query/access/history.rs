//! Somebody's access over time: every interval, whatever became of it, and what did not fit.

use rusqlite::{Connection, params};
use serde::Serialize;

use super::cursor::{AccessCursor, After, question};
use super::question::{ACCESS_PAGE_MAX, AccessFilter, Wanted};
use super::row::{AccessRow, AccessStatement, INTERVAL_COLUMNS, Interval, holder_name, record, scope_name};
use super::standing::Standing;
use crate::query::page::QueryError;
use crate::query::reader::{Reader, Transactions};

/// Most findings that are listed; the rest is counted.
pub const FINDINGS_MAX: usize = 1_000;

/// How many intervals one page looks at to find those that were asked for.
const LOOKED_AT_MAX: usize = 20_000;

/// A question about people, at all times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessHistoryQuery {
    /// Which access; without a subject nothing is found.
    pub filter: AccessFilter,
    /// Rows wanted: clamped to 1..=[`ACCESS_PAGE_MAX`].
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<AccessCursor>,
}

/// A record that did not fit what was known of somebody's access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessFinding {
    /// `removal_without_grant` (what is removed was not held) or `granted_again` (what is granted was held already).
    pub kind: String,
    /// Where it comes from.
    pub source: String,
    /// What the subject is known by.
    pub identity: String,
    /// `account`, `project` or `environment`.
    pub scope: String,
    /// What the scope is known by.
    pub scope_identity: String,
    /// In which role; absent where the record names none.
    pub role: Option<String>,
    /// The record.
    pub said: AccessStatement,
}

/// A page of somebody's access.
#[derive(Clone, Debug, Default)]
pub struct AccessHistory {
    /// The intervals, grouped by partition, holder, scope and role, in each the earliest first.
    pub rows: Vec<AccessRow>,
    /// What did not fit; on the first page alone.
    pub findings: Vec<AccessFinding>,
    /// Findings beyond [`FINDINGS_MAX`].
    pub findings_left_out: u64,
    /// Where to go on; absent: nothing more matches.
    pub next: Option<AccessCursor>,
}

impl Reader {
    /// One page of the intervals of the people that the filter names.
    pub fn access_history(&self, query: &AccessHistoryQuery) -> Result<AccessHistory, QueryError> {
        let q = question("history", &query.filter);
        if let Some(cursor) = &query.cursor {
            cursor.check(&q)?;
        }
        let session = self.pool.session(None)?;
        let _transactions = Transactions::begin(&session)?;
        let mut standing = Standing::new(&session.files, i64::MAX)?;
        let limit = query.limit.clamp(1, ACCESS_PAGE_MAX);
        let mut page = AccessHistory::default();
        let mut looked_at = 0;
        for (index, file) in session.files.iter().enumerate() {
            let after = match &query.cursor {
                Some(cursor) if file.partition < cursor.partition => continue,
                Some(cursor) if file.partition == cursor.partition => cursor.after.clone(),
                _ => None,
            };
            let sqlite = |error| file.error(error);
            let wanted = Wanted::resolve(&file.conn, &query.filter).map_err(sqlite)?;
            let holders = wanted.holders.clone().unwrap_or_default();
            if query.cursor.is_none() {
                for holder in &holders {
                    findings(&file.conn, *holder, &wanted, &mut page).map_err(sqlite)?;
                }
            }
            let first = match &after {
                Some(After::Interval { holder, .. }) => *holder,
                _ => i64::MIN,
            };
            for holder in holders.into_iter().filter(|holder| *holder >= first) {
                let after = after.as_ref().filter(|_| holder == first);
                let fetched = intervals(&file.conn, holder, after, LOOKED_AT_MAX).map_err(sqlite)?;
                for (interval, area) in fetched {
                    looked_at += 1;
                    let scope = scope_name(&file.conn, interval.scope).map_err(sqlite)?;
                    if wanted.areas.binary_search(&area).is_ok()
                        && wanted.admits(interval.scope, &scope.kind, &interval.role)
                    {
                        page.rows.push(standing.judge(index, &interval)?);
                    }
                    if page.rows.len() >= limit || looked_at >= LOOKED_AT_MAX {
                        let Interval { interval, scope, role, from_us, .. } = interval;
                        let after = After::Interval { holder, scope, role, from_us, interval };
                        page.next = Some(AccessCursor::new(&q, i64::MAX, file.partition, Some(after)));
                        return Ok(page);
                    }
                }
            }
        }
        Ok(page)
    }
}

fn intervals(
    conn: &Connection,
    holder: i64,
    after: Option<&After>,
    limit: usize,
) -> rusqlite::Result<Vec<(Interval, i64)>> {
    let (scope, role, from_us, last) = match after {
        Some(After::Interval { scope, role, from_us, interval, .. }) => {
            (*scope, role.as_str(), *from_us, *interval)
        }
        _ => (i64::MIN, "", i64::MIN, i64::MIN),
    };
    conn.prepare_cached(&format!(
        "SELECT {INTERVAL_COLUMNS}, area FROM access_interval INDEXED BY access_held
         WHERE holder = ?1 AND (scope, role, from_us, interval) > (?2, ?3, ?4, ?5)
         ORDER BY scope, role, from_us, interval LIMIT ?6"
    ))?
    .query_map(params![holder, scope, role, from_us, last, limit], |row| {
        Ok((Interval::read(row)?, row.get(6)?))
    })?
    .collect()
}

fn findings(
    conn: &Connection,
    holder: i64,
    wanted: &Wanted,
    page: &mut AccessHistory,
) -> rusqlite::Result<()> {
    let mut select = conn.prepare_cached(
        "SELECT f.scope, f.seq, f.kind, e.role, CASE s.parent WHEN 0 THEN s.scope ELSE s.parent END
         FROM access_finding f
           JOIN access_event e ON e.holder = f.holder AND e.scope = f.scope AND e.at_us = f.at_us AND e.seq = f.seq
           JOIN access_scope s ON s.scope = f.scope
         WHERE f.holder = ?1 ORDER BY f.scope, f.at_us, f.seq",
    )?;
    let mut rows = select.query([holder])?;
    while let Some(row) = rows.next()? {
        let (number, seq): (i64, u64) = (row.get(0)?, row.get(1)?);
        let role: String = row.get(3)?;
        let scope = scope_name(conn, number)?;
        let is_wanted = wanted.areas.binary_search(&row.get(4)?).is_ok()
            && (role.is_empty() || wanted.admits(number, &scope.kind, &role));
        if !is_wanted {
            continue;
        }
        if page.findings.len() >= FINDINGS_MAX {
            page.findings_left_out += 1;
            continue;
        }
        let holder = holder_name(conn, holder)?;
        page.findings.push(AccessFinding {
            kind: row.get(2)?,
            source: holder.source,
            identity: holder.identity,
            scope: scope.kind,
            scope_identity: scope.identity,
            role: Some(role).filter(|role| !role.is_empty()),
            said: record(conn, seq)?.statement(seq),
        });
    }
    Ok(())
}
