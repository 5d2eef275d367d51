//! Unleash's webhook: its events as they are, of the open-source edition (recorded) and, for access to projects and change
//! requests, of the others (by their sources). Each states when it happened, to the millisecond.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use crate::company::year::Moment;

/// Who did it: an e-mail or a name, and Unleash's id.
#[derive(Clone, Debug)]
pub(in crate::company) struct By {
    pub(in crate::company) name: String,
    pub(in crate::company) id: u64,
}

/// One event; `more` are the fields that are not null.
pub(in crate::company) fn event(id: u64, kind: &str, by: &By, at: Moment, more: Value) -> String {
    let mut event = json!({
        "id": id, "type": kind, "createdBy": by.name, "createdAt": at.to_rfc3339_opts(SecondsFormat::Millis, true),
        "createdByUserId": by.id, "data": null, "preData": null, "tags": [], "featureName": null, "project": null,
        "environment": null,
    });
    if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
        event.extend(more);
    }
    event.to_string()
}
