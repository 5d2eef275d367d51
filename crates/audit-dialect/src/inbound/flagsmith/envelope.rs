//! The wrapper `{"data": …, "event_type": …}`. The software always sends it; its documentation shows some
//! bodies without, so those are understood too.

use audit_record::Map;
use serde_json::Value;

use crate::inbound::Refusal;

/// What the data looks like, which decides how it is read; the event's name is kept as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `FLAG_UPDATED`, `FLAG_DELETED`: states before and after.
    State,
    /// `NEW_VERSION_PUBLISHED`: the states of a version.
    Version,
    /// `AUDIT_LOG_CREATED`: an entry of the audit log.
    Audit,
}

/// An opened envelope.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// What Flagsmith calls the event.
    pub(super) event: String,
    pub(super) shape: Shape,
    pub(super) data: Map,
    /// What stood beside `data` and `event_type`: nothing, today.
    pub(super) beside: Map,
}

impl Envelope {
    pub(super) fn open(body: Value) -> Result<Self, Refusal> {
        let Value::Object(mut outer) = body else {
            return Err(Refusal::new("the body is no JSON object, as every Flagsmith event is"));
        };
        let event = outer.get("event_type").and_then(Value::as_str);
        let event = event.filter(|event| !event.is_empty()).map(str::to_owned);
        let (data, beside) = match outer.remove("data") {
            Some(Value::Object(data)) => {
                if event.is_some() {
                    outer.remove("event_type");
                }
                (data, outer)
            }
            Some(other) => {
                outer.insert("data".to_owned(), other);
                (outer, Map::new())
            }
            None => (outer, Map::new()),
        };
        let shape = shape(event.as_deref(), &data)?;
        let event = event.unwrap_or_else(|| implied_event(shape, &data).to_owned());
        Ok(Self { event, shape, data, beside })
    }
}

/// By the event's name where it is known, else by what the data holds: an event of tomorrow that looks
/// like one of today is read like it.
fn shape(event: Option<&str>, data: &Map) -> Result<Shape, Refusal> {
    match event {
        Some("FLAG_UPDATED" | "FLAG_DELETED") => return Ok(Shape::State),
        Some("NEW_VERSION_PUBLISHED") => return Ok(Shape::Version),
        Some("AUDIT_LOG_CREATED") => return Ok(Shape::Audit),
        _ => {}
    }
    let has = |field: &str| data.contains_key(field);
    if has("new_state") || has("previous_state") {
        Ok(Shape::State)
    } else if has("feature_states") && has("uuid") {
        Ok(Shape::Version)
    } else if has("log") && has("related_object_type") {
        Ok(Shape::Audit)
    } else if has("identity") && has("flags") {
        Err(Refusal::new(
            "this is an evaluation of the webhook integration for identities, which is no change: \
             remove the integration, or point it elsewhere",
        ))
    } else {
        Err(Refusal::new(match event {
            Some(event) => format!("the Flagsmith event {event:?} is not known, and looks like none that is"),
            None => "the body has no event_type and looks like no Flagsmith event".to_owned(),
        }))
    }
}

fn implied_event(shape: Shape, data: &Map) -> &'static str {
    match shape {
        Shape::State if data.get("new_state").is_none_or(Value::is_null) => "FLAG_DELETED",
        Shape::State => "FLAG_UPDATED",
        Shape::Version => "NEW_VERSION_PUBLISHED",
        Shape::Audit => "AUDIT_LOG_CREATED",
    }
}
