//! One state of a flag, as FLAG_UPDATED, FLAG_DELETED and NEW_VERSION_PUBLISHED carry it: what a person
//! calls the flag's setting, without the flag's own metadata.

use std::collections::BTreeSet;

use audit_record::{Change, FieldChange, Map};
use serde_json::{Value, json};

use super::sentence::short;
use crate::inbound::json::{take_read, text};

/// The field of a setting that is switched.
const ENABLED: &str = "enabled";

/// Where a setting keeps its variants.
const MULTIVARIATE: &str = "multivariate";

/// Where a variant keeps the id of its share.
const SHARE_ID: &str = "share_id";

/// The setting: `enabled`, `value`, and where there are any `multivariate` and `priority`. Values are
/// kept as they came, numbers exactly.
pub(super) fn setting(state: &Value) -> Value {
    let mut setting = Map::new();
    // A state event says feature_state_value, a version says value.
    for (field, names) in [(ENABLED, &[ENABLED][..]), ("value", &["feature_state_value", "value"])] {
        if let Some(value) = names.iter().find_map(|name| state.get(*name)) {
            setting.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(priority) = state.get("feature_segment").and_then(|segment| segment.get("priority")) {
        setting.insert("priority".to_owned(), priority.clone());
    }
    if let Some(Value::Array(shares)) = state.get("multivariate_feature_state_values")
        && !shares.is_empty()
    {
        setting.insert(MULTIVARIATE.to_owned(), multivariate(shares));
    }
    Value::Object(setting)
}

/// The shares of the variants by the variant's id, so that a difference names the variant; as they came
/// where they are not of that form.
fn multivariate(shares: &[Value]) -> Value {
    let by_variant: Option<Map> = shares.iter().map(variant).collect();
    match by_variant {
        Some(by_variant) if by_variant.len() == shares.len() => Value::Object(by_variant),
        _ => shares.into(),
    }
}

/// A variant's id, and its value and share. `share_id` is new with every version of a flag.
fn variant(share: &Value) -> Option<(String, Value)> {
    let Value::Object(mut flat) = share.clone() else { return None };
    let Value::Object(mut option) = flat.remove("multivariate_feature_option")? else { return None };
    let variant_id = text(&option.remove("id")?)?;
    if let Some(share_id) = flat.remove("id") {
        flat.insert(SHARE_ID.to_owned(), share_id);
    }
    flat.append(&mut option);
    Some((variant_id, Value::Object(flat)))
}

/// Both sides whole, and the fields that differ; a share that only got a new id is no difference.
///
/// Flagsmith makes a previous state up of two histories: on or off as before the state's last change, and the
/// value as before the value's last change, which may be long ago (its `previous_feature_state_value`). So of a
/// mere switch it may tell a change of the value, too, and nothing in the event shows whether it was now. What
/// the event does prove: something changed, so where one thing alone differs it is that; and on or off stands in
/// the history that time and author are read from. Everything else is kept as not proven.
pub(super) fn change(before: Option<Value>, after: Option<Value>) -> Change {
    let comparable = |side: &Option<Value>| side.clone().map(without_share_ids);
    let fields = Change::between(comparable(&before), comparable(&after)).fields;
    let things: BTreeSet<&str> = fields.iter().map(|change| thing(&change.field)).collect();
    let is_proven = |change: &FieldChange| things.len() == 1 || change.field == ENABLED;
    let (fields, unproven_fields) = fields.iter().cloned().partition(is_proven);
    let unproven_before = (before.is_some() && after.is_some()).then_some(true);
    Change { before, after, fields, unproven_before, unproven_fields, extra: Map::new() }
}

/// What a field is a part of: the switch, the value, the variants, the priority.
fn thing(field: &str) -> &str {
    field.split('.').next().unwrap_or(field)
}

fn without_share_ids(mut setting: Value) -> Value {
    if let Some(Value::Object(variants)) = setting.get_mut(MULTIVARIATE) {
        for variant in variants.values_mut().filter_map(Value::as_object_mut) {
            variant.remove(SHARE_ID);
        }
    }
    setting
}

/// Whether `field` is a part of [`MULTIVARIATE`].
pub(super) fn is_of_variants(field: &str) -> bool {
    thing(field) == MULTIVARIATE
}

/// What a sentence calls a changed field: a variant by its value, where its share changed.
pub(super) fn field_in_words(field: &str, setting: &Value) -> String {
    let share = field.strip_prefix(MULTIVARIATE).and_then(|rest| rest.strip_prefix('.'));
    let variant_id = share.and_then(|rest| rest.strip_suffix(".percentage_allocation"));
    let variant = variant_id.and_then(|id| setting.get(MULTIVARIATE)?.get(id)?.get("value"));
    variant.map_or_else(|| field.to_owned(), |variant| format!("share of {}", short(variant)))
}

/// What a state says beyond the setting and what it is a state of: the flag's metadata, a segment's
/// description. Empty where there is nothing more.
pub(super) fn leftover(state: &Value) -> Map {
    let mut rest = state.as_object().cloned().unwrap_or_default();
    for read in ["id", "enabled", "feature_state_value", "value", "identity", "identity_identifier"] {
        rest.remove(read);
    }
    if rest.get("multivariate_feature_state_values").is_some_and(Value::is_array) {
        rest.remove("multivariate_feature_state_values");
    }
    take_read(&mut rest, "environment", &["id", "name"]);
    take_read(&mut rest, "feature_segment.segment", &["id", "name"]);
    take_read(&mut rest, "feature_segment", &["priority"]);
    take_read(&mut rest, "feature.project", &["id", "name"]);
    take_read(&mut rest, "feature", &["id", "name"]);
    rest
}

/// A setting in words: `enabled true, value "blue"`.
pub(super) fn in_words(setting: &Value) -> String {
    let in_words = |(name, value): (&String, &Value)| match value.as_object() {
        Some(variants) if name == MULTIVARIATE => {
            let share = |variant: &Value| {
                format!("share of {} {}", short(&variant["value"]), short(&variant["percentage_allocation"]))
            };
            variants.values().map(share).collect::<Vec<_>>().join(", ")
        }
        _ => format!("{name} {}", short(value)),
    };
    let entries = setting.as_object().into_iter().flatten();
    entries.map(in_words).collect::<Vec<_>>().join(", ")
}

/// The settings of a version's states, as one value.
pub(super) fn settings(states: &[Value]) -> Value {
    json!({ "feature_states": states.iter().map(setting).collect::<Vec<_>>() })
}
