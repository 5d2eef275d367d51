//! The wire formats of other systems, in and out. Pure functions: no I/O, no clock, no randomness.
//!
//! Inbound, a platform's webhook request becomes zero or more [`audit_record::Draft`]s, or a [`Refusal`] that
//! says why; the caller keeps what was refused.
//!
//! Outbound, a record's stored bytes become a request in another system's words: see [`outbound`].

mod inbound;
pub mod outbound;
mod platform;
mod signature;

pub use inbound::{
    HookRequest, MOZHNO_TEMPLATE, Refusal, Shown, SourceContext, Translation, shown, translate,
};
pub use platform::Platform;
pub use signature::{SignatureCheck, check_signature};
