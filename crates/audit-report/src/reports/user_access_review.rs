//! Who has access to what at a moment: the list that a reviewer goes through.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use audit_archive::{AccessFilter, AccessRow};
use audit_record::{Period, Timestamp};

use super::decisions::{self, Decision};
use super::{Entry, held};
use crate::cell::Cell;
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;

/// The name, which decisions are imported under.
const NAME: &str = "user_access_review";

const COLUMNS: &[Column] = &[
    column("as_of", Kind::Time, "The moment that the row is about"),
    column("user_id", Kind::Text, "The platform's id of the subject"),
    column("user_name", Kind::Text, "Its name, as the record that gave the access has it"),
    column("email", Kind::Text, "Its e-mail address, as that record has it"),
    column("kind", Kind::Text, "human, service, token, group, or the platform's own word"),
    column(
        "status",
        Kind::Text,
        "active; or why somebody has to look: missing_from_snapshot (an imported list of the whole source does not have \
         it), account_removed (the subject's access to the account was removed, which no platform says ends this)",
    ),
    column("org_role", Kind::Text, "The roles that the subject has in the account at the same source"),
    column("project", Kind::Text, "The project; empty for access to the account"),
    column("environment", Kind::Text, "The environment, where the access is to one alone"),
    column("role", Kind::Text, "The role; empty where the platform names none"),
    column("via", Kind::Text, "direct, or group where the subject is a group: its members are not resolved"),
    column("privileged", Kind::Bool, "Whether the role is one of compliance.privileged_roles"),
    column("granted_at", Kind::Time, "When it was given; of a baseline, as of when it was found to be there"),
    column("granted_by", Kind::Text, "Who gave it; empty for a baseline, where that is not known"),
    column("grant_record_id", Kind::Text, "The record that gave it, or of the list that it was found on"),
    column("approval_ref", Kind::Text, "The ticket or change request that the record names"),
    column(
        "last_activity_at",
        Kind::Time,
        "The last change that the subject made at the source, up to as_of; where only some projects may be seen, in these",
    ),
    column("days_inactive", Kind::Integer, "Whole days from there to as_of; empty where no change is known"),
    column(
        "reviewer",
        Kind::Text,
        "Who reviewed it since as_of, by imported decisions: the last of them that names it, and the same grant_record_id or none",
    ),
    column("decision", Kind::Text, "keep, modify or revoke"),
    column("decision_at", Kind::Time, "When"),
    column("rationale", Kind::Text, "Why"),
    column(
        "remediation_record_id",
        Kind::Text,
        "The record of what was done: as the decision names it, else the record that ended the access after it",
    ),
    column("remediation_at", Kind::Time, "When that was"),
    column("source", Kind::Text, "The source that tells of it"),
    column(
        "baseline",
        Kind::Bool,
        "Whether it was found on an imported list, and no record tells who gave it",
    ),
];

const CONTROLS: &[Control] = &[
    control(Framework::Soc2, "CC6.1"),
    control(Framework::Soc2, "CC6.3"),
    control(Framework::Iso27001, "A.5.18"),
    control(Framework::Iso27001, "A.8.2"),
    control(Framework::PciDss, "7.2.4"),
    control(Framework::Sox, "ITGC access"),
    control(Framework::Hipaa, "164.312(b)"),
    control(Framework::Nist, "AC-6(7)"),
];

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed(NAME),
            title: Cow::Borrowed("User access review"),
            version: 2,
            meaning: Cow::Borrowed(
                "One row for every role that somebody held at the moment asked for, by the records of access: granted \
                 before, and not removed until then. Removals that name no role end every role in their scope; the end \
                 of a user ends everything at that source. With projects asked for, the rows are those of the projects \
                 and their environments, and not access to the account. A row without last_activity_at made no change \
                 that is on the log: platforms do not tell of logins.",
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
    let projects = evidence.question().projects.clone();
    let held =
        held::held_at(evidence, at, AccessFilter { project: projects.clone(), ..AccessFilter::default() })?;
    let of_account = if projects.is_empty() || evidence.question().limited {
        Vec::new()
    } else {
        let filter = AccessFilter { scope: vec!["account".to_owned()], ..AccessFilter::default() };
        held::held_at(evidence, at, filter)?
    };
    let mut org_roles: HashMap<(String, String), BTreeSet<String>> = HashMap::new();
    for row in held.iter().chain(&of_account).filter(|row| row.scope == "account") {
        org_roles.entry(held::holder(row)).or_default().extend(row.role.clone());
    }
    let acts = held::last_acts(evidence, &held, at)?;
    let decisions = latest_decisions(evidence, at, &held)?;
    let (mut privileged, mut odd) = (0, 0);
    for (row, decision) in held.iter().zip(&decisions) {
        let holder = held::holder(row);
        let decision = decision.as_ref();
        let last = acts.get(&holder).copied();
        let is_privileged = row.role.as_deref().is_some_and(|role| evidence.compliance().is_privileged(role));
        privileged += u64::from(is_privileged);
        odd += u64::from(status(row) != "active");
        let (remediation, remediation_at) = remediation(decision, row);
        rows.push(vec![
            at.into(),
            Cell::text(row.subject.id.clone()),
            Cell::text(row.subject.name.clone()),
            Cell::text(row.subject.email.clone()),
            kind(&row.subject.kind).into(),
            status(row).into(),
            Cell::text(
                org_roles
                    .get(&holder)
                    .map(|roles| roles.iter().cloned().collect::<Vec<_>>().join(", "))
                    .filter(|roles| !roles.is_empty()),
            ),
            Cell::text(held::project(row)),
            Cell::text(held::environment(row)),
            Cell::text(row.role.clone()),
            if row.subject.kind == "group" { "group" } else { "direct" }.into(),
            is_privileged.into(),
            Cell::time(row.from()),
            Cell::text(held::author(&row.begun).filter(|_| !row.baseline)),
            row.begun.record.clone().into(),
            Cell::text(row.begun.ticket.clone().or_else(|| held::approval(&row.begun).0)),
            Cell::time(last),
            last.map_or(Cell::None, |last| Cell::Integer(held::days(last, at))),
            Cell::text(decision.map(|decision| decision.reviewer.clone())),
            Cell::text(decision.map(|decision| decision.decision.clone())),
            Cell::time(decision.map(|decision| decision.at)),
            Cell::text(decision.and_then(|decision| decision.rationale.clone())),
            Cell::text(remediation),
            Cell::time(remediation_at),
            row.source.clone().into(),
            row.baseline.into(),
        ]);
    }
    let people: BTreeSet<_> = held.iter().map(held::holder).collect();
    evidence.total("subjects", people.len() as u64);
    evidence.total("privileged", privileged);
    evidence.total("to be looked at (status other than active)", odd);
    Ok(())
}

