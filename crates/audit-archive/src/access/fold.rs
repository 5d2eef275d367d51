//! From events to intervals: what each group's events mean, in the order in which they happened.
//!
//! Records arrive nearly in that order. One that does not (its `occurred_at` lies before another's of its group) is late:
//! everything of its group that follows from what happened after it is taken back, and those events are applied again
//! with it among them. So the intervals depend on the events alone, never on how they came: an archive that is made anew
//! has the same. Taking back costs as much as the group has intervals, applying as many events as happened since, once a
//! transaction and group, in constant memory: what is held is read from the rows.

use std::collections::BTreeMap;

use audit_proof::TagKey;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::event::{Effect, Event, Reach, SNAPSHOT_COMPLETED};
use super::names::{Numbers, numbers};
use super::node::fork;
use crate::decode::Fields;

/// What an event said that did not fit. The words stand in `access_finding.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// What is removed was not held.
    RemovalWithoutGrant,
    /// What is granted was held already.
    GrantedAgain,
}

impl Finding {
    fn as_str(self) -> &'static str {
        match self {
            Self::RemovalWithoutGrant => "removal_without_grant",
            Self::GrantedAgain => "granted_again",
        }
    }
}

/// An event's place in its group: when it happened, then its number on the log.
type Moment = (i64, u64);

/// Whose access to what.
type Group = (i64, i64);

/// What a transaction adds. As many entries as there are groups among its messages.
#[derive(Debug, Default)]
pub(crate) struct AccessUpdate {
    touched: BTreeMap<Group, Touched>,
}

#[derive(Debug)]
struct Touched {
    area: i64,
    /// The first of the new events in the order of the group.
    first: Moment,
    /// Whether anything that happened later came earlier.
    is_late: bool,
}

impl AccessUpdate {
    /// Takes in what a record says of access, if it says anything.
    pub(crate) fn add(
        &mut self,
        conn: &Connection,
        key: &TagKey,
        seq: u64,
        fields: &Fields<'_>,
    ) -> rusqlite::Result<()> {
        if fields.action == SNAPSHOT_COMPLETED {
            conn.prepare_cached("INSERT INTO access_snapshot (source, at_us, seq) VALUES (?1, ?2, ?3)")?
                .execute(params![fields.source, fields.occurred_at.micros(), seq])?;
        }
        let Some(event) = Event::read(fields) else { return Ok(()) };
        let Numbers { holder, scope, area } = numbers(conn, key, &event)?;
        let at_us = fields.occurred_at.micros();
        let came_before: bool = conn
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM access_event WHERE holder = ?1 AND scope = ?2 AND at_us > ?3)",
            )?
            .query_row(params![holder, scope, at_us], |row| row.get(0))?;
        // A snapshot tells of an earlier moment by its nature.
        let is_late = came_before && event.effect != Effect::Snapshot;
        conn.prepare_cached(
            "INSERT INTO access_event (holder, scope, at_us, seq, role, effect, replaces, reach, late)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            holder,
            scope,
            at_us,
            seq,
            event.role,
            event.effect as u8,
            event.replaces,
            event.reach as u8,
            is_late
        ])?;
        let touched = self.touched.entry((holder, scope));
        let touched = touched.or_insert(Touched { area, first: (at_us, seq), is_late: false });
        touched.first = touched.first.min((at_us, seq));
        touched.is_late |= came_before;
        Ok(())
    }

    /// Writes what follows, in the transaction that is open on `conn`.
    pub(crate) fn write(self, conn: &Connection) -> rusqlite::Result<()> {
        for ((holder, scope), touched) in self.touched {
            let group = GroupFold { conn, holder, scope, area: touched.area };
            if touched.is_late {
                group.take_back(touched.first)?;
            }
            group.apply_from(touched.first)?;
        }
        Ok(())
    }
}

/// Folds every group from its first event on, into tables that hold nothing of it yet.
pub(crate) fn fold_all(conn: &Connection) -> rusqlite::Result<()> {
    let mut groups = conn.prepare(
        "SELECT DISTINCT e.holder, e.scope, CASE s.parent WHEN 0 THEN s.scope ELSE s.parent END
         FROM access_event e JOIN access_scope s USING (scope)",
    )?;
    let mut rows = groups.query(())?;
    while let Some(row) = rows.next()? {
        let group = GroupFold { conn, holder: row.get(0)?, scope: row.get(1)?, area: row.get(2)? };
        group.apply_from((i64::MIN, 0))?;
    }
    Ok(())
}

/// Which roles of a group end.
#[derive(Clone, Copy)]
enum Ended<'r> {
    All,
    Only(&'r str),
    AllBut(&'r str),
}

/// One group under folding.
struct GroupFold<'c> {
    conn: &'c Connection,
    holder: i64,
    scope: i64,
    area: i64,
}

