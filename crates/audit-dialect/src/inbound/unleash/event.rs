//! One event of Unleash's log as a draft; as one for each access, where it tells of several.

use audit_record::{Access, Action, Approval, Change, Draft, Effect, ObjectRef, Ref, RequestInfo, Target};
use serde_json::{Value, json};

use super::access::accesses;
use super::author::author;
use super::body::Body;
use super::types::{EventType, Object, event_type};
use crate::inbound::Refusal;
use crate::inbound::hints::HandleIs;
use crate::inbound::intake::{Intake, action};
use crate::inbound::json::{object_type, text_at, time_at};

/// What the project of an event of the whole installation may be called.
const ALL_PROJECTS: &str = "*";

/// Most bytes that the drafts of one request take together: each has the whole event in it. Of an event that would take more
/// no access is read, and its draft says so ([`LEFT_OUT`]).
const DRAFTS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The attribute of a draft whose event tells of more access than was read; `true`.
const LEFT_OUT: &str = "access_left_out";

pub(super) fn translate(intake: &Intake<'_>, body: Body) -> Result<Vec<Draft>, Refusal> {
    let Body { mut event, around, is_picked } = body;
    let kind = text_at(&event, "type").unwrap_or_default();
    let known = event_type(&kind);
    let object = known.map(|known| known.object);
    let about = About { event: &event, object };
    if is_picked && object.is_some_and(Object::is_of_a_flag) && about.flag().is_none() {
        return Err(Refusal::new(format!(
            "the body template says that a {kind} happened, and not to which flag: add \"featureName\": \
             \"{{{{event.featureName}}}}\" to it, or {}",
            super::body::MEND
        )));
    }
    let project = project(intake, &about, &kind)?;
    let flag = about.flag();
    let environment = intake.environment(about.environment(), HandleIs::Key);
    let what = about.what();
    let related_object_type = match known {
        Some(known) => known.object.related_object_type().to_owned(),
        None => unknown_object_type(&kind, project.is_some()),
    };
    let author = author(&event);
    let created_at = time_at(&event, "createdAt");
    let occurred_at = created_at.unwrap_or_else(|| intake.received_at());
    let approves = matches!(kind.as_str(), "change-request-approved" | "change-request-approval-added");
    let approval = (object == Some(Object::ChangeRequest)).then(|| Approval {
        change_request_id: what.id.clone(),
        approvers: Some(author.clone()).filter(|_| approves).into_iter().collect(),
        approved_at: Some(occurred_at).filter(|_| approves),
        ..Approval::default()
    });
    let mut draft = Draft {
        id: text_at(&event, "id").map(|id| intake.id_from("event", &id)),
        action: Some(known.map_or_else(|| unknown_action(&kind), |known| action(known.action))),
        occurred_at: Some(occurred_at),
        author: Some(author),
        project,
        environment,
        target: about.target(),
        related_object: ObjectRef { uuid: None, what },
        related_object_type: Some(related_object_type),
        change: change(&event, &kind),
        approval,
        request: text_at(&event, "ip").map(|ip| RequestInfo { ip: Some(ip), ..RequestInfo::default() }),
        flag,
        ..intake.draft(&kind)
    };
    draft.log = Some(sentence(known, &kind, &draft));
    let most = DRAFTS_BYTES_MAX / intake.payload()?.len().max(1);
    let mut accesses = object.map(|object| accesses(&event, &kind, object, most)).unwrap_or_default();
    let is_left_out = accesses.len() > most;
    if is_left_out {
        accesses.clear();
    }
    let event_id = text_at(&event, "id");
    if let Some(rest) = event.as_object_mut() {
        let mut read = vec!["type", "createdBy", "data", "preData", "featureName", "environment", "ip"];
        read.extend(created_at.map(|_| "createdAt"));
        read.extend(draft.author.as_ref().and_then(|author| author.id.as_ref()).map(|_| "createdByUserId"));
        if rest.get("project").and_then(Value::as_str) != Some(ALL_PROJECTS) {
            read.push("project");
        }
        rest.retain(|name, value| !read.contains(&name.as_str()) && *value != json!([]) && !value.is_null());
        draft.attributes.append(rest);
    }
    if is_left_out {
        draft.attributes.insert(LEFT_OUT.to_owned(), json!(true));
    }
    if !around.is_empty() {
        draft.attributes.insert("template".to_owned(), Value::Object(around));
    }
    // A record has one access. The first is the event itself, by its id; the others count on from there.
    let further_id =
        |index: usize| event_id.as_ref().map(|id| intake.id_from("event", &format!("{id}/{index}")));
    Ok(one_each(draft, accesses, further_id))
}

