//! Deliveries to webhook endpoints that did not succeed at once, and what became of them.

use std::borrow::Cow;
use std::collections::HashMap;

use audit_archive::{Over, SelectedRow, SqlValue};
use audit_record::{Period, Timestamp};
use chrono::Utc;

use super::Entry;
use crate::cell::Cell;
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, IN_PROJECTS, ReportError};
use crate::rows::Rows;

const COLUMNS: &[Column] = &[
    column("endpoint", Kind::Text, "The endpoint's name; its id where it is gone"),
    column("record_id", Kind::Text, "The record that was to be delivered"),
    column("seq", Kind::Integer, "Its number in its partition"),
    column("first_attempt", Kind::Time, "The first attempt that failed in the period"),
    column(
        "attempts",
        Kind::Integer,
        "How many attempts there were from then on, the successful one included",
    ),
    column(
        "last_status",
        Kind::Integer,
        "The HTTP status of the last attempt; empty where there was no answer",
    ),
    column(
        "final_state",
        Kind::Text,
        "delivered, retrying, dead_lettered, or disabled (the endpoint was disabled with it)",
    ),
    column("delivered_at", Kind::Time, "When it arrived after all"),
    column(
        "replayed_by",
        Kind::Text,
        "Whose request to deliver once more it arrived by, after it had been given up",
    ),
    column("last_error", Kind::Text, "What kind of failure the last failed attempt was"),
    column("endpoint_id", Kind::Text, "The endpoint's id"),
    column("partition", Kind::Integer, "The record's partition"),
];

const CONTROLS: &[Control] = &[
    control(Framework::PciDss, "10.7"),
    control(Framework::Sox, "ITGC operations"),
    control(Framework::Soc2, "CC7.2"),
    control(Framework::Nist, "AU-5"),
];

/// Most deliveries that are held at a time.
const DELIVERIES_MAX: usize = 200_000;

/// How long an archive keeps attempts, as the log does: 400 days.
const KEPT_MS: i64 = 400 * 86_400 * 1_000;

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("failed_deliveries"),
            title: Cow::Borrowed("Failed webhook deliveries"),
            version: 2,
            meaning: Cow::Borrowed(
                "One row for every record and endpoint of which an attempt failed within the period, with what has become \
                 of it since, from the log of delivery attempts as it is archived. Attempts are kept for 400 days: in \
                 every archive, and on the log unless set otherwise there. Where this archive may have forgotten some of \
                 the period, a note says so. A replay that failed counts like any other attempt.",
            ),
            when: When::Period,
            list: None,
            columns: Cow::Borrowed(COLUMNS),
            controls: Cow::Borrowed(CONTROLS),
            about_access: false,
        },
        run,
    }
}

/// A delivery that failed at least once.
#[derive(Debug)]
struct Delivery {
    partition: u32,
    record_seq: Option<i64>,
    first_failed_at: Timestamp,
    attempts: u64,
    last_status: Option<i64>,
    last_error: Option<String>,
    outcome: String,
    given_up_at: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
}

/// Somebody asked for records to be delivered once more.
struct Replay {
    endpoint: String,
    at: Timestamp,
    who: String,
}

