//! What is to reach the log for one webhook: as messages, and as an entry of the spool.

use audit_journal::{HeaderName, NewMessage, Placement, SALT_HEADER, Topic};
use audit_record::{AuditRecord, RecordError, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::now;
use crate::hooks::rejected::Rejected;

/// The version of a spool entry that this release writes; a higher one is left where it is.
const VERSION: u32 = 1;

/// The header with 16 random bytes that every message of ours carries. It tells one append of a record from
/// another of the same id, so that the spool can find its own on the log.
pub(crate) const MARK_HEADER: &str = SALT_HEADER;

/// The messages of one webhook, on their way to the log.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    /// The process that took it in.
    pub(crate) process: Uuid,
    /// The source it belongs to.
    pub(crate) source: String,
    /// When it came in.
    pub(crate) received_at: Timestamp,
    /// An append of these messages that was begun and whose outcome was not known when they were spooled.
    pub(crate) attempt: Option<Uuid>,
    /// Where they go.
    pub(crate) topic: Topic,
    /// The messages, in order.
    pub(crate) messages: Vec<NewMessage>,
}

/// Why an entry of the spool can't be read. It is left where it is, and what is behind it waits.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    #[error(
        "a later release wrote it (its version is {0}, this release reads up to {VERSION}): use that release"
    )]
    Newer(u32),
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl Waiting {
    /// Records of a webhook, which `message` makes messages of the log.
    pub(crate) fn records(
        process: Uuid,
        source: &str,
        received_at: Timestamp,
        records: &[AuditRecord],
        message: impl Fn(&AuditRecord) -> NewMessage,
    ) -> Self {
        let messages = records.iter().map(message).collect();
        let source = source.to_owned();
        Self { process, source, received_at, attempt: None, topic: Topic::Records, messages }
    }

    /// A request that became no record.
    pub(crate) fn rejected(process: Uuid, source: &str, received_at: Timestamp, rejected: &Rejected) -> Self {
        let value = serde_json::to_vec(rejected).expect("a rejected request has string keys only");
        let message = NewMessage {
            key: Bytes::copy_from_slice(source.as_bytes()),
            headers: vec![
                ("content-type".into(), Bytes::from_static(b"application/json")),
                (MARK_HEADER.into(), Bytes::copy_from_slice(Uuid::new_v4().as_bytes())),
            ],
            value: Some(Bytes::from(value)),
            placement: Placement::Fixed(0),
        };
        let source = source.to_owned();
        Self { process, source, received_at, attempt: None, topic: Topic::Rejected, messages: vec![message] }
    }

    /// The marks of the messages, in order.
    pub(crate) fn marks(&self) -> impl Iterator<Item = &[u8]> {
        self.messages.iter().map(|message| mark(&message.headers))
    }

    /// Sets the append time of records to now, as it is when they are appended; everything else stays,
    /// the mark included. `record_message` makes messages of the log.
    pub(crate) fn restamp(
        &mut self,
        record_message: impl Fn(&AuditRecord) -> NewMessage,
    ) -> Result<(), RecordError> {
        if self.topic != Topic::Records {
            return Ok(());
        }
        let recorded_at = now();
        for message in &mut self.messages {
            let value = message.value.as_deref().unwrap_or_default();
            let mut draft = AuditRecord::from_json(value)?.into_draft();
            draft.recorded_at = Some(recorded_at);
            let kept = Bytes::copy_from_slice(mark(&message.headers));
            *message = record_message(&AuditRecord::try_new(draft)?);
            for (name, value) in &mut message.headers {
                if *name == MARK_HEADER {
                    *value = kept.clone();
                }
            }
        }
        Ok(())
    }

    /// As an entry of the spool.
    pub(crate) fn to_entry(&self) -> Bytes {
        let messages = self.messages.iter().map(|message| StoredMessage {
            key: text(&message.key),
            mark: STANDARD_NO_PAD.encode(mark(&message.headers)),
            value: text(message.value.as_deref().unwrap_or_default()),
        });
        let entry = Entry {
            v: VERSION,
            process: self.process,
            attempt: self.attempt,
            is_rejected: self.topic == Topic::Rejected,
            messages: messages.collect(),
        };
        Bytes::from(serde_json::to_vec(&entry).expect("an entry has string keys only"))
    }

    /// Reads an entry of the spool.
    pub(crate) fn from_entry(source: &str, received_at_us: i64, entry: &[u8]) -> Result<Self, EntryError> {
        let damaged = |error: &dyn std::fmt::Display| EntryError::Damaged(error.to_string());
        let versioned: Versioned = serde_json::from_slice(entry).map_err(|error| damaged(&error))?;
        if versioned.v > VERSION {
            return Err(EntryError::Newer(versioned.v));
        }
        let entry: Entry = serde_json::from_slice(entry).map_err(|error| damaged(&error))?;
        let message = |stored: StoredMessage| -> Result<NewMessage, EntryError> {
            let kept = Bytes::from(STANDARD_NO_PAD.decode(&stored.mark).map_err(|error| damaged(&error))?);
            Ok(NewMessage {
                key: Bytes::from(stored.key),
                headers: vec![
                    ("content-type".into(), Bytes::from_static(b"application/json")),
                    (MARK_HEADER.into(), kept),
                ],
                value: Some(Bytes::from(stored.value)),
                placement: if entry.is_rejected { Placement::Fixed(0) } else { Placement::ByKey },
            })
        };
        Ok(Self {
            process: entry.process,
            source: source.to_owned(),
            received_at: Timestamp::from_micros(received_at_us).map_err(|error| damaged(&error))?,
            attempt: entry.attempt,
            topic: if entry.is_rejected { Topic::Rejected } else { Topic::Records },
            messages: entry.messages.into_iter().map(message).collect::<Result<_, _>>()?,
        })
    }
}