/// A draft for each of the accesses, which say in the sentence whose they are where they are several.
fn one_each(
    draft: Draft,
    mut accesses: Vec<Access>,
    further_id: impl Fn(usize) -> Option<String>,
) -> Vec<Draft> {
    if accesses.len() < 2 {
        return vec![with_access(draft, accesses.pop())];
    }
    let one = |(index, access): (usize, Access)| {
        let mut one = draft.clone();
        if index > 0 {
            one.id = further_id(index);
        }
        one.log = one.log.map(|log| format!("{log}: {}", whose(&access)));
        with_access(one, Some(access))
    };
    accesses.into_iter().enumerate().map(one).collect()
}

/// An update that left somebody without a role in a project has removed it, whatever its type is called.
fn with_access(mut draft: Draft, access: Option<Access>) -> Draft {
    let is_removal = |access: &Access| access.effect == Effect::Removed && access.scope.kind == "project";
    if access.as_ref().is_some_and(is_removal) {
        draft.action = Some(action("access.removed"));
    }
    draft.access = access;
    draft
}

/// Which role to whom, or of whom it was.
fn whose(access: &Access) -> String {
    let Access { subject, role, effect, .. } = access;
    let of = if *effect == Effect::Removed { "taken from" } else { "given to" };
    let name = subject.name.as_ref().or(subject.email.as_ref()).or(subject.id.as_ref());
    let role = role.as_deref().unwrap_or_default();
    format!("role {role} {of} {} {}", subject.kind, name.map_or("", String::as_str))
}

/// The project: the event's; the hints' only where an event can't do without one, because `null` says that
/// it concerns the whole installation.
fn project(intake: &Intake<'_>, about: &About<'_>, kind: &str) -> Result<Option<Ref>, Refusal> {
    let named = text_at(about.event, "project").filter(|project| project != ALL_PROJECTS).map(Ref::by_id);
    match about.object {
        _ if named.is_some() => Ok(intake.project(named, HandleIs::Id)),
        Some(object) if object.may_stand_above_projects() => Ok(None),
        None if touches_flags(kind) => Ok(intake.project(None, HandleIs::Id)),
        None if about.flag().is_none() => Ok(None),
        _ => intake.require_project(None, HandleIs::Id, kind).map(Some),
    }
}

/// An event, and what kind of thing it is about.
struct About<'a> {
    event: &'a Value,
    object: Option<Object>,
}

impl About<'_> {
    /// Of the thing as it is, or as it was.
    fn said(&self, field: &str) -> Option<String> {
        ["data", "preData"].into_iter().find_map(|side| text_at(self.event.get(side)?, field))
    }

    fn flag(&self) -> Option<Ref> {
        let name = text_at(self.event, "featureName")
            .or_else(|| self.said("name").filter(|_| self.object == Some(Object::Flag)));
        name.map(key_and_name)
    }

    fn environment(&self) -> Option<Ref> {
        let name = text_at(self.event, "environment")
            .or_else(|| self.said("name").filter(|_| self.object == Some(Object::Environment)));
        name.map(key_and_name)
    }

    /// The thing itself.
    fn what(&self) -> Ref {
        match self.object {
            Some(Object::Flag | Object::FlagState) => self.flag().unwrap_or_default(),
            Some(Object::Environment) => self.environment().unwrap_or_default(),
            Some(Object::Project) => Ref {
                id: text_at(self.event, "project").or_else(|| self.said("id")),
                name: self.said("name"),
                ..Ref::default()
            },
            Some(Object::ProjectAccess) => Ref { id: text_at(self.event, "project"), ..Ref::default() },
            Some(Object::ChangeRequest) => Ref {
                id: self.said("changeRequestId").or_else(|| self.said("id")),
                name: self.said("changeRequestTitle").or_else(|| self.said("title")),
                ..Ref::default()
            },
            Some(Object::Strategy) => Ref {
                id: self.said("id"),
                name: self.said("title").or_else(|| self.said("name")),
                ..Ref::default()
            },
            Some(Object::Tag | Object::TagType) => {
                let tag = self.said("value").or_else(|| self.said("name"));
                Ref { name: tag, ..Ref::default() }
            }
            _ => {
                let name =
                    ["name", "tokenName", "username", "description"].into_iter().find_map(|f| self.said(f));
                Ref { id: self.said("id"), name, ..Ref::default() }
            }
        }
    }

    /// The strategy or segment concerned, the flag that another now depends on, or a flag's tag.
    fn target(&self) -> Option<Target> {
        let kind = match self.object? {
            Object::Strategy => "strategy",
            Object::Segment => "segment",
            Object::Flag => {
                let parent = || Some(Target::new("flag", key_and_name(self.said("feature")?)));
                let tag = || Some(Target::new("tag", Ref::by_name(self.said("value")?)));
                return parent().or_else(tag);
            }
            _ => return None,
        };
        Some(Target::new(kind, self.what())).filter(|target| !target.what.is_empty())
    }
}

