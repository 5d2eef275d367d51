//! What was changed in Flagtrail itself: sources, endpoints, tokens, keys, epochs.

use std::borrow::Cow;

use audit_archive::Over;
use audit_record::{AuditRecord, OWN, OWN_SOURCE_FORMER};

use super::Entry;
use crate::cell::Cell;
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;
use crate::words;

const COLUMNS: &[Column] = &[
    column("ts", Kind::Time, "When it was changed"),
    column("actor", Kind::Text, "Who changed it: the token's name, or flagtrail itself"),
    column("actor_id", Kind::Text, "The token's id"),
    column("action", Kind::Text, "What was done, such as flagtrail.endpoint.updated"),
    column("object_type", Kind::Text, "What kind of setting"),
    column("object_id", Kind::Text, "Which one"),
    column("object_name", Kind::Text, "Its name at the time"),
    column("fields", Kind::List, "The fields that differ"),
    column("old", Kind::Text, "Those fields before, without secrets, as JSON"),
    column("new", Kind::Text, "Those fields after, without secrets, as JSON"),
    column("record_id", Kind::Text, "The record that says so"),
    column("partition", Kind::Integer, "Where it stands on the log: the partition …"),
    column("seq", Kind::Integer, "… and its number there"),
];

const CONTROLS: &[Control] = &[
    control(Framework::Soc2, "CC8.1"),
    control(Framework::Iso27001, "A.8.15"),
    control(Framework::Iso27001, "A.8.32"),
    control(Framework::PciDss, "10.2.1.2"),
    control(Framework::PciDss, "10.2.1.6"),
    control(Framework::Sox, "ITGC change management"),
    control(Framework::Hipaa, "164.312(b)"),
    control(Framework::Nist, "CM-3"),
    control(Framework::Nist, "AU-9"),
];

/// Our own records that change nothing: reading, what an export did, what a reviewer decided.
const CHANGES_NOTHING: &str = "'flagtrail.log.read', 'flagtrail.export.requested', 'flagtrail.export.completed', \
    'flagtrail.review.decided'";

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("configuration_changes"),
            title: Cow::Borrowed("Configuration changes of Flagtrail itself"),
            version: 1,
            meaning: Cow::Borrowed(
                "One row for every change of what Flagtrail itself does: sources, endpoints, tokens, keys, schedules, \
                 epochs of the log, erasures, and what it did by itself to an endpoint. Each was written to the log in \
                 one transaction with the change. A change made in the configuration file shows when the process that \
                 read it applied it. Secrets are never shown.",
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
        evidence.note("settings are of all projects: a token that is limited to projects sees none of them");
        return Ok(());
    }
    let sql = format!(
        "SELECT seq, json FROM audit_log
WHERE seq >= :first_seq AND seq < :end_seq
  AND organisation_key = '{OWN}' AND source IN ('{OWN}', '{OWN_SOURCE_FORMER}')
  AND action NOT IN ({CHANGES_NOTHING})
  AND related_object_type GLOB 'FLAGTRAIL_*'
  AND action NOT GLOB 'source.*' AND action NOT GLOB 'webhook.*' AND action NOT GLOB 'flagtrail.checkpoint.*'
  AND occurred_at_us >= :from_us AND occurred_at_us < :to_us
ORDER BY seq"
    );
    let period = evidence.question().period;
    evidence.rows(&sql, Over::Records, period, &mut |row| {
        let [seq, json] = row.values.as_slice() else { return };
        let Some(record) = json.as_text().and_then(|json| AuditRecord::from_json(json.as_bytes()).ok())
        else {
            return;
        };
        let draft = record.draft();
        let change = draft.change.as_ref();
        let object = &draft.related_object.what;
        rows.push(vec![
            record.occurred_at().into(),
            words::who(record.author()).into(),
            Cell::text(record.author().id.as_deref()),
            record.action().as_str().into(),
            record.related_object_type().into(),
            Cell::text(object.id.as_deref()),
            Cell::text(object.name.as_deref()),
            Cell::list(change.map(words::fields).unwrap_or_default()),
            Cell::text(change.and_then(words::old)),
            Cell::text(change.and_then(words::new)),
            record.id().into(),
            u64::from(row.partition).into(),
            seq.as_integer().map_or(Cell::None, Cell::Integer),
        ]);
    })?;
    rows.sort_by(&[0, 12]);
    Ok(())
}