fn run(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<(), ReportError> {
    let sql = format!(
        "SELECT a.seq, a.json ->> '$.endpoint' AS endpoint, a.json ->> '$.record' AS record,
  a.json ->> '$.at' AS at, a.json ->> '$.outcome' AS outcome, a.json ->> '$.status' AS status,
  a.json ->> '$.error' AS error,
  CASE WHEN a.json ->> '$.outcome' <> 'delivered' THEN (SELECT r.seq FROM record r
    WHERE r.id = a.json ->> '$.record' AND r.id IS NOT NULL AND r.duplicate_of IS NULL LIMIT 1) END AS record_seq
FROM attempt a
WHERE a.seq >= :first_seq AND a.seq < :end_seq AND a.json IS NOT NULL AND a.appended_at_ms * 1000 >= :from_us
  AND (:projects IS NULL OR EXISTS (SELECT 1 FROM audit_log WHERE id = a.json ->> '$.record' AND {IN_PROJECTS}))
ORDER BY a.seq"
    );
    let period = evidence.question().period;
    let mut deliveries: HashMap<(String, String), Delivery> = HashMap::new();
    let mut too_many = false;
    let question = evidence.question();
    evidence.rows(&sql, Over::Attempts, Period { from: period.from, to: None }, &mut |row| {
        let Some((key, attempt)) = Attempt::read(&row) else { return };
        if let Some(delivery) = deliveries.get_mut(&key) {
            delivery.go_on(attempt);
        } else if attempt.outcome != "delivered" && question.covers(attempt.at) {
            if deliveries.len() >= DELIVERIES_MAX {
                too_many = true;
            } else {
                deliveries.insert(key, Delivery::begin(row.partition, attempt));
            }
        }
    })?;
    if too_many {
        return Err(ReportError::TooMuch("200,000 deliveries"));
    }
    // Asked after they were read: meanwhile some may have been forgotten.
    if is_of_before(period, kept_from_ms(evidence)?) {
        evidence.note(
            "of a part of the period delivery attempts are not kept any more: deliveries that failed then may be missing, \
             or stand here with fewer attempts than there were",
        );
    }
    let replays = replays(evidence)?;
    let mut by_state = std::collections::BTreeMap::new();
    for ((endpoint, record), delivery) in deliveries {
        *by_state.entry(delivery.state()).or_insert(0) += 1;
        rows.push(row(evidence, endpoint, record, &delivery, &replays));
    }
    rows.sort_by(&[3, 0, 1]);
    for (state, count) in by_state {
        evidence.total(state, count);
    }
    Ok(())
}

/// One attempt.
struct Attempt {
    at: Timestamp,
    outcome: String,
    status: Option<i64>,
    error: Option<String>,
    record_seq: Option<i64>,
}

impl Attempt {
    fn read(row: &SelectedRow) -> Option<((String, String), Self)> {
        let [_, endpoint, record, at, outcome, status, error, record_seq] = row.values.as_slice() else {
            return None;
        };
        let key = (endpoint.as_text()?.to_owned(), record.as_text()?.to_owned());
        let attempt = Self {
            at: Timestamp::parse(at.as_text()?).ok()?,
            outcome: outcome.as_text()?.to_owned(),
            status: status.as_integer(),
            error: error.as_text().map(str::to_owned),
            record_seq: record_seq.as_integer(),
        };
        Some((key, attempt))
    }
}

impl Delivery {
    fn begin(partition: u32, attempt: Attempt) -> Self {
        let mut delivery = Self {
            partition,
            record_seq: attempt.record_seq,
            first_failed_at: attempt.at,
            attempts: 0,
            last_status: None,
            last_error: None,
            outcome: String::new(),
            given_up_at: None,
            delivered_at: None,
        };
        delivery.go_on(attempt);
        delivery
    }

    fn go_on(&mut self, attempt: Attempt) {
        self.attempts += 1;
        self.last_status = attempt.status;
        self.last_error = attempt.error.or(self.last_error.take());
        match attempt.outcome.as_str() {
            "delivered" => self.delivered_at = self.delivered_at.or(Some(attempt.at)),
            "dead_lettered" => self.given_up_at = Some(attempt.at),
            _ => {}
        }
        self.outcome = attempt.outcome;
    }

    /// Once it has arrived it stays delivered, whatever a later replay came to.
    fn state(&self) -> &'static str {
        match self.outcome.as_str() {
            _ if self.delivered_at.is_some() => "delivered",
            "dead_lettered" => "dead_lettered",
            "disabled" => "disabled",
            _ => "retrying",
        }
    }
}

/// From when on the archive has every attempt that the log took, milliseconds since 1970; `None` where it has forgotten none.
fn kept_from_ms(evidence: &Evidence<'_>) -> Result<Option<i64>, ReportError> {
    const SQL: &str = "SELECT (SELECT appended_at_ms FROM attempt ORDER BY seq LIMIT 1) AS oldest_ms
FROM position WHERE topic = 'deliveries' AND duplicates > 0";
    let aged_ms = Utc::now().timestamp_millis() - KEPT_MS;
    let mut kept_from_ms: Option<i64> = None;
    evidence.aside(SQL, Over::Whole, &mut |row| {
        // None that is younger was forgotten, however much later the next one came.
        let oldest_ms = row.values.first().and_then(SqlValue::as_integer).unwrap_or(i64::MAX);
        kept_from_ms = kept_from_ms.max(Some(oldest_ms.min(aged_ms)));
    })?;
    Ok(kept_from_ms)
}

