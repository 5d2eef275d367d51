//! Who gave or took privileged access.

use std::borrow::Cow;

use audit_archive::{AccessFilter, AccessQuery, AccessRow, Over, SqlValue};
use audit_record::{AuditRecord, Effect, Ref, Timestamp};

use super::{Entry, held};
use crate::cell::Cell;
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;
use crate::words;

const COLUMNS: &[Column] = &[
    column("ts", Kind::Time, "When it happened"),
    column("actor", Kind::Text, "Who did it"),
    column(
        "actor_role_at_time",
        Kind::List,
        "The roles that the actor had there, or in the account, just before",
    ),
    column("target", Kind::Text, "Whose access it is"),
    column("action", Kind::Text, "grant; elevate (the target held another role there before); revoke"),
    column(
        "role",
        Kind::Text,
        "The role that was given or taken; the privileged ones of a removal that names none",
    ),
    column("scope", Kind::Text, "account, project or environment"),
    column("scope_name", Kind::Text, "Which one"),
    column("approver", Kind::List, "Who approved it, where the record says so"),
    column("ticket", Kind::Text, "The ticket, or the change request, that the record names"),
    column("self_grant", Kind::Bool, "Whether actor and target are the same, by id or e-mail address"),
    column(
        "expires_at",
        Kind::Time,
        "When it ends by itself, where the record says so (attributes.expires_at)",
    ),
    column("source_ip", Kind::Text, "Where the request came from, where the record says so"),
    column("finding", Kind::Text, "What does not fit: granted_again, late; empty where it fits"),
    column("record_id", Kind::Text, "The record that says so"),
    column("source", Kind::Text, "The source that tells of it"),
    column("partition", Kind::Integer, "Where it stands on the log: the partition …"),
    column("seq", Kind::Integer, "… and its number there"),
];

const CONTROLS: &[Control] = &[
    control(Framework::Soc2, "CC6.3"),
    control(Framework::Iso27001, "A.8.2"),
    control(Framework::PciDss, "10.2.1.2"),
    control(Framework::PciDss, "10.2.1.5"),
    control(Framework::Sox, "ITGC access"),
    control(Framework::Nist, "AC-2(4)"),
    control(Framework::Nist, "AC-6(9)"),
];

/// The events of access, and what each ended: a removal, and whatever gives one role in place of the others.
const SQL: &str = "SELECT seq, json, finding, late, source, effect,
  (SELECT group_concat(nullif(i.role, ''), char(10)) FROM access_interval i
   WHERE i.holder = e.holder AND i.scope = e.scope_number AND i.until_seq = e.seq) AS ended,
  (SELECT group_concat(nullif(i.role, ''), char(10)) FROM access_interval i
   WHERE i.holder = e.holder AND i.scope = e.scope_number AND i.from_us < e.occurred_at_us
     AND (i.until_us IS NULL OR i.until_us >= e.occurred_at_us)) AS held
FROM access_events e
WHERE seq >= :first_seq AND seq < :end_seq
  AND occurred_at_us >= :from_us AND occurred_at_us < :to_us
  AND (:projects IS NULL OR project_id IN (SELECT value FROM json_each(:projects))
    OR project_key IN (SELECT value FROM json_each(:projects)) OR project_name IN (SELECT value FROM json_each(:projects)))
