//! The data of AUDIT_LOG_CREATED.

use audit_record::{AuditRecord, AuthorKind, Map, Timestamp};
use serde_json::Value;

use super::{came_from_flagsmith, id, kept, kept_fields, kept_object, named, person};
use crate::inbound::{MAY_ALSO_MEAN, READ_FROM_THE_LOG};
use crate::outbound::json_value::{number_or_text, text};

/// The attributes that are notes on the sentence, or go into an object of the entry. What was read out of the
/// sentence is not sent either: see [`READ_FROM_THE_LOG`].
const TAKEN: &[&str] =
    &["unrecognised_log", "ambiguous_log", MAY_ALSO_MEAN, "project", "environment", "author"];

pub(super) fn data(record: &AuditRecord) -> Map {
    let draft = record.draft();
    let uuid = text(draft.related_object.uuid.as_deref());
    let mut data = kept_fields(record, &[TAKEN, READ_FROM_THE_LOG].concat());
    if !came_from_flagsmith(record) {
        data.insert("id".to_owned(), Value::Null);
        data.insert("is_system_event".to_owned(), (record.author().kind == AuthorKind::System).into());
        data.insert("related_object_uuid".to_owned(), uuid);
    } else if data.contains_key("id") {
        // The older shape, without an id, has neither. The inbound dialect keeps the one only where it is true.
        data.entry("is_system_event").or_insert(false.into());
        data.insert("related_object_uuid".to_owned(), uuid);
    }
    if kept(record, "created_date").is_none() {
        data.insert("created_date".to_owned(), created_date(record.occurred_at()).into());
    }
    data.insert("log".to_owned(), record.log().into());
    data.insert("author".to_owned(), person::author(record));
    let environment = draft.environment.as_ref();
    data.insert(
        "environment".to_owned(),
        environment.map_or(Value::Null, |what| named(Some(what), kept_object(record, "environment"))),
    );
    data.insert("project".to_owned(), project(record));
    data.insert("related_object_id".to_owned(), id(draft.related_object.what.id.as_deref()));
    data.insert("related_object_type".to_owned(), record.related_object_type().into());
    data
}

fn project(record: &AuditRecord) -> Value {
    let Some(project) = &record.draft().project else { return Value::Null };
    let mut rest = kept_object(record, "project");
    if !came_from_flagsmith(record) {
        let organisation = record.organisation().stable();
        rest.extend([("organisation".to_owned(), number_or_text(organisation))]);
    }
    named(Some(project), rest)
}

/// As Django REST framework writes a time: six digits, and none where they are all zero.
fn created_date(at: Timestamp) -> String {
    let text = at.to_string();
    match text.strip_suffix(".000000Z") {
        Some(seconds) => format!("{seconds}Z"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_second_has_no_fraction() {
        let text = |text| created_date(Timestamp::parse(text).unwrap());
        assert_eq!(text("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05Z");
        assert_eq!(text("2026-01-02T03:04:05.1Z"), "2026-01-02T03:04:05.100000Z");
        assert_eq!(text("2026-01-02T03:04:05.000001Z"), "2026-01-02T03:04:05.000001Z");
    }
}
