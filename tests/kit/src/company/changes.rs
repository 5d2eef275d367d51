//! How a change of a flag is told, by the way it went: at once, through a change request of Flagsmith, or as the record of
//! a company's own pipeline.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::projects::{Environment, PRODUCTION, Platform};
use super::story::{Story, Tag, user};
use super::wire::flagsmith::{self, Entry, State, flag_number};
use super::wire::native::Native;
use super::wire::{mozhno, unleash, zenmanage};
use super::year::{Moment, rfc3339, rfc3339_east};

/// A change in production, as an auditor would write it down.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The project's id.
    pub project: &'static str,
    /// The flag's name.
    pub flag: &'static str,
    /// `standard`, `emergency` or `direct`.
    pub kind: &'static str,
    /// The change request's id.
    pub request: Option<String>,
    /// When it was asked for, where there was a change request.
    pub requested: Option<Moment>,
    /// When it was applied.
    pub applied: Moment,
    /// Who asked for it.
    pub author: String,
    /// When the last approval by somebody else came that was in time.
    pub approved_in_time: Option<Moment>,
    /// Who approved it, whenever.
    pub approvers: BTreeSet<String>,
    /// Who applied it.
    pub applier: String,
    /// The value before, where a record tells it.
    pub old: Option<String>,
    /// The value after, where a record tells it.
    pub new: Option<String>,
    /// Every record that tells of it.
    pub records: BTreeSet<Tag>,
}

/// Where, what, and from what to what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) project: usize,
    pub(super) environment: &'static Environment,
    pub(super) flag: &'static str,
    /// Values are whole numbers: what matters is which came when.
    pub(super) old: u64,
    pub(super) new: u64,
}

/// A change that was asked for first.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) turn: Turn,
    pub(super) name: String,
    pub(super) author: usize,
    pub(super) approvals: Vec<(usize, Moment)>,
    pub(super) applier: usize,
    pub(super) created: Moment,
    pub(super) applied: Moment,
}

impl Turn {
    fn is_production(&self) -> bool {
        PRODUCTION.iter().any(|name| self.environment.name.eq_ignore_ascii_case(name))
    }

    fn change(&self) -> Value {
        json!({
            "before": {"enabled": true, "value": self.old}, "after": {"enabled": true, "value": self.new},
            "fields": [{"field": "value", "before": self.old, "after": self.new}],
        })
    }

    fn states(&self) -> (State, State) {
        let state = |value: u64| State { enabled: true, value: json!(value) };
        (state(self.old), state(self.new))
    }
}

impl Story {
    /// A save in Flagsmith's pages: an entry, and a FLAG_UPDATED 20 ms later.
    pub(super) fn save(&mut self, turn: Turn, person: usize, at: Moment) -> Option<Change> {
        let entry = self.entry(
            at,
            format!("Remote config value updated for feature: {}", turn.flag),
            Some(person),
            turn,
            "FEATURE_STATE",
            flag_number(self.project(turn.project), turn.flag),
        );
        let (before, after) = turn.states();
        let stated = at + TimeDelta::milliseconds(20);
        let by = self.person(person).email_at(at).to_owned();
        let project = self.project(turn.project);
        let body =
            flagsmith::flag_updated(project, turn.environment, turn.flag, stated, &by, (&before, &after));
        let state = self.hook(Platform::Flagsmith, stated, body);
        self.act(Platform::Flagsmith, person, stated);
        // Every fifth goes out twice, as Flagsmith does for no reason that the body shows.
        if self.random.chance(20) {
            self.repeat(state, stated + TimeDelta::milliseconds(1));
        }
        self.planted(turn, "direct", person, &[], person, None, at, [entry, state])
    }

