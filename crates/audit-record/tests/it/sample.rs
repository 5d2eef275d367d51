//! Records to start from.

use audit_record::{AuditRecord, Draft, Map, parse_strict};
use serde_json::{Value, json};

/// The least that is a record.
pub(crate) fn least() -> Value {
    json!({
        "id": "r-1",
        "action": "flag.state.changed",
        "log": "Flag checkout was switched on in Production",
        "occurred_at": "2026-08-21T17:30:57.006318Z",
        "recorded_at": "2026-08-21T17:30:57.206318Z",
        "author": {"type": "user", "email": "ada@example.com"},
        "organisation": {"id": "1"},
        "project": {"id": "6", "name": "Shop"},
        "related_object_type": "FEATURE_STATE",
        "source": {
            "name": "main",
            "system": "flagsmith",
            "event": "FLAG_UPDATED",
            "received_at": "2026-08-21T17:30:57.106318Z",
            "authenticated": "signature"
        }
    })
}

/// [`least`] with some fields set.
pub(crate) fn least_with(fields: Value) -> Value {
    let mut record = least();
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    for (key, value) in fields {
        record[key] = value;
    }
    record
}

/// Reads a record that must be valid.
pub(crate) fn record(value: &Value) -> AuditRecord {
    AuditRecord::from_json(value.to_string().as_bytes()).expect("a valid record")
}

/// The record of [`least`], with one more field as raw JSON text.
pub(crate) fn least_with_text(field: &str, json_text: &str) -> String {
    let mut text = least().to_string();
    text.truncate(text.len() - 1);
    text + &format!(",{}:{json_text}}}", Value::from(field))
}

/// A draft of [`least`].
pub(crate) fn draft() -> Draft {
    Draft::from_value(least()).expect("a valid draft")
}

/// What the canonical bytes say.
pub(crate) fn read_back(record: &AuditRecord) -> Map {
    match parse_strict(record.canonical()).expect("canonical bytes are JSON") {
        Value::Object(map) => map,
        other => panic!("a record is an object, not {other}"),
    }
}
