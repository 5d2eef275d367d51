//! CloudEvents 1.0 over HTTP: structured, batched, or binary with `ce-…` headers. Data that is our own record
//! becomes that record; any other data is kept under `attributes.data`, with an action made of the type.

mod mode;

use audit_record::{Action, Author, AuthorKind, Draft, Map, ObjectRef, Ref, Timestamp};
use serde_json::Value;

use self::mode::Event;
use super::fields::Fields;
use super::hints::HandleIs;
use super::intake::Intake;
use super::native::{self, Origin};
use super::redact::USUAL_SECRETS;
use super::{Refusal, Translation};

/// Where an event's data stands in its JSON format, however it came.
const DATA: &str = "/data";

/// The object type of an event whose data is not our record.
const OBJECT_TYPE: &str = "EVENT";

/// Stands before a type that has one word only: an action has two.
const ONE_WORD_PREFIX: &str = "event";

pub(super) fn translate(intake: &Intake<'_>) -> Result<Translation, Refusal> {
    let events = mode::read(intake)?;
    let count = events.len();
    let drafts = events.into_iter().enumerate().map(|(index, event)| {
        draft(intake, event).map_err(|refusal| {
            if count == 1 { refusal } else { Refusal::new(format!("event {}: {refusal}", index + 1)) }
        })
    });
    Ok(Translation { drafts: drafts.collect::<Result<_, _>>()? })
}

/// The attributes that every event has.
struct Context {
    id: String,
    source: String,
    kind: String,
    subject: Option<String>,
    time: Option<Timestamp>,
}

fn context(attributes: &mut Fields) -> Result<Context, Refusal> {
    let mut require = |name: &str| {
        attributes.take_text(&[name]).ok_or_else(|| {
            Refusal::new(format!(
                "the event has no {name}: a CloudEvent has specversion, id, source and type"
            ))
        })
    };
    let version = require("specversion")?;
    if !version.starts_with("1.") {
        return Err(Refusal::new(format!("the event is of CloudEvents {version}, and 1.0 is understood")));
    }
    Ok(Context {
        id: require("id")?,
        source: require("source")?,
        kind: require("type")?,
        subject: attributes.take_text(&["subject"]),
        time: attributes.take_time(&["time"]),
    })
}

fn draft(intake: &Intake<'_>, event: Event) -> Result<Draft, Refusal> {
    let mut attributes = Fields::from(event.attributes);
    let context = context(&mut attributes)?;
    // Source and id together name an event; the length keeps the two apart.
    let name = format!("{}:{}{}", context.source.len(), context.source, context.id);
    let id = intake.id_from("cloudevents", &name);
    let mut draft = match event.data {
        Some(Value::Object(record)) if is_our_record(&record) => {
            let mut record = record;
            if let (Some(time), false) = (context.time, record.contains_key("occurred_at")) {
                record.insert("occurred_at".to_owned(), time.to_string().into());
            }
            let origin = Origin { event: Some(context.kind), delivery_id: Some(context.id) };
            native::draft(intake, Value::Object(record), origin)?
        }
        data => foreign(intake, &mut attributes, context, data)?,
    };
    draft.id.get_or_insert(id);
    let mut rest = attributes.rest();
    if !rest.is_empty() {
        // Extensions stand beside the data in an event's JSON format.
        let redacted = intake.redact_fields(&mut rest, USUAL_SECRETS);
        draft.attributes.insert("cloudevent".to_owned(), rest.into());
        redacted.note(&mut draft);
    }
    Ok(draft)
}

/// Whether the data is a record of ours: it says what happened and to what, in our words.
fn is_our_record(data: &Map) -> bool {
    let is_text = |field| data.get(field).is_some_and(Value::is_string);
    is_text("action") && (is_text("related_object_type") || data.get("flag").is_some_and(Value::is_object))
}

fn foreign(
    intake: &Intake<'_>,
    attributes: &mut Fields,
    context: Context,
    data: Option<Value>,
) -> Result<Draft, Refusal> {
    let action = action(&context.kind)?;
    let mut draft = intake.draft(&context.kind);
    draft.project =
        Some(intake.require_project(None, HandleIs::Key, &format!("the event {:?}", context.kind))?);
    draft.environment = intake.environment(None, HandleIs::Key);
    draft.occurred_at = Some(context.time.unwrap_or(intake.received_at()));
    draft.author = Some(author(attributes));
    draft.log = Some(match &context.subject {
        Some(subject) => format!("{}: {subject}", context.kind),
        None => context.kind.clone(),
    });
    let subject = context.subject.map(Ref::by_key);
    if action.as_str().starts_with("flag.") {
        draft.flag = subject.clone();
        draft.related_object_type = Some("FEATURE".to_owned());
    } else {
        draft.related_object_type = Some(OBJECT_TYPE.to_owned());
    }
    draft.related_object = ObjectRef { uuid: None, what: subject.unwrap_or_default() };
    draft.action = Some(action);
    if let Some(source) = &mut draft.source {
        source.delivery_id = Some(context.id);
        source.extra.insert("cloudevents_source".to_owned(), context.source.into());
    }
    if let Some(mut data) = data {
        let redacted = intake.redact(&mut data, USUAL_SECRETS).under(DATA);
        draft.attributes.insert("data".to_owned(), data);
        redacted.note(&mut draft);
    }
    Ok(draft)
}

/// The type with every character that an action can't have turned into `_`: `com.Example.Flag-Changed` is
/// `com.example.flag_changed`.
fn action(kind: &str) -> Result<Action, Refusal> {
    let words: Vec<String> = kind
        .split(['.', '/', ':'])
        .filter(|word| !word.is_empty())
        .map(|word| {
            let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
            word.chars().map(letter).collect()
        })
        .collect();
    let text = match words.as_slice() {
        [one] => format!("{ONE_WORD_PREFIX}.{one}"),
        words => words.join("."),
    };
    Action::try_new(text)
        .map_err(|error| Refusal::new(format!("no action can be made of the type {kind:?}: it {error}")))
}

/// CloudEvents' extension "auth context".
fn author(attributes: &mut Fields) -> Author {
    let kind = attributes.take_text(&["authtype"]);
    let id = attributes.take_text(&["authid"]);
    let kind = match kind.as_deref() {
        Some("app_user" | "user") => AuthorKind::User,
        Some("service_account") => AuthorKind::Service,
        Some("api_key") => AuthorKind::ApiKey,
        Some("system") => AuthorKind::System,
        _ => AuthorKind::Unknown,
    };
    Author { id, ..Author::new(kind) }
}
