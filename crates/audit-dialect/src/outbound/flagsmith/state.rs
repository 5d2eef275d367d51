//! The data of FLAG_UPDATED and FLAG_DELETED.

use audit_record::{AuditRecord, Map};
use serde_json::{Value, json};

use super::{came_from_flagsmith, id, kept, kept_fields, kept_object, named, person};
use crate::outbound::json_value::text;

/// Where a setting keeps its variants by their id, and a variant the id of its share.
const MULTIVARIATE: &str = "multivariate";
const SHARE_ID: &str = "share_id";

/// Where the inbound dialect keeps who changed the flag last and when, where Flagsmith says that in the place of who
/// made this change, and when.
const LAST_CHANGE: &str = "last_change";

/// The actions that Flagsmith tells of with a state.
pub(super) const STATE_ACTIONS: &[&str] = &[
    "flag.created",
    "flag.deleted",
    "flag.changed",
    "flag.state.changed",
    "flag.value.changed",
    "flag.variant.changed",
    "flag.override.created",
    "flag.override.changed",
    "flag.override.removed",
];

/// Whether another platform's record says what a flag's setting in an environment, or an override of it, became.
pub(super) fn tells_of_a_state(record: &AuditRecord) -> bool {
    let (draft, action) = (record.draft(), record.action().as_str());
    let target = draft.target.as_ref().map(|target| target.kind.as_str());
    let of_an_override = matches!(target, Some("segment" | "identity"));
    let sides = draft.change.iter().flat_map(|change| [&change.before, &change.after]).flatten();
    STATE_ACTIONS.contains(&action)
        && draft.flag.is_some()
        && draft.environment.is_some()
        // Without its target, an override would read as the setting for everybody.
        && (of_an_override || !action.starts_with("flag.override."))
        && sides.into_iter().any(is_setting)
}

/// A setting says whether the flag is on, or what it returns; or is the bare value.
fn is_setting(side: &Value) -> bool {
    side.as_object().is_none_or(|fields| fields.contains_key("enabled") || fields.contains_key("value"))
}

pub(super) fn data(record: &AuditRecord) -> Map {
    let change = record.draft().change.clone().unwrap_or_default();
    let mut data = kept_fields(record, &["new_state", "previous_state", LAST_CHANGE]);
    let deleted = is_deleted(record);
    let after = change.after.filter(|_| !deleted || came_from_flagsmith(record));
    data.insert(
        "new_state".to_owned(),
        match &after {
            Some(setting) => state(record, setting, "new_state"),
            None => Value::Null,
        },
    );
    // A flag's first state has no previous one, not even a null.
    if let Some(setting) = &change.before {
        data.insert("previous_state".to_owned(), state(record, setting, "previous_state"));
    }
    let is_of_a_flag = deleted && record.draft().target.is_none() && came_from_flagsmith(record);
    if is_of_a_flag || kept(record, LAST_CHANGE).is_some() {
        data.extend(kept_object(record, LAST_CHANGE));
    } else {
        data.insert("changed_by".to_owned(), person::changed_by(record.author()));
        if kept(record, "timestamp").is_none() {
            data.insert("timestamp".to_owned(), record.occurred_at().to_string().into());
        }
    }
    data
}

fn is_deleted(record: &AuditRecord) -> bool {
    matches!(record.action().as_str(), "flag.deleted" | "flag.override.removed")
}

