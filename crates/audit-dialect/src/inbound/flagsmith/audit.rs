//! AUDIT_LOG_CREATED: an entry of the organisation's audit log. What happened, and to which flag, segment or
//! identity, stands in its sentence alone (see [`super::messages`]).

use audit_record::{Approval, Author, AuthorKind, Change, Draft, Map, ObjectRef, Ref, Target, Timestamp};
use serde_json::{Value, json};

use super::envelope::Envelope;
use super::template::Filled;
use super::{author, messages};
use crate::inbound::Refusal;
use crate::inbound::hints::HandleIs;
use crate::inbound::intake::{Intake, action};
use crate::inbound::json::{is_subsecond_time, object_type, reference, take_read, text};

/// The attribute with the other actions that the entry may stand for.
pub(crate) const MAY_ALSO_MEAN: &str = "may_also_mean";

pub(super) fn translate(intake: &Intake<'_>, envelope: Envelope) -> Result<Draft, Refusal> {
    let Envelope { event, mut data, .. } = envelope;
    let log = data.remove("log").as_ref().and_then(text);
    let log = log.ok_or_else(|| Refusal::new(format!("{event} has no log: nothing says what happened")))?;
    let kind = data.remove("related_object_type").as_ref().and_then(text);
    let kind = kind.as_deref().and_then(object_type).unwrap_or_else(|| "UNKNOWN".to_owned());
    let project = intake.require_project(data.get("project").and_then(reference), HandleIs::Id, &event)?;
    // An entry with an environment of null concerns the whole project, whatever the URL's hint says.
    let environment = match data.get("environment") {
        Some(environment) => reference(environment),
        None => intake.environment(None, HandleIs::Id),
    };
    let (message, found) = messages::recognise(&log).unzip();
    let object_id = data.remove("related_object_id").as_ref().and_then(text);
    let found = found.unwrap_or_default();
    let mut draft = Draft {
        action: Some(action(match message {
            Some(message) => message.action,
            None => messages::action_of_unknown(&kind),
        })),
        project: Some(project),
        environment,
        flag: flag(&kind, object_id.as_deref(), &found),
        target: target(&kind, object_id.as_deref(), &found),
        related_object: ObjectRef {
            uuid: data.remove("related_object_uuid").as_ref().and_then(text),
            what: Ref { id: object_id, name: object_name(&kind, &found), ..Ref::default() },
        },
        related_object_type: Some(kind),
        ..intake.draft(&event)
    };
    who_and_when(intake, &mut data, &mut draft)?;
    draft.approval = approval(&draft, &found);
    draft.change = rollout(&found);
    keep_words(&found, &mut draft);
    match message {
        None => drop(draft.attributes.insert("unrecognised_log".to_owned(), true.into())),
        Some(message) => {
            let kind = draft.related_object_type.as_deref().unwrap_or_default();
            let others = message.may_also_mean(kind);
            if !others.is_empty() {
                draft.attributes.insert(MAY_ALSO_MEAN.to_owned(), others.to_vec().into());
            }
        }
    }
    take_read(&mut data, "project", &["id", "name"]);
    take_read(&mut data, "environment", &["id", "name"]);
    draft.attributes.extend(data);
    draft.log = Some(log);
    Ok(draft)
}

/// Who, when, and the id: the entry's own, else, in the older shape without one, the body's.
fn who_and_when(intake: &Intake<'_>, data: &mut Map, draft: &mut Draft) -> Result<(), Refusal> {
    let by_system = data.get("is_system_event").and_then(Value::as_bool) == Some(true);
    let (author, rest) = author::from_user(data.remove("author"));
    draft.author = Some(match author.kind {
        AuthorKind::ApiKey if by_system => Author::new(AuthorKind::System),
        _ => author,
    });
    if !by_system {
        data.remove("is_system_event");
    }
    if !rest.is_empty() {
        draft.attributes.insert("author".to_owned(), Value::Object(rest));
    }
    let created = data.remove("created_date");
    let stamp = created.as_ref().and_then(Value::as_str).unwrap_or_default();
    draft.occurred_at = Some(match Timestamp::parse(stamp) {
        Ok(at) => at,
        Err(_) => {
            draft.attributes.extend(created.clone().map(|at| ("created_date".to_owned(), at)));
            intake.received_at()
        }
    });
    draft.id = match data.get("id").and_then(text) {
        Some(id) => Some(intake.id_from("audit", &id)),
        None if is_subsecond_time(stamp) => Some(intake.id_from_body()?),
        None => None,
    };
    Ok(())
}

