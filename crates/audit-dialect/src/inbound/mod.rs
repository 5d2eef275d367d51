//! From a request to drafts: one module a platform, and what they share in [`intake`], [`hints`],
//! [`identity`], [`json`], [`fields`] and [`redact`].
//!
//! **What is kept.** Whatever a record's own fields would not give back stays in its `attributes`, under the
//! platform's own name: what nobody understood, a name that can't be split into its parts again, a time
//! that a record can't hold. So what Flagsmith and Unleash send can be sent again byte for byte, but for secrets, which are
//! gone and marked; what Zenmanage and AB Tasty send comes out in the form that they document, with times in
//! whole seconds and things as flat fields.

use audit_record::{Authenticated, Draft, Ref, Timestamp};
use uuid::Uuid;

use crate::platform::Platform;
pub(crate) use flagsmith::{MAY_ALSO_MEAN, READ_FROM_THE_LOG, split_name};
use intake::Intake;
pub use mozhno::MOZHNO_TEMPLATE;
pub use shown::{Shown, shown};
pub(crate) use unleash::{
    action_of as unleash_action_of, told_by_type as unleash_told_by_type, type_names as unleash_types,
};

mod abtasty;
#[cfg(test)]
mod catalogue;
mod cloudevents;
mod fields;
mod flagsmith;
mod hints;
mod identity;
mod intake;
mod json;
mod mozhno;
mod native;
mod redact;
mod shown;
mod unleash;
mod zenmanage;

/// A webhook request as it came in.
#[derive(Clone, Debug)]
pub struct HookRequest<'a> {
    /// `POST`, `PUT`, `PATCH` or `GET`.
    pub method: &'a str,
    /// The decoded query parameters, in order.
    pub query: &'a [(String, String)],
    /// The headers; names in any case.
    pub headers: &'a [(String, Vec<u8>)],
    /// The raw body.
    pub body: &'a [u8],
    /// When it came in.
    pub received_at: Timestamp,
}

/// What the source's settings say.
#[derive(Clone, Debug)]
pub struct SourceContext<'a> {
    /// The source's name.
    pub name: &'a str,
    /// The organisation configured on it.
    pub organisation: &'a Ref,
    /// The project where neither the body nor the URL names one.
    pub project: Option<&'a Ref>,
    /// The environment where neither the body nor the URL names one.
    pub environment: Option<&'a Ref>,
    /// How the request was authenticated.
    pub authenticated: Authenticated,
    /// The namespace of derived ids ([`Uuid::new_v5`] over source and the platform's id or the body).
    pub namespace: Uuid,
    /// Names of fields that are redacted by default and are to be kept.
    pub redact_keep: &'a [String],
}

/// What a request became.
#[derive(Clone, Debug, Default)]
pub struct Translation {
    /// Drafts that lack only `recorded_at`, and `id` where the platform gives none and the body is not
    /// self-dating: the caller then makes a UUIDv7 and looks for a repeat.
    pub drafts: Vec<Draft>,
}

/// Why a request became no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// What does not fit, and the mend.
    pub reason: String,
}

impl Refusal {
    /// A refusal with `reason`: lower-case, no full stop, naming the thing and the mend.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Translates one request of `platform`.
pub fn translate(
    platform: Platform,
    source: &SourceContext<'_>,
    request: &HookRequest<'_>,
) -> Result<Translation, Refusal> {
    let intake = Intake { platform, source, request };
    match platform {
        Platform::Flagsmith => flagsmith::translate(&intake),
        Platform::Zenmanage => zenmanage::translate(&intake),
        Platform::AbTasty => abtasty::translate(&intake),
        Platform::Mozhno => mozhno::translate(&intake),
        Platform::Unleash => unleash::translate(&intake),
        Platform::CloudEvents => cloudevents::translate(&intake),
        Platform::Native => native::translate(&intake),
    }
}