    /// A change request of Flagsmith: entries for its creation, its approvals and its commit, and an entry by nobody for the
    /// flag. The FLAG_UPDATED that belongs to it names nobody and so is dated at receipt: it can't be sent for a day gone
    /// by, and the values are told by none.
    pub(super) fn request(&mut self, asked: &Asked) -> Option<Change> {
        let Asked { turn, name, author, approvals, applier, created, applied } = asked;
        let number = self.number("change request");
        let mut records = BTreeSet::new();
        let mut about = |story: &mut Self, at: Moment, verb: &str, person: usize| {
            let log = format!("Change Request: {name} {verb}");
            records.insert(story.entry(at, log, Some(person), *turn, "CHANGE_REQUEST", number));
        };
        about(self, *created, "created", *author);
        for (approver, at) in approvals {
            about(self, *at, "approved", *approver);
        }
        about(self, *applied - TimeDelta::milliseconds(30), "committed", *applier);
        let log = format!(
            "Flag state / Remote config updated for feature: {} by Change Request: {name}",
            turn.flag
        );
        let flag = flag_number(self.project(turn.project), turn.flag);
        records.insert(self.entry(*applied, log, None, *turn, "FEATURE_STATE", flag));
        let request = Some((number.to_string(), *created));
        let change =
            self.planted(*turn, "standard", *author, approvals, *applier, request, *applied, records)?;
        Some(Change { old: None, new: None, ..change })
    }

    /// A change request of the company's own pipeline, record by record. `approved` is what was approved, where that is
    /// not what was applied; `approval` is put on the change itself.
    pub(super) fn own_request(&mut self, asked: &Asked, approved: Option<u64>) -> Option<Change> {
        let Asked { turn, name, author, approvals, applier, created, applied } = asked;
        let number = format!("CHG-{:05}", self.number("own change request"));
        let mut records = BTreeSet::new();
        let mut step = |story: &mut Self, at: Moment, verb: &str, person: usize, approval: Value| {
            let project = story.project(turn.project);
            let author = user(story.person(person), at);
            let asked_for = json!({"after": {"value": approved.unwrap_or(turn.new)}});
            story.act(Platform::Flagsmith, person, at);
            records.insert(story.native(Platform::Flagsmith, at, |id| {
                let record =
                    Native::new(id, &format!("change_request.{verb}"), format!("{name}: {verb}"), at, author)
                        .project(project)
                        .environment(turn.environment)
                        .with("related_object_type", json!("CHANGE_REQUEST"))
                        .with("related_object", json!({"id": number, "name": name}))
                        .with("approval", approval);
                if verb == "created" { record.with("change", asked_for) } else { record }
            }));
        };
        step(self, *created, "created", *author, json!({"change_request_id": number}));
        for (approver, at) in approvals {
            let approver_shown = user(self.person(*approver), *at);
            let approval = json!({"change_request_id": number, "approvers": [approver_shown], "approved_at": rfc3339(*at)});
            step(self, *at, "approved", *approver, approval);
        }
        let record = self.own_change(
            *turn,
            *applier,
            *applied,
            json!({"change_request_id": number, "required": true}),
            None,
        );
        records.insert(record);
        let request = Some((number, *created));
        self.planted(*turn, "standard", *author, approvals, *applier, request, *applied, records)
    }

    /// One record that says all by itself: who, what, and who had approved it when.
    pub(super) fn own(
        &mut self,
        turn: Turn,
        person: usize,
        approvals: &[(usize, Moment)],
        at: Moment,
    ) -> Option<Change> {
        let approvers: Vec<Value> =
            approvals.iter().map(|(approver, at)| user(self.person(*approver), *at)).collect();
        let number = format!("CHG-{:05}", self.number("own change request"));
        let approval = match approvals.last() {
            Some((_, approved)) => json!({
                "change_request_id": number, "required": true, "approvers": approvers, "approved_at": rfc3339(*approved),
            }),
            None => Value::Null,
        };
        let (kind, request) =
            if approvals.is_empty() { ("direct", None) } else { ("standard", Some(number)) };
        let record = self.own_change(turn, person, at, approval, None);
        let change = self.planted(turn, kind, person, approvals, person, None, at, [record])?;
        Some(Change { request, ..change })
    }

    /// The record of a change by the company's own pipeline.
    pub(super) fn own_change(
        &mut self,
        turn: Turn,
        person: usize,
        at: Moment,
        approval: Value,
        reason: Option<&str>,
    ) -> Tag {
        let project = self.project(turn.project);
        let author = user(self.person(person), at);
        self.act(Platform::Flagsmith, person, at);
        let log = format!("{} is {} in {}", turn.flag, turn.new, turn.environment.name);
        self.native(Platform::Flagsmith, at, |id| {
            let mut record = Native::new(id, "flag.value.changed", log, at, author)
                .project(project)
                .environment(turn.environment)
                .flag(project, turn.flag)
                .with("change", turn.change());
            if !approval.is_null() {
                record = record.with("approval", approval);
            }
            // Not every clock of the company's shows UTC: some of these are of another day there.
            if turn.new.is_multiple_of(7) {
                record = record.with("occurred_at", json!(rfc3339_east(at, 9)));
            }
            if let Some(reason) = reason {
                record = record.with("reason", json!(reason));
            }
            record
        })
    }

