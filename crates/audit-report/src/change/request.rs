//! Change requests, folded from their records, and which of them a change belongs to.
//!
//! 1. The one whose id a record of the change names.
//! 2. Else the one whose name it says, in the same source and project, and in the same environment where both have one:
//!    names are used again, so it is the latest that was created by then.
//! 3. Else, for a published version (whose sentence names none), the one that was committed in the same environment within
//!    5 s before or after, by the same person or by nobody named, if that is one alone.

use std::collections::HashMap;

use audit_record::Timestamp;
use serde_json::Value;

use super::person::{Person, Thing};
use super::trace::Trace;

/// A version is published this soon before or after its request is committed.
const COMMITTED_TOGETHER_US: i64 = 5_000_000;

/// A change request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: Option<String>,
    name: Option<String>,
    source: String,
    project: String,
    environment: Option<String>,
    pub(crate) created: Option<Step>,
    pub(crate) approvals: Vec<Step>,
    pub(crate) committed: Option<Step>,
    /// When what it asks for was changed.
    pub(crate) updated: Vec<Step>,
    pub(crate) scheduled: bool,
    /// What it asks for, as it stood when it was last approved.
    pub(crate) approved_content: Option<Value>,
    content: Option<Value>,
    pub(crate) platform_approvals_min: Option<u64>,
    pub(crate) bypassed: bool,
    pub(crate) reason: Option<String>,
    pub(crate) ticket: Option<String>,
    pub(crate) record_ids: Vec<String>,
}

/// Something that somebody did to it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) who: Person,
    pub(crate) at: Timestamp,
    pub(crate) record_id: String,
}

/// All requests at hand.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    all: Vec<Request>,
    by_id: HashMap<(String, String, String), usize>,
    by_name: HashMap<(String, String, String), Vec<usize>>,
}

impl Requests {
    /// Folds records of change requests, which have to be in the order of their time.
    pub(crate) fn fold(traces: &[Trace]) -> Self {
        let mut requests = Self::default();
        for trace in traces {
            requests.take(trace);
        }
        requests
    }

    fn take(&mut self, trace: &Trace) {
        let approval = trace.approval.as_ref();
        let id = approval.and_then(|approval| approval.request_id.clone()).or_else(|| trace.object.id());
        let name =
            approval.and_then(|approval| approval.request_name.clone()).or_else(|| trace.object.name());
        let (source, project) = (trace.source.clone(), project_of(trace));
        let known = match &id {
            Some(id) => self.by_id.get(&(source.clone(), project.clone(), id.clone())).copied(),
            None => name.as_ref().and_then(|name| {
                self.by_name.get(&(source.clone(), project.clone(), name.clone()))?.last().copied()
            }),
        };
        let number = known.unwrap_or_else(|| self.add(trace, id, name));
        self.all[number].take(trace);
    }

    fn add(&mut self, trace: &Trace, id: Option<String>, name: Option<String>) -> usize {
        let number = self.all.len();
        let (source, project) = (trace.source.clone(), project_of(trace));
        if let Some(id) = &id {
            self.by_id.insert((source.clone(), project.clone(), id.clone()), number);
        }
        if let Some(name) = &name {
            self.by_name.entry((source.clone(), project.clone(), name.clone())).or_default().push(number);
        }
        self.all.push(Request {
            id,
            name,
            source,
            project,
            environment: trace.environment.as_ref().map(|environment| environment.stable().to_owned()),
            created: None,
            approvals: Vec::new(),
            committed: None,
            updated: Vec::new(),
            scheduled: false,
            approved_content: None,
            content: None,
            platform_approvals_min: None,
            bypassed: false,
            reason: None,
            ticket: None,
            record_ids: Vec::new(),
        });
        number
    }

    /// The request that a change of these records belongs to.
    pub(crate) fn of(&self, members: &[&Trace]) -> Option<&Request> {
        let named = members.iter().find(|trace| trace.names_a_request());
        if let Some(trace) = named {
            let approval = trace.approval.as_ref()?;
            let (source, project) = (trace.source.clone(), project_of(trace));
            if let Some(id) = &approval.request_id {
                return self.by_id.get(&(source, project, id.clone())).map(|&number| &self.all[number]);
            }
            let among = self.by_name.get(&(source, project, approval.request_name.clone()?))?;
            let mut fitting = among.iter().map(|&number| &self.all[number]).filter(|request| {
                let environment = trace.environment.as_ref().map(Thing::stable);
                let in_place = request.environment.as_deref().zip(environment);
                in_place.is_none_or(|(mine, other)| mine == other)
                    && request.created.as_ref().is_none_or(|created| created.at <= trace.applied_at())
            });
            // The latest comes last.
            return fitting.next_back();
        }
        let published = members.iter().find(|trace| trace.action == "flag.version.published")?;
        let mut committed = self.all.iter().filter(|request| request.was_committed_with(published));
        let only = committed.next()?;
        committed.next().is_none().then_some(only)
    }
}

impl Request {
    fn take(&mut self, trace: &Trace) {
        let step = || Step { who: trace.author.clone(), at: trace.at, record_id: trace.id.clone() };
        match trace.action.as_str() {
            "change_request.created" => self.created = self.created.take().or_else(|| Some(step())),
            "change_request.approved" => {
                self.approve(trace);
                self.approved_content = self.content.clone();
            }
            "change_request.committed" => self.committed = self.committed.take().or_else(|| Some(step())),
            "change_request.updated" => self.updated.push(step()),
            "change_request.scheduled" => self.scheduled = true,
            _ => {}
        }
        if matches!(trace.action.as_str(), "change_request.created" | "change_request.updated") {
            self.content = trace.after.clone().or(self.content.take());
        }
        self.platform_approvals_min = trace.platform_approvals_min.or(self.platform_approvals_min);
        self.bypassed |= trace.approval.as_ref().is_some_and(|approval| approval.bypassed);
        self.reason = self.reason.take().or_else(|| trace.reason.clone());
        self.ticket = self.ticket.take().or_else(|| trace.ticket.clone());
        self.record_ids.push(trace.id.clone());
    }

    /// Whoever the record names as approvers, else its author.
    fn approve(&mut self, trace: &Trace) {
        let approval = trace.approval.as_ref();
        let named = approval.map(|approval| approval.approvers.clone()).unwrap_or_default();
        let approvers = if named.is_empty() { vec![trace.author.clone()] } else { named };
        let at = approval.and_then(|approval| approval.approved_at).unwrap_or(trace.at);
        self.approvals.extend(approvers.into_iter().map(|who| Step { who, at, record_id: trace.id.clone() }));
    }

    fn was_committed_with(&self, published: &Trace) -> bool {
        let Some(committed) = &self.committed else { return false };
        let environment = published.environment.as_ref().map(Thing::stable);
        let apart = (committed.at.micros() - published.at.micros()).abs();
        self.source == published.source
            && self.project == project_of(published)
            && self.environment.as_deref() == environment
            && apart <= COMMITTED_TOGETHER_US
            && (!published.author.is_known() || published.author.is(&committed.who))
    }

    /// As it is called in a cell.
    pub(crate) fn shown(&self) -> Option<&str> {
        self.id.as_deref().or(self.name.as_deref())
    }
}

fn project_of(trace: &Trace) -> String {
    trace.project.as_ref().map_or("", Thing::stable).to_owned()
}