/// The flag by its name in the sentence, and by id where the entry is about the flag itself.
fn flag(kind: &str, object_id: Option<&str>, found: &Filled<'_>) -> Option<Ref> {
    let flag = Ref {
        id: object_id.filter(|_| kind == "FEATURE").map(str::to_owned),
        name: found.get("flag").map(str::to_owned),
        ..Ref::default()
    };
    (!flag.is_empty()).then_some(flag)
}

fn target(kind: &str, object_id: Option<&str>, found: &Filled<'_>) -> Option<Target> {
    if let Some(segment) = found.get("segment") {
        let id = object_id.filter(|_| kind == "SEGMENT").map(str::to_owned);
        return Some(Target::new("segment", Ref { id, ..Ref::by_name(segment) }));
    }
    found.get("identity").map(|identity| Target::new("identity", Ref::by_key(identity)))
}

/// The name of the object that the entry points at, where the sentence says it.
fn object_name(kind: &str, found: &Filled<'_>) -> Option<String> {
    let hole = match kind {
        "FEATURE" | "FEATURE_STATE" | "EF_VERSION" => "flag",
        "SEGMENT" => "segment",
        "ENVIRONMENT" => "environment",
        "CHANGE_REQUEST" => "change_request",
        "EDGE_IDENTITY" => "identity",
        "RELEASE_PIPELINE" => "release_pipeline",
        "FEATURE_HEALTH" => "provider",
        "EXPERIMENT" => "experiment",
        "METRIC" => "metric",
        _ => return None,
    };
    found.get(hole).map(str::to_owned)
}

/// A change request by id where the entry is about it, else by name: a name is no id, and stands beside it.
fn approval(draft: &Draft, found: &Filled<'_>) -> Option<Approval> {
    let name = found.get("change_request")?;
    let is_about_it = draft.related_object_type.as_deref() == Some("CHANGE_REQUEST");
    let approved = draft.action.as_ref().is_some_and(|action| action.as_str() == "change_request.approved");
    Some(Approval {
        change_request_id: draft.related_object.what.id.clone().filter(|_| is_about_it),
        approvers: draft.author.clone().filter(|_| approved).into_iter().collect(),
        approved_at: draft.occurred_at.filter(|_| approved),
        extra: Map::from_iter([("change_request_name".to_owned(), name.into())]),
        ..Approval::default()
    })
}

/// The share of a phased rollout before and after, in percent, as the sentence writes it.
fn rollout(found: &Filled<'_>) -> Option<Change> {
    let side = |hole| found.get(hole).map(|percent| json!({ "percentage": percent }));
    let (from, to) = (side("from")?, side("to")?);
    Some(Change::between(Some(from), Some(to)))
}

/// The holes of a sentence that become attributes.
pub(crate) const READ_FROM_THE_LOG: &[&str] =
    &["scheduled_for", "release_pipeline", "stage", "provider", "status", "reason", "errors", "verb"];

/// What else the sentence says.
fn keep_words(found: &Filled<'_>, draft: &mut Draft) {
    for &hole in READ_FROM_THE_LOG {
        if let Some(word) = found.get(hole) {
            draft.attributes.insert(hole.to_owned(), word.into());
        }
    }
    if found.ambiguous {
        draft.attributes.insert("ambiguous_log".to_owned(), true.into());
    }
}
