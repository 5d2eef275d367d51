//! One interval as it is shown: as the records say it that began and ended it.

use audit_journal::Partition;
use audit_record::Timestamp;
use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A person, group, key or service, as a record called it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// `user`, `group`, `api_key`, …
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The platform's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An organisation, project or environment, as a record called it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalledThing {
    /// The platform's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The record that began or ended an interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessStatement {
    /// Its id.
    pub record: String,
    /// When it happened, microseconds since 1970.
    pub at_us: i64,
    /// Who did it; absent where the record's body is gone.
    pub author: Option<Person>,
    /// Whether a record of what happened later came earlier.
    pub late: bool,
    /// Its number in the partition.
    pub seq: u64,
    /// The ticket that it names.
    pub ticket: Option<String>,
    /// The reason that it gives.
    pub reason: Option<String>,
    /// Its approval, as the record has it.
    pub approval: Option<String>,
}

/// What somebody held, from when until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessRow {
    /// The partition whose records tell of it.
    pub partition: Partition,
    /// Where it comes from.
    pub source: String,
    /// Whose access.
    pub subject: Person,
    /// What the subject is known by: `id:…`, `email:…` or `name:…`; `erased:…` where every record that said it was erased.
    pub identity: String,
    /// `account`, `project` or `environment`.
    pub scope: String,
    /// What the scope is known by: its id, else its key; may be empty for an account.
    pub scope_identity: String,
    /// The organisation.
    pub organisation: CalledThing,
    /// The project, where the record names one.
    pub project: Option<CalledThing>,
    /// The environment, where the record names one.
    pub environment: Option<CalledThing>,
    /// In which role; absent where the record names none.
    pub role: Option<String>,
    /// Whether it begins with a snapshot: held since then at the latest, by whose hand is not known.
    pub baseline: bool,
    /// What began it.
    pub begun: AccessStatement,
    /// What ended it, if anything did.
    pub ended: Option<AccessStatement>,
    /// As of when a snapshot of the whole source does not have it, and nothing affirmed it since, microseconds since 1970.
    pub missing_from_snapshot_us: Option<i64>,
    /// When the subject's access to the account was removed, microseconds since 1970, where that says nothing of this
    /// access and nothing affirmed it since.
    pub account_removed_us: Option<i64>,
    /// When another partition's records ended it, microseconds since 1970: the subject's end, or a removal that was routed
    /// elsewhere, which nothing affirmed since. At a moment, such access is not held and not shown; it stands in histories.
    pub ended_elsewhere_us: Option<i64>,
    /// The records in other partitions that tell of the same access.
    pub also: Vec<String>,
}

/// An interval's own columns.
#[derive(Clone, Debug)]
pub(super) struct Interval {
    pub(super) interval: i64,
    pub(super) holder: i64,
    pub(super) scope: i64,
    pub(super) role: String,
    pub(super) from_us: i64,
    pub(super) until_us: Option<i64>,
}

/// What [`Interval::read`] reads, of `access_interval`.
pub(super) const INTERVAL_COLUMNS: &str = "interval, holder, scope, role, from_us, until_us";

impl Interval {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            interval: row.get(0)?,
            holder: row.get(1)?,
            scope: row.get(2)?,
            role: row.get(3)?,
            from_us: row.get(4)?,
            until_us: row.get(5)?,
        })
    }
}

/// Whose and where, by what files other than this one know it, too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HolderName {
    pub(super) source: String,
    pub(super) kind: String,
    pub(super) identity: String,
}

/// The same of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ScopeName {
    pub(super) organisation: String,
    pub(super) source: String,
    pub(super) kind: String,
    pub(super) identity: String,
    /// The identity of the project that an environment is in.
    pub(super) parent: Option<String>,
}

pub(super) fn holder_name(conn: &Connection, holder: i64) -> rusqlite::Result<HolderName> {
    conn.prepare_cached("SELECT source, type, identity FROM access_holder WHERE holder = ?1")?
        .query_row([holder], |row| {
            Ok(HolderName { source: row.get(0)?, kind: row.get(1)?, identity: row.get(2)? })
        })
}

