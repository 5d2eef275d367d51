//! Sending: everything between a record and the answer of a receiver. Knows nothing of cursors.
//!
//! A [`Target`] is an endpoint prepared for requests, a [`Parcel`] a record prepared for endpoints; the
//! [`Sender`] brings one to the other, as far as the [`Egress`] policy allows.

mod basic;
mod bounds;
mod content;
mod egress;
mod failure;
mod marks;
mod parcel;
mod retry_after;
mod sender;
mod signature;
mod target;
mod texts;
mod tls;
mod transport;

pub use egress::{Egress, EgressConfig, InvalidProxy, ProxyConfig, ProxyUrl, Refusal};
pub use failure::FailureClass;
pub use texts::{TextAddress, TextAnswer, TextPoster};
pub use tls::{TlsError, Unusable};
pub use transport::ClientError;

pub(crate) use bounds::EXCERPT_BYTES_MAX;
pub(crate) use marks::{CHECKPOINT, Marks};
pub(crate) use parcel::Parcel;
pub(crate) use sender::{Answer, Sender, Verdict};
pub(crate) use target::Target;
pub(crate) use tls::check as check_tls;
