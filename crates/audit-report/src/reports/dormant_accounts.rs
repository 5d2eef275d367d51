//! Access that nobody uses, and access that nobody answers for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use audit_archive::{AccessFilter, AccessRow};

use super::{Entry, held};
use crate::cell::Cell;
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;

const COLUMNS: &[Column] = &[
    column("user", Kind::Text, "Whose account: by e-mail, else name, else id"),
    column("user_id", Kind::Text, "The platform's id"),
    column("kind", Kind::Text, "user, group, api_key or the platform's own word"),
    column("source", Kind::Text, "The source that tells of it"),
    column(
        "state",
        Kind::Text,
        "dormant (no change of theirs for compliance.dormant_days), never_active (none at all, and access for that long), \
         orphan (its place in the account was removed, or an imported list of the whole source does not have it)",
    ),
    column("roles", Kind::List, "What it holds"),
    column("privileged", Kind::Bool, "Whether any of these roles is privileged"),
    column(
        "held_since",
        Kind::Time,
        "Since when, of the first of them; for a baseline, since then at the latest",
    ),
    column(
        "last_activity_at",
        Kind::Time,
        "The last change that it made at the source; where only some projects may be seen, in these",
    ),
    column("days_inactive", Kind::Integer, "Whole days since then, else since it was given access"),
    column("record_ids", Kind::List, "The records that gave the access"),
];

const CONTROLS: &[Control] = &[
    control(Framework::Soc2, "CC6.1"),
    control(Framework::Soc2, "CC6.3"),
    control(Framework::Iso27001, "A.5.18"),
    control(Framework::Sox, "ITGC access"),
    control(Framework::Nist, "AC-2(4)"),
    control(Framework::Nist, "AC-6(7)"),
];

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("dormant_accounts"),
            title: Cow::Borrowed("Dormant and orphan accounts"),
            version: 2,
            meaning: Cow::Borrowed(
                "One row for every subject that holds access at the moment asked for and made no change at that source for \
                 compliance.dormant_days, or whose access contradicts what is known of its account. Activity is a change that a platform told of, with \
                 the subject as its author: logins and reading are not sent by any platform, so whoever only looks counts as dormant. \
                 Groups have no activity, and are listed as orphans alone.",
            ),
            when: When::At,
            list: None,
            columns: Cow::Borrowed(COLUMNS),
            controls: Cow::Borrowed(CONTROLS),
            about_access: true,
        },
        run,
    }
}

fn run(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<(), ReportError> {
    let at = evidence.question().at;
    let dormant_days = i64::from(evidence.compliance().dormant_days);
    let filter = AccessFilter { project: evidence.question().projects.clone(), ..AccessFilter::default() };
    let held = held::held_at(evidence, at, filter)?;
    let acts = held::last_acts(evidence, &held, at)?;
    let mut people: BTreeMap<(String, String), Vec<&AccessRow>> = BTreeMap::new();
    for row in &held {
        people.entry(held::holder(row)).or_default().push(row);
    }
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (holder, own) in people {
        let last = acts.get(&holder).copied();
        let since = own.iter().filter_map(|row| row.from()).min();
        let inactive = last.or(since).map(|last| held::days(last, at));
        let is_orphan =
            own.iter().any(|row| row.missing_from_snapshot_us.is_some() || row.account_removed_us.is_some());
        let subject = &own[0].subject;
        let state = match (is_orphan, inactive) {
            (true, _) => "orphan",
            (false, Some(days)) if days >= dormant_days && subject.kind != "group" => {
                if last.is_some() {
                    "dormant"
                } else {
                    "never_active"
                }
            }
            _ => continue,
        };
        *counts.entry(state).or_insert(0) += 1;
        let is_privileged = |row: &&AccessRow| {
            row.role.as_deref().is_some_and(|role| evidence.compliance().is_privileged(role))
        };
        rows.push(vec![
            held::who(subject).into(),
            Cell::text(subject.id.clone()),
            subject.kind.clone().into(),
            holder.0.into(),
            state.into(),
            Cell::list(own.iter().map(|row| held::role_in(row)).collect()),
            own.iter().any(is_privileged).into(),
            Cell::time(since),
            Cell::time(last),
            inactive.map_or(Cell::None, Cell::Integer),
            Cell::list(own.iter().map(|row| row.begun.record.clone()).collect()),
        ]);
    }
    for (state, count) in counts {
        evidence.total(state, count);
    }
    Ok(())
}
