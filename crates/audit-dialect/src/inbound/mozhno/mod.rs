//! можно (mozhno): its webhook sends whatever the user's body template makes, and escapes nothing.
//!
//! Best read is [`MOZHNO_TEMPLATE`], which survives every value; a template of JSON is read as well, as far as
//! it goes. The time is that of the dispatch, and an archived flag's body names neither flag nor anything else
//! that differs from the next one's: so no body dates itself, and equal bodies are different changes.

mod event;
mod json_body;
mod template;

use audit_record::{
    Access, AccessScope, Author, AuthorKind, Change, Draft, Effect, Map, ObjectRef, Ref, Subject, Target,
    Timestamp,
};

use serde_json::{Value, json};

use self::event::{Said, meaning};
pub use self::template::MOZHNO_TEMPLATE;
use super::hints::HandleIs;
use super::intake::{Intake, REPLACES, Redacted};
use super::redact::USUAL_SECRETS;
use super::{Refusal, Translation};

/// What to do about a body that can't be read.
const MEND: &str = "put Flagtrail's body template for mozhno into the webhook (it is in the README)";

pub(super) fn translate(intake: &Intake<'_>) -> Result<Translation, Refusal> {
    if intake.request.body.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::new(format!(
            "the body is empty, as mozhno sends it where the webhook has none: {MEND}"
        )));
    }
    let mut redacted = Redacted::default();
    let said = read(intake.request.body, |body| redacted = intake.redact(body, USUAL_SECRETS))?;
    let Some(event) = said.action.clone() else {
        return Err(Refusal::new(if said.saw_placeholder {
            format!(
                "the placeholders came as they stand, such as [[events.action]]: write them in double curly \
                 braces, or {MEND}"
            )
        } else {
            format!("the body names no event: {MEND}")
        }));
    };
    let (action, object_type) = meaning(&event).ok_or_else(|| {
        Refusal::new(format!("{event:?} is no event of mozhno, such as flag.created: {MEND}"))
    })?;

    let mut draft = intake.draft(&event);
    let is_about_users = object_type == "USER";
    let stated = match object_type.as_str() {
        "PROJECT" => said.project_id.clone().or(said.resource_id.clone()),
        _ => said.project_id.clone(),
    };
    let stated = stated.map(|id| {
        let name = said.resource_name.clone().filter(|_| object_type == "PROJECT");
        Ref { name, ..Ref::by_id(id) }
    });
    draft.project = if is_about_users {
        stated
    } else {
        Some(intake.require_project(stated, HandleIs::Id, &format!("mozhno's {event} event"))?)
    };
    draft.occurred_at = Some(said.timestamp.as_deref().and_then(time).unwrap_or(intake.received_at()));
    draft.author = Some(author(&said));
    draft.log = Some(sentence(&event, &said));
    draft.action = Some(action);
    about(&mut draft, intake, &object_type, &event, &said);
    draft.related_object_type = Some(object_type);
    draft.attributes = said.rest;
    let kept = [
        ("details", said.details),
        ("resource_type", said.resource_type),
        // A time that is none, or is finer than a record's, stays as it was said.
        ("timestamp", said.timestamp.filter(|text| time(text).is_none() || is_finer(text))),
        ("unread_text", said.unread),
    ];
    for (name, value) in kept {
        if let Some(value) = value {
            draft.attributes.insert(name.to_owned(), value.into());
        }
    }
    redacted.note(&mut draft);
    Ok(Translation { drafts: vec![draft] })
}

/// Reads the body, once `redact` took the secrets out of it where it is JSON.
fn read(body: &[u8], redact: impl FnOnce(&mut Value)) -> Result<Said, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| Refusal::new("the body is not UTF-8"))?;
    if template::is_ours(text) {
        return template::read(text).map_err(|problem| {
            Refusal::new(format!("the body is not what Flagtrail's template makes, {problem}: {MEND}"))
        });
    }
    json_body::read(text, redact).or_else(|| json_body::read_broken(text)).ok_or_else(|| {
        Refusal::new(format!(
            "the body is no JSON that can be read in one way only, because mozhno escapes nothing (a quote in \
             a name is enough): {MEND}"
        ))
    })
}

fn time(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text.trim()).ok()
}

/// Whether a time has more digits than a record keeps: Java's clock has nine of them on some systems.
fn is_finer(text: &str) -> bool {
    const DIGITS_KEPT: usize = 6;
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    fraction.bytes().take_while(u8::is_ascii_digit).count() > DIGITS_KEPT
}

/// The user; можно sends empty values for a change by itself, or by nobody it knows.
fn author(said: &Said) -> Author {
    let (id, name, email) = (said.user_id.clone(), said.user_name.clone(), said.user_email.clone());
    let kind = if id.is_some() || name.is_some() || email.is_some() {
        AuthorKind::User
    } else {
        AuthorKind::Unknown
    };
    Author { id, name, email, ..Author::new(kind) }
}

