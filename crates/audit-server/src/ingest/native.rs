//! A record of our own form, and what is filled in.

use audit_record::{Authenticated, Draft, Map, Ref, Source, Timestamp, Violation};
use serde_json::Value;

use crate::settings::token::Token;

/// What `source.system` says of records in our own form.
const SYSTEM: &str = "native";

/// Fields of `source` that are set here. What a client puts there is kept under `source.claimed`.
const SET_HERE: [&str; 4] = ["name", "system", "received_at", "authenticated"];

/// Why a value is no draft that this token may write.
#[derive(Debug)]
pub(crate) enum Refused {
    /// These fields are wrong.
    Invalid(Vec<Violation>),
    /// The token may not write it.
    Forbidden(Violation),
}

/// Reads one record and fills in what is not the client's to say. Its id may still be missing.
pub(crate) fn draft(mut value: Value, token: &Token, at: Timestamp) -> Result<Draft, Refused> {
    let Some(map) = value.as_object_mut() else {
        return Err(Refused::Invalid(vec![Violation::new("record", "must be a JSON object")]));
    };
    let claimed = match map.remove("source") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(claimed)) => claimed,
        Some(_) => {
            return Err(Refused::Invalid(vec![Violation::new(
                "source",
                "must be an object, or be left out",
            )]));
        }
    };
    // Append time is ours to say.
    map.remove("recorded_at");
    let mut draft = Draft::from_value(value).map_err(Refused::Invalid)?;
    draft.source = Some(source(claimed, &draft, token, at).map_err(|v| Refused::Invalid(vec![v]))?);
    draft.occurred_at.get_or_insert(at);
    draft.recorded_at = Some(at);
    own(&mut draft, token)?;
    Ok(draft)
}

fn source(mut given: Map, draft: &Draft, token: &Token, at: Timestamp) -> Result<Source, Violation> {
    let mut claimed = Map::new();
    for field in SET_HERE {
        if let Some(value) = given.remove(field) {
            claimed.insert(field.to_owned(), value);
        }
    }
    let mut text = |field: &str| match given.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(Violation::new(format!("source.{field}"), "must be a string")),
    };
    let event = text("event")?;
    let delivery_id = text("delivery_id")?;
    let mut extra = given;
    if !claimed.is_empty() {
        extra.insert("claimed".to_owned(), Value::Object(claimed));
    }
    Ok(Source {
        name: token.source.clone(),
        system: SYSTEM.to_owned(),
        event: event.or_else(|| draft.action.as_ref().map(ToString::to_string)).unwrap_or_default(),
        delivery_id,
        received_at: at,
        authenticated: Authenticated::Token,
        extra,
    })
}

/// Holds a draft to what the token may write: its organisation, and its projects where it is limited to some.
pub(crate) fn own(draft: &mut Draft, token: &Token) -> Result<(), Refused> {
    if let Some(given) = draft.organisation.as_ref().filter(|given| !given.is_empty())
        && !token.organisation.agrees_with(given)
    {
        let ours = serde_json::to_string(&token.organisation).unwrap_or_default();
        return Err(Refused::Forbidden(Violation::new(
            "organisation",
            format!("must be the token's, {ours}, or be left out"),
        )));
    }
    draft.organisation = Some(token.organisation.to_ref());
    let Some(projects) = &token.projects else { return Ok(()) };
    if draft.project.as_ref().is_some_and(|project| is_among(project, projects)) {
        return Ok(());
    }
    Err(Refused::Forbidden(Violation::new(
        "project",
        format!("must be one that the token may write: {}", projects.join(", ")),
    )))
}

fn is_among(project: &Ref, projects: &[String]) -> bool {
    [&project.id, &project.key, &project.name].into_iter().flatten().any(|name| projects.contains(name))
}
