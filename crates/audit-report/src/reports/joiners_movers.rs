//! Who was let in, and whose roles became others.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use audit_archive::{Over, SqlValue};
use audit_record::Timestamp;

use super::Entry;
use crate::cell::Cell;
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;

const COLUMNS: &[Column] = &[
    column("user", Kind::Text, "Whose access: by e-mail, else name, else id"),
    column("user_id", Kind::Text, "The platform's id"),
    column("source", Kind::Text, "The source that tells of it"),
    column("kind", Kind::Text, "joiner: had no access at the source before the period; mover: had some"),
    column(
        "first_grant",
        Kind::Time,
        "The first access that the records tell of, at any time; or that a list found",
    ),
    column("first_change", Kind::Time, "The first change in the period"),
    column(
        "approved_before_grant",
        Kind::Bool,
        "Whether every role given in the period had been approved before, by the record's own approval; empty where \
         none was given",
    ),
    column("roles_added", Kind::List, "What was given in the period and is more than was held when it began"),
    column("roles_removed", Kind::List, "What was taken in the period"),
    column("granted_by", Kind::List, "Who gave it"),
    column("record_ids", Kind::List, "The records"),
];

const CONTROLS: &[Control] = &[
    control(Framework::Soc2, "CC6.2"),
    control(Framework::Soc2, "CC6.3"),
    control(Framework::Iso27001, "A.5.18"),
    control(Framework::Sox, "ITGC access"),
    control(Framework::Nist, "AC-2(4)"),
];

/// Every interval that began or ended in the period, and when its holder's first began.
const SQL: &str = "SELECT e.seq, a.source, a.subject_type, coalesce(a.subject_email, a.subject_name, a.subject_id),
  a.subject_id, a.role, a.scope_type, coalesce(a.environment_key, a.environment_name, a.environment_id),
  coalesce(a.project_key, a.project_name, a.project_id, a.scope), a.from_us, a.until_us, a.baseline, a.granted_by,
  a.grant_record, a.removal_record, a.grant_json ->> '$.approval.approved_at', h.identity
FROM access_event e
  JOIN access a ON a.holder = e.holder AND a.scope_number = e.scope AND a.from_us = e.at_us AND a.from_seq = e.seq
  JOIN access_holder h ON h.holder = a.holder
WHERE e.seq >= :first_seq AND e.seq < :end_seq AND a.from_us < :to_us
  AND (:projects IS NULL OR a.project_id IN (SELECT value FROM json_each(:projects))
    OR a.project_key IN (SELECT value FROM json_each(:projects))
    OR a.project_name IN (SELECT value FROM json_each(:projects)))
ORDER BY e.seq";

/// When subjects ended, by records that mostly stand in another partition than what they held.
const ENDS: &str = "SELECT e.seq, e.source, e.subject_type, h.identity, e.occurred_at_us, e.id
FROM access_events e JOIN access_holder h ON h.holder = e.holder
WHERE e.seq >= :first_seq AND e.seq < :end_seq AND e.ends_subject = 1 AND e.occurred_at_us < :to_us
ORDER BY e.seq";

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("joiners_movers"),
            title: Cow::Borrowed("Joiners and movers"),
            version: 1,
            meaning: Cow::Borrowed(
                "One row for everybody to whom access was given, or another role, in the period, at one source. Whoever had no \
                 access there before is a joiner. Who only lost access is in no row: that is leavers. What an imported \
                 list found is not counted as given. The approval is the one that the record itself carries; a ticket \
                 is none.",
            ),
            when: When::Period,
            list: None,
            columns: Cow::Borrowed(COLUMNS),
            controls: Cow::Borrowed(CONTROLS),
            about_access: true,
        },
        run,
    }
}

/// What became of somebody's access at one source.
#[derive(Default)]
struct Moved {
    user: String,
    user_id: Option<String>,
    first_us: Option<i64>,
    had_before: bool,
    first_change_us: Option<i64>,
    approved: Option<bool>,
    added: BTreeSet<String>,
    removed: BTreeSet<String>,
    before: BTreeSet<String>,
    granted_by: BTreeSet<String>,
    records: BTreeSet<String>,
}

