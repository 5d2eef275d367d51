//! What the records of all partitions together mean for one interval.
//!
//! An interval is folded from the records of its group in its own partition. Three things may stand against it that are
//! told elsewhere, or of the whole: the subject's end (its record is of an account, mostly routed to another partition
//! than a project's), a removal of this very access that was routed under another key (or a grant there that stands in its
//! place), and a snapshot of the source that does not have it. The latest statement counts: what was granted, or found by a
//! snapshot, after all of these is held. Where that was said in another partition, what was ended stays ended, for there
//! another interval begins; but it is not missing from a snapshot that has it there.
//!
//! While an archive catches up, a partition that trails may not have brought yet what stands for or against.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::row::{
    AccessRow, HolderName, INTERVAL_COLUMNS, Interval, ScopeName, holder_name, row_of, scope_name,
};
use crate::access::Reach;
use crate::query::page::QueryError;
use crate::query::pool::File;

/// Judges the intervals of one page.
pub(super) struct Standing<'s> {
    files: &'s [File],
    at_us: i64,
    /// Per file: whether it holds any end of a subject or removal from an account.
    reaches: Vec<bool>,
    /// By source, the latest snapshot up to the moment.
    snapshots: HashMap<String, i64>,
    /// Per file, the numbers of holders of other files. As many as a page has holders.
    holders: HashMap<(usize, HolderName), Option<i64>>,
}

impl<'s> Standing<'s> {
    pub(super) fn new(files: &'s [File], at_us: i64) -> Result<Self, QueryError> {
        let mut snapshots: HashMap<String, i64> = HashMap::new();
        let mut reaches = Vec::with_capacity(files.len());
        for file in files {
            let mut read = || -> rusqlite::Result<()> {
                reaches.push(
                    file.conn
                        .prepare_cached("SELECT EXISTS (SELECT 1 FROM access_event WHERE reach > 0)")?
                        .query_row((), |row| row.get(0))?,
                );
                let mut select = file.conn.prepare_cached(
                    "SELECT source, max(at_us) FROM access_snapshot WHERE at_us <= ?1 GROUP BY source",
                )?;
                let mut rows = select.query([at_us])?;
                while let Some(row) = rows.next()? {
                    let latest = snapshots.entry(row.get(0)?).or_insert(i64::MIN);
                    *latest = (*latest).max(row.get(1)?);
                }
                Ok(())
            };
            read().map_err(|error| file.error(error))?;
        }
        Ok(Self { files, at_us, reaches, snapshots, holders: HashMap::new() })
    }

    /// The row of an interval of `files[index]`, with what stands against it.
    pub(super) fn judge(&mut self, index: usize, interval: &Interval) -> Result<AccessRow, QueryError> {
        let file = &self.files[index];
        self.row(index, interval).map_err(|error| file.error(error))
    }

