//! The order of keys in Unleash's events. What PostgreSQL stored as `jsonb` comes back with the shorter keys
//! first; `data` comes back in the order in which Unleash's code wrote it, which is data here.

use serde_json::Value;

use crate::outbound::json_value::Ordered;

/// The orders of `data` that differ from [`stored`]'s, as recorded.
const DATA: &[&[&str]] = &[
    &["description", "expiresAt", "secret"],
    &["feature", "enabled"],
    &["id", "name", "description", "constraints", "createdBy", "createdAt"],
    &["id", "name", "title", "disabled", "constraints", "parameters", "variants", "sortOrder", "segments"],
    &["id", "provider", "enabled", "description", "events", "projects", "environments"],
    &["name", "description", "icon"],
    &["name", "description", "legalValues", "stickiness"],
    &["name", "description", "parameters", "editable", "deprecated"],
    &[
        "name",
        "description",
        "type",
        "project",
        "stale",
        "createdAt",
        "lastSeenAt",
        "impressionData",
        "archived",
    ],
    &["status", "statusValue", "kept"],
    &["tokenName", "environment", "projects", "type", "alias", "project", "createdAt"],
];

/// The order of a tag.
const TAG: &[&str] = &["value", "type"];

/// `data`: in a recorded order where its keys are those, else as [`stored`].
pub(super) fn data(value: &Value) -> Vec<u8> {
    let Value::Object(map) = value else { return stored(value) };
    match DATA.iter().find(|keys| keys.len() == map.len() && keys.iter().all(|key| map.contains_key(*key))) {
        Some(keys) => in_order(value, keys),
        None => stored(value),
    }
}

/// The tags of a flag.
pub(super) fn tags(value: &Value) -> Vec<u8> {
    let Value::Array(tags) = value else { return stored(value) };
    list(tags, |tag| in_order(tag, TAG))
}

/// Any other value: keys by length, then by their bytes.
pub(super) fn stored(value: &Value) -> Vec<u8> {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| (key.len(), *key));
            let mut object = Ordered::new();
            entries.into_iter().for_each(|(key, item)| object.json(key, &stored(item)));
            object.finish()
        }
        Value::Array(items) => list(items, stored),
        plain => plain.to_string().into_bytes(),
    }
}

/// An object whose first keys are those; what else it has follows.
fn in_order(value: &Value, keys: &[&str]) -> Vec<u8> {
    let Value::Object(map) = value else { return stored(value) };
    let mut object = Ordered::new();
    for key in keys {
        if let Some(item) = map.get(*key) {
            object.json(key, &stored(item));
        }
    }
    for (key, item) in map.iter().filter(|(key, _)| !keys.contains(&key.as_str())) {
        object.json(key, &stored(item));
    }
    object.finish()
}

fn list(items: &[Value], write: impl Fn(&Value) -> Vec<u8>) -> Vec<u8> {
    let mut out = vec![b'['];
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&write(item));
    }
    out.push(b']');
    out
}
