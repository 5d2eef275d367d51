//! Whether the log is whole: numbering, epochs, repeats, what is no record, and what was written about its keys.

use std::borrow::Cow;

use audit_archive::{Over, SqlValue};
use audit_record::{AuditRecord, Period};

use super::Entry;
use crate::cell::Cell;
use crate::coverage::at_ms;
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;

const COLUMNS: &[Column] = &[
    column("partition", Kind::Integer, "The partition"),
    column(
        "check",
        Kind::Text,
        "numbering, duplicates, undecodable, archive, epoch, or record (our own record about the log or its keys)",
    ),
    column("verdict", Kind::Text, "ok, finding, or information"),
    column("count", Kind::Integer, "How many"),
    column("ts", Kind::Time, "When it happened, where it happened at one time"),
    column("detail", Kind::Text, "What was found"),
    column("record_id", Kind::Text, "The record that says so, where one does"),
    column("seq", Kind::Integer, "Its number in the partition"),
];

const CONTROLS: &[Control] = &[
    control(Framework::Soc2, "CC7.2"),
    control(Framework::Iso27001, "A.8.15"),
    control(Framework::PciDss, "10.2.1.6"),
    control(Framework::PciDss, "10.3.4"),
    control(Framework::PciDss, "10.7"),
    control(Framework::Sox, "ITGC operations"),
    control(Framework::Hipaa, "164.312(b)"),
    control(Framework::Nist, "AU-9"),
    control(Framework::Nist, "AU-10"),
];

