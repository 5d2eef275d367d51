//! Records to send.

use audit_dialect::outbound::{
    BodyFormat, Carry, Outcome, RenderError, Rendered, Renderer, Skip, StoredRecord,
};
use audit_record::{AuditRecord, Draft};
use serde_json::{Value, json};

/// A record of a platform that is no other's, every field filled with a text that stands nowhere else.
pub(crate) fn full() -> Value {
    let thing = |what: &str| json!({"id": format!("{what}-id"), "key": format!("{what}-key"), "name": format!("{what}-name")});
    json!({
        "id": "record-id",
        "action": "flag.state.changed",
        "log": "the log sentence",
        "occurred_at": "2026-08-21T17:30:57.006318Z",
        "recorded_at": "2026-08-22T18:31:58.207319Z",
        "author": {"type": "user", "id": "author-id", "email": "author@example.com", "name": "Author Name"},
        "organisation": thing("organisation"),
        "project": thing("project"),
        "environment": thing("environment"),
        "flag": thing("flag"),
        "target": {"type": "segment", "id": "target-id", "key": "target-key", "name": "target-name"},
        "related_object_type": "FEATURE_STATE",
        "related_object": {"id": "object-id", "uuid": "object-uuid", "key": "object-key", "name": "object-name"},
        "change": {
            "before": {"enabled": false, "value": "before-value", "status": "before-status"},
            "after": {"enabled": true, "value": "after-value", "status": "after-status"},
            "fields": [{"field": "changed-field", "before": false, "after": true}],
            "unproven_before": true,
            "unproven_fields": [{"field": "unproven-field", "before": 1, "after": 2}]
        },
        "access": {
            "subject": {"type": "user", "id": "subject-id", "email": "subject@example.com", "name": "subject-name"},
            "scope": {"type": "project", "id": "scope-id", "key": "scope-key"},
            "role": "access-role",
            "effect": "granted"
        },
        "approval": {"change_request_id": "approval-id"},
        "reason": "the-reason",
        "ticket": "the-ticket",
        "request": {"ip": "192.0.2.77", "user_agent": "the-agent", "request_id": "the-request"},
        "source": {
            "name": "source-name",
            "system": "elsewhere",
            "event": "source-event",
            "delivery_id": "source-delivery",
            "received_at": "2026-08-23T19:32:59.308320Z",
            "authenticated": "token"
        },
        "attributes": {"attribute": "the-attribute"}
    })
}

/// [`full`] with some fields set; null takes one away.
pub(crate) fn full_with(fields: Value) -> Value {
    let mut record = full();
    for (name, value) in fields.as_object().expect("an object") {
        match value {
            Value::Null => drop(record.as_object_mut().unwrap().remove(name)),
            value => record[name] = value.clone(),
        }
    }
    record
}

/// The record that some JSON is.
pub(crate) fn record(value: Value) -> AuditRecord {
    AuditRecord::try_new(Draft::from_value(value).expect("a draft")).expect("a valid record")
}

/// Renders it, into a body and without a secret.
pub(crate) fn render(format: &BodyFormat, record: &AuditRecord) -> Result<Outcome, RenderError> {
    let renderer = Renderer::try_new(format, Carry::Body).expect("a format");
    renderer.render(&stored(record), None)
}

/// It as it stands on the log.
pub(crate) fn stored(record: &AuditRecord) -> StoredRecord {
    StoredRecord::new(record.canonical().to_vec())
}

/// What is sent of it.
pub(crate) fn sent(format: &BodyFormat, value: Value) -> Rendered {
    match render(format, &record(value)).expect("rendered") {
        Outcome::Rendered(rendered) => rendered,
        Outcome::Skipped(skip) => panic!("skipped: {skip}"),
    }
}

/// Why it is not sent.
pub(crate) fn skipped(format: &BodyFormat, value: Value) -> Skip {
    match render(format, &record(value)).expect("rendered") {
        Outcome::Skipped(skip) => skip,
        Outcome::Rendered(rendered) => panic!("sent as {}", rendered.event),
    }
}

/// The body as text.
pub(crate) fn text(rendered: &Rendered) -> String {
    String::from_utf8(rendered.body.clone().expect("a body").to_vec()).expect("UTF-8")
}

/// The body as JSON.
pub(crate) fn body(rendered: &Rendered) -> Value {
    audit_record::parse_strict(text(rendered).as_bytes()).expect("JSON")
}
