//! Flagsmith: environment webhooks, organisation webhooks, and what its "test" buttons send.
//!
//! Several requests tell of one change (an audit entry and a state event, milliseconds apart, with nothing
//! in common to join them by). They stay separate records.

mod audit;
mod author;
mod envelope;
mod flag_state;
mod messages;
mod sentence;
mod state;
mod template;
mod test_request;
mod version;

pub(crate) use audit::{MAY_ALSO_MEAN, READ_FROM_THE_LOG};
pub(crate) use author::split_name;
use envelope::{Envelope, Shape};
use serde_json::Value;

use super::intake::Intake;
use super::{Refusal, Translation};

/// The environment's client-side key stands in every audit entry, and so does when its author last
/// logged in.
pub(super) const SECRETS: &[&str] = &["environment.api_key", "author.last_login"];

pub(super) fn translate(intake: &Intake<'_>) -> Result<Translation, Refusal> {
    let mut body = intake.json()?;
    let redacted = intake.redact(&mut body, SECRETS);
    let mut envelope = Envelope::open(body)?;
    let beside = std::mem::take(&mut envelope.beside);
    let mut draft = if test_request::is_test(&envelope) {
        test_request::translate(intake, envelope)
    } else {
        match envelope.shape {
            Shape::State => state::translate(intake, envelope)?,
            Shape::Version => version::translate(intake, envelope)?,
            Shape::Audit => audit::translate(intake, envelope)?,
        }
    };
    if !beside.is_empty() {
        draft.attributes.insert("envelope".to_owned(), Value::Object(beside));
    }
    redacted.note(&mut draft);
    Ok(Translation { drafts: vec![draft] })
}

/// Every sentence and its action, for the test against the catalogue.
#[cfg(test)]
pub(super) fn sentences() -> impl Iterator<Item = (&'static str, &'static str)> {
    messages::MESSAGES.iter().map(|message| (message.template, message.action))
}

/// Every action that a sentence may also stand for, for the same.
#[cfg(test)]
pub(super) fn other_meanings() -> impl Iterator<Item = &'static str> {
    messages::MESSAGES.iter().flat_map(|message| message.may_also_mean("FEATURE_STATE")).copied()
}

#[cfg(test)]
pub(super) use messages::action_of_unknown;