/// One state: the setting, what it is a state of, and what the body said beyond that.
fn state(record: &AuditRecord, setting: &Value, side: &str) -> Value {
    let draft = record.draft();
    let mut state = kept(record, side)
        // What both states said alike is kept once.
        .or_else(|| kept(record, "new_state"))
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let mut take = |name: &str| match state.remove(name) {
        Some(Value::Object(rest)) => rest,
        _ => Map::new(),
    };
    let (environment, mut feature, segment) = (take("environment"), take("feature"), take("feature_segment"));
    let project = match feature.remove("project") {
        Some(Value::Object(rest)) => rest,
        _ => Map::new(),
    };
    feature.insert("project".to_owned(), named(draft.project.as_ref(), project));
    state.insert("environment".to_owned(), named(draft.environment.as_ref(), environment));
    state.insert("feature".to_owned(), feature_object(record, feature));
    let target = draft.target.as_ref();
    state.insert(
        "feature_segment".to_owned(),
        match target.filter(|target| target.kind == "segment") {
            Some(target) => feature_segment(&target.what, setting, segment),
            None => Value::Null,
        },
    );
    let identity = target.filter(|target| target.kind == "identity").map(|target| &target.what);
    state.insert("identity".to_owned(), id(identity.and_then(|what| what.id.as_deref())));
    state.insert("identity_identifier".to_owned(), text(identity.and_then(|what| what.key.as_deref())));
    let (enabled, value) = enabled_and_value(setting);
    state.insert("enabled".to_owned(), enabled);
    state.insert("feature_state_value".to_owned(), value);
    state.insert("multivariate_feature_state_values".to_owned(), shares(setting));
    if let (true, Some(state_id)) = (came_from_flagsmith(record), &draft.related_object.what.id) {
        state.insert("id".to_owned(), id(Some(state_id)));
    }
    Value::Object(state)
}

/// The flag. What only Flagsmith knows of one is null where another platform told of it.
fn feature_object(record: &AuditRecord, mut feature: Map) -> Value {
    let flag = record.draft().flag.as_ref();
    if !came_from_flagsmith(record) {
        for unknown in ["created_date", "default_enabled", "description", "initial_value", "type"] {
            feature.insert(unknown.to_owned(), Value::Null);
        }
        // The word that code uses is the key elsewhere, and the name in Flagsmith.
        let name = flag.and_then(|flag| flag.key.as_deref().or(flag.name.as_deref()));
        feature.insert("id".to_owned(), id(flag.and_then(|flag| flag.id.as_deref())));
        feature.insert("name".to_owned(), text(name));
        return Value::Object(feature);
    }
    named(flag, feature)
}

fn feature_segment(segment: &audit_record::Ref, setting: &Value, mut rest: Map) -> Value {
    let inner = match rest.remove("segment") {
        Some(Value::Object(inner)) => inner,
        _ => Map::new(),
    };
    rest.insert("segment".to_owned(), named(Some(segment), inner));
    if let Some(priority) = setting.get("priority") {
        rest.insert("priority".to_owned(), priority.clone());
    }
    Value::Object(rest)
}

/// Another platform's setting may be the bare value, which says nothing of on and off.
fn enabled_and_value(setting: &Value) -> (Value, Value) {
    match setting {
        Value::Object(fields) => {
            let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
            (field("enabled"), field("value"))
        }
        bare => (Value::Null, bare.clone()),
    }
}

/// The variants' shares as a list, in the order in which Flagsmith made them.
pub(super) fn shares(setting: &Value) -> Value {
    let by_variant = match setting.get(MULTIVARIATE) {
        Some(Value::Object(by_variant)) => by_variant,
        Some(as_they_came @ Value::Array(_)) => return as_they_came.clone(),
        _ => return json!([]),
    };
    let mut shares: Vec<Value> =
        by_variant.iter().map(|(variant, share)| share_object(variant, share)).collect();
    shares.sort_by_key(|share| share.get("id").and_then(Value::as_i64));
    shares.into()
}

fn share_object(variant: &str, share: &Value) -> Value {
    let mut flat = share.as_object().cloned().unwrap_or_default();
    let mut option = Map::from_iter([("id".to_owned(), id(Some(variant)))]);
    let mut share = Map::new();
    share.extend(flat.remove(SHARE_ID).map(|id| ("id".to_owned(), id)));
    share.extend(flat.remove("percentage_allocation").map(|p| ("percentage_allocation".to_owned(), p)));
    option.append(&mut flat);
    share.insert("multivariate_feature_option".to_owned(), Value::Object(option));
    Value::Object(share)
}
