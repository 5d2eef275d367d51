//! OCSF 1.8.0, the Open Cybersecurity Schema Framework: a record as an event that a SIEM or a security data lake knows.
//!
//! Every record becomes one event, of one of four classes of the category Identity & Access Management: what happened to
//! something (Entity Management), to somebody's access (User Access Management), to a group, to an account. [`classify`]
//! says which, by rules over the action's words and not by a list, so that an action of tomorrow has an event, too. What
//! OCSF has no field for stands in `unmapped`, and the record itself, byte for byte, in `raw_data` with its hash.
//!
//! 1.9 deprecates two of the classes; events say `metadata.version`, so that a reader knows which they are of.

mod class;
mod entity;
mod mapping;
mod person;

use audit_digest::Sha256;
use audit_record::{AuditRecord, Map};
use serde_json::{Value, json};

pub use class::{Activity, Class, Event, classify};
pub use mapping::mapping;

/// The version that events are of.
pub const OCSF_VERSION: &str = "1.8.0";

/// OCSF's number for SHA-256.
const ALGORITHM_SHA_256: u8 = 3;

/// OCSF's category Identity & Access Management.
const CATEGORY: u8 = 3;

/// Where a record stands on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// Its partition.
    pub partition: u32,
    /// Its number in the partition.
    pub seq: u64,
}

/// How grave a record is. OCSF asks it of every event; a change as such is information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Informational = 1,
    Low = 2,
    Medium = 3,
}

impl Severity {
    fn of(record: &AuditRecord, event: &Event) -> Self {
        let is_bypassed = record.draft().approval.as_ref().and_then(|approval| approval.bypassed);
        match (is_bypassed, event.has_failed) {
            // Whoever watches a dashboard wants to see those.
            (Some(true), _) => Self::Medium,
            (_, true) => Self::Low,
            (_, false) => Self::Informational,
        }
    }

    fn caption(self) -> &'static str {
        match self {
            Self::Informational => "Informational",
            Self::Low => "Low",
            Self::Medium => "Medium",
        }
    }
}

/// The event of a record. `raw` is the record as it is stored; `place` is where, if that is known.
pub fn ocsf_event(record: &AuditRecord, raw: &str, place: Option<LogPlace>) -> Value {
    let event = classify(record);
    let (draft, class) = (record.draft(), event.class);
    let severity = Severity::of(record, &event);
    let (status_id, status) = if event.has_failed { (2, "Failure") } else { (1, "Success") };
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            out.insert(name.to_owned(), value);
        }
    };
    put("category_uid", json!(CATEGORY));
    put("category_name", json!("Identity & Access Management"));
    put("class_uid", json!(class.uid()));
    put("class_name", json!(class.caption()));
    put("activity_id", json!(event.activity.id(class)));
    let activity = event.activity.caption(class).unwrap_or(record.action().as_str());
    put("activity_name", json!(activity));
    put("type_uid", json!(event.type_uid()));
    put(
        "type_name",
        json!(format!("{}: {}", class.caption(), event.activity.caption(class).unwrap_or("Other"))),
    );
    put("severity_id", json!(severity as u8));
    put("severity", json!(severity.caption()));
    put("status_id", json!(status_id));
    put("status", json!(status));
    put("status_detail", json!(event.detail));
    put("time", json!(record.occurred_at().micros().div_euclid(1_000)));
    put("message", json!(record.log()));
    put("metadata", metadata(record, place));
    put("actor", person::actor(record.author()));
    put("src_endpoint", source_address(record));
    put("http_request", http_request(record));
    let described = match class {
        Class::EntityManagement => entity::managed(record),
        Class::UserAccess => entity::user_access(record),
        Class::GroupManagement => entity::group(record),
        Class::AccountChange => entity::account(record),
    };
    for (name, value) in described {
        put(name, value);
    }
    if class == Class::EntityManagement {
        put("comment", json!(draft.reason));
    }
    put("unmapped", unmapped(record, place));
    put("raw_data", json!(raw));
    put("raw_data_size", json!(raw.len()));
    put(
        "raw_data_hash",
        json!({
            "algorithm_id": ALGORITHM_SHA_256, "algorithm": "SHA-256",
            "value": hex::encode(Sha256::digest(raw.as_bytes())),
        }),
    );
    Value::Object(out)
}

fn metadata(record: &AuditRecord, place: Option<LogPlace>) -> Value {
    let (source, approval) = (record.source(), record.draft().approval.as_ref());
    let mut metadata = json!({
        "version": OCSF_VERSION,
        // What reported the event is the platform; Flagtrail keeps the log.
        "product": {"name": source.system, "uid": source.name},
        "log_provider": "flagtrail",
        "log_name": "audit",
        "uid": record.id(),
        "event_code": source.event,
        "original_time": record.occurred_at().to_string(),
        "logged_time": record.recorded_at().micros().div_euclid(1_000),
    });
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            metadata[name] = value;
        }
    };
    put("tenant_uid", json!(record.organisation().stable().or(record.organisation().name.as_deref())));
    put("original_event_uid", json!(source.delivery_id));
    put("correlation_uid", json!(approval.and_then(|approval| approval.change_request_id.as_deref())));
    put("sequence", json!(place.map(|place| place.seq)));
    metadata
}

fn source_address(record: &AuditRecord) -> Value {
    let ip = record.draft().request.as_ref().and_then(|request| request.ip.as_deref());
    // Whatever else stands there is in `raw_data`: a field of that type would not be valid.
    ip.and_then(|ip| ip.parse::<std::net::IpAddr>().ok())
        .map_or(Value::Null, |ip| json!({"ip": ip.to_string()}))
}

fn http_request(record: &AuditRecord) -> Value {
    let Some(request) = &record.draft().request else { return Value::Null };
    let mut found = Map::new();
    for (name, value) in [("user_agent", &request.user_agent), ("uid", &request.request_id)] {
        if let Some(value) = value {
            found.insert(name.to_owned(), json!(value));
        }
    }
    if found.is_empty() { Value::Null } else { Value::Object(found) }
}

/// What OCSF has no field for, under the record's own names.
fn unmapped(record: &AuditRecord, place: Option<LogPlace>) -> Value {
    let whole = record.draft().to_value();
    let mut found = Map::new();
    for name in [
        "action",
        "project",
        "environment",
        "flag",
        "target",
        "related_object_type",
        "related_object",
        "approval",
        "reason",
        "ticket",
        "attributes",
    ] {
        if let Some(value) = whole.get(name).filter(|value| !is_empty(value)) {
            found.insert(name.to_owned(), value.clone());
        }
    }
    // What is not proven is said beside what is: whoever reads the one alone would take the other for proven.
    for (field, name) in [
        ("fields", "changed_fields"),
        ("unproven_before", "unproven_before"),
        ("unproven_fields", "unproven_fields"),
    ] {
        let value = whole.get("change").and_then(|change| change.get(field));
        if let Some(value) = value.filter(|value| !is_empty(value)) {
            found.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(place) = place {
        found.insert("partition".to_owned(), json!(place.partition));
    }
    Value::Object(found)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
