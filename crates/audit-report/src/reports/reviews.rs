//! Which reviews were attested: who decided what, when, and what came of it.

use std::borrow::Cow;

use super::{Entry, decisions};
use crate::cell::Cell;
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;

const COLUMNS: &[Column] = &[
    column("decision_at", Kind::Time, "When it was decided, as the reviewer says"),
    column("reviewer", Kind::Text, "Who decided"),
    column("report", Kind::Text, "The report whose line it is about"),
    column("subject", Kind::Text, "Whose access it is about, by e-mail, else id, else name"),
    column("change_id", Kind::Text, "Which change it is about"),
    column("project", Kind::Text, "The project"),
    column("environment", Kind::Text, "The environment"),
    column("role", Kind::Text, "The role"),
    column("decision", Kind::Text, "keep, modify, revoke, approve or reject"),
    column("rationale", Kind::Text, "Why"),
    column("remediation_record_id", Kind::Text, "The record of what was done about it"),
    column("remediation_at", Kind::Time, "When that was done"),
    column("imported_by", Kind::Text, "Whose token put the decision on the log"),
    column("imported_at", Kind::Time, "When"),
    column("record_id", Kind::Text, "The record of the decision"),
];

const CONTROLS: &[Control] = &[
    control(Framework::Soc2, "CC6.2"),
    control(Framework::Soc2, "CC6.3"),
    control(Framework::Iso27001, "A.5.18"),
    control(Framework::PciDss, "7.2.4"),
    control(Framework::PciDss, "10.4.1"),
    control(Framework::Sox, "ITGC access"),
    control(Framework::Hipaa, "164.312(b)"),
    control(Framework::Nist, "AU-6"),
    control(Framework::Nist, "AC-6(7)"),
];

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("reviews"),
            title: Cow::Borrowed("Reviews attested"),
            version: 1,
            meaning: Cow::Borrowed(
                "One row for every decision of a reviewer on a line of user_access_review, change_log, emergency_changes \
                 or sod_exceptions that was imported with flagtrail report import-decisions, by when it was decided. \
                 Each is a record on the log, which says whose token brought it: that the named reviewer decided so is \
                 what that token's holder says.",
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
    let period = evidence.question().period;
    let mut by_decision = std::collections::BTreeMap::new();
    for decided in decisions::of_projects(evidence, period)? {
        *by_decision.entry(decided.decision.clone()).or_insert(0) += 1;
        rows.push(vec![
            decided.at.into(),
            decided.reviewer.into(),
            decided.report.into(),
            Cell::text(decided.subject),
            Cell::text(decided.change_id),
            Cell::text(decided.project),
            Cell::text(decided.environment),
            Cell::text(decided.role),
            decided.decision.into(),
            Cell::text(decided.rationale),
            Cell::text(decided.remediation_record_id),
            Cell::time(decided.remediation_at),
            decided.imported_by.into(),
            decided.imported_at.into(),
            decided.record_id.into(),
        ]);
    }
    for (decision, count) in by_decision {
        evidence.total(decision, count);
    }
    Ok(())
}
