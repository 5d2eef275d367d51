//! Finding the event in the body. Without a body template Unleash sends the event as JSON. With one it sends
//! what the template makes, and escapes nothing: only `{{{eventJson}}}`, a JSON string that holds the event,
//! survives every name.

use audit_record::{Map, parse_strict};
use serde_json::Value;

use crate::inbound::Refusal;
use crate::inbound::intake::Intake;

/// The mend for a body that is no event.
pub(super) const MEND: &str = "leave the integration's body template empty (Unleash then sends the event as JSON), \
                    or make it {\"json\": {{{eventJson}}}}";

/// The event, and what a template put around it.
pub(super) struct Body {
    pub(super) event: Value,
    pub(super) around: Map,
    /// Whether the event is only what a template picked out of it.
    pub(super) is_picked: bool,
}

/// What templates of one's own call the fields of an event.
const FIELD_NAMES: &[(&str, &[&str])] = &[
    ("type", &["type", "event"]),
    ("createdBy", &["createdBy", "user", "author"]),
    ("createdAt", &["createdAt", "timestamp", "date"]),
    ("featureName", &["featureName", "feature", "featureToggle", "flag"]),
    ("project", &["project"]),
    ("environment", &["environment"]),
];

pub(super) fn open(intake: &Intake<'_>) -> Result<Body, Refusal> {
    if intake.request.method.eq_ignore_ascii_case("GET")
        && intake.request.query.iter().all(|(n, _)| n != "json")
    {
        return Err(Refusal::new(
            "the request has no body: Unleash follows a redirect with a bare GET and loses the event; \
             point the integration at the final URL",
        ));
    }
    let json = intake.json().map_err(|refusal| Refusal::new(format!("{}; {MEND}", refusal.reason)))?;
    let Value::Object(mut outer) = json else {
        return Err(Refusal::new(format!("the body is no JSON object; {MEND}")));
    };
    if is_event(&outer) {
        return Ok(Body { event: Value::Object(outer), around: Map::new(), is_picked: false });
    }
    let inside = outer.iter().find_map(|(name, value)| Some((name.clone(), inner_event(value)?)));
    if let Some((name, event)) = inside {
        outer.remove(&name);
        // The template's other fields are mostly picked from the event, and empty where it has none such.
        outer.retain(|_, value| {
            !is_blank(value) && event.as_object().is_none_or(|event| event.values().all(|v| v != value))
        });
        return Ok(Body { event, around: outer, is_picked: false });
    }
    by_hand(outer)
}

/// Every event has its type, and the log's id of it.
fn is_event(object: &Map) -> bool {
    let has_type = object.get("type").and_then(Value::as_str).is_some_and(|kind| !kind.is_empty());
    has_type && object.get("id").is_some_and(Value::is_number)
}

/// An event, or the text of one.
fn inner_event(value: &Value) -> Option<Value> {
    let value = match value {
        Value::Object(_) => value.clone(),
        Value::String(text) if text.starts_with('{') => parse_strict(text.as_bytes()).ok()?,
        _ => return None,
    };
    value.as_object().is_some_and(is_event).then_some(value)
}

/// What a template of one's own picked out of the event: as much of it as goes by a known name.
fn by_hand(mut outer: Map) -> Result<Body, Refusal> {
    let mut event = Map::new();
    for (field, names) in FIELD_NAMES {
        if let Some(name) =
            names.iter().find(|name| outer.get(**name).is_some_and(|v| v.is_string() || v.is_number()))
        {
            let value = outer.remove(*name).unwrap_or_default();
            if !is_blank(&value) {
                event.insert((*field).to_owned(), value);
            }
        }
    }
    if !event.contains_key("type") {
        return Err(Refusal::new(format!("the body says no type of event; {MEND}")));
    }
    outer.retain(|_, value| !is_blank(value));
    Ok(Body { event: Value::Object(event), around: outer, is_picked: true })
}

/// What a template makes of a field that the event lacks.
fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}
