//! How many records of each source say what an audit record has to say.

use std::borrow::Cow;
use std::collections::BTreeMap;

use audit_archive::{Over, SqlValue};

use super::Entry;
use crate::cell::Cell;
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, IN_PROJECTS, ReportError};
use crate::rows::Rows;

const COLUMNS: &[Column] = &[
    column("source", Kind::Text, "The source"),
    column("system", Kind::Text, "Its platform"),
    column("record_type", Kind::Text, "What kind of object the records are about"),
    column("records", Kind::Integer, "How many records"),
    column(
        "user_pct",
        Kind::Number,
        "Percent that name who did it: an id, an e-mail or a name, or the system itself",
    ),
    column("type_pct", Kind::Number, "Percent that name an action"),
    column("time_pct", Kind::Number, "Percent that say when it happened"),
    column(
        "outcome_pct",
        Kind::Number,
        "Percent that say what came of it: a state before or after, an access that was given or taken, or an outcome in words",
    ),
    column(
        "origin_pct",
        Kind::Number,
        "Percent that say from where: an IP address, a user agent or a request id",
    ),
    column("resource_pct", Kind::Number, "Percent that name what was affected: the object, or the flag"),
    column("all_pct", Kind::Number, "Percent that say all six"),
];

const CONTROLS: &[Control] = &[
    control(Framework::PciDss, "10.2.2"),
    control(Framework::Iso27001, "A.8.15"),
    control(Framework::Nist, "AU-3"),
    control(Framework::Nist, "AU-3(1)"),
];

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("field_completeness"),
            title: Cow::Borrowed("Completeness of fields, by source"),
            version: 3,
            meaning: Cow::Borrowed(
                "For every source and kind of object: how many of its records in the period carry what PCI DSS 10.2.2 asks \
                 of an audit record. What a platform does not send can't be here; the coverage says what that is. Records \
                 of Flagtrail's own are left out. Event time is the source's own where it sends one, else that of receipt: \
                 which of the two it is stands in the record. The total access_left_out counts records that tell of more \
                 access than a record each could be made of: no report about access has it; their attribute \
                 access_left_out says so, and their change has it all.",
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

/// Counts of one source and kind: records, then user, type, time, outcome, origin, resource, all of them; and those whose
/// access was left out.
type Counts = [i64; 9];

fn run(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<(), ReportError> {
    let sql = format!(
        "WITH said AS (
  SELECT source, source_system AS system, related_object_type AS type,
    coalesce(author_id, author_email, author_name) IS NOT NULL OR author_type = 'system' AS who,
    action IS NOT NULL AS did, occurred_at_us IS NOT NULL AS at,
    change IS NOT NULL OR access_effect IS NOT NULL OR json ->> '$.attributes.outcome' IS NOT NULL AS outcome,
    coalesce(request_ip, request_user_agent, request_id) IS NOT NULL AS origin,
    coalesce(related_object_id, related_object_uuid, related_object_key, related_object_name,
      flag_id, flag_key, flag_name) IS NOT NULL AS resource,
    json ->> '$.attributes.access_left_out' IS NOT NULL AS left_out
  FROM audit_log
  WHERE seq >= :first_seq AND seq < :end_seq AND organisation_key IS NOT '~flagtrail'
    AND occurred_at_us >= :from_us AND occurred_at_us < :to_us AND {IN_PROJECTS}
)
SELECT source, system, type, count(*), sum(who), sum(did), sum(at), sum(outcome), sum(origin), sum(resource),
  sum(who AND did AND at AND outcome AND origin AND resource), sum(left_out)
FROM said GROUP BY source, system, type"
    );
    let period = evidence.question().period;
    let mut groups: BTreeMap<(String, String, String), Counts> = BTreeMap::new();
    evidence.rows(&sql, Over::RecordGroups, period, &mut |row| {
        let text =
            |column: usize| row.values.get(column).and_then(SqlValue::as_text).unwrap_or("").to_owned();
        let counts = groups.entry((text(0), text(1), text(2))).or_default();
        for (count, value) in counts.iter_mut().zip(row.values.iter().skip(3)) {
            *count += value.as_integer().unwrap_or(0);
        }
    })?;
    let (mut all, mut all_left_out) = (0, 0);
    for ((source, system, kind), [records, parts @ .., left_out]) in groups {
        all += records;
        all_left_out += left_out;
        if left_out > 0 {
            evidence.note(format!(
                "{left_out} records of source {source} tell of more access than was read: no report about access has it"
            ));
        }
        let mut cells: Vec<Cell> = vec![source.into(), system.into(), kind.into(), Cell::Integer(records)];
        cells.extend(parts.iter().map(|part| percent(*part, records)));
        rows.push(cells);
    }
    evidence.total("records", u64::try_from(all).unwrap_or(0));
    evidence.total("access_left_out", u64::try_from(all_left_out).unwrap_or(0));
    Ok(())
}

/// To a tenth of a percent.
#[expect(clippy::cast_precision_loss, reason = "a tenth of a percent")]
fn percent(part: i64, whole: i64) -> Cell {
    if whole == 0 { Cell::None } else { Cell::Number((part as f64 * 1_000.0 / whole as f64).round() / 10.0) }
}
