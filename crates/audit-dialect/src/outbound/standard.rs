//! The formats that hold the record itself. It is spliced in as the bytes that stand on the log, never
//! re-serialised: what a receiver hashes is what the archive holds.

use std::borrow::Cow;

use audit_record::{AuditRecord, CE_SPECVERSION, ce_headers, ce_source};
use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;

use super::rendered::{RenderError, Rendered};

/// The media type of JSON.
pub(super) const JSON: &str = "application/json";

/// The media type of a structured CloudEvent.
const CLOUDEVENTS_JSON: &str = "application/cloudevents+json";

/// What the HTTP binding of CloudEvents percent-encodes in a header beside what is not ASCII.
const HEADER_ESCAPES: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The fields that an envelope repeats. Reading them checks, too, that the bytes are JSON.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    occurred_at: Cow<'a, str>,
}

fn head(stored: &[u8]) -> Result<Head<'_>, RenderError> {
    serde_json::from_slice(stored).map_err(|error| RenderError::NotARecord(error.to_string()))
}

/// Standard Webhooks' body of a record.
pub(super) fn standard_webhooks(stored: &Bytes) -> Result<Rendered, RenderError> {
    let Head { action, occurred_at } = head(stored)?;
    let body = envelope(&action, &occurred_at, stored);
    Ok(json(action, body))
}

/// `{"type", "timestamp", "data"}` around a record's bytes, which nobody reads here: the body of Standard
/// Webhooks.
pub fn envelope(event: &str, occurred_at: &str, stored: &[u8]) -> Bytes {
    let mut body = Vec::with_capacity(stored.len() + event.len() + occurred_at.len() + 64);
    body.extend_from_slice(br#"{"type":"#);
    string(event, &mut body);
    body.extend_from_slice(br#","timestamp":"#);
    string(occurred_at, &mut body);
    body.extend_from_slice(br#","data":"#);
    body.extend_from_slice(stored);
    body.push(b'}');
    body.into()
}

/// The record alone.
pub(super) fn record(stored: &Bytes) -> Result<Rendered, RenderError> {
    Ok(json(head(stored)?.action, stored.clone()))
}

/// Nothing but the request itself.
pub(super) fn nothing(stored: &Bytes) -> Result<Rendered, RenderError> {
    Ok(Rendered { event: head(stored)?.action.into_owned(), ..Rendered::default() })
}

/// A structured CloudEvent.
pub(super) fn cloudevents_structured(stored: &Bytes, record: &AuditRecord) -> Rendered {
    let mut body = Vec::with_capacity(stored.len() + 512);
    let mut separator = b'{';
    for (name, value) in attributes(record) {
        body.push(separator);
        separator = b',';
        string(name, &mut body);
        body.push(b':');
        string(&value, &mut body);
    }
    body.extend_from_slice(br#","data":"#);
    body.extend_from_slice(stored);
    body.push(b'}');
    Rendered {
        content_type: Some(CLOUDEVENTS_JSON.to_owned()),
        ..json(record.action().as_str().into(), body)
    }
}

/// A binary CloudEvent. A media type other than JSON would be one of another body, so the record's is set
/// here; the endpoint's own counts all the same.
pub(super) fn cloudevents_binary(stored: &Bytes, record: &AuditRecord) -> Rendered {
    let headers = attributes(record)
        .into_iter()
        .filter_map(|(name, value)| {
            let header = match name {
                "specversion" => "ce-specversion",
                "id" => "ce-id",
                "source" => "ce-source",
                "type" => "ce-type",
                "time" => "ce-time",
                "subject" => "ce-subject",
                _ => return None,
            };
            Some((header, utf8_percent_encode(&value, HEADER_ESCAPES).to_string()))
        })
        .collect();
    Rendered { headers, ..json(record.action().as_str().into(), stored.clone()) }
}

/// The attributes of a record's event, as on the log.
fn attributes(record: &AuditRecord) -> Vec<(&'static str, String)> {
    let subject = ce_headers(record).into_iter().find(|(name, _)| *name == "ce_subject");
    let mut attributes = vec![
        ("specversion", CE_SPECVERSION.to_owned()),
        ("id", record.id().to_owned()),
        ("source", ce_source(&record.routing_key())),
        ("type", record.action().to_string()),
        ("time", record.occurred_at().to_string()),
    ];
    attributes.extend(subject.map(|(_, subject)| ("subject", subject)));
    attributes.push(("datacontenttype", JSON.to_owned()));
    attributes
}

/// JSON that tells of `event`.
pub(super) fn json(event: Cow<'_, str>, body: impl Into<Bytes>) -> Rendered {
    Rendered {
        event: event.into_owned(),
        content_type: Some(JSON.to_owned()),
        body: Some(body.into()),
        ..Rendered::default()
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    // Writing to a Vec can't fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_bytes_stand_in_the_body_as_they_are() {
        let stored = "{ \"b\":1.0, \"a\":\"\\u00e9\u{1F600}\", \"action\":\"flag.created\", \
                      \"n\":9007199254740993, \"occurred_at\":\"2026-08-21T17:30:57.006318Z\" }";
        let rendered = standard_webhooks(&Bytes::from_static(stored.as_bytes())).unwrap();
        let begin = r#"{"type":"flag.created","timestamp":"2026-08-21T17:30:57.006318Z","data":"#;
        assert_eq!(rendered.body.unwrap(), format!("{begin}{stored}}}").as_bytes());
        assert_eq!(rendered.event, "flag.created");
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        assert!(matches!(standard_webhooks(&Bytes::from_static(b"[]")), Err(RenderError::NotARecord(_))));
        assert!(matches!(record(&Bytes::from_static(b"{")), Err(RenderError::NotARecord(_))));
    }
}
