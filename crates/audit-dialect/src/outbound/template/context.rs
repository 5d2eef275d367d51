//! What a template can name: the record's fields, those it lacks as null, and the whole as `record`.

use std::sync::{Arc, LazyLock};

use audit_record::{AuditRecord, Map};
use minijinja::Value;
use serde_json::Value as Json;
use serde_json::json;

use super::sink::Progress;
use super::write::Digits;

/// The whole record.
const RECORD: &str = "record";

/// Where [`Progress`] stands; no identifier of a template has a space.
const PROGRESS: &str = " progress";

/// Every field of the record's schema, as one that lacks all has them.
static EMPTY: LazyLock<Json> = LazyLock::new(|| {
    let thing = || json!({"id": null, "key": null, "name": null});
    json!({
        "id": null, "schema_version": null, "action": null, "log": null, "occurred_at": null, "recorded_at": null,
        "author": {"type": null, "id": null, "email": null, "name": null},
        "organisation": thing(), "project": thing(), "environment": thing(), "flag": thing(),
        "target": {"type": null, "id": null, "key": null, "name": null},
        "related_object_type": null,
        "related_object": {"id": null, "uuid": null, "key": null, "name": null},
        "change": {
            "before": null, "after": null, "fields": [], "unproven_before": null, "unproven_fields": [],
        },
        "access": {
            "subject": {"type": null, "id": null, "email": null, "name": null},
            "scope": {"type": null, "id": null, "key": null},
            "role": null, "effect": null,
        },
        "approval": {
            "change_request_id": null, "required": null, "approvers": [], "approved_at": null, "bypassed": null,
        },
        "reason": null, "ticket": null,
        "request": {"ip": null, "user_agent": null, "request_id": null},
        "source": {
            "name": null, "system": null, "event": null, "delivery_id": null, "received_at": null,
            "authenticated": null,
        },
        "attributes": {},
    })
});

/// Whether a template may name it.
pub(super) fn is_name(name: &str) -> bool {
    name == RECORD || EMPTY.get(name).is_some()
}

/// The context of one rendering: what the template names of the record, and nothing else.
pub(super) fn of(record: &AuditRecord, names: &[String], progress: Arc<Progress>) -> Value {
    let whole = record.draft().to_value();
    let named = |name: &String| {
        if name == RECORD {
            return (name.clone(), value(&whole));
        }
        let mut field = EMPTY[name.as_str()].clone();
        if let Some(said) = whole.get(name) {
            fill(&mut field, said);
        }
        (name.clone(), value(&field))
    };
    let mut entries: Vec<(String, Value)> = names.iter().map(named).collect();
    entries.push((PROGRESS.to_owned(), Value::from_dyn_object(progress)));
    Value::from_pairs(entries)
}

/// The progress of the rendering that a formatter or filter is called by.
pub(super) fn progress(state: &minijinja::State<'_, '_>) -> Option<Arc<Progress>> {
    state.lookup(PROGRESS)?.downcast_object()
}

/// Puts what the record says over what it lacks.
fn fill(lacking: &mut Json, said: &Json) {
    match (lacking, said) {
        (Json::Object(fields), Json::Object(said)) => {
            for (name, value) in said {
                fill(fields.entry(name.as_str()).or_insert(Json::Null), value);
            }
        }
        (slot, said) => slot.clone_from(said),
    }
}

/// JSON as the engine has it. A number that it can't hold exactly keeps its digits, and can be written but
/// not reckoned with.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(bool) => Value::from(*bool),
        Json::Number(number) => number
            .as_i64()
            .map(Value::from)
            .or_else(|| number.as_u64().map(Value::from))
            .or_else(|| number.as_f64().map(Value::from).filter(|f| f.to_string() == number.as_str()))
            .filter(|value| value.to_string() == number.as_str())
            .unwrap_or_else(|| Value::from_object(Digits(number.as_str().to_owned()))),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(value).collect::<Vec<_>>()),
        Json::Object(map) => object(map),
    }
}

fn object(map: &Map) -> Value {
    Value::from_pairs(map.iter().map(|(name, item)| (name.clone(), value(item))))
}
