//! Zenmanage: `{type, timestamp, attributes}`, by POST, PUT or PATCH, or by GET in the `json` parameter.
//!
//! It never says who made a change. Of its four events only `flag.target.changed` has a documented
//! payload, so what is unknown in `attributes` is kept, and an event added later becomes a record, too.

use audit_record::{Action, Author, AuthorKind, Change, ObjectRef, Ref, Target, canonical_json};
use serde_json::{Value, json};

use super::fields::Fields;
use super::hints::HandleIs;
use super::intake::Intake;
use super::redact::USUAL_SECRETS;
use super::{Refusal, Translation};

/// What an event is about.
enum Subject {
    /// The value that a flag returns in an environment.
    FlagTarget,
    /// A rule that decides who gets which value.
    Rule,
}

pub(super) fn translate(intake: &Intake<'_>) -> Result<Translation, Refusal> {
    let mut body = intake.json()?;
    let redacted = intake.redact(&mut body, USUAL_SECRETS);
    let mut envelope =
        Fields::of(body, "an event of Zenmanage: an object with type, timestamp and attributes")?;
    let event = envelope.take_text(&["type"]).ok_or_else(|| {
        Refusal::new("the body has no type, such as flag.target.changed: is it from Zenmanage")
    })?;
    let (action, subject) = meaning(&event)?;

    let said = envelope.take_object("attributes").unwrap_or_default();
    let transaction = said.get("transaction_id").and_then(super::json::text);
    let id = transaction.as_deref().map(|transaction| {
        // One transaction may hold several events: the event and all it says are part of the id, the
        // envelope's time is not, because a repeat may carry another.
        let mut content = Vec::new();
        canonical_json(&Value::Object(said.clone()), &mut content);
        let content = String::from_utf8_lossy(&content);
        intake.id_from("transaction", &format!("{transaction} {event} {content}"))
    });
    let mut said = Fields::from(said);
    said.take_text(&["transaction_id"]);
    let project = said.take_ref("project");
    let environment = said.take_ref("environment");
    let flag = said.take_ref("flag");
    let rule = said.take_ref("target_rule").or_else(|| said.take_ref("rule"));
    let change = change(&mut said);

    let mut draft = intake.draft(&event);
    draft.id = id;
    draft.project =
        Some(intake.require_project(project, HandleIs::Key, &format!("Zenmanage's {event} event"))?);
    draft.environment = intake.environment(environment, HandleIs::Key);
    draft.occurred_at = Some(envelope.take_time(&["timestamp"]).unwrap_or(intake.received_at()));
    draft.author = Some(Author::new(AuthorKind::Unknown));
    draft.log = Some(sentence(&event, flag.as_ref(), draft.environment.as_ref(), change.as_ref()));
    draft.action = Some(action);
    draft.related_object_type = Some(subject.object_type().to_owned());
    (draft.target, draft.related_object) = match subject {
        Subject::FlagTarget => (
            draft.environment.clone().map(|environment| Target::new("environment", environment)),
            ObjectRef { uuid: None, what: flag.clone().unwrap_or_default() },
        ),
        Subject::Rule => (
            rule.clone().map(|rule| Target::new("rule", rule)),
            ObjectRef { uuid: None, what: rule.unwrap_or_default() },
        ),
    };
    draft.flag = flag;
    draft.change = change;
    if let Some(source) = &mut draft.source {
        source.delivery_id = transaction;
    }
    draft.attributes = said.rest();
    // What stands beside `attributes` in the envelope, a time that is none among it; what collides, whole.
    let beside = envelope.rest();
    for (name, value) in beside {
        let name = if draft.attributes.contains_key(&name) { format!("envelope.{name}") } else { name };
        draft.attributes.insert(name, value);
    }
    redacted.note(&mut draft);
    Ok(Translation { drafts: vec![draft] })
}

/// The action behind an event. One that is not known yet is taken to change what flags return.
fn meaning(event: &str) -> Result<(Action, Subject), Refusal> {
    let (action, subject) = match event {
        "flag.target.changed" => ("flag.value.changed".to_owned(), Subject::FlagTarget),
        _ => match (event.strip_prefix("target."), event.starts_with("flag.")) {
            (Some(rest), _) => (format!("flag.{rest}"), Subject::Rule),
            (None, true) => (event.to_owned(), Subject::FlagTarget),
            (None, false) => (format!("flag.{event}"), Subject::FlagTarget),
        },
    };
    Action::try_new(action)
        .map(|action| (action, subject))
        .map_err(|_| Refusal::new(format!("{event:?} is no event of Zenmanage, such as flag.target.changed")))
}

impl Subject {
    fn object_type(&self) -> &'static str {
        match self {
            Self::FlagTarget => "FLAG_TARGET",
            Self::Rule => "TARGETING_RULE",
        }
    }
}

/// The new value, and the old one should Zenmanage come to tell it, as settings: `{"value": …}`.
fn change(said: &mut Fields) -> Option<Change> {
    let mut setting = |names: &[&str]| said.take_value(names).map(|value| json!({ "value": value }));
    let before = setting(&["old_target_value", "previous_target_value"]);
    let after = setting(&["new_target_value"]);
    (before.is_some() || after.is_some()).then(|| Change::between(before, after))
}

fn sentence(event: &str, flag: Option<&Ref>, environment: Option<&Ref>, change: Option<&Change>) -> String {
    let what = match event {
        "flag.target.changed" => "Target changed",
        "target.rule.created" => "Targeting rule created",
        "target.rule.changed" => "Targeting rule changed",
        "target.rule.removed" => "Targeting rule removed",
        other => other,
    };
    let mut text = what.to_owned();
    if let Some(flag) = flag.and_then(Ref::handle) {
        text += &format!(" for flag {flag}");
    }
    if let Some(environment) = environment.and_then(Ref::handle) {
        text += &format!(" in {environment}");
    }
    if let Some(value) = change.and_then(|change| change.after.as_ref()?.get("value")) {
        text += &format!(", now {value}");
    }
    text
}