fn kind(kind: &str) -> &str {
    match kind {
        "user" => "human",
        "api_key" => "token",
        other => other,
    }
}

fn status(row: &AccessRow) -> &'static str {
    if row.missing_from_snapshot_us.is_some() {
        "missing_from_snapshot"
    } else if row.account_removed_us.is_some() {
        "account_removed"
    } else {
        "active"
    }
}

/// For each row the last decision on it since the moment, if there is any.
fn latest_decisions(
    evidence: &mut Evidence<'_>,
    at: Timestamp,
    held: &[AccessRow],
) -> Result<Vec<Option<Decision>>, ReportError> {
    let mut by_label: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, row) in held.iter().enumerate() {
        for label in [&row.subject.email, &row.subject.id, &row.subject.name].into_iter().flatten() {
            by_label.entry(label).or_default().push(number);
        }
    }
    let rows_of = |decision: &Decision| -> Vec<usize> {
        let named = decision.subject.as_deref().and_then(|subject| by_label.get(subject));
        named.into_iter().flatten().copied().filter(|number| is_about(decision, &held[*number])).collect()
    };
    let since = Period { from: Some(at), to: None };
    let decided = decisions::about(evidence, since, &mut |decision| !rows_of(decision).is_empty())?;
    let mut latest = vec![None; held.len()];
    for decision in decided {
        for number in rows_of(&decision) {
            latest[number] = Some(decision.clone());
        }
    }
    Ok(latest)
}

/// Whether a decision is on this row: of this report, on this subject, and on whatever else of place and role it names.
/// One that names the record that gave the access is on no other access, called the same or not.
fn is_about(decision: &Decision, row: &AccessRow) -> bool {
    let subject = &row.subject;
    let is = |said: &Option<String>, own: Option<String>| match said {
        Some(said) => own.as_ref() == Some(said),
        None => own.is_none(),
    };
    decision.report == NAME
        && [&subject.email, &subject.id, &subject.name]
            .into_iter()
            .any(|own| own.is_some() && *own == decision.subject)
        && is(&decision.project, held::project(row))
        && is(&decision.environment, held::environment(row))
        && is(&decision.role, row.role.clone())
        && decision
            .grant_record_id
            .as_ref()
            .is_none_or(|grant| *grant == row.begun.record || row.also.contains(grant))
}

fn remediation(decision: Option<&Decision>, row: &AccessRow) -> (Option<String>, Option<Timestamp>) {
    let Some(decision) = decision else { return (None, None) };
    if decision.remediation_record_id.is_some() {
        return (decision.remediation_record_id.clone(), decision.remediation_at);
    }
    let ended = row.ended.as_ref().filter(|_| decision.decision != "keep");
    let ended = ended.filter(|_| row.until().is_some_and(|until| until >= decision.at));
    (ended.map(|ended| ended.record.clone()), ended.and(row.until()))
}
