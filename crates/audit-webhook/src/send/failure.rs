//! Why a delivery failed: the small enum that everything branches on, found by the types of the causes.

use std::error::Error as StdError;
use std::io;

use serde::{Deserialize, Serialize};

use super::egress::Refusal;

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The egress policy does not allow the address.
    NotAllowed,
    /// The name did not resolve.
    Dns,
    /// Nobody listens there, or no way leads there.
    Refused,
    /// Connecting took too long.
    ConnectTimeout,
    /// The TLS handshake failed: certificate, name, version.
    Tls,
    /// The connection broke before the answer was whole.
    Reset,
    /// The answer took too long.
    Timeout,
    /// The answer was not HTTP.
    Protocol,
    /// The answer's status was not 2xx.
    Status,
    /// The record no longer stands on the log: retention removed it before it was delivered.
    Gone,
    /// Anything else.
    Other,
}

impl FailureClass {
    /// The class of what the HTTP client reports, by the types in its chain of causes.
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        let mut class = None;
        for cause in causes(error) {
            if cause.is::<Refusal>() {
                return Self::NotAllowed;
            }
            if cause.is::<rustls::Error>() {
                return Self::Tls;
            }
            if let Some(error) = cause.downcast_ref::<hyper::Error>()
                && (error.is_parse() || error.is_parse_too_large())
            {
                return Self::Protocol;
            }
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                class = class.or(Self::of_io(io.kind()));
            }
        }
        if error.is_dns() {
            return Self::Dns;
        }
        if error.is_timeout() {
            return if error.is_connect() { Self::ConnectTimeout } else { Self::Timeout };
        }
        class.unwrap_or(if error.is_connect() {
            Self::Refused
        } else if error.is_request() || error.is_body() || error.is_decode() {
            // A connection that ends in the middle has no io::Error in hyper's chain.
            Self::Reset
        } else {
            Self::Other
        })
    }

    fn of_io(kind: io::ErrorKind) -> Option<Self> {
        use io::ErrorKind as K;
        match kind {
            K::ConnectionRefused | K::HostUnreachable | K::NetworkUnreachable | K::AddrNotAvailable => {
                Some(Self::Refused)
            }
            K::ConnectionReset
            | K::ConnectionAborted
            | K::BrokenPipe
            | K::UnexpectedEof
            | K::NotConnected => Some(Self::Reset),
            _ => None,
        }
    }
}

/// Deeper chains of causes are cut.
const CAUSES_MAX: usize = 16;

/// An error and everything beneath it. An `io::Error` that wraps another (rustls's, ours) steps over it in
/// its `source`, so that is asked for by name.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| below(*error)).take(CAUSES_MAX)
}

fn below<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