/// Unleash names flags and environments by what code calls them.
fn key_and_name(name: String) -> Ref {
    Ref::by_key(name.clone()).named(name)
}

/// Before and after. Switching says nothing but its own type; nothing is sent where nothing changed.
fn change(event: &Value, kind: &str) -> Option<Change> {
    let side = |name: &str| event.get(name).filter(|value| !value.is_null()).cloned();
    let (before, after) = (side("preData"), side("data"));
    if before.is_none() && after.is_none() {
        return told_by_type(kind);
    }
    Some(Change::between(before, after))
}

/// The change that the type of an event says by itself.
pub(crate) fn told_by_type(kind: &str) -> Option<Change> {
    let (field, after) = match kind {
        "feature-environment-enabled" => ("enabled", true),
        "feature-environment-disabled" => ("enabled", false),
        "feature-stale-on" => ("stale", true),
        "feature-stale-off" => ("stale", false),
        "feature-archived" => ("archived", true),
        "feature-revived" => ("archived", false),
        _ => return None,
    };
    Some(Change::between(Some(json!({ (field): !after })), Some(json!({ (field): after }))))
}

/// What happened, in words: the thing, whose it is, what became of it, where.
fn sentence(known: Option<&EventType>, kind: &str, draft: &Draft) -> String {
    let name = |thing: &Ref| thing.name.as_deref().or_else(|| thing.handle()).map(str::to_owned);
    let named = |before: &str, thing: Option<&Ref>| match thing.and_then(name) {
        Some(name) => format!("{before} \"{name}\""),
        None => String::new(),
    };
    let object = known.map(|known| known.object);
    let is_flag = matches!(object, Some(Object::Flag | Object::FlagState));
    let what = named("", Some(&draft.related_object.what));
    let of_flag = named(" of flag", draft.flag.as_ref().filter(|_| !is_flag));
    let within = draft.environment.as_ref().filter(|_| object != Some(Object::Environment));
    let within = named(" in", within);
    let with = draft.target.as_ref().filter(|_| is_flag);
    let with =
        with.map(|target| named(&format!(": {}", target.kind), Some(&target.what))).unwrap_or_default();
    match known {
        Some(known) => format!("{}{what}{of_flag} {}{within}{with}", known.object.noun(), known.words),
        None => format!("Unleash event {kind}{what}{of_flag}{within}"),
    }
}

/// Whether an event of a type that is not known may change what a flag returns: what is about flags,
/// segments and releases, but what people do beside them.
fn touches_flags(kind: &str) -> bool {
    let about = ["feature", "drop-feature", "segment", "release-plan", "milestone"];
    let beside = ["feature-favorited", "feature-unfavorited", "features-exported", "feature-type-updated"];
    about.iter().any(|start| kind.starts_with(start)) && !beside.contains(&kind)
}

/// `banner-created` is `banner.created`; whatever may change flags is `flag.changed`.
fn unknown_action(kind: &str) -> Action {
    if touches_flags(kind) {
        return action("flag.changed");
    }
    let words = kind.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let (noun, verb) = words.rsplit_once('_').unwrap_or((&words, "event"));
    Action::try_new(format!("{noun}.{verb}")).unwrap_or_else(|_| action("unleash.event"))
}

/// `banner-created` is about a BANNER; what concerns no project is about the installation.
fn unknown_object_type(kind: &str, has_project: bool) -> String {
    if !has_project {
        return "ACCOUNT".to_owned();
    }
    if touches_flags(kind) {
        return "FEATURE".to_owned();
    }
    let noun = kind.rsplit_once('-').map_or(kind, |(noun, _)| noun);
    object_type(noun).unwrap_or_else(|| "ACCOUNT".to_owned())
}