/// Most single messages of a partition that are listed; all are counted.
const LISTED_MAX: u64 = 1_000;

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("log_integrity"),
            title: Cow::Borrowed("Integrity of the log"),
            version: 1,
            meaning: Cow::Borrowed(
                "What this archive knows of the whole log, of each partition: whether its messages are numbered without \
                 holes, whether the archive goes on, how many messages repeat an id and whether they say the same, and \
                 which are no records; each epoch that the log began; and, within the period, every record of Flagtrail's \
                 own about the log, its keys and checkpoints. It reads what was noted when the messages came. That every \
                 message still has the hash it came with is what `flagtrail archive check` and `flagtrail verify` show.",
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

fn run(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<(), ReportError> {
    if evidence.question().limited {
        evidence.note("the log is of all projects: a token that is limited to projects sees nothing of it");
        return Ok(());
    }
    let mut findings = numbering(evidence, rows)?;
    findings += undecodable(evidence, rows)?;
    findings += duplicates(evidence, rows)?;
    epochs(evidence, rows)?;
    records(evidence, rows)?;
    rows.sort_by(&[0, 1, 4]);
    evidence.total("findings", findings);
    Ok(())
}

/// A row without a record behind it.
fn plain(partition: u32, check: &str, verdict: &str, count: Option<i64>, detail: String) -> Vec<Cell> {
    let count = count.map_or(Cell::None, Cell::Integer);
    vec![
        u64::from(partition).into(),
        check.into(),
        verdict.into(),
        count,
        Cell::None,
        detail.into(),
        Cell::None,
        Cell::None,
    ]
}

fn verdict(is_well: bool, findings: &mut u64) -> &'static str {
    if is_well {
        "ok"
    } else {
        *findings += 1;
        "finding"
    }
}

fn numbering(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<u64, ReportError> {
    const SQL: &str = "SELECT p.seq AS next_seq, p.log_end - p.next AS lag, a.stopped,
  (SELECT seq FROM record ORDER BY seq DESC LIMIT 1) AS last_seq, p.undecodable
FROM position p, archive a WHERE p.topic = 'records'";
    let mut findings = 0;
    evidence.rows(SQL, Over::Whole, Period::default(), &mut |row| {
        let [next, lag, stopped, last, undecodable] = row.values.as_slice() else { return };
        let next = next.as_integer().unwrap_or(0);
        let whole = last.as_integer().map_or(0, |last| last + 1) == next;
        let detail = match last.as_integer() {
            None => "no message yet".to_owned(),
            Some(last) => format!("messages 0 to {last}"),
        };
        rows.push(plain(row.partition, "numbering", verdict(whole, &mut findings), Some(next), detail));
        let goes_on = stopped.as_text().is_none();
        let detail = stopped
            .as_text()
            .map_or_else(|| "goes on; this many offsets behind the log".to_owned(), str::to_owned);
        rows.push(plain(row.partition, "archive", verdict(goes_on, &mut findings), lag.as_integer(), detail));
        let bad = undecodable.as_integer().unwrap_or(0);
        if bad == 0 {
            let detail = "every message is a record".to_owned();
            rows.push(plain(row.partition, "undecodable", "ok", Some(0), detail));
        }
    })?;
    Ok(findings)
}

fn undecodable(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<u64, ReportError> {
    let sql = format!("SELECT partition, seq, problem FROM undecodable ORDER BY seq LIMIT {LISTED_MAX}");
    // Only where there are any: it looks through the whole file.
    let status = evidence.reader().status()?;
    if status.partitions.iter().all(|partition| partition.undecodable == 0) {
        return Ok(0);
    }
    let mut findings = 0;
    evidence.rows(&sql, Over::Whole, Period::default(), &mut |row| {
        let [_, seq, problem] = row.values.as_slice() else { return };
        findings += 1;
        let problem = problem.as_text().unwrap_or("no record").to_owned();
        let mut cells = plain(row.partition, "undecodable", "finding", Some(1), problem);
        cells[7] = seq.as_integer().map_or(Cell::None, Cell::Integer);
        rows.push(cells);
    })?;
    Ok(findings)
}

fn duplicates(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<u64, ReportError> {
    const SQL: &str = "SELECT count(*) AS repeats, coalesce(sum(
  json_remove(r.json, '$.recorded_at', '$.source.received_at')
  IS NOT json_remove(first.json, '$.recorded_at', '$.source.received_at')), 0) AS other
FROM record r JOIN record first ON first.seq = r.duplicate_of
WHERE r.seq >= :first_seq AND r.seq < :end_seq AND r.duplicate_of IS NOT NULL";
    let status = evidence.reader().status()?;
    let mut counted: Vec<(u32, i64, i64)> = Vec::new();
    if status.partitions.iter().any(|partition| partition.duplicates > 0) {
        evidence.rows(SQL, Over::RecordGroups, Period::default(), &mut |row| {
            let number = |column: usize| row.values.get(column).and_then(SqlValue::as_integer).unwrap_or(0);
            match counted.iter_mut().find(|(partition, ..)| *partition == row.partition) {
                Some((_, repeats, other)) => {
                    *repeats += number(0);
                    *other += number(1);
                }
                None => counted.push((row.partition, number(0), number(1))),
            }
        })?;
    }
    let mut findings = 0;
    for partition in status.partitions {
        let partition = partition.end.partition;
        let found = counted.iter().find(|(of, ..)| *of == partition);
        let (repeats, other) = found.map_or((0, 0), |(_, repeats, other)| (*repeats, *other));
        let detail = match other {
            0 => "messages that repeat an id; each says the same as the first".to_owned(),
            other => format!("messages that repeat an id; {other} of them say something else than the first"),
        };
        rows.push(plain(partition, "duplicates", verdict(other == 0, &mut findings), Some(repeats), detail));
    }
    Ok(findings)
}

fn epochs(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<(), ReportError> {
    const SQL: &str = "SELECT e.epoch, e.first_seq,
  (SELECT appended_at_ms FROM record WHERE seq >= e.first_seq ORDER BY seq LIMIT 1) AS began_ms,
  EXISTS (SELECT 1 FROM tree WHERE tree.first_seq = e.first_seq) AS begins_tree
FROM epoch e ORDER BY e.epoch";
    evidence.rows(SQL, Over::Whole, Period::default(), &mut |row| {
        let [epoch, first_seq, began, begins_tree] = row.values.as_slice() else { return };
        let began = began.as_integer().and_then(at_ms);
        let began = began.and_then(|at| audit_record::Timestamp::parse(&at).ok());
        let epoch = epoch.as_integer().unwrap_or(0);
        let first = first_seq.as_integer().unwrap_or(0);
        let detail = match (epoch, first) {
            (0, _) => "the log's first epoch".to_owned(),
            (epoch, 0) => format!("epoch {epoch}: nothing of the log before it is archived here"),
            (epoch, first) if begins_tree.as_integer() == Some(1) => format!(
                "epoch {epoch} began with message {first}: the log was replaced, and the tree begins anew"
            ),
            // As where retention overtook a reader.
            (epoch, first) => format!(
                "epoch {epoch} began with message {first}: the log was accepted as it stood, and its tree goes on"
            ),
        };
        let mut cells = plain(row.partition, "epoch", "information", None, detail);
        cells[4] = Cell::time(began);
        cells[7] = Cell::Integer(first);
        rows.push(cells);
    })
}

/// Our own records about the log, its keys and checkpoints.
fn records(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<(), ReportError> {
    const SQL: &str = "SELECT seq, json FROM audit_log
WHERE seq >= :first_seq AND seq < :end_seq AND organisation_key = '~flagtrail'
  AND (action GLOB 'flagtrail.key.*' OR action GLOB 'flagtrail.checkpoint.*' OR action GLOB 'flagtrail.epoch.*'
    OR action GLOB 'flagtrail.scope.*' OR action = 'flagtrail.log.verified')
  AND occurred_at_us >= :from_us AND occurred_at_us < :to_us
ORDER BY seq";
    let period = evidence.question().period;
    evidence.rows(SQL, Over::Records, period, &mut |row| {
        let [seq, json] = row.values.as_slice() else { return };
        let Some(record) = json.as_text().and_then(|json| AuditRecord::from_json(json.as_bytes()).ok())
        else {
            return;
        };
        let is_finding = record.action().as_str().starts_with("flagtrail.checkpoint.");
        let verdict = if is_finding { "finding" } else { "information" };
        let detail = format!("{}: {}", record.action(), record.log());
        let mut cells = plain(row.partition, "record", verdict, None, detail);
        cells[4] = record.occurred_at().into();
        cells[6] = record.id().into();
        cells[7] = seq.as_integer().map_or(Cell::None, Cell::Integer);
        rows.push(cells);
    })
}
