//! Unleash: events of its event log, as its webhook integration sends them, or as a body template wraps
//! them. It signs nothing, retries nothing, and sends any type of event that is subscribed to.

mod access;
mod author;
mod body;
mod event;
mod role;
mod types;

use super::intake::Intake;
use super::json::text_at;
use super::{Refusal, Translation};

/// Fields that hold a secret wherever they stand: of API tokens, integrations, signal endpoints, sign-up
/// links.
pub(super) const SECRETS: &[&str] =
    &["secret", "token", "password", "apiKey", "accessToken", "authorization", "customHeaders", "inviteLink"];

/// Events about a link by which anybody may sign up; whoever has its URL can.
const SIGN_UP_TOKEN: &str = "public-signup-token";

pub(super) fn translate(intake: &Intake<'_>) -> Result<Translation, Refusal> {
    let mut body = body::open(intake)?;
    let is_sign_up_link = text_at(&body.event, "type").is_some_and(|kind| kind.starts_with(SIGN_UP_TOKEN));
    let rules = if is_sign_up_link { [SECRETS, &["url"]].concat() } else { SECRETS.to_vec() };
    let redacted = intake.redact(&mut body.event, &rules);
    let mut draft = event::translate(intake, body)?;
    redacted.note(&mut draft);
    Ok(Translation { drafts: vec![draft] })
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
