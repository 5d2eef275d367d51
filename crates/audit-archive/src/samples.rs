//! Messages for the tests of this crate.

use std::path::{Path, PathBuf};

use audit_journal::{Message, NewMessage, record_message};
use audit_proof::{LogKeys, TagKey};
use audit_record::{AuditRecord, Draft};
use serde_json::{Value, json};

use crate::layout::partition_file;
use crate::query::Row;
use crate::store::{Store, StoreIdentity};

/// A valid record with the fields of `over` replaced.
pub(crate) fn record(id: &str, over: Value) -> AuditRecord {
    let mut fields = json!({
        "id": id,
        "schema_version": 1,
        "action": "flag.state.changed",
        "log": "Flag checkout was turned on in Production",
        "occurred_at": "2026-09-30T12:00:00.000000Z",
        "recorded_at": "2026-09-30T12:00:01.000000Z",
        "author": {"type": "user", "id": "7", "email": "ada@example.com", "name": "Ada"},
        "organisation": {"key": "acme"},
        "project": {"id": "1", "name": "Shop"},
        "environment": {"key": "prod", "name": "Production"},
        "flag": {"id": "5", "key": "checkout", "name": "Checkout"},
        "related_object_type": "FEATURE_STATE",
        "related_object": {"id": "99", "uuid": "0b7f", "name": "checkout"},
        "source": {"name": "main", "system": "flagsmith", "event": "FLAG_UPDATED",
                   "received_at": "2026-09-30T12:00:01Z", "authenticated": "signature"},
    });
    if let (Value::Object(fields), Value::Object(over)) = (&mut fields, over) {
        fields.extend(over);
    }
    AuditRecord::try_new(Draft::from_value(fields).expect("well-formed fields")).expect("a valid record")
}

/// That record as it stands on the log.
pub(crate) fn message(offset: u64, record: &AuditRecord) -> Message {
    let scope = record.routing_key();
    let tags = TagKey::derive(b"test").scope(&scope).tags(&scope, record);
    on_log(offset, record_message(record, tags))
}

/// Any message as it stands on the log.
pub(crate) fn on_log(offset: u64, new: NewMessage) -> Message {
    let NewMessage { key, headers, value, .. } = new;
    Message { partition: 0, offset, appended_at_ms: 1_790_000_000_000 + offset as i64, key, headers, value }
}

/// What the files of the tests belong to.
pub(crate) fn identity(partition: u32) -> StoreIdentity {
    StoreIdentity {
        deployment: "test".to_owned(),
        partition,
        partitions: 1,
        epoch: 0,
        full_text: true,
        log_keys: LogKeys::default(),
        tag_key: TagKey::derive(b"test"),
    }
}

/// The file of partition 0, open for writing.
pub(crate) fn store(dir: &Path) -> Store {
    Store::open(&file(dir), &identity(0)).expect("a file that can be written")
}

pub(crate) fn file(dir: &Path) -> PathBuf {
    partition_file(dir, 0)
}

/// The ids of rows, in their order.
pub(crate) fn ids(rows: &[Row]) -> Vec<String> {
    let id = |row: &Row| {
        let value: Value = serde_json::from_str(&row.json).expect("a record");
        value["id"].as_str().expect("a record's id").to_owned()
    };
    rows.iter().map(id).collect()
}
