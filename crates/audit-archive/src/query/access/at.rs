//! Who had access at a moment.

use audit_record::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::cursor::{AccessCursor, After, question};
use super::question::{ACCESS_PAGE_MAX, AccessPage, AccessQuery, Wanted};
use super::row::{AccessRow, INTERVAL_COLUMNS, Interval, scope_name};
use super::standing::Standing;
use crate::access::node::{Place, places};
use crate::query::page::QueryError;
use crate::query::pool::File;
use crate::query::reader::{Reader, Transactions};

/// How many intervals one page looks at to find those that were asked for.
const LOOKED_AT_MAX: usize = 20_000;

/// Intervals fetched at a time.
const FETCHED_AT_A_TIME: usize = 256;

impl Reader {
    /// One page of what was held at a moment. It looks only at what was alive then in the projects that are asked for, or
    /// at what the people who are asked for ever held; not at what ended before or began after.
    ///
    /// An interval that a late record changes between two pages may be in both, or in none.
    pub fn access(&self, query: &AccessQuery) -> Result<AccessPage, QueryError> {
        let q = question("at", &query.filter);
        let at_us = query.cursor.as_ref().map_or(query.at.micros(), |cursor| cursor.at_us);
        if let Some(cursor) = &query.cursor {
            cursor.check(&q)?;
        }
        let session = self.pool.session(None)?;
        let _transactions = Transactions::begin(&session)?;
        let mut page = Page {
            standing: Standing::new(&session.files, at_us)?,
            rows: Vec::new(),
            limit: query.limit.clamp(1, ACCESS_PAGE_MAX),
            looked_at: 0,
        };
        let begin = query.cursor.as_ref().map(|cursor| (cursor.partition, cursor.after.clone()));
        let mut next = None;
        for (index, file) in session.files.iter().enumerate() {
            let after = match &begin {
                Some((partition, _)) if file.partition < *partition => continue,
                Some((partition, after)) if file.partition == *partition => after.clone(),
                _ => None,
            };
            let walk = || -> Result<Option<After>, QueryError> {
                let wanted = Wanted::resolve(&file.conn, &query.filter).map_err(|error| file.error(error))?;
                match &wanted.holders {
                    Some(holders) => page.of_people(index, file, at_us, &wanted, holders, after),
                    None => page.of_areas(index, file, at_us, &wanted, after),
                }
            };
            if let Some(after) = walk()? {
                next = Some(AccessCursor::new(&q, at_us, file.partition, Some(after)));
                break;
            }
        }
        let at = Timestamp::from_micros(at_us).unwrap_or(query.at);
        Ok(AccessPage { at, rows: page.rows, next })
    }
}

/// A page in the making.
struct Page<'s> {
    standing: Standing<'s>,
    rows: Vec<AccessRow>,
    limit: usize,
    looked_at: usize,
}

impl Page<'_> {
    /// Takes in what is alive in these areas, one place of the index after the other. Returns where the page ended, if it
    /// did.
    fn of_areas(
        &mut self,
        index: usize,
        file: &File,
        at_us: i64,
        wanted: &Wanted,
        after: Option<After>,
    ) -> Result<Option<After>, QueryError> {
        let all: Vec<Option<Place>> = std::iter::once(None).chain(places(at_us).map(Some)).collect();
        let (first_area, mut first_place, mut edge) = match after {
            Some(After::Place { area, place, edge_us, interval }) => (area, place, (edge_us, interval)),
            _ => (i64::MIN, 0, (i64::MIN, i64::MIN)),
        };
        for area in wanted.areas.iter().copied().filter(|area| *area >= first_area) {
            if area != first_area {
                (first_place, edge) = (0, (i64::MIN, i64::MIN));
            }
            for (number, place) in all.iter().enumerate().skip(first_place) {
                loop {
                    let found = filed(&file.conn, area, *place, at_us, edge);
                    let found = found.map_err(|error| file.error(error))?;
                    let is_last = found.len() < FETCHED_AT_A_TIME;
                    for interval in found {
                        edge = (interval.edge(*place), interval.interval);
                        self.take(index, file, wanted, &interval)?;
                        if self.is_full() {
                            let (edge_us, interval) = edge;
                            return Ok(Some(After::Place { area, place: number, edge_us, interval }));
                        }
                    }
                    if is_last {
                        break;
                    }
                }
                edge = (i64::MIN, i64::MIN);
            }
        }
        Ok(None)
    }

    /// Takes in what these people hold, one holding after the other.
    fn of_people(
        &mut self,
        index: usize,
        file: &File,
        at_us: i64,
        wanted: &Wanted,
        holders: &[i64],
        after: Option<After>,
    ) -> Result<Option<After>, QueryError> {
        let (first, mut last) = match after {
            Some(After::Held { holder, scope, role }) => (holder, Some((scope, role))),
            _ => (i64::MIN, None),
        };
        for holder in holders.iter().copied().filter(|holder| *holder >= first) {
            if holder != first {
                last = None;
            }
            while let Some((scope, role)) =
                next_holding(&file.conn, holder, last.as_ref()).map_err(|error| file.error(error))?
            {
                let held = held_at(&file.conn, holder, scope, &role, at_us);
                if let Some((interval, area)) = held.map_err(|error| file.error(error))?
                    && wanted.areas.binary_search(&area).is_ok()
                {
                    self.take(index, file, wanted, &interval)?;
                } else {
                    self.looked_at += 1;
                }
                if self.is_full() {
                    return Ok(Some(After::Held { holder, scope, role }));
                }
                last = Some((scope, role));
            }
        }
        Ok(None)
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.limit || self.looked_at >= LOOKED_AT_MAX
    }

    fn take(
        &mut self,
        index: usize,
        file: &File,
        wanted: &Wanted,
        interval: &Interval,
    ) -> Result<(), QueryError> {
        self.looked_at += 1;
        let scope = scope_name(&file.conn, interval.scope).map_err(|error| file.error(error))?;
        if !wanted.admits(interval.scope, &scope.kind, &interval.role)
            || self.standing.is_told_before(index, interval)?
        {
            return Ok(());
        }
        let row = self.standing.judge(index, interval)?;
        if row.ended_elsewhere_us.is_none() {
            self.rows.push(row);
        }
        Ok(())
    }
}