fn run(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<(), ReportError> {
    let asked = evidence.question().period;
    let from_us = asked.from.map_or(i64::MIN, Timestamp::micros);
    let to_us = asked.to.map_or(i64::MAX, Timestamp::micros);
    let mut people: BTreeMap<(String, String), Moved> = BTreeMap::new();
    // Intervals that began before the period count, too: `period` would leave their records out.
    let before = audit_record::Period { from: None, to: asked.to };
    let mut ends: HashMap<(String, String), Vec<(i64, String)>> = HashMap::new();
    evidence.rows(ENDS, Over::Records, before, &mut |row| {
        let text = |n: usize| row.values.get(n).and_then(SqlValue::as_text).map(str::to_owned);
        let Some(at) = row.values.get(4).and_then(SqlValue::as_integer) else { return };
        let key = (
            text(1).unwrap_or_default(),
            format!("{} {}", text(2).unwrap_or_default(), text(3).unwrap_or_default()),
        );
        ends.entry(key).or_default().push((at, text(5).unwrap_or_default()));
    })?;
    evidence.rows(SQL, Over::Records, before, &mut |row| {
        let text = |n: usize| row.values.get(n).and_then(SqlValue::as_text).map(str::to_owned);
        let number = |n: usize| row.values.get(n).and_then(SqlValue::as_integer);
        let Some(began) = number(9) else { return };
        let key = (
            text(1).unwrap_or_default(),
            format!("{} {}", text(2).unwrap_or_default(), text(16).unwrap_or_default()),
        );
        let elsewhere: Option<(i64, String)> =
            ends.get(&key).into_iter().flatten().filter(|(at, _)| *at >= began).min().cloned();
        let moved = people.entry(key).or_default();
        moved.user = text(3).unwrap_or_else(|| format!("({})", text(2).unwrap_or_default()));
        moved.user_id = text(4);
        let role = text(5).unwrap_or_else(|| "access".to_owned());
        let place = match (text(6).as_deref(), text(7), text(8)) {
            (Some("account"), ..) => "account".to_owned(),
            (Some("environment"), Some(environment), Some(project)) => format!("{project}/{environment}"),
            (_, environment, project) => project.or(environment).unwrap_or_default(),
        };
        let role = format!("{role} in {place}");
        let baseline = number(11) == Some(1);
        moved.first_us = Some(moved.first_us.map_or(began, |first| first.min(began)));
        if began < from_us || baseline {
            moved.had_before = true;
        }
        let own: Option<(i64, Option<String>)> = number(10).map(|at| (at, text(14)));
        let end = match (own, elsewhere.map(|(at, record)| (at, Some(record)))) {
            (Some(own), Some(elsewhere)) => Some(if elsewhere.0 < own.0 { elsewhere } else { own }),
            (own, elsewhere) => own.or(elsewhere),
        };
        let ended = end.as_ref().map(|(at, _)| *at);
        if began < from_us && ended.is_none_or(|ended| ended >= from_us) || baseline {
            moved.before.insert(role.clone());
        }
        let changed = |us: i64, moved: &mut Moved| {
            moved.first_change_us = Some(moved.first_change_us.map_or(us, |first| first.min(us)));
        };
        if began >= from_us && !baseline {
            changed(began, moved);
            moved.added.insert(role.clone());
            moved.granted_by.extend(text(12));
            moved.records.extend(text(13));
            let approved = text(15).and_then(|at| Timestamp::parse(&at).ok());
            let approved = approved.is_some_and(|at| at.micros() <= began);
            moved.approved = Some(moved.approved.unwrap_or(true) && approved);
        }
        if let Some(ended) = ended.filter(|ended| (from_us..to_us).contains(ended)) {
            changed(ended, moved);
            moved.removed.insert(role);
            moved.records.extend(end.and_then(|(_, record)| record));
        }
    })?;
    let (mut joiners, mut movers) = (0, 0);
    let time = |us: Option<i64>| Cell::time(us.and_then(|us| Timestamp::from_micros(us).ok()));
    for ((source, _), moved) in people {
        if moved.added.is_empty() {
            continue;
        }
        let is_joiner = !moved.had_before;
        joiners += u64::from(is_joiner);
        movers += u64::from(!is_joiner);
        let list = |set: &BTreeSet<String>| Cell::list(set.iter().cloned().collect());
        rows.push(vec![
            moved.user.into(),
            Cell::text(moved.user_id),
            source.into(),
            if is_joiner { "joiner" } else { "mover" }.into(),
            time(moved.first_us),
            time(moved.first_change_us),
            moved.approved.map_or(Cell::None, Cell::Bool),
            Cell::list(moved.added.difference(&moved.before).cloned().collect()),
            list(&moved.removed),
            list(&moved.granted_by),
            list(&moved.records),
        ]);
    }
    rows.sort_by(&[5, 0]);
    evidence.total("joiners", joiners);
    evidence.total("movers", movers);
    Ok(())
}