    /// Whether an earlier file has a row of the same access: that one stands for both.
    pub(super) fn is_told_before(&mut self, index: usize, interval: &Interval) -> Result<bool, QueryError> {
        let files = self.files;
        let file = &files[index];
        for other in 0..index {
            let mut look = || -> rusqlite::Result<Option<Interval>> {
                let holder = holder_name(&file.conn, interval.holder)?;
                let scope = scope_name(&file.conn, interval.scope)?;
                self.held_in(other, &holder, &scope, &interval.role)
            };
            if let Some(same) = look().map_err(|error| file.error(error))?
                && self.judge(other, &same)?.ended_elsewhere_us.is_none()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn row(&mut self, index: usize, interval: &Interval) -> rusqlite::Result<AccessRow> {
        let conn = &self.files[index].conn;
        let holder = holder_name(conn, interval.holder)?;
        let scope = scope_name(conn, interval.scope)?;
        let mut row = row_of(conn, self.files[index].partition, interval, &holder, &scope)?;
        // After the interval's own end nothing is said of it.
        let end_us = interval.until_us.map_or(self.at_us, |until| until.min(self.at_us));
        let window = (interval.from_us, end_us);
        let (mut ended, mut account) = (None, None);
        for other in 0..self.files.len() {
            if other == index && !self.reaches[other] {
                continue;
            }
            let Some(number) = self.holder_in(other, index, interval.holder, &holder)? else { continue };
            let conn = &self.files[other].conn;
            if self.reaches[other] {
                ended = ended.max(reached(conn, number, Reach::Subject, window)?);
                account = account.max(reached(conn, number, Reach::Account, window)?);
            }
            if other == index {
                continue;
            }
            if let Some(scope) = scope_in(conn, &scope)? {
                ended = ended.max(removed(conn, number, scope, &interval.role, window)?);
            }
            if other > index
                && let Some(same) = self.held_in(other, &holder, &scope, &interval.role)?
            {
                row.also.extend(begun_by(&self.files[other].conn, same.interval)?);
            }
        }
        let snapshot = self.snapshots.get(&holder.source).copied();
        let snapshot = snapshot.filter(|at| interval.from_us < *at && *at <= end_us);
        let against = [ended, account.filter(|_| scope.kind != "account"), snapshot];
        let Some(first) = against.into_iter().flatten().min() else { return Ok(row) };
        let (since, conn) = ((first, end_us), &self.files[index].conn);
        let here = affirmed(conn, interval.holder, interval.scope, &interval.role, since)?;
        let anywhere = here.max(self.affirmed_elsewhere(index, interval, &holder, &scope, since)?);
        let stands = |affirmed: Option<i64>| move |at: &i64| affirmed.is_none_or(|affirmed| affirmed < *at);
        let [ended, account, snapshot] = against;
        row.ended_elsewhere_us = ended.filter(stands(here));
        row.account_removed_us = account.filter(stands(anywhere));
        row.missing_from_snapshot_us = snapshot.filter(stands(anywhere));
        Ok(row)
    }

    /// When the records of other files last affirmed what an interval of `files[index]` tells of.
    fn affirmed_elsewhere(
        &mut self,
        index: usize,
        interval: &Interval,
        holder: &HolderName,
        scope: &ScopeName,
        since: (i64, i64),
    ) -> rusqlite::Result<Option<i64>> {
        let mut last = None;
        for other in (0..self.files.len()).filter(|other| *other != index) {
            let Some(number) = self.holder_in(other, index, interval.holder, holder)? else { continue };
            let conn = &self.files[other].conn;
            if let Some(scope) = scope_in(conn, scope)? {
                last = last.max(affirmed(conn, number, scope, &interval.role, since)?);
            }
        }
        Ok(last)
    }

    /// The number of a holder in another file, if that knows it.
    fn holder_in(
        &mut self,
        other: usize,
        index: usize,
        own: i64,
        name: &HolderName,
    ) -> rusqlite::Result<Option<i64>> {
        if other == index {
            return Ok(Some(own));
        }
        if let Some(known) = self.holders.get(&(other, name.clone())) {
            return Ok(*known);
        }
        let found = self.files[other]
            .conn
            .prepare_cached(
                "SELECT holder FROM access_holder WHERE source = ?1 AND type = ?2 AND identity = ?3",
            )?
            .query_row(params![name.source, name.kind, name.identity], |row| row.get(0))
            .optional()?;
        self.holders.insert((other, name.clone()), found);
        Ok(found)
    }

    /// The interval by which another file holds the same at the moment.
    fn held_in(
        &mut self,
        other: usize,
        holder: &HolderName,
        scope: &ScopeName,
        role: &str,
    ) -> rusqlite::Result<Option<Interval>> {
        // No file has the number of usize::MAX.
        let Some(number) = self.holder_in(other, usize::MAX, 0, holder)? else { return Ok(None) };
        let conn = &self.files[other].conn;
        let Some(scope) = scope_in(conn, scope)? else { return Ok(None) };
        conn.prepare_cached(&format!(
            "SELECT {INTERVAL_COLUMNS} FROM access_interval
             WHERE holder = ?1 AND scope = ?2 AND role = ?3 AND from_us <= ?4 AND (until_us IS NULL OR until_us > ?4)
             ORDER BY from_us DESC LIMIT 1"
        ))?
        .query_row(params![number, scope, role, self.at_us], Interval::read)
        .optional()
    }
}

/// The id of the record that began an interval.
fn begun_by(conn: &Connection, interval: i64) -> rusqlite::Result<Option<String>> {
    let found = conn
        .prepare_cached(
            "SELECT r.id FROM access_interval i JOIN record r ON r.seq = i.from_seq WHERE i.interval = ?1",
        )?
        .query_row([interval], |row| row.get(0))
        .optional()?;
    Ok(found.flatten())
}

/// The number of a scope in a file, if that knows it.
fn scope_in(conn: &Connection, name: &ScopeName) -> rusqlite::Result<Option<i64>> {
    let mut select = conn.prepare_cached(
        "SELECT scope FROM access_scope
         WHERE organisation = ?1 AND source = ?2 AND type = ?3 AND identity = ?4 AND parent = ?5",
    )?;
    let mut find = |kind: &str, identity: &str, parent: i64| {
        select
            .query_row(params![name.organisation, name.source, kind, identity, parent], |row| {
                row.get::<_, i64>(0)
            })
            .optional()
    };
    let parent = match &name.parent {
        None => Some(0),
        Some(parent) => find("project", parent, 0)?,
    };
    match parent {
        None => Ok(None),
        Some(parent) => find(&name.kind, &name.identity, parent),
    }
}

/// When something last reached so far, after the interval's beginning.
fn reached(
    conn: &Connection,
    holder: i64,
    reach: Reach,
    (from_us, at_us): (i64, i64),
) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached(
        "SELECT at_us FROM access_event INDEXED BY access_event_reach
         WHERE holder = ?1 AND reach = ?2 AND reach > 0 AND at_us > ?3 AND at_us <= ?4 ORDER BY at_us DESC LIMIT 1",
    )?
    .query_row(params![holder, reach as u8, from_us, at_us], |row| row.get(0))
    .optional()
}

/// When a record last removed what could have been this role, or gave another in place of every role there.
fn removed(
    conn: &Connection,
    holder: i64,
    scope: i64,
    role: &str,
    (from_us, at_us): (i64, i64),
) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached(
        "SELECT at_us FROM access_event
         WHERE holder = ?1 AND scope = ?2 AND at_us > ?3 AND at_us <= ?4
           AND (effect = 1 AND (role = '' OR role = ?5) OR replaces = 1 AND role <> ?5)
         ORDER BY at_us DESC LIMIT 1",
    )?
    .query_row(params![holder, scope, from_us, at_us, role], |row| row.get(0))
    .optional()
}

/// When the role was last granted, or found by a snapshot, from `from_us` on.
fn affirmed(
    conn: &Connection,
    holder: i64,
    scope: i64,
    role: &str,
    (from_us, at_us): (i64, i64),
) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached(
        "SELECT at_us FROM access_event
         WHERE holder = ?1 AND scope = ?2 AND at_us >= ?3 AND at_us <= ?4
           AND effect <> 1 AND (role = ?5 OR (effect = 2 AND role = ''))
         ORDER BY at_us DESC LIMIT 1",
    )?
    .query_row(params![holder, scope, from_us, at_us, role], |row| row.get(0))
    .optional()
}