    /// A flag of Unleash is switched on.
    pub(super) fn switch_on(&mut self, turn: Turn, person: usize, at: Moment) -> Option<Change> {
        let id = self.number("unleash");
        let more = json!({
            "project": self.project(turn.project).id, "environment": turn.environment.name, "featureName": turn.flag,
        });
        let body = unleash::event(id, "feature-environment-enabled", &self.by(person, at), at, more);
        let tag = self.hook(Platform::Unleash, at, body);
        self.act(Platform::Unleash, person, at);
        let change = self.planted(turn, "direct", person, &[], person, None, at, [tag])?;
        let [old, new] = [false, true].map(|enabled| Some(json!({"enabled": enabled}).to_string()));
        Some(Change { old, new, ..change })
    }

    /// A strategy of a flag of mozhno is changed, in its development environment.
    pub(super) fn strategy(&mut self, turn: Turn, person: usize, at: Moment) {
        let who = self.person(person).clone();
        let body = mozhno::body(&mozhno::Event {
            action: "strategy.updated",
            resource_type: "strategy",
            resource_id: turn.new,
            resource_name: turn.flag,
            details: &format!("Strategy updated for env {}", turn.environment.number),
            project_id: self.project(turn.project).id,
            user: (who.mozhno_id(), &who.name, who.email_at(at)),
            at,
        });
        self.hook(Platform::Mozhno, at, body);
        self.act(Platform::Mozhno, person, at);
    }

    /// A flag of Zenmanage has another target, nobody says by whom.
    pub(super) fn target(&mut self, turn: Turn, at: Moment) {
        let transaction = self.number("zenmanage");
        let (project, value) = (self.project(turn.project).id, turn.new.to_string());
        let body =
            zenmanage::target_changed(transaction, project, turn.environment.name, turn.flag, &value, at);
        self.hook(Platform::Zenmanage, at, body);
    }

    /// An entry of Flagsmith's audit log.
    fn entry(
        &mut self,
        at: Moment,
        log: String,
        person: Option<usize>,
        turn: Turn,
        object_type: &str,
        object_id: u64,
    ) -> Tag {
        let id = self.number("entry");
        let body = flagsmith::audit(&Entry {
            id,
            at,
            log,
            author: person.map(|person| self.person(person)),
            by_system: person.is_none(),
            project: self.project(turn.project),
            environment: Some(turn.environment),
            object_type,
            object_id,
        });
        if let Some(person) = person {
            self.act(Platform::Flagsmith, person, at);
        }
        self.hook(Platform::Flagsmith, at, body)
    }

    /// What an auditor would write down; nothing where it is not production.
    #[expect(clippy::too_many_arguments, reason = "it is what a line of a change log says")]
    fn planted(
        &self,
        turn: Turn,
        kind: &'static str,
        author: usize,
        approvals: &[(usize, Moment)],
        applier: usize,
        request: Option<(String, Moment)>,
        applied: Moment,
        records: impl IntoIterator<Item = Tag>,
    ) -> Option<Change> {
        let shown = |person: usize, at: Moment| self.person(person).email_at(at).to_owned();
        let asked = request.as_ref().map_or(applied, |(_, created)| *created);
        turn.is_production().then(|| Change {
            project: self.project(turn.project).id,
            flag: turn.flag,
            kind,
            requested: request.as_ref().map(|(_, created)| *created),
            request: request.map(|(number, _)| number),
            applied,
            author: shown(author, asked),
            approved_in_time: approvals
                .iter()
                .filter(|(approver, at)| *approver != author && *at <= applied)
                .map(|(_, at)| *at)
                .max(),
            approvers: approvals.iter().map(|(approver, at)| shown(*approver, *at)).collect(),
            applier: shown(applier, applied),
            old: Some(turn.old.to_string()),
            new: Some(turn.new.to_string()),
            records: records.into_iter().collect(),
        })
    }
}