/// The mark among a message's headers; empty where there is none.
pub(crate) fn mark(headers: &[(HeaderName, Bytes)]) -> &[u8] {
    headers.iter().find(|(name, _)| *name == MARK_HEADER).map(|(_, value)| &**value).unwrap_or_default()
}

/// Keys and values of ours are UTF-8: routing keys, source names, JSON.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    v: u32,
    process: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<Uuid>,
    is_rejected: bool,
    messages: Vec<StoredMessage>,
}

#[derive(Serialize, Deserialize)]
struct StoredMessage {
    key: String,
    mark: String,
    value: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(record: &AuditRecord) -> NewMessage {
        audit_journal::record_message(record, Default::default())
    }

    fn waiting() -> Waiting {
        let record = json!({
            "id": "r1", "action": "flag.state.changed", "log": "checkout was switched on",
            "occurred_at": "2026-11-21T09:00:00Z", "recorded_at": "2026-11-21T09:00:00Z",
            "author": {"type": "unknown"}, "organisation": {"key": "acme"}, "project": {"id": "1"},
            "related_object_type": "FEATURE", "attributes": {"big": 1}, "tomorrow": [1],
            "source": {
                "name": "own", "system": "native", "event": "e", "received_at": "2026-11-21T09:00:00Z",
                "authenticated": "token",
            },
        });
        let record = AuditRecord::from_json(record.to_string().as_bytes()).unwrap();
        Waiting::records(Uuid::new_v4(), "own", now(), &[record.clone(), record], message)
    }

    #[test]
    fn every_message_has_a_mark_of_its_own() {
        let waiting = waiting();
        let marks: Vec<&[u8]> = waiting.marks().collect();
        assert!(marks.iter().all(|mark| mark.len() == 16));
        assert_ne!(marks[0], marks[1]);
    }

    #[test]
    fn an_entry_comes_back_with_its_marks_and_only_the_append_time_changes() {
        let mut waiting = waiting();
        waiting.attempt = Some(Uuid::new_v4());
        let entry = waiting.to_entry();
        let mut back = Waiting::from_entry("own", waiting.received_at.micros(), &entry).unwrap();
        assert_eq!(
            (back.process, back.attempt, back.topic),
            (waiting.process, waiting.attempt, waiting.topic)
        );
        back.restamp(message).unwrap();
        assert!(back.marks().eq(waiting.marks()));
        for (before, after) in waiting.messages.iter().zip(&back.messages) {
            assert_eq!(before.key, after.key);
            let mut before: serde_json::Value =
                serde_json::from_slice(before.value.as_ref().unwrap()).unwrap();
            let mut after: serde_json::Value = serde_json::from_slice(after.value.as_ref().unwrap()).unwrap();
            assert!(after["recorded_at"].as_str() > before["recorded_at"].as_str());
            before["recorded_at"].take();
            after["recorded_at"].take();
            assert_eq!(before, after);
        }
    }

    #[test]
    fn an_entry_of_a_later_release_is_left_alone() {
        let entry = br#"{"v":2,"something":"else"}"#;
        assert!(matches!(Waiting::from_entry("own", 0, entry), Err(EntryError::Newer(2))));
        assert!(matches!(Waiting::from_entry("own", 0, b"x"), Err(EntryError::Damaged(_))));
    }
}
