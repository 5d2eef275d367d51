//! What one record says of a change: the little of it that the change reports need.

use audit_record::{AuditRecord, Timestamp};
use serde_json::Value;

use crate::change::person::{Person, Thing};
use crate::rows::CELL_CHARS_MAX;
use crate::words;

/// A record about a flag, or about a change request.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) id: String,
    pub(crate) partition: u32,
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
    /// When the platform's request came in.
    pub(crate) received_at: Timestamp,
    pub(crate) action: String,
    /// The first two words of its sentence: what tells the halves of one save apart at Flagsmith.
    pub(crate) aspect: String,
    pub(crate) author: Person,
    pub(crate) source: String,
    pub(crate) form: Form,
    pub(crate) project: Option<Thing>,
    pub(crate) environment: Option<Thing>,
    pub(crate) flag: Option<Thing>,
    pub(crate) target: Option<(String, Thing)>,
    pub(crate) object: Thing,
    pub(crate) version: Option<String>,
    pub(crate) old: Option<String>,
    pub(crate) new: Option<String>,
    pub(crate) after: Option<Value>,
    pub(crate) reason: Option<String>,
    pub(crate) ticket: Option<String>,
    pub(crate) approval: Option<ApprovalTrace>,
    /// How many approvals the platform itself asks for in that environment.
    pub(crate) platform_approvals_min: Option<u64>,
    /// The word for what let somebody past the approval, where the record says it.
    pub(crate) bypass_permission: Option<String>,
}

/// Which of the forms that one change comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Flagsmith's AUDIT_LOG_CREATED: who and when, without values.
    Entry,
    /// Flagsmith's FLAG_UPDATED: old and new; its time is that of the state, which a change request made long before.
    State,
    /// Flagsmith's FLAG_DELETED: the state that is gone; its time and author are those of the change before.
    LastState,
    /// Flagsmith's NEW_VERSION_PUBLISHED: a version, by its uuid.
    Version,
    /// Any record that says all by itself.
    Whole,
}

/// What a record says of approval.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApprovalTrace {
    pub(crate) request_id: Option<String>,
    pub(crate) request_name: Option<String>,
    pub(crate) approvers: Vec<Person>,
    pub(crate) approved_at: Option<Timestamp>,
    pub(crate) bypassed: bool,
}

impl Trace {
    /// Reads a row of `seq, json`.
    pub(crate) fn read(row: &audit_archive::SelectedRow) -> Option<Self> {
        let [seq, json] = row.values.as_slice() else { return None };
        let record = AuditRecord::from_json(json.as_text()?.as_bytes()).ok()?;
        Some(Self::new(&record, row.partition, u64::try_from(seq.as_integer()?).ok()?))
    }

    pub(crate) fn new(record: &AuditRecord, partition: u32, seq: u64) -> Self {
        let draft = record.draft();
        let change = draft.change.as_ref();
        let attribute = |name: &str| draft.attributes.get(name);
        let short = |text: String| text.chars().take(CELL_CHARS_MAX).collect();
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        Self {
            id: record.id().to_owned(),
            partition,
            seq,
            at: record.occurred_at(),
            received_at: record.source().received_at,
            action: record.action().as_str().to_owned(),
            aspect: record.log().split_whitespace().take(2).collect::<Vec<_>>().join(" "),
            author: Person::new(record.author()),
            source: record.source().name.clone(),
            form: Form::of(&record.source().system, &record.source().event),
            project: draft.project.as_ref().map(Thing::new),
            environment: draft.environment.as_ref().map(Thing::new),
            flag: draft.flag.as_ref().map(Thing::new),
            target: draft.target.as_ref().map(|target| (target.kind.clone(), Thing::new(&target.what))),
            object: Thing::new(&draft.related_object.what),
            version: draft.related_object.uuid.clone(),
            old: change.and_then(words::old).map(short),
            new: change.and_then(words::new).map(short),
            after: change.and_then(|change| change.after.clone()),
            reason: draft.reason.clone(),
            ticket: draft.ticket.clone(),
            approval: draft.approval.as_ref().map(ApprovalTrace::new),
            platform_approvals_min: attribute("environment")
                .and_then(|environment| environment.get("minimum_change_request_approvals"))
                .and_then(Value::as_u64),
            bypass_permission: text(
                draft.approval.as_ref().and_then(|approval| approval.extra.get("bypass_permission")),
            )
            .or_else(|| text(attribute("bypass_permission"))),
        }
    }

    /// When it was applied, as far as this record alone tells.
    pub(crate) fn applied_at(&self) -> Timestamp {
        match self.form {
            Form::LastState | Form::Version => self.received_at,
            Form::State if !self.author.is_known() => self.received_at,
            _ => self.at,
        }
    }

    /// The change request that it names.
    pub(crate) fn names_a_request(&self) -> bool {
        self.approval
            .as_ref()
            .is_some_and(|approval| approval.request_id.is_some() || approval.request_name.is_some())
    }
}

impl Form {
    fn of(system: &str, event: &str) -> Self {
        match (system, event) {
            ("flagsmith", "AUDIT_LOG_CREATED") => Self::Entry,
            ("flagsmith", "FLAG_UPDATED") => Self::State,
            ("flagsmith", "FLAG_DELETED") => Self::LastState,
            ("flagsmith", "NEW_VERSION_PUBLISHED") => Self::Version,
            _ => Self::Whole,
        }
    }
}

impl ApprovalTrace {
    fn new(approval: &audit_record::Approval) -> Self {
        Self {
            request_id: approval.change_request_id.clone(),
            request_name: approval
                .extra
                .get("change_request_name")
                .and_then(Value::as_str)
                .map(str::to_owned),
            approvers: approval.approvers.iter().map(Person::new).collect(),
            approved_at: approval.approved_at,
            bypassed: approval.bypassed == Some(true),
        }
    }
}
