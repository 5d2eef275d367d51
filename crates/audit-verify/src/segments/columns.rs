//! What the columns of a segment's rows say of the record that stands beside them, by where in its JSON it says so.
//!
//! A table of its own, not the writer's: where the two differ, a test of the writer's segments fails.

use audit_record::Timestamp;
use serde_json::Value;

use self::Says::{Json, Moment, Text};
use super::rows::Cell;

/// What a column holds, with a JSON pointer (RFC 6901) into the record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Says {
    /// A text.
    Text(&'static str),
    /// A moment, as microseconds since 1970.
    Moment(&'static str),
    /// Whatever stands there, as JSON.
    Json(&'static str),
}

/// The columns of a record, by name.
pub(super) const COLUMNS: [(&str, Says); 53] = [
    ("id", Text("/id")),
    ("occurred_at", Moment("/occurred_at")),
    ("recorded_at", Moment("/recorded_at")),
    ("action", Text("/action")),
    ("log", Text("/log")),
    ("author_type", Text("/author/type")),
    ("author_id", Text("/author/id")),
    ("author_email", Text("/author/email")),
    ("author_name", Text("/author/name")),
    ("organisation_id", Text("/organisation/id")),
    ("organisation_key", Text("/organisation/key")),
    ("organisation_name", Text("/organisation/name")),
    ("project_id", Text("/project/id")),
    ("project_key", Text("/project/key")),
    ("project_name", Text("/project/name")),
    ("environment_id", Text("/environment/id")),
    ("environment_key", Text("/environment/key")),
    ("environment_name", Text("/environment/name")),
    ("flag_id", Text("/flag/id")),
    ("flag_key", Text("/flag/key")),
    ("flag_name", Text("/flag/name")),
    ("target_type", Text("/target/type")),
    ("target_id", Text("/target/id")),
    ("target_key", Text("/target/key")),
    ("target_name", Text("/target/name")),
    ("related_object_type", Text("/related_object_type")),
    ("related_object_uuid", Text("/related_object/uuid")),
    ("related_object_id", Text("/related_object/id")),
    ("related_object_key", Text("/related_object/key")),
    ("related_object_name", Text("/related_object/name")),
    ("change", Json("/change")),
    ("access_effect", Text("/access/effect")),
    ("access_role", Text("/access/role")),
    ("access_subject_type", Text("/access/subject/type")),
    ("access_subject_id", Text("/access/subject/id")),
    ("access_subject_email", Text("/access/subject/email")),
    ("access_subject_name", Text("/access/subject/name")),
    ("access_scope_type", Text("/access/scope/type")),
    ("access_scope_id", Text("/access/scope/id")),
    ("access_scope_key", Text("/access/scope/key")),
    ("approval", Json("/approval")),
    ("reason", Text("/reason")),
    ("ticket", Text("/ticket")),
    ("request_ip", Text("/request/ip")),
    ("request_user_agent", Text("/request/user_agent")),
    ("request_id", Text("/request/request_id")),
    ("source", Text("/source/name")),
    ("source_system", Text("/source/system")),
    ("source_event", Text("/source/event")),
    ("source_delivery_id", Text("/source/delivery_id")),
    ("source_received_at", Moment("/source/received_at")),
    ("source_authenticated", Text("/source/authenticated")),
    ("attributes", Json("/attributes")),
];

impl Says {
    /// Whether that stands in the column which the record says; of a message that is no record, nothing.
    pub(super) fn fits(self, record: Option<&Value>, cell: Cell<'_>) -> bool {
        let at = |pointer| record?.pointer(pointer).filter(|value| !value.is_null());
        let text = |pointer| at(pointer)?.as_str();
        let ought = match self {
            Text(pointer) => text(pointer).map(|text| Cell::Bytes(text.as_bytes())),
            Moment(pointer) => {
                text(pointer).and_then(|text| Timestamp::parse(text).ok()).map(|at| Cell::Number(at.micros()))
            }
            Json(pointer) => {
                return match (at(pointer), cell) {
                    (None, Cell::Absent) => true,
                    (Some(value), Cell::Bytes(json)) => {
                        serde_json::from_slice::<Value>(json).is_ok_and(|json| json == *value)
                    }
                    _ => false,
                };
            }
        };
        cell == ought.unwrap_or(Cell::Absent)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_column_fits_only_what_its_record_says() {
        let record = json!({
            "log": "switched on", "occurred_at": "2026-11-21T00:00:00.000001Z", "change": {"before": 1.0, "after": null},
            "reason": null,
        });
        let fits = |says: Says, cell| says.fits(Some(&record), cell);
        assert!(fits(Text("/log"), Cell::Bytes(b"switched on")));
        assert!(!fits(Text("/log"), Cell::Bytes(b"switched off")) && !fits(Text("/log"), Cell::Absent));
        assert!(fits(Moment("/occurred_at"), Cell::Number(1_795_219_200_000_001)));
        assert!(!fits(Moment("/occurred_at"), Cell::Number(1_795_219_200_000_000)));
        assert!(fits(Json("/change"), Cell::Bytes(br#"{"before":1.0,"after":null}"#)));
        assert!(!fits(Json("/change"), Cell::Bytes(br#"{"before":2.0,"after":null}"#)));
        assert!(fits(Text("/reason"), Cell::Absent) && fits(Json("/approval"), Cell::Absent));
        assert!(!fits(Text("/reason"), Cell::Bytes(b"")));
        // A message that is no record has none of them.
        assert!(Text("/log").fits(None, Cell::Absent) && !Text("/log").fits(None, Cell::Bytes(b"x")));
    }
}
