//! Reading is on the record: one record for every token, question and minute.
//!
//! Reading never waits for it and never fails for it. A question is noted in memory when it has been answered, and written
//! to the log right after, in the background. If we crash in between, the readings of the last moment are not on the
//! record; while the log does not take them, they wait, up to [`WAITING_MAX`] of them; what comes beyond is counted
//! (`flagtrail_log_reads_unrecorded_total`), warned of, and not written. Id and text of a record come from token,
//! question and minute alone, its times are those of the minute's beginning: processes that answer the same question, and
//! a write whose answer was lost, put the same bytes on the log, which an archive shows once.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use audit_journal::AppendOutcome;
use audit_record::{AuditRecord, Authenticated, Author, Map, OwnRecord, Ref, Timestamp};
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::settings::change::author_of;

/// What stands in the log of it.
const READ: &str = "flagtrail.log.read";

/// What the record is about.
const OBJECT_TYPE: &str = "FLAGTRAIL_LOG";

/// Most readings that wait for the log.
const WAITING_MAX: usize = 10_000;

/// Most readings of one minute that are remembered as noted; beyond that some are written twice, under one id.
const NOTED_MAX: usize = 50_000;

/// Most readings written at a time.
const BATCH_MAX: usize = 200;

/// Pause after the log did not take them.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// How long the last ones may take while the process stops.
const LAST_WRITE_MAX: Duration = Duration::from_secs(2);

const MINUTE_US: i64 = 60_000_000;

/// Parameters that make no other question of it: pages, and how they are shown.
const NO_QUESTION: [&str; 3] = ["cursor", "limit", "format"];

/// How somebody read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadKind {
    Query,
    Record,
    Access,
    Stream,
    Proof,
    Report,
    Export,
}

impl ReadKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Record => "record",
            Self::Access => "access",
            Self::Stream => "stream",
            Self::Proof => "proof",
            Self::Report => "report",
            Self::Export => "export",
        }
    }
}

/// One reading, as it will be written.
#[derive(Clone, Debug)]
struct Reading {
    id: Uuid,
    at: Timestamp,
    author: Author,
    kind: ReadKind,
    what: String,
    query: Value,
}

#[derive(Debug, Default)]
struct State {
    minute: i64,
    noted: HashSet<Uuid>,
    waiting: VecDeque<Reading>,
    /// Whether it was warned that some are not written, since the log last took any.
    warned: bool,
}

/// The readings of this process.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    state: Mutex<State>,
    wake: Notify,
    unrecorded: Counter,
}

impl Readings {
    /// How many could not be written.
    pub(crate) fn unrecorded(&self) -> Counter {
        self.unrecorded.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, reading: Reading) {
        let mut state = self.state();
        let minute = reading.at.micros() / MINUTE_US;
        if state.minute != minute || state.noted.len() >= NOTED_MAX {
            state.minute = minute;
            state.noted.clear();
        }
        if !state.noted.insert(reading.id) {
            return;
        }
        if state.waiting.len() >= WAITING_MAX {
            self.unrecorded.inc();
            if !std::mem::replace(&mut state.warned, true) {
                tracing::warn!(
                    waiting = WAITING_MAX,
                    "the log does not take who reads it: some of it will not be on the record"
                );
            }
            return;
        }
        state.waiting.push_back(reading);
        drop(state);
        self.wake.notify_one();
    }

    fn take(&self) -> Vec<Reading> {
        let mut state = self.state();
        let count = state.waiting.len().min(BATCH_MAX);
        state.waiting.drain(..count).collect()
    }

    /// Those that were not written, before those that came meanwhile.
    fn put_back(&self, readings: Vec<Reading>) {
        let mut state = self.state();
        for reading in readings.into_iter().rev() {
            if state.waiting.len() >= WAITING_MAX {
                self.unrecorded.inc();
            } else {
                state.waiting.push_front(reading);
            }
        }
    }
}

/// Notes that the caller read. `pairs` is what was asked for, as it was asked.
pub(crate) fn note(app: &App, caller: &Caller, kind: ReadKind, what: &str, pairs: &[(String, String)]) {
    if !app.config().record_reads {
        return;
    }
    let mut query: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in pairs.iter().filter(|(name, _)| !NO_QUESTION.contains(&name.as_str())) {
        query.entry(name).or_default().push(value);
    }
    for values in query.values_mut() {
        values.sort_unstable();
    }
    let query = json!(query);
    let minute = now().micros() / MINUTE_US;
    let Ok(at) = Timestamp::from_micros(minute * MINUTE_US) else { return };
    let name = format!("{READ}\0{}\0{}\0{what}\0{query}\0{minute}", caller.id(), kind.as_str());
    let id = Uuid::new_v5(&app.journal().identity().namespace, name.as_bytes());
    let author = author_of(Some(caller));
    app.readings().note(Reading { id, at, author, kind, what: what.to_owned(), query });
}

