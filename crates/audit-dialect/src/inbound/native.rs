//! Our own record, from code that can't reach `POST /v1/records`: one record, an array of them, or NDJSON.
//!
//! The source decides whose records they are: organisation, source name, receipt and authentication are
//! its own, whatever the sender says. What the sender left out is filled where there is one right answer.

use audit_record::{AuditRecord, Author, AuthorKind, Draft, Map, ObjectRef, Source, parse_strict};
use serde_json::Value;

use super::hints::HandleIs;
use super::intake::Intake;
use super::{Refusal, Translation};
use crate::platform::Platform;

pub(super) fn translate(intake: &Intake<'_>) -> Result<Translation, Refusal> {
    let payload = intake.payload()?;
    let values = split(&payload)?;
    let count = values.len();
    let drafts = values.into_iter().enumerate().map(|(index, value)| {
        let origin = Origin { event: None, delivery_id: None };
        draft(intake, value, origin).map_err(|refusal| {
            if count == 1 { refusal } else { Refusal::new(format!("record {}: {refusal}", index + 1)) }
        })
    });
    Ok(Translation { drafts: drafts.collect::<Result<_, _>>()? })
}

/// One record, the records of an array, or one record a line.
fn split(payload: &[u8]) -> Result<Vec<Value>, Refusal> {
    let whole = match parse_strict(payload) {
        Ok(Value::Array(items)) if items.is_empty() => {
            return Err(Refusal::new("the body is an empty array: it must hold at least one record"));
        }
        Ok(Value::Array(items)) => return Ok(items),
        Ok(value) => return Ok(vec![value]),
        Err(error) => error,
    };
    let lines: Vec<&[u8]> =
        payload.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    // A body is taken for NDJSON where its first line is an object of its own.
    if lines.len() < 2 || !matches!(parse_strict(lines[0]), Ok(Value::Object(_))) {
        return Err(Refusal::new(format!("the body is {whole}")));
    }
    let read = |(index, line): (usize, &&[u8])| {
        parse_strict(line).map_err(|error| Refusal::new(format!("record {} is {error}", index + 1)))
    };
    lines.iter().enumerate().map(read).collect()
}

/// Where a record came from, as far as an envelope around it says.
pub(super) struct Origin {
    /// What the sender calls the event.
    pub(super) event: Option<String>,
    /// The sender's id of the delivery.
    pub(super) delivery_id: Option<String>,
}

/// One record with its gaps filled, checked whole.
pub(super) fn draft(intake: &Intake<'_>, value: Value, origin: Origin) -> Result<Draft, Refusal> {
    let Value::Object(mut map) = value else {
        return Err(Refusal::new("a record is a JSON object"));
    };
    let stated_source = map.remove("source");
    // The log dates a record itself.
    map.remove("recorded_at");
    let mut draft = Draft::from_value(Value::Object(map)).map_err(invalid)?;
    let event = origin
        .event
        .or_else(|| stated(&stated_source, "event"))
        .or_else(|| draft.action.as_ref().map(ToString::to_string));
    let filled = intake.draft(event.as_deref().unwrap_or("record"));
    draft.source = filled.source.map(|source| Source {
        delivery_id: origin.delivery_id.or_else(|| stated(&stated_source, "delivery_id")),
        system: match intake.platform {
            Platform::Native => stated(&stated_source, "system").unwrap_or(source.system),
            _ => source.system,
        },
        extra: unknown_fields(stated_source),
        ..source
    });
    let organisation = std::mem::replace(&mut draft.organisation, filled.organisation);
    if let Some(stated) = organisation
        && draft.organisation.as_ref() != Some(&stated)
    {
        // Not what counts, but what was said.
        let mut said = Map::new();
        for (name, value) in [("id", stated.id), ("key", stated.key), ("name", stated.name)] {
            said.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        draft.attributes.insert("stated_organisation".to_owned(), said.into());
    }
    draft.project = intake.project(draft.project, HandleIs::Key);
    draft.environment = intake.environment(draft.environment, HandleIs::Key);
    draft.author.get_or_insert_with(|| Author::new(AuthorKind::Unknown));
    draft.occurred_at.get_or_insert(intake.received_at());
    if let (Some(flag), None) = (&draft.flag, &draft.related_object_type) {
        draft.related_object_type = Some("FEATURE".to_owned());
        if draft.related_object.what.is_empty() {
            draft.related_object = ObjectRef { uuid: None, what: flag.clone() };
        }
    }
    if draft.log.as_deref().unwrap_or_default().is_empty()
        && let Some(action) = &draft.action
    {
        let flag = draft.flag.as_ref().and_then(audit_record::Ref::handle);
        draft.log = Some(flag.map_or_else(|| action.to_string(), |flag| format!("{action}: {flag}")));
    }
    check(&draft, intake)?;
    Ok(draft)
}

/// Whether it becomes a record once it has an id and a time of recording.
fn check(draft: &Draft, intake: &Intake<'_>) -> Result<(), Refusal> {
    let mut whole = draft.clone();
    whole.recorded_at = Some(intake.received_at());
    whole.id.get_or_insert_with(|| "to be made".to_owned());
    AuditRecord::try_new(whole).map(drop).map_err(|error| Refusal::new(error.to_string()))
}

fn invalid(violations: Vec<audit_record::Violation>) -> Refusal {
    Refusal::new(audit_record::RecordError::Invalid(violations).to_string())
}

fn stated(source: &Option<Value>, field: &str) -> Option<String> {
    super::json::text(source.as_ref()?.get(field)?)
}

/// What the sender said about its source that is no field of ours.
fn unknown_fields(source: Option<Value>) -> Map {
    let Some(Value::Object(mut map)) = source else { return Map::new() };
    for known in ["name", "system", "event", "delivery_id", "received_at", "authenticated"] {
        map.remove(known);
    }
    map
}
