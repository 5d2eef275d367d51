//! Sending: everything between a record and the answer of a receiver. Knows nothing of cursors.

mod attempt;
mod client;
mod egress;
mod envelope;
mod failure;
mod marks;
mod retry_after;
mod signature;

pub use client::ClientError;
pub use egress::{Egress, EgressConfig, Refusal};
pub use failure::FailureClass;

pub(crate) use attempt::{Answer, Parcel, Verdict, attempt};
pub(crate) use client::client;
pub(crate) use envelope::envelope;
pub(crate) use marks::Marks;
pub(crate) use signature::Signer;