/// Writes what was noted, until the app is told to stop; then what is left, if the log takes it at once.
pub(crate) async fn keep(app: &App) {
    loop {
        let woken = app.shutdown().run_until_cancelled(app.readings().wake.notified()).await;
        if woken.is_none() {
            break;
        }
        while !app.shutdown().is_cancelled() {
            let batch = app.readings().take();
            if batch.is_empty() {
                break;
            }
            if !write(app, batch).await {
                let _ = app.shutdown().run_until_cancelled(tokio::time::sleep(RETRY_PAUSE)).await;
            }
        }
    }
    let last = async {
        loop {
            let batch = app.readings().take();
            if batch.is_empty() || !write(app, batch).await {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LAST_WRITE_MAX, last).await;
}

/// Whether the log took them all. Those that it did not take, and those of which that is not known, wait on: written
/// again they are the same records.
async fn write(app: &App, batch: Vec<Reading>) -> bool {
    let made: Vec<(Reading, AuditRecord)> =
        batch.into_iter().filter_map(|reading| Some((reading.clone(), reading.into_record()?))).collect();
    let (readings, records): (Vec<Reading>, Vec<AuditRecord>) = made.into_iter().unzip();
    let outcomes = app.journal().append_records(&records).await;
    let mut left = Vec::new();
    for (reading, outcome) in readings.into_iter().zip(outcomes) {
        if !matches!(outcome, AppendOutcome::Appended(_)) {
            left.push(reading);
        }
    }
    let whole = left.is_empty();
    app.readings().put_back(left);
    if whole {
        app.readings().state().warned = false;
    }
    whole
}

impl Reading {
    fn into_record(self) -> Option<AuditRecord> {
        let who = self.author.name.clone().unwrap_or_default();
        let log = match self.kind {
            ReadKind::Report => format!("{who} ran the report {}", self.what),
            ReadKind::Export => format!("{who} fetched the export {}", self.what),
            ReadKind::Record | ReadKind::Proof => format!("{who} read the record {}", self.what),
            ReadKind::Query => format!("{who} queried the log"),
            ReadKind::Stream => format!("{who} followed the log"),
            ReadKind::Access => format!("{who} asked who had access"),
        };
        let mut attributes = Map::new();
        attributes.insert("kind".to_owned(), self.kind.as_str().into());
        attributes.insert("what".to_owned(), self.what.clone().into());
        attributes.insert("query".to_owned(), self.query);
        let object = format!("{}/{}", self.kind.as_str(), self.what);
        let told = OwnRecord {
            id: self.id.to_string(),
            action: READ,
            log,
            at: self.at,
            author: self.author,
            authenticated: Authenticated::Token,
            object_type: OBJECT_TYPE,
            object: Ref::by_id(object),
            attributes,
        };
        // Parameters are bounded, but a query of many long ones may be more than a record takes.
        AuditRecord::try_new(told.into_draft())
            .map_err(|error| tracing::warn!(%error, "a reading can't be put on the record"))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use audit_record::AuthorKind;

    use super::*;

    fn reading(number: u128, minute: i64) -> Reading {
        Reading {
            id: Uuid::from_u128(number),
            at: Timestamp::from_micros(minute * MINUTE_US).unwrap(),
            author: Author { name: Some("auditor".to_owned()), ..Author::new(AuthorKind::ApiKey) },
            kind: ReadKind::Report,
            what: "change_log".to_owned(),
            query: json!({"project": ["shop"]}),
        }
    }

    #[test]
    fn a_question_is_noted_once_a_minute() {
        let readings = Readings::default();
        for (number, minute) in [(1, 5), (1, 5), (2, 5), (1, 6)] {
            readings.note(reading(number, minute));
        }
        assert_eq!(readings.take().len(), 3);
    }

    #[test]
    fn what_the_log_did_not_take_waits_in_its_order_and_what_is_too_much_is_counted() {
        let readings = Readings::default();
        readings.note(reading(1, 1));
        readings.note(reading(2, 1));
        let batch = readings.take();
        readings.note(reading(3, 1));
        readings.put_back(batch);
        let ids: Vec<u128> = readings.take().iter().map(|reading| reading.id.as_u128()).collect();
        assert_eq!(ids, [1, 2, 3]);
        for number in 0..WAITING_MAX + 7 {
            readings.note(reading(10 + number as u128, 2));
        }
        assert_eq!(readings.unrecorded().get(), 7);
    }

    #[test]
    fn the_same_reading_makes_the_same_bytes() {
        let record = reading(1, 1).into_record().unwrap();
        assert_eq!(record.canonical(), reading(1, 1).into_record().unwrap().canonical());
        assert_eq!(record.action().as_str(), READ);
        assert!(record.log().contains("auditor ran the report change_log"));
    }
}
