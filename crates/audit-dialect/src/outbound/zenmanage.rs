//! Zenmanage: `{type, timestamp, attributes}`. One payload of its four events is documented; the fields of that
//! one come first and in its order, and what else Zenmanage said follows.

use audit_record::{AuditRecord, Ref};
use serde_json::Value;

use super::json_value::{Ordered, seconds_with_offset};
use super::rendered::{Rendered, Skip};
use super::standard::json;
use crate::platform::Platform;

const FORMAT: &str = "zenmanage";

/// What Zenmanage's own ids of transactions begin with.
const TRANSACTION_PREFIX: &str = "wht_";

/// The attributes that Flagtrail added.
const OURS: &[&str] = &["redacted", "repeat_of"];

/// What the inbound dialect puts before the name of a field that stood beside `attributes`, where the two
/// would collide.
const ENVELOPE_PREFIX: &str = "envelope.";

/// The event that another platform's action is in Zenmanage. Strategies and overrides are what Zenmanage
/// calls targeting rules.
pub(super) fn counterpart(action: &str) -> Option<&'static str> {
    Some(match action {
        "flag.value.changed" | "flag.state.changed" | "flag.changed" => "flag.target.changed",
        "flag.rule.created" | "flag.strategy.created" | "flag.override.created" => "target.rule.created",
        "flag.rule.changed"
        | "flag.strategy.changed"
        | "flag.override.changed"
        | "flag.override.reordered" => "target.rule.changed",
        "flag.rule.removed" | "flag.strategy.removed" | "flag.override.removed" => "target.rule.removed",
        _ => return None,
    })
}

pub(super) fn event(record: &AuditRecord) -> Result<Rendered, Skip> {
    let is_own = record.source().system == Platform::Zenmanage.as_str();
    let kind = if is_own {
        record.source().event.clone()
    } else {
        let none = || Skip::NoEvent { format: FORMAT, action: record.action().to_string() };
        counterpart(record.action().as_str()).ok_or_else(none)?.to_owned()
    };
    let mut outer = Ordered::new();
    outer.field("type", &kind.as_str().into());
    outer.field("timestamp", &seconds_with_offset(record.occurred_at()).into());
    let attributes = if is_own { own(record, &mut outer) } else { foreign(record, &kind)? };
    outer.json("attributes", &attributes.finish());
    Ok(json(kind.into(), outer.finish()))
}

/// The attributes of a record that came from Zenmanage.
fn own(record: &AuditRecord, outer: &mut Ordered) -> Ordered {
    let draft = record.draft();
    let mut attributes = Ordered::new();
    attributes.reference("project", draft.project.as_ref());
    attributes.reference("environment", draft.environment.as_ref());
    attributes.reference("flag", draft.flag.as_ref());
    let rule = draft.target.as_ref().filter(|target| target.kind == "rule").map(|target| &target.what);
    attributes.reference("rule", rule);
    if let Some(change) = &draft.change {
        for (name, value) in [("old_target_value", &change.before), ("new_target_value", &change.after)] {
            if let Some(value) = value.as_ref().and_then(|setting| setting.get("value")) {
                attributes.field(name, value);
            }
        }
    }
    attributes.text("transaction_id", record.source().delivery_id.as_deref());
    for (name, value) in &draft.attributes {
        match name.strip_prefix(ENVELOPE_PREFIX) {
            Some(name) => outer.field(name, value),
            None if OURS.contains(&name.as_str()) => {}
            None => attributes.field(name, value),
        }
    }
    attributes
}

/// The attributes of another platform's record: keys are what code uses there, and the value is text.
fn foreign(record: &AuditRecord, kind: &str) -> Result<Ordered, Skip> {
    let draft = record.draft();
    let lacks = |missing| Skip::Lacks { format: FORMAT, event: kind.to_owned(), missing };
    let flag = draft.flag.as_ref().and_then(Ref::handle).ok_or_else(|| lacks("a flag"))?;
    let mut attributes = Ordered::new();
    attributes.text("project_key", draft.project.as_ref().and_then(Ref::handle));
    attributes.text("environment_key", draft.environment.as_ref().and_then(Ref::handle));
    attributes.text("flag_key", Some(flag));
    if kind == "flag.target.changed" {
        let after = draft.change.as_ref().and_then(|change| change.after.as_ref());
        let value = after.and_then(value_in_words).ok_or_else(|| lacks("a new value"))?;
        attributes.text("new_target_value", Some(&value));
    }
    attributes.text("transaction_id", Some(&format!("{TRANSACTION_PREFIX}{}", record.id())));
    Ok(attributes)
}

/// What a flag returns now: its value, else whether it is on.
fn value_in_words(after: &Value) -> Option<String> {
    let value = match after {
        Value::Object(fields) => fields
            .get("value")
            .filter(|value| !value.is_null())
            .or_else(|| fields.get("enabled"))
            .filter(|value| !value.is_null())?,
        bare => bare,
    };
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}
