//! The computed difference between a before and an after.

use serde_json::Value;

use crate::Map;
use crate::parts::FieldChange;

/// Most fields that a computed diff lists; what lies beyond is still in `before` and `after`.
pub const FIELDS_MAX: usize = 200;

/// Lists what differs: objects are compared key by key and deeper ones are named by a dotted path;
/// arrays and scalars are compared whole. A side that lacks a key gives `null`.
pub fn field_diff(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut fields = Vec::new();
    walk("", before, after, &mut fields);
    fields
}

fn walk(path: &str, before: &Value, after: &Value, fields: &mut Vec<FieldChange>) {
    if before == after || fields.len() >= FIELDS_MAX {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        let field = if path.is_empty() { "value" } else { path };
        fields.push(FieldChange {
            field: field.to_owned(),
            before: before.clone(),
            after: after.clone(),
            extra: Map::new(),
        });
        return;
    };
    let added = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(added) {
        let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        walk(&inner, old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null), fields);
    }
}
