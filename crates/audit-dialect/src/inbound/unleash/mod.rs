//! Unleash: events of its event log, as its webhook integration sends them, or as a body template wraps
//! them. It signs nothing, retries nothing, and sends any type of event that is subscribed to.

mod access;
mod author;
mod body;
mod event;
mod role;
mod types;

use serde_json::Value;

use super::intake::Intake;
use super::json::text_at;
use super::redact::USUAL_SECRETS;
use super::{Refusal, Translation};

/// Fields that hold a secret wherever they stand: of API tokens, integrations, signal endpoints, sign-up
/// links.
pub(super) const SECRETS: &[&str] =
    &["secret", "token", "password", "apiKey", "accessToken", "authorization", "customHeaders", "inviteLink"];

/// Events about a link by which anybody may sign up; whoever has its URL can.
const SIGN_UP_TOKEN: &str = "public-signup-token";

/// What is a secret beside [`SECRETS`] in an event about such a link.
const SIGN_UP_SECRETS: &[&str] = &["url"];

/// Where a record's attributes have what a body template put around the event.
const TEMPLATE: &str = "/template";

pub(super) fn translate(intake: &Intake<'_>) -> Result<Translation, Refusal> {
    let mut body = body::open(intake)?;
    let rules = [SECRETS, further_secrets(&body.event)].concat();
    let redacted = intake.redact(&mut body.event, &rules);
    // What is around the event is the template's, and may be of any form.
    let rules = [rules.as_slice(), USUAL_SECRETS].concat();
    let redacted = redacted.and(intake.redact_fields(&mut body.around, &rules).under(TEMPLATE));
    let mut drafts = event::translate(intake, body)?;
    for draft in &mut drafts {
        redacted.note(draft);
    }
    Ok(Translation { drafts })
}

/// What is a secret in this event alone.
pub(super) fn further_secrets(event: &Value) -> &'static [&'static str] {
    let is_sign_up_link = text_at(event, "type").is_some_and(|kind| kind.starts_with(SIGN_UP_TOKEN));
    if is_sign_up_link { SIGN_UP_SECRETS } else { &[] }
}

/// The types of events that are told apart, by name.
pub(crate) fn type_names() -> impl Iterator<Item = &'static str> {
    types::EVENT_TYPES.iter().map(|known| known.name)
}

pub(crate) use event::told_by_type;

/// The action of a type of events.
pub(crate) fn action_of(kind: &str) -> Option<&'static str> {
    types::event_type(kind).map(|known| known.action)
}

/// Every type of events and its action, for the test against the catalogue.
#[cfg(test)]
pub(super) fn known_types() -> impl Iterator<Item = (&'static str, &'static str)> {
    types::EVENT_TYPES.iter().map(|known| (known.name, known.action))
}
