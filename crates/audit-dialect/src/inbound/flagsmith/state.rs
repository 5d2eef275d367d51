//! FLAG_UPDATED and FLAG_DELETED: a flag's setting in one environment, before and after.
//!
//! There is no FLAG_CREATED. An event without a previous state is the first state of a new flag in its
//! environment (`flag.created`), or a new override (`flag.override.created`).

use audit_record::{Author, AuthorKind, Change, Draft, Map, ObjectRef, Ref, Target, Timestamp};
use serde_json::Value;

use super::envelope::Envelope;
use super::sentence::{self, Verb};
use super::{author, flag_state};
use crate::inbound::Refusal;
use crate::inbound::hints::HandleIs;
use crate::inbound::intake::{Intake, action};
use crate::inbound::json::{is_subsecond_time, reference, reference_at, text_at};

pub(super) fn translate(intake: &Intake<'_>, envelope: Envelope) -> Result<Draft, Refusal> {
    let Envelope { event, mut data, .. } = envelope;
    let (before, after) = (take_state(&mut data, "previous_state"), take_state(&mut data, "new_state"));
    let state = after.as_ref().or(before.as_ref()).ok_or_else(|| {
        Refusal::new(format!(
            "{event} has neither a new_state nor a previous_state: nothing says what changed"
        ))
    })?;
    let feature = state.get("feature").unwrap_or(&Value::Null);
    let flag = reference(feature)
        .ok_or_else(|| Refusal::new(format!("the state of {event} names no feature: which flag changed?")))?;
    let project = intake.require_project(reference_at(feature, "project"), HandleIs::Id, &event)?;
    let environment = intake.environment(reference_at(state, "environment"), HandleIs::Id);
    let target = target(state);
    let change =
        flag_state::change(before.as_ref().map(flag_state::setting), after.as_ref().map(flag_state::setting));
    let verb = match (&before, &after) {
        (_, None) => Verb::Deleted,
        (None, Some(_)) => Verb::Created,
        (Some(_), Some(_)) => Verb::Changed,
    };
    let setting = flag_state::setting(state);
    let mut draft = Draft {
        action: Some(action(action_of(verb, target.is_some(), &change))),
        log: Some(sentence::of_state(verb, &flag, target.as_ref(), environment.as_ref(), &setting, &change)),
        project: Some(project),
        // The event does not say which state it was, only whose; older versions give its id.
        related_object: ObjectRef {
            uuid: None,
            what: Ref { id: text_at(state, "id"), name: flag.name.clone(), ..Ref::default() },
        },
        related_object_type: Some("FEATURE_STATE".to_owned()),
        flag: Some(flag),
        target,
        environment,
        change: Some(change),
        ..intake.draft(&event)
    };
    who_and_when(intake, &mut data, verb, &mut draft)?;
    keep_rest(before.as_ref(), after.as_ref(), data, &mut draft);
    Ok(draft)
}

/// A state; `null` is none, and what is no state at all stays where it is.
fn take_state(data: &mut Map, name: &str) -> Option<Value> {
    match data.get(name)? {
        Value::Object(_) | Value::Null => data.remove(name).filter(Value::is_object),
        _ => None,
    }
}

/// The segment or identity that an override is for.
fn target(state: &Value) -> Option<Target> {
    if let Some(override_of) = state.get("feature_segment").filter(|segment| !segment.is_null()) {
        let segment = reference_at(override_of, "segment").or_else(|| reference(override_of));
        return Some(Target::new("segment", segment.unwrap_or_default()));
    }
    let identity =
        Ref { id: text_at(state, "identity"), key: text_at(state, "identity_identifier"), ..Ref::default() };
    (!identity.is_empty()).then(|| Target::new("identity", identity))
}

/// Where it is not sure which of several fields changed, the action is the one that leaves it open.
fn action_of(verb: Verb, is_override: bool, change: &Change) -> &'static str {
    let fields = change.fields.as_slice();
    match (verb, is_override) {
        (Verb::Created, true) => "flag.override.created",
        (Verb::Changed, true) => "flag.override.changed",
        (Verb::Deleted, true) => "flag.override.removed",
        (Verb::Created, false) => "flag.created",
        (Verb::Deleted, false) => "flag.deleted",
        (Verb::Changed, false) if !change.unproven_fields.is_empty() => "flag.changed",
        (Verb::Changed, false) => match fields {
            [only] if only.field == "enabled" => "flag.state.changed",
            [only] if only.field == "value" => "flag.value.changed",
            [_, ..] if fields.iter().all(|f| flag_state::is_of_variants(&f.field)) => "flag.variant.changed",
            _ => "flag.changed",
        },
    }
}

/// Author, time and id.
///
/// The event of a deleted flag repeats who changed it last, and when: it says nothing of who deleted it.
/// Only for an identity's override, which Flagsmith's edge service alone announces so, is it true.
///
/// And the event of a change that nobody is named for is a change request's, mostly: its time is that of the last
/// edit before the request, not of the moment when it went live.
fn who_and_when(intake: &Intake<'_>, data: &mut Map, verb: Verb, draft: &mut Draft) -> Result<(), Refusal> {
    let changed_by = data.remove("changed_by");
    let timestamp = data.remove("timestamp");
    let stamp = timestamp.as_ref().and_then(Value::as_str).unwrap_or_default();
    if is_subsecond_time(stamp) {
        draft.id = Some(intake.id_from_body()?);
    }
    let author = author::from_changed_by(changed_by.as_ref());
    if verb == Verb::Deleted && draft.target.is_none() || author.kind == AuthorKind::Unknown {
        draft.author = Some(Author::new(AuthorKind::Unknown));
        draft.occurred_at = Some(intake.received_at());
        let mut last_change = Map::new();
        last_change.extend(changed_by.map(|by| ("changed_by".to_owned(), by)));
        last_change.extend(timestamp.map(|at| ("timestamp".to_owned(), at)));
        if !last_change.is_empty() {
            draft.attributes.insert("last_change".to_owned(), Value::Object(last_change));
        }
        return Ok(());
    }
    draft.author = Some(author);
    draft.occurred_at = Some(match Timestamp::parse(stamp) {
        Ok(at) => at,
        Err(_) => {
            draft.attributes.extend(timestamp.map(|at| ("timestamp".to_owned(), at)));
            intake.received_at()
        }
    });
    Ok(())
}

/// What the states and the data say beyond all that: once where both states say the same.
fn keep_rest(before: Option<&Value>, after: Option<&Value>, data: Map, draft: &mut Draft) {
    let before = before.map(flag_state::leftover);
    let after = after.map(flag_state::leftover).unwrap_or_default();
    // An empty one is kept, too, where the other is not: without it both would read as the same.
    if let Some(before) = before.filter(|before| *before != after) {
        draft.attributes.insert("previous_state".to_owned(), Value::Object(before));
    }
    if !after.is_empty() {
        draft.attributes.insert("new_state".to_owned(), Value::Object(after));
    }
    draft.attributes.extend(data);
}