/// Whether the period begins before what is kept.
fn is_of_before(period: Period, kept_from_ms: Option<i64>) -> bool {
    let Some(kept_from_ms) = kept_from_ms else { return false };
    period.from.is_none_or(|from| from.micros() < kept_from_ms.saturating_mul(1_000))
}

/// Who asked for deliveries to be repeated, since the period began.
fn replays(evidence: &mut Evidence<'_>) -> Result<Vec<Replay>, ReportError> {
    const SQL: &str =
        "SELECT seq, occurred_at, coalesce(author_name, author_id), related_object_id FROM audit_log
WHERE seq >= :first_seq AND seq < :end_seq AND action = 'flagtrail.endpoint.replayed'
  AND organisation_key = '~flagtrail' AND occurred_at_us >= :from_us
ORDER BY seq";
    let since = Period { from: evidence.question().period.from, to: None };
    let mut found = Vec::new();
    evidence.rows(SQL, Over::Records, since, &mut |row| {
        let text = |column: usize| row.values.get(column).and_then(SqlValue::as_text).map(str::to_owned);
        let at = text(1).and_then(|at| Timestamp::parse(&at).ok());
        if let (Some(at), Some(who), Some(endpoint)) = (at, text(2), text(3)) {
            found.push(Replay { endpoint, at, who });
        }
    })?;
    Ok(found)
}

fn row(
    evidence: &Evidence<'_>,
    endpoint: String,
    record: String,
    delivery: &Delivery,
    replays: &[Replay],
) -> Vec<Cell> {
    let name = evidence.surroundings().endpoints.get(&endpoint).cloned().unwrap_or_else(|| endpoint.clone());
    let arrived_after =
        delivery.given_up_at.zip(delivery.delivered_at).filter(|(given_up, arrived)| given_up < arrived);
    let replayed_by = arrived_after.and_then(|(given_up, arrived)| {
        let of_it = replays
            .iter()
            .filter(|replay| replay.endpoint == endpoint && replay.at >= given_up && replay.at <= arrived);
        of_it.max_by_key(|replay| replay.at).map(|replay| replay.who.clone())
    });
    vec![
        name.into(),
        record.into(),
        delivery.record_seq.map_or(Cell::None, Cell::Integer),
        delivery.first_failed_at.into(),
        delivery.attempts.into(),
        delivery.last_status.map_or(Cell::None, Cell::Integer),
        delivery.state().into(),
        Cell::time(delivery.delivered_at),
        Cell::text(replayed_by),
        Cell::text(delivery.last_error.as_deref()),
        endpoint.into(),
        u64::from(delivery.partition).into(),
    ]
}

#[cfg(test)]
mod tests {
    use audit_record::{Period, Timestamp};

    use super::{KEPT_MS, is_of_before};

    #[test]
    fn a_period_that_begins_before_what_is_kept_is_told_from_one_that_is_kept_whole() {
        let from = |text| Period { from: Some(Timestamp::parse(text).unwrap()), to: None };
        let kept_from_ms = Some(Timestamp::parse("2026-03-01T00:00:00Z").unwrap().micros() / 1_000);
        assert!(is_of_before(from("2026-02-28T23:59:59.999999Z"), kept_from_ms));
        assert!(is_of_before(Period::default(), kept_from_ms));
        assert!(!is_of_before(from("2026-03-01T00:00:00Z"), kept_from_ms));
        assert!(!is_of_before(Period::default(), None), "nothing was forgotten");
    }

    #[test]
    fn attempts_are_kept_as_long_as_the_archive_keeps_them() {
        assert_eq!(i64::try_from(audit_journal::DETAIL_KEPT.as_millis()).unwrap(), KEPT_MS);
    }
}
