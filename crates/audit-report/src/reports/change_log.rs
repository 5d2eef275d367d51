//! Every change of production, one a line.

use std::borrow::Cow;

use super::Entry;
use crate::cell::Cell;
use crate::change::{self, Change};
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;

const COLUMNS: &[Column] = &[
    column("ts_requested", Kind::Time, "When its change request was created; empty without one"),
    column("ts_approved", Kind::Time, "When the last approval came that was in time"),
    column("ts_applied", Kind::Time, "When it took effect"),
    column("change_id", Kind::Text, "The id of the record that tells most of it; reviews refer to it"),
    column("flag", Kind::Text, "The flag"),
    column("environment", Kind::Text, "The environment; empty where it is of the flag in all of them"),
    column(
        "type",
        Kind::Text,
        "standard (through a change request, or approved), scheduled, emergency (past its approval, or an emergency action), or direct",
    ),
    column(
        "author",
        Kind::Text,
        "Who asked for it: the author of the change request, else whoever made the change",
    ),
    column("approvers", Kind::List, "Everybody who approved it, whenever"),
    column("applier", Kind::Text, "Who put it into effect"),
    column(
        "min_approvals_required",
        Kind::Integer,
        "How many people other than the author have to approve it: what the platform says, or compliance.approvals_min where that is more",
    ),
    column("approvals_got", Kind::Integer, "How many people other than the author had approved it by then"),
    column("old", Kind::Text, "What stood before, of what differs; empty where the platform does not tell"),
    column("new", Kind::Text, "What stands after"),
    column("reason", Kind::Text, "Why, where somebody said so"),
    column("ticket", Kind::Text, "The ticket, where there is one"),
    column(
        "rollback_of",
        Kind::Text,
        "The change just before it in the same place, where this one put back what had been",
    ),
    column(
        "record_ids",
        Kind::List,
        "Every record on the log that tells of it, those of its change request included",
    ),
    column("change_request", Kind::Text, "The change request"),
    column("action", Kind::Text, "What was done, as the first record says"),
    column("target", Kind::Text, "The segment or identity concerned, where it is an override"),
    column("project", Kind::Text, "The project"),
    column("source", Kind::Text, "The source that it came from"),
];

const CONTROLS: &[Control] = &[
    control(Framework::Soc2, "CC8.1"),
    control(Framework::Iso27001, "A.8.32"),
    control(Framework::PciDss, "10.2.1.2"),
    control(Framework::PciDss, "10.2.1.7"),
    control(Framework::Sox, "ITGC change management"),
    control(Framework::Hipaa, "164.312(b)"),
    control(Framework::Nist, "CM-3"),
    control(Framework::Nist, "CM-5(1)"),
];

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("change_log"),
            title: Cow::Borrowed("Production change log"),
            version: 1,
            meaning: Cow::Borrowed(
                "One row for every change of a flag that took effect in production within the period, and for every \
                 change of a flag in all environments at once. One change is one row, however many records tell of it: \
                 they are put side by side by rule 1 (audit-report/src/change/side_by_side.rs), never merged on the log, \
                 and all their ids are given. Change requests are looked for from 90 days before the period to 30 days \
                 after it. What a platform does not tell (see the coverage) is empty, not made up.",
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
    let compliance = evidence.compliance();
    let changes = change::gather(evidence)?;
    let all = changes.len();
    let mut by_type = std::collections::BTreeMap::new();
    for change in changes.iter().filter(|change| change.is_production(compliance)) {
        *by_type.entry(change.kind.as_str()).or_insert(0) += 1;
        rows.push(row(change, change.approvals_min(compliance)));
    }
    evidence.total("changes in all environments", all as u64);
    for (kind, count) in by_type {
        evidence.total(format!("{kind} changes"), count);
    }
    evidence.note(format!("records were put side by side by rule {}", change::RULE_VERSION));
    Ok(())
}

fn row(change: &Change, approvals_min: u64) -> Vec<Cell> {
    let in_time = change.approvers_in_time();
    let approved_at = in_time.iter().filter_map(|approval| approval.at).max();
    let approvers = change.approvals.iter().map(|approval| approval.who.shown().to_owned()).collect();
    vec![
        Cell::time(change.requested_at),
        Cell::time(approved_at),
        change.applied_at.into(),
        change.id.as_str().into(),
        Cell::text(change.flag.as_ref().map(|flag| flag.shown())),
        Cell::text(change.environment.as_ref().map(|environment| environment.shown())),
        change.kind.as_str().into(),
        change.author.shown().into(),
        Cell::list(approvers),
        change.applier.shown().into(),
        approvals_min.into(),
        in_time.len().into(),
        Cell::text(change.old.as_deref()),
        Cell::text(change.new.as_deref()),
        Cell::text(change.reason.as_deref()),
        Cell::text(change.ticket.as_deref()),
        Cell::text(change.rollback_of.as_deref()),
        Cell::list(change.record_ids.clone()),
        Cell::text(change.request.as_deref()),
        change.action.as_str().into(),
        Cell::text(change.target.as_deref()),
        Cell::text(change.project.as_ref().map(|project| project.shown())),
        change.source.as_str().into(),
    ]
}
