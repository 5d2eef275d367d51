//! Changes of production in which one person did what takes two.

use std::borrow::Cow;

use super::Entry;
use super::approver_roles::ApproverRoles;
use crate::cell::Cell;
use crate::change::{self, Approval, Change, ChangeType};
use crate::compliance::Compliance;
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;

const COLUMNS: &[Column] = &[
    column("change_id", Kind::Text, "The change, as in change_log"),
    column("rule", Kind::Text, "Which rule it breaks"),
    column("actor", Kind::Text, "Whose part it is"),
    column("evidence_ids", Kind::List, "The records that show it"),
    column("compensating_note", Kind::Text, "The reason that was given with the change, and the ticket"),
    column("ts_applied", Kind::Time, "When the change took effect"),
    column("flag", Kind::Text, "The flag"),
    column("environment", Kind::Text, "The environment"),
    column("project", Kind::Text, "The project"),
    column("author", Kind::Text, "Who asked for it"),
    column("applier", Kind::Text, "Who put it into effect"),
    column("approvers", Kind::List, "Who approved it"),
    column("detail", Kind::Text, "What exactly was found"),
];

const CONTROLS: &[Control] = &[
    control(Framework::Soc2, "CC6.3"),
    control(Framework::Soc2, "CC8.1"),
    control(Framework::Iso27001, "A.8.32"),
    control(Framework::PciDss, "10.2.1.2"),
    control(Framework::Sox, "ITGC change management"),
    control(Framework::Nist, "AC-5"),
    control(Framework::Nist, "CM-5(1)"),
];

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("sod_exceptions"),
            title: Cow::Borrowed("Separation of duties: exceptions in production"),
            version: 1,
            meaning: Cow::Borrowed(
                "One row for every change of change_log and rule that it breaks. Rules: 'author=approver': the author \
                 approved it. 'applier sole approver': it was put into effect by its only approver, who is not the \
                 author. 'approval after apply': fewer people other than the author than are needed had approved it \
                 when it took effect, and an approval came afterwards. 'approved content != applied content': what it \
                 asks for was changed after the last approval, or what was applied differs from what was approved, as \
                 far as the records show both. 'no approval': fewer people other than the author approved it than are \
                 needed, and none of the rules above says why. An emergency breaks neither 'no approval' nor 'approval after \
                 apply': those changes are in emergency_changes. People are the same by id or by e-mail, else, where neither \
                 can be compared, by name. \
                 'approver lacked role at time': somebody other than the author approved it in time who held no role then in its \
                 environment, its project or the account, by the records of access of its source; where that tells of no access by \
                 then it is not judged. Which roles may approve is not judged either.",
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

/// A rule that a change breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) rule: &'static str,
    actor: String,
    detail: String,
    evidence: Vec<String>,
}

fn run(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<(), ReportError> {
    let compliance = evidence.compliance();
    let changes = change::gather(evidence)?;
    let mut judged = 0;
    let mut by_rule = std::collections::BTreeMap::new();
    let mut roles = ApproverRoles::new(evidence)?;
    for change in changes.iter().filter(|change| change.is_production(compliance)) {
        judged += 1;
        let mut broken = breaches(change, compliance);
        for (approval, at) in roles.lacked(evidence, change)? {
            broken.push(Breach {
                rule: "approver lacked role at time",
                actor: approval.who.shown().to_owned(),
                detail: format!("held no role there at {at}"),
                evidence: vec![change.id.clone(), approval.record_id.clone()],
            });
        }
        for breach in broken {
            *by_rule.entry(breach.rule).or_insert(0) += 1;
            rows.push(row(change, breach));
        }
    }
    roles.ran(evidence);
    evidence.total("changes judged", judged);
    for (rule, count) in by_rule {
        evidence.total(rule, count);
    }
    Ok(())
}

/// The rules that a change breaks.
pub(super) fn breaches(change: &Change, compliance: &Compliance) -> Vec<Breach> {
    let mut found = Vec::new();
    let ids = |approval: &Approval| vec![change.id.clone(), approval.record_id.clone()];
    if let Some(own) = change.approvals.iter().find(|approval| approval.who.is(&change.author)) {
        found.push(Breach {
            rule: "author=approver",
            actor: change.author.shown().to_owned(),
            detail: "approved what was asked for by the same person".to_owned(),
            evidence: ids(own),
        });
    }
    let in_time = change.approvers_in_time();
    if let [only] = in_time.as_slice()
        && only.who.is(&change.applier)
    {
        found.push(Breach {
            rule: "applier sole approver",
            actor: change.applier.shown().to_owned(),
            detail: "put into effect by its only approver".to_owned(),
            evidence: ids(only),
        });
    }
    let needed = change.approvals_min(compliance);
    let got = in_time.len() as u64;
    let late = change.approvals.iter().find(|approval| {
        approval.at.is_some_and(|at| at > change.applied_at) && !approval.who.is(&change.author)
    });
    let is_emergency = change.kind == ChangeType::Emergency;
    if let Some(late) = late.filter(|_| got < needed && !is_emergency) {
        found.push(Breach {
            rule: "approval after apply",
            actor: late.who.shown().to_owned(),
            detail: late.at.map_or_else(String::new, |at| format!("approved at {at}")),
            evidence: ids(late),
        });
    }
    if let Some(differs) = &change.content_differs {
        found.push(Breach {
            rule: "approved content != applied content",
            actor: change.applier.shown().to_owned(),
            detail: differs.clone(),
            evidence: change.record_ids.clone(),
        });
    }
    if found.is_empty() && got < needed && !is_emergency {
        found.push(Breach {
            rule: "no approval",
            actor: change.applier.shown().to_owned(),
            detail: format!("{got} of {needed} approvals"),
            evidence: change.record_ids.clone(),
        });
    }
    found
}

fn row(change: &Change, mut breach: Breach) -> Vec<Cell> {
    let approvers = change.approvals.iter().map(|approval| approval.who.shown().to_owned()).collect();
    let note: Vec<&str> =
        [&change.reason, &change.ticket].into_iter().flatten().map(String::as_str).collect();
    breach.evidence.dedup();
    vec![
        change.id.as_str().into(),
        breach.rule.into(),
        breach.actor.into(),
        Cell::list(breach.evidence),
        Cell::text((!note.is_empty()).then(|| note.join(", "))),
        change.applied_at.into(),
        Cell::text(change.flag.as_ref().map(|flag| flag.shown())),
        Cell::text(change.environment.as_ref().map(|environment| environment.shown())),
        Cell::text(change.project.as_ref().map(|project| project.shown())),
        change.author.shown().into(),
        change.applier.shown().into(),
        Cell::list(approvers),
        Cell::text((!breach.detail.is_empty()).then_some(breach.detail)),
    ]
}
