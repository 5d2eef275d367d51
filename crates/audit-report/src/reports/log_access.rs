//! Who read the log: queries, single records, streams, reports, exports.

use std::borrow::Cow;

use audit_archive::Over;
use audit_record::AuditRecord;
use serde_json::Value;

use super::Entry;
use crate::cell::Cell;
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;
use crate::words;

const COLUMNS: &[Column] = &[
    column("ts", Kind::Time, "When; of reading, the minute in which it was done"),
    column("actor", Kind::Text, "Who: the token's name"),
    column("actor_id", Kind::Text, "The token's id"),
    column("kind", Kind::Text, "query, record, stream, proof, report or export"),
    column("what", Kind::Text, "What was asked: the report, the record, or the route"),
    column("query", Kind::Text, "The conditions that were asked for, as JSON"),
    column("record_id", Kind::Text, "The record that says so"),
    column("partition", Kind::Integer, "Where it stands on the log: the partition …"),
    column("seq", Kind::Integer, "… and its number there"),
];

const CONTROLS: &[Control] = &[
    control(Framework::PciDss, "10.2.1.3"),
    control(Framework::Iso27001, "A.8.15"),
    control(Framework::Hipaa, "164.312(b)"),
    control(Framework::Soc2, "CC7.2"),
    control(Framework::Nist, "AU-9"),
    control(Framework::Nist, "AU-6"),
];

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("log_access"),
            title: Cow::Borrowed("Who read the log"),
            version: 1,
            meaning: Cow::Borrowed(
                "One row for every token, question and minute in which records were read over HTTP or by the command line \
                 (which asks over HTTP), and for every export that was asked for or made. Pages of one question count \
                 as that question. What is not here: whoever reads Kafka, the files of an archive or the endpoint of a \
                 webhook directly, and reading that could not be written down because the log did not take it for too \
                 long (the metric flagtrail_log_reads_unrecorded_total counts that).",
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
        evidence.note("who read the log is told for all projects together: a token that is limited to projects sees none of it");
        return Ok(());
    }
    const SQL: &str = "SELECT seq, json FROM audit_log
WHERE seq >= :first_seq AND seq < :end_seq AND organisation_key = '~flagtrail'
  AND action IN ('flagtrail.log.read', 'flagtrail.export.requested', 'flagtrail.export.completed')
  AND occurred_at_us >= :from_us AND occurred_at_us < :to_us
ORDER BY seq";
    let period = evidence.question().period;
    let mut by_kind = std::collections::BTreeMap::new();
    evidence.rows(SQL, Over::Records, period, &mut |row| {
        let [seq, json] = row.values.as_slice() else { return };
        let Some(record) = json.as_text().and_then(|json| AuditRecord::from_json(json.as_bytes()).ok())
        else {
            return;
        };
        let attributes = &record.draft().attributes;
        let text = |name: &str| attributes.get(name).and_then(Value::as_str);
        let kind = match record.action().as_str() {
            "flagtrail.log.read" => text("kind").unwrap_or("query").to_owned(),
            _ => "export".to_owned(),
        };
        let object = &record.draft().related_object.what;
        *by_kind.entry(kind.clone()).or_insert(0) += 1;
        rows.push(vec![
            record.occurred_at().into(),
            words::who(record.author()).into(),
            Cell::text(record.author().id.as_deref()),
            kind.into(),
            Cell::text(text("what").or(object.name.as_deref()).or(object.id.as_deref())),
            Cell::text(attributes.get("query").map(Value::to_string)),
            record.id().into(),
            u64::from(row.partition).into(),
            seq.as_integer().map_or(Cell::None, Cell::Integer),
        ]);
    })?;
    rows.sort_by(&[0, 8]);
    for (kind, count) in by_kind {
        evidence.total(kind, count);
    }
    Ok(())
}
