//! Flagsmith: `FLAG_UPDATED`, `FLAG_DELETED`, `NEW_VERSION_PUBLISHED` and `AUDIT_LOG_CREATED`, each as
//! `{"data": …, "event_type": …}`, in its serialisation; or the audit entry without the envelope.
//!
//! A record that came from Flagsmith becomes the event that it was. Any other becomes a state event where it
//! tells of a flag's setting in an environment, else an audit entry.

mod audit;
mod person;
mod python_json;
mod state;
mod version;

use audit_digest::MacKey;
use audit_record::{AuditRecord, Map, Ref};
use serde_json::Value;

use super::rendered::{Rendered, Skip};
use super::standard::json;
use crate::platform::Platform;

/// Lower-case hex HMAC-SHA256 of the body, without prefix or time.
pub(super) const SIGNATURE_HEADER: &str = "x-flagsmith-signature";

/// What stands in skips.
const FORMAT: &str = "flagsmith";
const FORMAT_AUDIT: &str = "flagsmith-audit";

const FLAG_UPDATED: &str = "FLAG_UPDATED";
const FLAG_DELETED: &str = "FLAG_DELETED";
const NEW_VERSION_PUBLISHED: &str = "NEW_VERSION_PUBLISHED";
const AUDIT_LOG_CREATED: &str = "AUDIT_LOG_CREATED";

/// Where the inbound dialect keeps the body of a test request.
const SAMPLE: &str = "sample";

/// Where it keeps what stood beside `data` and `event_type`.
const ENVELOPE: &str = "envelope";

/// The value of [`SIGNATURE_HEADER`].
pub(super) fn signature(secret: &[u8], body: &[u8]) -> String {
    hex::encode(MacKey::new(secret).mac(&[body]))
}

/// What the data looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    State,
    Version,
    Audit,
}

/// The event in its envelope.
pub(super) fn event(record: &AuditRecord) -> Result<Rendered, Skip> {
    require_project(record)?;
    let shape = shape(record);
    let word = event_type(record, shape);
    let mut outer = match kept(record, ENVELOPE) {
        Some(Value::Object(beside)) => beside.clone(),
        _ => Map::new(),
    };
    outer.insert("data".to_owned(), Value::Object(data(record, shape)));
    outer.insert("event_type".to_owned(), word.as_str().into());
    Ok(json(word.into(), python_json::to_vec(&Value::Object(outer))))
}

/// The audit entry alone. Flagsmith tells of a change of state in an audit entry, too, so what came as no such
/// entry has none here.
pub(super) fn audit_body(record: &AuditRecord) -> Result<Rendered, Skip> {
    require_project(record)?;
    if came_from_flagsmith(record) && shape(record) != Shape::Audit {
        return Err(Skip::NoEvent { format: FORMAT_AUDIT, action: record.action().to_string() });
    }
    let data = Value::Object(data(record, Shape::Audit));
    Ok(json(event_type(record, Shape::Audit).into(), python_json::to_vec(&data)))
}

fn data(record: &AuditRecord, shape: Shape) -> Map {
    if let Some(Value::Object(sample)) = kept(record, SAMPLE) {
        return sample.clone();
    }
    match shape {
        Shape::State => state::data(record),
        Shape::Version => version::data(record),
        Shape::Audit => audit::data(record),
    }
}

fn shape(record: &AuditRecord) -> Shape {
    if !came_from_flagsmith(record) {
        return if state::tells_of_a_state(record) { Shape::State } else { Shape::Audit };
    }
    match (record.source().event.as_str(), record.related_object_type()) {
        (FLAG_UPDATED | FLAG_DELETED, _) => Shape::State,
        (NEW_VERSION_PUBLISHED, _) => Shape::Version,
        (AUDIT_LOG_CREATED, _) => Shape::Audit,
        // An event of tomorrow was read like the one that it looks like.
        (_, "FEATURE_STATE") if record.draft().change.is_some() => Shape::State,
        (_, "EF_VERSION") if record.draft().change.is_some() => Shape::Version,
        _ => Shape::Audit,
    }
}

/// What Flagsmith calls the event.
fn event_type(record: &AuditRecord, shape: Shape) -> String {
    if came_from_flagsmith(record) {
        return record.source().event.clone();
    }
    let word = match (shape, record.action().as_str()) {
        (Shape::State, "flag.deleted" | "flag.override.removed") => FLAG_DELETED,
        (Shape::State, _) => FLAG_UPDATED,
        (Shape::Version, _) => NEW_VERSION_PUBLISHED,
        (Shape::Audit, _) => AUDIT_LOG_CREATED,
    };
    word.to_owned()
}

/// What another platform's action is in Flagsmith, for the table.
pub(super) fn event_in_words(action: &str) -> &'static str {
    match action {
        "flag.deleted" | "flag.override.removed" => "FLAG_DELETED or AUDIT_LOG_CREATED",
        _ if state::STATE_ACTIONS.contains(&action) => "FLAG_UPDATED or AUDIT_LOG_CREATED",
        _ => AUDIT_LOG_CREATED,
    }
}

/// Whether it is an audit entry whatever the record holds.
pub(super) fn is_audit_alone(action: &str) -> bool {
    event_in_words(action) == AUDIT_LOG_CREATED
}

/// Flagsmith sends no audit entry that concerns no project.
fn require_project(record: &AuditRecord) -> Result<(), Skip> {
    if came_from_flagsmith(record) || record.draft().project.is_some() {
        return Ok(());
    }
    Err(Skip::Lacks { format: FORMAT, event: AUDIT_LOG_CREATED.to_owned(), missing: "a project" })
}

fn came_from_flagsmith(record: &AuditRecord) -> bool {
    record.source().system == Platform::Flagsmith.as_str()
}

/// What Flagtrail itself adds to the attributes of a record of any shape.
const ADDED: &[&str] = &["redacted", "repeat_of", ENVELOPE];

/// The fields of the data that nothing else in the record says: the attributes, but for what was added and what
/// is `taken` up elsewhere.
fn kept_fields(record: &AuditRecord, taken: &[&str]) -> Map {
    let is_said = |name: &str| !ADDED.contains(&name) && !taken.contains(&name);
    let kept =
        record.draft().attributes.iter().filter(|(name, _)| came_from_flagsmith(record) && is_said(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// An attribute that the inbound dialect kept of a Flagsmith body; of any other record nothing counts.
fn kept<'r>(record: &'r AuditRecord, name: &str) -> Option<&'r Value> {
    record.draft().attributes.get(name).filter(|_| came_from_flagsmith(record))
}

/// The object at [`kept`], or an empty one.
fn kept_object(record: &AuditRecord, name: &str) -> Map {
    kept(record, name).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Flagsmith's ids are numbers; another platform's may be words.
fn id(text: Option<&str>) -> Value {
    super::json_value::number_or_text(text)
}

/// `{"id", "name"}` and what else was said of it.
fn named(what: Option<&Ref>, mut rest: Map) -> Value {
    rest.insert("id".to_owned(), id(what.and_then(|what| what.id.as_deref())));
    // Flags go by the word that code uses: in Flagsmith that is the name.
    let name = what.and_then(|what| what.name.as_deref().or(what.key.as_deref()));
    rest.insert("name".to_owned(), name.map_or(Value::Null, Value::from));
    Value::Object(rest)
}
