//! From records side by side to a change: who asked, who approved, who applied it, when, and what was different after.

use std::collections::HashMap;

use audit_record::Timestamp;
use serde_json::Value;

use super::person::{Person, Thing};
use super::request::{Request, Requests};
use super::side_by_side::side_by_side;
use super::trace::Trace;
use crate::compliance::Compliance;

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The id of the record that tells most of it.
    pub(crate) id: String,
    /// The change request, by id, else by name.
    pub(crate) request: Option<String>,
    pub(crate) kind: ChangeType,
    pub(crate) action: String,
    pub(crate) source: String,
    pub(crate) project: Option<Thing>,
    pub(crate) environment: Option<Thing>,
    pub(crate) flag: Option<Thing>,
    pub(crate) target: Option<String>,
    pub(crate) requested_at: Option<Timestamp>,
    pub(crate) applied_at: Timestamp,
    pub(crate) author: Person,
    pub(crate) applier: Person,
    /// Every approval that is known, in the order of time; those without a time first.
    pub(crate) approvals: Vec<Approval>,
    /// How many people the platform asks for, where it says so.
    pub(crate) platform_approvals_min: Option<u64>,
    pub(crate) bypassed: bool,
    pub(crate) bypass_permission: Option<String>,
    /// When what was asked for was changed after it had been approved, or what was applied is not what was approved.
    pub(crate) content_differs: Option<String>,
    pub(crate) old: Option<String>,
    pub(crate) new: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) ticket: Option<String>,
    /// The change that this one took back.
    pub(crate) rollback_of: Option<String>,
    /// Every record behind it.
    pub(crate) record_ids: Vec<String>,
}

/// Somebody's approval.
#[derive(Clone, Debug)]
pub(crate) struct Approval {
    pub(crate) who: Person,
    pub(crate) at: Option<Timestamp>,
    pub(crate) record_id: String,
}

/// How a change came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeType {
    /// Through a change request, or approved.
    Standard,
    /// Through one that was to be applied later.
    Scheduled,
    /// Past its approval, or by an action that is an emergency by itself.
    Emergency,
    /// Without anything of the kind.
    Direct,
}

impl ChangeType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Scheduled => "scheduled",
            Self::Emergency => "emergency",
            Self::Direct => "direct",
        }
    }
}

impl Change {
    /// Whether it changes production: in such an environment, or in all of them.
    pub(crate) fn is_production(&self, compliance: &Compliance) -> bool {
        self.environment.as_ref().is_none_or(|environment| compliance.is_production(environment.names()))
    }

    /// The people other than the author who approved it before it was applied.
    pub(crate) fn approvers_in_time(&self) -> Vec<&Approval> {
        let mut found: Vec<&Approval> = Vec::new();
        for approval in &self.approvals {
            let in_time = approval.at.is_none_or(|at| at <= self.applied_at);
            let is_new = found.iter().all(|other| !other.who.is(&approval.who));
            if in_time && is_new && !approval.who.is(&self.author) {
                found.push(approval);
            }
        }
        found
    }

    /// How many people have to approve it: what the platform asks for, else what the configuration says.
    pub(crate) fn approvals_min(&self, compliance: &Compliance) -> u64 {
        self.platform_approvals_min.unwrap_or(0).max(u64::from(compliance.approvals_min))
    }
}

/// The changes of these records, which are in the order of time.
pub(crate) fn assemble(traces: &[Trace], of_requests: &[Trace], compliance: &Compliance) -> Vec<Change> {
    let requests = Requests::fold(of_requests);
    let mut changes: Vec<Change> = side_by_side(traces, &requests)
        .into_iter()
        .map(|members| {
            let members: Vec<&Trace> = members.into_iter().map(|number| &traces[number]).collect();
            let request = requests.of(&members);
            change(&members, request, compliance)
        })
        .collect();
    changes.sort_by(|a, b| (a.applied_at, &a.id).cmp(&(b.applied_at, &b.id)));
    rollbacks(&mut changes);
    changes
}

fn change(members: &[&Trace], request: Option<&Request>, compliance: &Compliance) -> Change {
    // Side by side puts the record first that tells most, and there is always one.
    let head = members[0];
    let find = |of: &dyn Fn(&Trace) -> Option<String>| members.iter().find_map(|trace| of(trace));
    let applied_at = head.applied_at();
    let named = members.iter().map(|trace| &trace.author).find(|author| author.is_known());
    let doer = named.unwrap_or(&head.author);
    let created = request.and_then(|request| request.created.as_ref());
    let committed = request.and_then(|request| request.committed.as_ref());
    let bypassed = request.is_some_and(|request| request.bypassed)
        || members.iter().any(|trace| trace.approval.as_ref().is_some_and(|approval| approval.bypassed));
    let is_emergency = bypassed || members.iter().any(|trace| compliance.is_emergency(&trace.action));
    let approvals = approvals(members, request);
    let is_scheduled = request.is_some_and(|request| request.scheduled)
        || members.iter().any(|trace| trace.aspect == "Scheduled change");
    let in_production = head.environment.as_ref().is_none_or(|it| compliance.is_production(it.names()));
    let kind = match () {
        () if is_emergency && in_production => ChangeType::Emergency,
        () if is_scheduled => ChangeType::Scheduled,
        () if request.is_some()
            || !approvals.is_empty()
            || find(&|trace| trace.request_named()).is_some() =>
        {
            ChangeType::Standard
        }
        () => ChangeType::Direct,
    };
    let mut record_ids: Vec<String> = Vec::new();
    let of_request = request.map(|request| request.record_ids.as_slice()).unwrap_or_default();
    for id in members.iter().map(|trace| &trace.id).chain(of_request) {
        if !record_ids.contains(id) {
            record_ids.push(id.clone());
        }
    }
    Change {
        id: head.id.clone(),
        request: request
            .and_then(|request| request.shown().map(str::to_owned))
            .or_else(|| find(&|trace| trace.request_named())),
        kind,
        action: head.action.clone(),
        source: head.source.clone(),
        project: head.project.clone(),
        environment: head.environment.clone(),
        flag: fullest(members, |trace| trace.flag.as_ref()),
        target: head.target.as_ref().map(|(kind, target)| format!("{kind} {}", target.shown())),
        requested_at: created.map(|step| step.at),
        applied_at,
        author: created.map_or(doer, |step| &step.who).clone(),
        applier: committed.map_or(doer, |step| &step.who).clone(),
        content_differs: content_differs(members, request, applied_at),
        approvals,
        platform_approvals_min: request
            .and_then(|request| request.platform_approvals_min)
            .or_else(|| members.iter().find_map(|trace| trace.platform_approvals_min)),
        bypassed,
        bypass_permission: find(&|trace| trace.bypass_permission.clone()),
        old: find(&|trace| trace.old.clone()),
        new: find(&|trace| trace.new.clone()),
        reason: find(&|trace| trace.reason.clone()).or_else(|| request.and_then(|it| it.reason.clone())),
        ticket: find(&|trace| trace.ticket.clone()).or_else(|| request.and_then(|it| it.ticket.clone())),
        rollback_of: None,
        record_ids,
    }
}

