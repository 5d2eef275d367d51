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

use audit_record::{AuditRecord, Map, Ref};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::rendered::{Rendered, Skip};
use super::standard::json;
use crate::platform::Platform;

/// Lower-case hex HMAC-SHA256 of the body, without prefix or time.
pub(super) const SIGNATURE_HEADER: &str = "x-flagsmith-signature";

/// What stands in skips and tables.
const FORMAT: &str = "flagsmith";

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
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// The event in its envelope.
pub(super) fn event(record: &AuditRecord) -> Result<Rendered, Skip> {
    let word = event_type(record)?;
    let data = match record.draft().attributes.get(SAMPLE) {
        Some(Value::Object(sample)) if came_from_flagsmith(record) => sample.clone(),
        _ => match word.as_str() {
            FLAG_UPDATED | FLAG_DELETED => state::data(record),
            NEW_VERSION_PUBLISHED => version::data(record),
            _ => audit::data(record),
        },
    };
    let mut outer = match record.draft().attributes.get(ENVELOPE) {
        Some(Value::Object(beside)) if came_from_flagsmith(record) => beside.clone(),
        _ => Map::new(),
    };
    outer.insert("data".to_owned(), Value::Object(data));
    outer.insert("event_type".to_owned(), word.clone().into());
    Ok(json(word.into(), python_json::to_vec(&Value::Object(outer))))
}

/// The audit entry alone. Flagsmith tells of a change of state in an audit entry, too, so what was no such
/// entry has none here.
pub(super) fn audit_body(record: &AuditRecord) -> Result<Rendered, Skip> {
    if came_from_flagsmith(record) && event_type(record)? != AUDIT_LOG_CREATED {
        return Err(no_event(record));
    }
    require_project(record)?;
    let data = match record.draft().attributes.get(SAMPLE) {
        Some(Value::Object(sample)) if came_from_flagsmith(record) => sample.clone(),
        _ => audit::data(record),
    };
    Ok(json(AUDIT_LOG_CREATED.into(), python_json::to_vec(&Value::Object(data))))
}

/// What Flagsmith calls the event.
fn event_type(record: &AuditRecord) -> Result<String, Skip> {
    if came_from_flagsmith(record) {
        return Ok(match record.source().event.as_str() {
            known @ (FLAG_UPDATED | FLAG_DELETED | NEW_VERSION_PUBLISHED | AUDIT_LOG_CREATED) => {
                known.to_owned()
            }
            // An event of tomorrow was read like the one it looks like.
            other => match record.related_object_type() {
                "FEATURE_STATE" if record.draft().change.is_some() => FLAG_UPDATED.to_owned(),
                _ => other.to_owned(),
            },
        });
    }
    require_project(record)?;
    Ok(if state::tells_of_a_state(record) {
        match record.action().as_str() {
            "flag.deleted" | "flag.override.removed" => FLAG_DELETED,
            _ => FLAG_UPDATED,
        }
    } else {
        AUDIT_LOG_CREATED
    }
    .to_owned())
}

/// Flagsmith sends no audit entry that concerns no project.
fn require_project(record: &AuditRecord) -> Result<(), Skip> {
    if came_from_flagsmith(record) || record.draft().project.is_some() {
        return Ok(());
    }
    Err(Skip::Lacks { format: FORMAT, event: AUDIT_LOG_CREATED.to_owned(), missing: "a project" })
}

fn no_event(record: &AuditRecord) -> Skip {
    Skip::NoEvent { format: FORMAT, action: record.action().to_string() }
}

fn came_from_flagsmith(record: &AuditRecord) -> bool {
    record.source().system == Platform::Flagsmith.as_str()
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