/// Fills what the change is about: flag, environment, target, related object, access.
fn about(draft: &mut Draft, intake: &Intake<'_>, object_type: &str, event: &str, said: &Said) {
    let object = Ref { id: said.resource_id.clone(), name: said.resource_name.clone(), ..Ref::default() };
    let details = said.details.as_deref().unwrap_or_default();
    let mut environment = None;
    match object_type {
        "FEATURE" => {
            let key = after_any(details, &["Flag created: ", "Flag updated: "]).map(str::to_owned);
            draft.flag = Some(Ref { key, ..object.clone() }).filter(|flag| !flag.is_empty());
            draft.change = archived(event);
        }
        "STRATEGY" => {
            // Its name is the flag's; its id is the strategy's own.
            draft.flag = said.resource_name.clone().map(Ref::by_name);
            environment = after_any(details, &["Strategy updated for env ", "Strategy upserted for env "])
                .map(|id| Ref::by_id(id.trim()));
        }
        "ENVIRONMENT" => environment = Some(object.clone()).filter(|object| !object.is_empty()),
        "USER" => draft.access = access(event, details, said),
        _ => {}
    }
    draft.environment = intake.environment(environment, HandleIs::Id);
    draft.target = match object_type {
        "STRATEGY" | "ENVIRONMENT" => draft.environment.clone().map(|env| Target::new("environment", env)),
        "SEGMENT" => Some(Target::new("segment", object.clone())).filter(|target| !target.what.is_empty()),
        _ => None,
    };
    let what = if object_type == "FEATURE" { draft.flag.clone().unwrap_or(object) } else { object };
    draft.related_object = ObjectRef { uuid: None, what };
}

/// The change that archiving is by its name alone. What was before nobody says: можно may tell of a flag that was archived
/// already.
fn archived(event: &str) -> Option<Change> {
    let after = match event {
        "flag.archived" => true,
        "flag.unarchived" => false,
        _ => return None,
    };
    Some(Change::between(None, Some(json!({ "archived": after }))))
}

/// A user of можно is one with access: being created grants it, being deleted takes it away. An update says what the
/// role is, not whether it was another before.
fn access(event: &str, details: &str, said: &Said) -> Option<Access> {
    let role = field(details, "Role").map(str::to_owned);
    let status = field(details, "Status");
    let is_out = status.is_some_and(|status| {
        ["inactive", "disabled", "blocked", "suspended"].iter().any(|word| status.eq_ignore_ascii_case(word))
    });
    let effect = match event.rsplit(['.']).next() {
        Some("deleted") => Effect::Removed,
        Some("created") => Effect::Granted,
        Some("updated") if is_out => Effect::Removed,
        Some("updated") if role.is_some() => Effect::Snapshot,
        _ => return None,
    };
    let mut extra = Map::new();
    // A user has one role.
    if effect == Effect::Snapshot {
        extra.insert(REPLACES.to_owned(), true.into());
    }
    let is_email = said.resource_name.as_deref().is_some_and(|name| name.contains('@'));
    let (email, name) =
        if is_email { (said.resource_name.clone(), None) } else { (None, said.resource_name.clone()) };
    Some(Access {
        subject: Subject {
            kind: "user".to_owned(),
            id: said.resource_id.clone(),
            email,
            name,
            extra: Map::new(),
        },
        scope: AccessScope { kind: "account".to_owned(), ..AccessScope::default() },
        role,
        effect,
        extra,
    })
}

/// The value of `name` in "Role: X, Status: Y".
fn field<'a>(details: &'a str, name: &str) -> Option<&'a str> {
    details
        .split(',')
        .find_map(|part| part.trim().strip_prefix(name)?.trim_start().strip_prefix(':').map(str::trim))
        .filter(|value| !value.is_empty())
}

fn after_any<'a>(text: &'a str, beginnings: &[&str]) -> Option<&'a str> {
    beginnings
        .iter()
        .find_map(|beginning| text.strip_prefix(beginning))
        .filter(|rest| !rest.trim().is_empty())
}

fn sentence(event: &str, said: &Said) -> String {
    let mut text = match (&said.details, event.strip_prefix("user.")) {
        // Of users the details say only what they have now.
        (Some(details), Some(verb)) if !details.starts_with("User") => format!("User {verb}: {details}"),
        (Some(details), _) => details.clone(),
        (None, _) => event.to_owned(),
    };
    match (&said.resource_name, &said.resource_id) {
        (Some(name), _) if !text.contains(name.as_str()) => text += &format!(" ({name})"),
        (None, Some(id)) => text += &format!(" (id {id})"),
        _ => {}
    }
    text
}
