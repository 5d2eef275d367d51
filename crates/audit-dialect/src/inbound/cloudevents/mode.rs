//! The three modes of CloudEvents over HTTP: structured, batched and binary.

use audit_record::{Map, parse_strict};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;
use serde_json::Value;

use crate::inbound::Refusal;
use crate::inbound::intake::Intake;

/// An event: its context attributes, and its data.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) attributes: Map,
    pub(super) data: Option<Value>,
}

/// The events of a request, in order.
pub(super) fn read(intake: &Intake<'_>) -> Result<Vec<Event>, Refusal> {
    let content_type = header(intake, "content-type").unwrap_or_default().to_ascii_lowercase();
    if !content_type.starts_with("application/cloudevents") && header(intake, "ce-specversion").is_some() {
        return Ok(vec![binary(intake, &content_type)?]);
    }
    match intake.json()? {
        Value::Array(items) if items.is_empty() => {
            Err(Refusal::new("the batch is empty: it must hold at least one event"))
        }
        Value::Array(items) => items.into_iter().map(structured).collect(),
        value => Ok(vec![structured(value)?]),
    }
}

fn structured(value: Value) -> Result<Event, Refusal> {
    let Value::Object(mut attributes) = value else {
        return Err(Refusal::new("a CloudEvent is a JSON object with specversion, id, source and type"));
    };
    let data = match (attributes.remove("data"), attributes.remove("data_base64")) {
        (Some(_), Some(_)) => return Err(Refusal::new("an event has data or data_base64, not both")),
        (Some(data), None) => Some(data).filter(|data| !data.is_null()),
        (None, Some(Value::String(text))) => {
            let bytes =
                STANDARD.decode(text.as_bytes()).map_err(|_| Refusal::new("data_base64 is not base64"))?;
            Some(of_bytes(&bytes, attributes.get("datacontenttype").and_then(Value::as_str)))
        }
        (None, Some(Value::Null) | None) => None,
        (None, Some(_)) => return Err(Refusal::new("data_base64 must be a string")),
    };
    Ok(Event { attributes, data })
}

fn binary(intake: &Intake<'_>, content_type: &str) -> Result<Event, Refusal> {
    let mut attributes = Map::new();
    for (name, value) in intake.request.headers {
        let name = name.to_ascii_lowercase();
        let Some(attribute) = name.strip_prefix("ce-") else { continue };
        // The HTTP binding percent-encodes what a header can't hold.
        let text = percent_decode(value)
            .decode_utf8()
            .map_err(|_| Refusal::new(format!("the header {name} is not percent-encoded UTF-8")))?;
        if attributes.insert(attribute.to_owned(), text.into()).is_some() {
            return Err(Refusal::new(format!("the header {name} stands twice")));
        }
    }
    let body = intake.request.body;
    let data = (!body.is_empty()).then(|| of_bytes(body, Some(content_type)));
    Ok(Event { attributes, data })
}

/// Data as JSON where it is declared so or is none the less an object, as text where it is text, else as base64.
fn of_bytes(bytes: &[u8], content_type: Option<&str>) -> Value {
    let is_json = content_type.is_none_or(|text| text.is_empty() || text.contains("json"));
    if is_json && let Ok(value) = parse_strict(bytes) {
        return value;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => STANDARD.encode(bytes).into(),
    }
}

fn header<'a>(intake: &'a Intake<'_>, name: &str) -> Option<&'a str> {
    let (_, value) = intake.request.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(value).ok()
}
