//! The register of erasures.

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
    column("ts", Kind::Time, "When it was asked for"),
    column("request_id", Kind::Text, "The request"),
    column(
        "subject_tag",
        Kind::List,
        "Whom it is about, by tags that do not name them: the same person has the same ones again",
    ),
    column("records", Kind::Integer, "How many records' bodies it erases"),
    column("legal_basis", Kind::Text, "The legal basis and the reason that were given"),
    column("asked_by", Kind::Text, "Whose token asked for it"),
    column("part", Kind::Text, "Which part of the request it is, where it took several"),
    column("detail", Kind::Text, "What the record says of it"),
    column("record_id", Kind::Text, "The record that orders it"),
    column("partition", Kind::Integer, "Where it stands on the log: the partition …"),
    column("seq", Kind::Integer, "… and its number there"),
];

const CONTROLS: &[Control] = &[
    control(Framework::Gdpr, "Art. 17"),
    control(Framework::Gdpr, "Art. 30"),
    control(Framework::Iso27001, "A.5.33"),
    control(Framework::Nist, "AU-11"),
];

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("erasures"),
            title: Cow::Borrowed("Register of erasures"),
            version: 1,
            meaning: Cow::Borrowed(
                "One row for every record that orders the bodies of records to be erased; a request that spans several \
                 partitions of the log is as many. Every archive drops them, again on \
                 every rebuild, and exports made later leave them out; hashes and proofs stay. On the log itself the bodies \
                 go with its retention alone, and what webhooks and earlier exports carried away is not reached.",
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
        evidence.note("erasures are of all projects: a token that is limited to projects sees none of them");
        return Ok(());
    }
    const SQL: &str = "SELECT seq, json FROM audit_log
WHERE seq >= :first_seq AND seq < :end_seq AND organisation_key = '~flagtrail' AND action GLOB 'flagtrail.eras*'
  AND occurred_at_us >= :from_us AND occurred_at_us < :to_us
ORDER BY seq";
    let period = evidence.question().period;
    let mut erased = 0;
    evidence.rows(SQL, Over::Records, period, &mut |row| {
        let [seq, json] = row.values.as_slice() else { return };
        let Some(record) = json.as_text().and_then(|json| AuditRecord::from_json(json.as_bytes()).ok())
        else {
            return;
        };
        let draft = record.draft();
        let attribute = |name: &str| draft.attributes.get(name);
        let text = |name: &str| attribute(name).and_then(Value::as_str);
        let number = |name: &str| attribute(name).and_then(Value::as_u64);
        let records = number("records");
        let tags = attribute("subject_tags").and_then(Value::as_array).into_iter().flatten();
        let tags = tags.filter_map(Value::as_str).map(str::to_owned).collect();
        // Of a large archive it is not known before the last how many there are.
        let part = match (number("part"), number("parts")) {
            (Some(part), Some(parts)) if parts > 1 => Some(format!("{part} of {parts}")),
            (Some(part), None) => Some(part.to_string()),
            _ => None,
        };
        let basis: Vec<&str> = text("legal_basis").into_iter().chain(draft.reason.as_deref()).collect();
        erased += records.unwrap_or(0);
        rows.push(vec![
            record.occurred_at().into(),
            Cell::text(draft.related_object.what.id.as_deref()),
            Cell::list(tags),
            records.map_or(Cell::None, Cell::from),
            Cell::text((!basis.is_empty()).then(|| basis.join(": "))),
            words::who(record.author()).into(),
            Cell::text(part),
            record.log().into(),
            record.id().into(),
            u64::from(row.partition).into(),
            seq.as_integer().map_or(Cell::None, Cell::Integer),
        ]);
    })?;
    rows.sort_by(&[0, 10]);
    evidence.total("bodies erased", erased);
    Ok(())
}