pub(super) fn scope_name(conn: &Connection, scope: i64) -> rusqlite::Result<ScopeName> {
    conn.prepare_cached(
        "SELECT s.organisation, s.source, s.type, s.identity, p.identity
         FROM access_scope s LEFT JOIN access_scope p ON p.scope = s.parent WHERE s.scope = ?1",
    )?
    .query_row([scope], |row| {
        Ok(ScopeName {
            organisation: row.get(0)?,
            source: row.get(1)?,
            kind: row.get(2)?,
            identity: row.get(3)?,
            parent: row.get(4)?,
        })
    })
}

/// What is shown of a record.
#[derive(Default, Deserialize)]
struct Said<'a> {
    author: Option<Person>,
    organisation: Option<CalledThing>,
    project: Option<CalledThing>,
    environment: Option<CalledThing>,
    access: Option<SaidAccess>,
    ticket: Option<String>,
    reason: Option<String>,
    #[serde(borrow, default)]
    approval: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct SaidAccess {
    subject: Person,
}

/// The row of an interval, as its own file tells it.
pub(super) fn row_of(
    conn: &Connection,
    partition: Partition,
    interval: &Interval,
    holder: &HolderName,
    scope: &ScopeName,
) -> rusqlite::Result<AccessRow> {
    let (from_seq, until_seq, baseline): (u64, Option<u64>, bool) = conn
        .prepare_cached("SELECT from_seq, until_seq, baseline FROM access_interval WHERE interval = ?1")?
        .query_row([interval.interval], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let begun = record(conn, from_seq)?;
    let said = begun.said();
    let subject = said
        .access
        .map_or_else(|| Person { kind: holder.kind.clone(), ..Person::default() }, |access| access.subject);
    let (organisation, project, environment) = (said.organisation, said.project, said.environment);
    Ok(AccessRow {
        partition,
        source: holder.source.clone(),
        subject,
        identity: holder.identity.clone(),
        scope: scope.kind.clone(),
        scope_identity: scope.identity.clone(),
        organisation: organisation.unwrap_or_default(),
        project,
        environment,
        role: Some(interval.role.clone()).filter(|role| !role.is_empty()),
        baseline,
        begun: begun.statement(from_seq),
        ended: until_seq
            .map(|seq| Ok::<_, rusqlite::Error>(record(conn, seq)?.statement(seq)))
            .transpose()?,
        missing_from_snapshot_us: None,
        account_removed_us: None,
        ended_elsewhere_us: None,
        also: Vec::new(),
    })
}

/// A record that says something of access.
pub(super) struct EventRecord {
    id: String,
    at_us: i64,
    late: bool,
    json: Option<String>,
}

pub(super) fn record(conn: &Connection, seq: u64) -> rusqlite::Result<EventRecord> {
    conn.prepare_cached(
        "SELECT r.id, e.at_us, e.late, r.json FROM access_event e JOIN record r ON r.seq = e.seq WHERE e.seq = ?1",
    )?
    .query_row([seq], |row| {
        Ok(EventRecord {
            id: row.get::<_, Option<String>>(0)?.unwrap_or_default(),
            at_us: row.get(1)?,
            late: row.get(2)?,
            json: row.get(3)?,
        })
    })
}

impl EventRecord {
    fn said(&self) -> Said<'_> {
        self.json.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    pub(super) fn statement(&self, seq: u64) -> AccessStatement {
        let said = self.said();
        AccessStatement {
            record: self.id.clone(),
            at_us: self.at_us,
            author: said.author,
            late: self.late,
            seq,
            ticket: said.ticket,
            reason: said.reason,
            approval: said.approval.map(|approval| approval.get().to_owned()),
        }
    }
}

impl AccessRow {
    /// Since when it is held, as far as the records say.
    pub fn from(&self) -> Option<Timestamp> {
        Timestamp::from_micros(self.begun.at_us).ok()
    }

    /// When it ended, as far as the records of its partition say.
    pub fn until(&self) -> Option<Timestamp> {
        self.ended.as_ref().and_then(|ended| Timestamp::from_micros(ended.at_us).ok())
    }
}