impl GroupFold<'_> {
    /// Makes the rows what they were before `moment`.
    fn take_back(&self, moment: Moment) -> rusqlite::Result<()> {
        let at = params![self.holder, self.scope, moment.0, moment.1];
        for sql in [
            "DELETE FROM access_interval WHERE holder = ?1 AND scope = ?2 AND (from_us, from_seq) >= (?3, ?4)",
            "UPDATE access_interval SET until_us = NULL, until_seq = NULL, node = NULL
             WHERE holder = ?1 AND scope = ?2 AND until_us IS NOT NULL AND (until_us, until_seq) >= (?3, ?4)",
            "DELETE FROM access_finding WHERE holder = ?1 AND scope = ?2 AND (at_us, seq) >= (?3, ?4)",
        ] {
            self.conn.prepare_cached(sql)?.execute(at)?;
        }
        Ok(())
    }

    /// Applies the events at and after `moment`, in their order.
    fn apply_from(&self, moment: Moment) -> rusqlite::Result<()> {
        let mut select = self.conn.prepare_cached(
            "SELECT at_us, seq, role, effect, reach, replaces FROM access_event
             WHERE holder = ?1 AND scope = ?2 AND (at_us, seq) >= (?3, ?4) ORDER BY at_us, seq",
        )?;
        let mut rows = select.query(params![self.holder, self.scope, moment.0, moment.1])?;
        while let Some(row) = rows.next()? {
            self.apply(row)?;
        }
        Ok(())
    }

    fn apply(&self, row: &Row<'_>) -> rusqlite::Result<()> {
        let moment: Moment = (row.get(0)?, row.get(1)?);
        let role = row.get_ref(2)?.as_str()?;
        let is_end = row.get::<_, u8>(4)? == Reach::Subject as u8;
        if row.get(5)? {
            self.close(moment, Ended::AllBut(role))?;
        }
        match Effect::of(row.get(3)?) {
            Effect::Granted if self.is_held(Some(role))? => self.find(moment, Finding::GrantedAgain),
            Effect::Granted => self.open(moment, role, false),
            // Without a role it confirms whatever is held.
            Effect::Snapshot if self.is_held(Some(role).filter(|role| !role.is_empty()))? => Ok(()),
            Effect::Snapshot => self.open(moment, role, true),
            Effect::Removed => {
                let all = is_end || role.is_empty();
                let ended = self.close(moment, if all { Ended::All } else { Ended::Only(role) })?;
                // Who is no more may have held something elsewhere alone.
                if ended || is_end { Ok(()) } else { self.find(moment, Finding::RemovalWithoutGrant) }
            }
        }
    }

    /// Whether the role is held now, or any where none is given.
    fn is_held(&self, role: Option<&str>) -> rusqlite::Result<bool> {
        let found = self
            .conn
            .prepare_cached(
                "SELECT 1 FROM access_interval
                 WHERE holder = ?1 AND scope = ?2 AND (?3 IS NULL OR role = ?3) AND until_us IS NULL LIMIT 1",
            )?
            .query_row(params![self.holder, self.scope, role], |_| Ok(()))
            .optional()?;
        Ok(found.is_some())
    }

    fn open(&self, (from_us, from_seq): Moment, role: &str, baseline: bool) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached(
                "INSERT INTO access_interval (holder, scope, role, area, from_us, from_seq, baseline)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![self.holder, self.scope, role, self.area, from_us, from_seq, baseline])
            .map(drop)
    }

    /// Ends what is held; whether there was anything to end.
    fn close(&self, (until_us, until_seq): Moment, which: Ended<'_>) -> rusqlite::Result<bool> {
        let (role, is_kept) = match which {
            Ended::All => (None, false),
            Ended::Only(role) => (Some(role), false),
            Ended::AllBut(role) => (Some(role), true),
        };
        let mut select = self.conn.prepare_cached(
            "SELECT interval, from_us FROM access_interval
             WHERE holder = ?1 AND scope = ?2 AND (?3 IS NULL OR (role = ?3) <> ?4) AND until_us IS NULL",
        )?;
        // As many as there are roles that the holder has in the scope at a time.
        let open: Vec<(i64, i64)> = select
            .query_map(params![self.holder, self.scope, role, is_kept], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut end = self.conn.prepare_cached(
            "UPDATE access_interval SET until_us = ?2, until_seq = ?3, node = ?4 WHERE interval = ?1",
        )?;
        for (interval, from_us) in &open {
            end.execute(params![interval, until_us, until_seq, fork(*from_us, until_us)])?;
        }
        Ok(!open.is_empty())
    }

    fn find(&self, (at_us, seq): Moment, finding: Finding) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached(
                "INSERT INTO access_finding (holder, scope, at_us, seq, kind) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![self.holder, self.scope, at_us, seq, finding.as_str()])
            .map(drop)
    }
}