impl Interval {
    /// What the index of a place orders it by.
    fn edge(&self, place: Option<Place>) -> i64 {
        match place {
            Some(Place::Left(_)) => self.until_us.unwrap_or(i64::MAX),
            _ => self.from_us,
        }
    }
}

/// The statement that reads a place.
pub(super) fn statement(place: Option<Place>) -> String {
    let (index, condition, edge) = match place {
        None => ("access_open", "?2 IS NULL AND until_us IS NULL AND from_us <= ?3", "from_us"),
        Some(Place::Left(_)) => {
            ("access_ended", "node = ?2 AND node IS NOT NULL AND until_us > ?3", "until_us")
        }
        Some(Place::Right(_)) => {
            ("access_begun", "node = ?2 AND node IS NOT NULL AND from_us <= ?3", "from_us")
        }
        Some(Place::Own(_)) => {
            ("access_begun", "node = ?2 AND node IS NOT NULL AND from_us <= ?3 AND until_us > ?3", "from_us")
        }
    };
    format!(
        "SELECT {INTERVAL_COLUMNS} FROM access_interval INDEXED BY {index}
         WHERE area = ?1 AND {condition} AND {edge} >= ?4 AND ({edge} > ?4 OR interval > ?5)
         ORDER BY {edge}, interval LIMIT ?6"
    )
}

/// Up to [`FETCHED_AT_A_TIME`] intervals of a place that are alive, beyond this edge.
fn filed(
    conn: &Connection,
    area: i64,
    place: Option<Place>,
    at_us: i64,
    (edge_us, interval): (i64, i64),
) -> rusqlite::Result<Vec<Interval>> {
    let node = place.map(|(Place::Left(node) | Place::Right(node) | Place::Own(node))| node);
    conn.prepare_cached(&statement(place))?
        .query_map(params![area, node, at_us, edge_us, interval, FETCHED_AT_A_TIME], Interval::read)?
        .collect()
}

/// The scope and role that come next among those that somebody ever held.
fn next_holding(
    conn: &Connection,
    holder: i64,
    last: Option<&(i64, String)>,
) -> rusqlite::Result<Option<(i64, String)>> {
    let (scope, role) = match last {
        Some((scope, role)) => (*scope, Some(role)),
        None => (i64::MIN, None),
    };
    conn.prepare_cached(
        "SELECT scope, role FROM access_interval INDEXED BY access_held
         WHERE holder = ?1 AND (scope, role) > (?2, ?3) ORDER BY scope, role LIMIT 1",
    )?
    .query_row(params![holder, scope, role.map_or("", String::as_str)], |row| Ok((row.get(0)?, row.get(1)?)))
    .optional()
}

/// The interval in which a role was held at the moment: the intervals of one role follow each other, so it can only be the
/// last that began before.
fn held_at(
    conn: &Connection,
    holder: i64,
    scope: i64,
    role: &str,
    at_us: i64,
) -> rusqlite::Result<Option<(Interval, i64)>> {
    let found = conn
        .prepare_cached(&format!(
            "SELECT {INTERVAL_COLUMNS}, area FROM access_interval INDEXED BY access_held
             WHERE holder = ?1 AND scope = ?2 AND role = ?3 AND from_us <= ?4 ORDER BY from_us DESC, from_seq DESC LIMIT 1"
        ))?
        .query_row(params![holder, scope, role, at_us], |row| Ok((Interval::read(row)?, row.get(6)?)))
        .optional()?;
    Ok(found.filter(|(interval, _)| interval.until_us.is_none_or(|until| until > at_us)))
}