ORDER BY seq";

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("privileged_access_changes"),
            title: Cow::Borrowed("Privileged access changes"),
            version: 2,
            meaning: Cow::Borrowed(
                "One row for every record by which a role of compliance.privileged_roles was given or taken, and two where \
                 it gave one in place of another. A removal that names no role counts where it ended a privileged one; one \
                 that ended nothing counts where it names one. A role that is given in place of the others takes those that \
                 it ended. The end of a user counts in the scope of its record alone. What an imported list found is no \
                 change, and is in no row (user_access_review has it); but where it shows another role in place of a \
                 privileged one, that was taken, and nothing else tells of it.",
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

/// What an event did to privileged roles: gave these, or took these.
struct Event {
    record: AuditRecord,
    roles: Vec<String>,
    is_revoke: bool,
    held: Vec<String>,
    finding: Option<String>,
    late: bool,
    source: String,
    partition: u32,
    seq: i64,
}

fn run(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<(), ReportError> {
    let compliance = evidence.compliance().clone();
    let mut events = Vec::new();
    let period = evidence.question().period;
    evidence.rows(SQL, Over::Records, period, &mut |row| {
        let [seq, json, finding, late, source, _, ended, held] = row.values.as_slice() else { return };
        let record = json.as_text().and_then(|json| AuditRecord::from_json(json.as_bytes()).ok());
        let Some(record) = record else { return };
        let Some(access) = &record.draft().access else { return };
        let lines = |value: &SqlValue| -> Vec<String> {
            value.as_text().unwrap_or_default().lines().map(str::to_owned).collect()
        };
        let named: Vec<String> = access.role.iter().cloned().collect();
        let (given, taken) = match access.effect {
            Effect::Removed if ended.as_text().is_some() => (Vec::new(), lines(ended)),
            Effect::Removed => (Vec::new(), named),
            Effect::Snapshot => (Vec::new(), lines(ended)),
            Effect::Granted => (named, lines(ended)),
        };
        for (is_revoke, mut roles) in [(true, taken), (false, given)] {
            roles.retain(|role| compliance.is_privileged(role));
            if roles.is_empty() {
                continue;
            }
            // What does not fit is what the record says itself: of a grant, the giving.
            let is_said = is_revoke == (access.effect == Effect::Removed);
            events.push(Event {
                roles,
                is_revoke,
                held: lines(held),
                finding: finding.as_text().filter(|_| is_said).map(str::to_owned),
                late: late.as_integer() == Some(1),
                source: source.as_text().unwrap_or_default().to_owned(),
                partition: row.partition,
                seq: seq.as_integer().unwrap_or_default(),
                record: record.clone(),
            });
        }
    })?;
    events.sort_by_key(|event| (event.record.occurred_at(), event.partition, event.seq));
    let mut selves = 0;
    for event in &events {
        let cells = cells(evidence, event)?;
        selves += u64::from(cells[10] == Cell::Bool(true));
        rows.push(cells);
    }
    evidence.total("by the target's own hand", selves);
    Ok(())
}

fn cells(evidence: &Evidence<'_>, event: &Event) -> Result<Vec<Cell>, ReportError> {
    let Event { record, roles, .. } = event;
    let draft = record.draft();
    let author = record.author();
    // There is access in every event of access.
    let Some(access) = &draft.access else { return Ok(Vec::new()) };
    let subject = &access.subject;
    let target = [&subject.email, &subject.name, &subject.id].into_iter().flatten().next();
    let same = |own: &Option<String>, other: &Option<String>| {
        own.as_ref().zip(other.as_ref()).is_some_and(|(own, other)| own.eq_ignore_ascii_case(other))
    };
    let is_self = same(&author.id, &subject.id) || same(&author.email, &subject.email);
    let action = if event.is_revoke {
        "revoke"
    } else if event.held.iter().any(|held| !roles.contains(held)) {
        "elevate"
    } else {
        "grant"
    };
    let approval = draft.approval.as_ref();
    let approvers = approval.map(|approval| approval.approvers.iter().map(words::who).collect());
    let change_request = approval.and_then(|approval| approval.change_request_id.clone());
    let expires = draft.attributes.get("expires_at").filter(|_| !event.is_revoke).and_then(|at| at.as_str());
    let mut findings: Vec<String> = event.finding.clone().into_iter().collect();
    if event.late {
        findings.push("late".to_owned());
    }
    let scope_name = match access.scope.kind.as_str() {
        "project" => draft.project.as_ref().and_then(Ref::handle),
        "environment" => draft.environment.as_ref().and_then(Ref::handle),
        _ => None,
    };
    let scope_name = scope_name.or(access.scope.key.as_deref()).or(access.scope.id.as_deref());
    Ok(vec![
        record.occurred_at().into(),
        words::who(author).into(),
        Cell::list(roles_of(evidence, event)?),
        Cell::text(target.cloned()),
        action.into(),
        roles.join(", ").into(),
        access.scope.kind.clone().into(),
        Cell::text(scope_name),
        Cell::list(approvers.unwrap_or_default()),
        Cell::text(draft.ticket.clone().or(change_request)),
        is_self.into(),
        Cell::time(expires.and_then(|at| Timestamp::parse(at).ok())),
        Cell::text(draft.request.as_ref().and_then(|request| request.ip.clone())),
        Cell::text(Some(findings.join(", ")).filter(|findings| !findings.is_empty())),
        record.id().into(),
        event.source.clone().into(),
        u64::from(event.partition).into(),
        Cell::Integer(event.seq),
    ])
}

/// What the actor held there, or in the account, just before.
fn roles_of(evidence: &Evidence<'_>, event: &Event) -> Result<Vec<String>, ReportError> {
    let author = event.record.author();
    let subject: Vec<String> = [&author.id, &author.email].into_iter().flatten().cloned().collect();
    let just_before = Timestamp::from_micros(event.record.occurred_at().micros() - 1);
    let (false, Ok(at)) = (subject.is_empty(), just_before) else { return Ok(Vec::new()) };
    evidence.in_time()?;
    let filter = AccessFilter { subject, source: vec![event.source.clone()], ..AccessFilter::default() };
    let page = evidence.reader().access(&AccessQuery { at, filter, limit: 100, cursor: None })?;
    let project = event.record.draft().project.as_ref();
    let is_there = |row: &&AccessRow| {
        let is_named = |own: &Option<String>, other: &Option<String>| own.is_some() && own == other;
        let same = row.project.as_ref().zip(project).is_some_and(|(own, other)| {
            is_named(&own.id, &other.id) || is_named(&own.key, &other.key) || is_named(&own.name, &other.name)
        });
        row.scope == "account" && !evidence.question().limited || same
    };
    let mut roles: Vec<String> = page.rows.iter().filter(is_there).map(held::role_in).collect();
    roles.sort();
    roles.dedup();
    Ok(roles)
}