/// The description of a thing with the most names.
fn fullest<'t>(members: &[&'t Trace], of: impl Fn(&'t Trace) -> Option<&'t Thing>) -> Option<Thing> {
    members.iter().filter_map(|trace| of(trace)).max_by_key(|thing| thing.names().count()).cloned()
}

/// Approvals from the request's records and from the change's own, each person's earliest.
fn approvals(members: &[&Trace], request: Option<&Request>) -> Vec<Approval> {
    let of_request = request.into_iter().flat_map(|request| &request.approvals).map(|step| Approval {
        who: step.who.clone(),
        at: Some(step.at),
        record_id: step.record_id.clone(),
    });
    let own = members.iter().flat_map(|trace| {
        let approval = trace.approval.as_ref();
        let at = approval.and_then(|approval| approval.approved_at);
        approval.into_iter().flat_map(|approval| &approval.approvers).map(move |who| Approval {
            who: who.clone(),
            at,
            record_id: trace.id.clone(),
        })
    });
    let mut all: Vec<Approval> = of_request.chain(own).collect();
    all.sort_by_key(|approval| approval.at);
    let mut found: Vec<Approval> = Vec::new();
    for approval in all {
        match found.iter_mut().find(|other| other.who.is(&approval.who)) {
            // The same approval, told of twice: the one that says when.
            Some(known) if known.at.is_none() => *known = approval,
            Some(_) => {}
            None => found.push(approval),
        }
    }
    found
}

/// How what was applied differs from what was approved, as far as the records tell.
fn content_differs(members: &[&Trace], request: Option<&Request>, applied_at: Timestamp) -> Option<String> {
    let request = request?;
    let last_approval =
        request.approvals.iter().filter(|step| step.at <= applied_at).max_by_key(|step| step.at)?;
    let after = |step: &&super::request::Step| step.at > last_approval.at && step.at <= applied_at;
    if let Some(updated) = request.updated.iter().find(after) {
        return Some(format!("changed after the last approval (record {})", updated.record_id));
    }
    let approved = request.approved_content.as_ref()?.as_object()?;
    let applied = members.iter().find_map(|trace| trace.after.as_ref())?.as_object()?;
    let differs = |name: &&String| {
        let (approved, applied) = (approved.get(*name), applied.get(*name));
        approved.zip(applied).is_some_and(|(approved, applied)| approved != applied)
    };
    let fields: Vec<&str> = approved.keys().filter(differs).map(String::as_str).collect();
    let value = |of: &serde_json::Map<String, Value>| {
        fields.iter().map(|field| of[*field].to_string()).collect::<Vec<_>>().join(", ")
    };
    (!fields.is_empty())
        .then(|| format!("{}: approved {}, applied {}", fields.join(", "), value(approved), value(applied)))
}

/// Finds the changes that put back what stood before the one just before them, in the same place.
fn rollbacks(changes: &mut [Change]) {
    let mut latest: HashMap<String, usize> = HashMap::new();
    for number in 0..changes.len() {
        let change = &changes[number];
        let place = [
            change.source.as_str(),
            change.project.as_ref().map_or("", Thing::stable),
            change.environment.as_ref().map_or("", Thing::stable),
            change.flag.as_ref().map_or("", Thing::label),
            change.target.as_deref().unwrap_or(""),
        ]
        .join("\u{1f}");
        let before = latest.insert(place, number).map(|before| &changes[before]);
        let is_rollback = |before: &&Change| {
            let both = change.old.as_ref().zip(change.new.as_ref());
            let other = before.old.as_ref().zip(before.new.as_ref());
            both.zip(other).is_some_and(|((old, new), (other_old, other_new))| {
                old != new && old == other_new && new == other_old
            })
        };
        changes[number].rollback_of = before.filter(is_rollback).map(|before| before.id.clone());
    }
}

impl Trace {
    /// The change request that it names, by id, else by name.
    fn request_named(&self) -> Option<String> {
        let approval = self.approval.as_ref()?;
        approval.request_id.clone().or_else(|| approval.request_name.clone())
    }
}
