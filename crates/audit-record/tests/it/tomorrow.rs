//! A reader of today meets a record of tomorrow.

use audit_record::AuditRecord;
use serde_json::{Value, json};

use crate::sample::{least_with, read_back, record};

/// The same record with one unknown field in every object, found by walking it.
fn with_an_unknown_field_everywhere(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut map: serde_json::Map<String, Value> = map
                .iter()
                .map(|(key, value)| (key.clone(), with_an_unknown_field_everywhere(value)))
                .collect();
            map.insert("tomorrow".into(), json!({"kept": [1.50, null, "🚀"]}));
            Value::Object(map)
        }
        Value::Array(items) => items.iter().map(with_an_unknown_field_everywhere).collect(),
        other => other.clone(),
    }
}

fn rich() -> Value {
    least_with(json!({
        "schema_version": 2,
        "environment": {"id": "23"},
        "flag": {"key": "checkout"},
        "target": {"type": "segment", "id": "4"},
        "related_object": {"id": "1", "uuid": "u"},
        "change": {"before": {"a": 1}, "after": {"a": 2}, "fields": [{"field": "a", "before": 1, "after": 2}]},
        "access": {"subject": {"type": "user"}, "scope": {"type": "project"}, "role": "r", "effect": "granted"},
        "approval": {"required": true, "approvers": [{"type": "user", "name": "Grace"}]},
        "request": {"ip": "203.0.113.9"},
        "attributes": {"x": {}}
    }))
}

#[test]
fn unknown_fields_are_kept_at_every_level_and_through_a_round_trip() {
    let value = with_an_unknown_field_everywhere(&rich());
    // Times come back with six digits; here they have them, so nothing else may differ.
    let once = record(&value);
    assert_eq!(Value::Object(read_back(&once)), value);
    let draft = once.clone().into_draft();
    assert_eq!(draft.to_value(), value, "as a value");
    let again = AuditRecord::try_new(draft).expect("still valid");
    assert_eq!(again.canonical(), once.canonical());
}

#[test]
fn a_record_of_schema_version_2_keeps_its_version_and_what_today_does_not_know() {
    let record = record(&least_with(json!({"schema_version": 2, "risk": {"score": 0.5}})));
    assert_eq!(record.draft().schema_version, Some(2));
    let kept = read_back(&record);
    assert_eq!(kept["schema_version"], 2);
    assert_eq!(kept["risk"], json!({"score": 0.5}));
}

#[test]
fn a_key_of_extra_that_names_a_known_field_is_not_written_so_what_is_written_reads_back() {
    let mut draft = crate::sample::draft();
    draft.extra.insert("flag".into(), json!(12));
    draft.extra.insert("id".into(), json!("another"));
    let record = AuditRecord::try_new(draft).expect("valid");
    let kept = read_back(&record);
    assert_eq!((kept.get("flag"), &kept["id"]), (None, &json!("r-1")));
    AuditRecord::from_json(record.canonical()).expect("reads back");
}
