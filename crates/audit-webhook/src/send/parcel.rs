//! A record on its way to endpoints: what is made once for all of them.

use std::sync::OnceLock;

use audit_dialect::outbound::{StoredRecord, envelope};
use bytes::Bytes;

/// A record, ready for every endpoint.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// The record's id: `webhook-id`, the same on every attempt.
    pub(crate) id: String,
    /// The record as it stands on the log, read for the first endpoint that asks.
    stored: StoredRecord,
    action: String,
    occurred_at: String,
    /// The body of Standard Webhooks, made for the first endpoint that is sent it: many records match none.
    envelope: OnceLock<Bytes>,
}

/// The type of a delivery that stands for a burst.
const COLLAPSED: &str = "flag.changed";

impl Parcel {
    /// Wraps a record's bytes as they stand on the log; `action` and `occurred_at` are the record's own.
    /// The record is spliced in, never re-serialised: what a receiver hashes is what the archive holds.
    pub(crate) fn new(id: String, action: &str, occurred_at: String, stored: Bytes) -> Self {
        Self {
            id,
            stored: StoredRecord::new(stored),
            action: action.to_owned(),
            occurred_at,
            envelope: OnceLock::new(),
        }
    }

    /// The same under another id.
    pub(crate) fn named(self, id: &str) -> Self {
        Self { id: id.to_owned(), ..self }
    }

    /// The record.
    pub(crate) fn stored(&self) -> &StoredRecord {
        &self.stored
    }

    /// The body of Standard Webhooks: `{"type", "timestamp", "data"}`. One that stands for a burst says so by
    /// its type.
    pub(crate) fn envelope(&self, collapsed: bool) -> Bytes {
        let named = |event: &str| envelope(event, &self.occurred_at, self.stored.bytes());
        if collapsed { named(COLLAPSED) } else { self.envelope.get_or_init(|| named(&self.action)).clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Parcel};

    #[test]
    fn the_records_bytes_stand_in_the_body_as_they_are() {
        let record = "{ \"b\":1.0, \"a\":\"\\u00e9\u{1F600}\",  \"n\":9007199254740993 }".as_bytes();
        let (at, stored) = ("2026-08-21T17:30:57.006318Z".to_owned(), Bytes::from_static(record));
        let parcel = Parcel::new("1".to_owned(), "flag.updated", at, stored);
        for (collapsed, action) in [(false, "flag.updated"), (true, "flag.changed")] {
            let body = parcel.envelope(collapsed);
            let (head, tail) = body.split_at(body.len() - record.len() - 1);
            assert_eq!(tail, [record, b"}"].concat());
            let begin = format!(r#"{{"type":"{action}","timestamp":"2026-08-21T17:30:57.006318Z","data":"#);
            assert_eq!(head, begin.as_bytes());
            serde_json::from_slice::<serde_json::Value>(&body).expect("the body is JSON");
        }
    }
}
