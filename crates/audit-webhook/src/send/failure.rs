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
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = cause {
            if error.is::<Refusal>() {
                return Self::NotAllowed;
            }
            if error.is::<rustls::Error>() {
                return Self::Tls;
            }
            if let Some(error) = error.downcast_ref::<hyper::Error>()
                && (error.is_parse() || error.is_parse_too_large())
            {
                return Self::Protocol;
            }
            if let Some(io) = error.downcast_ref::<io::Error>() {
                // An io::Error may wrap another cause (rustls's, ours), which `source` steps over.
                if let Some(inner) = io.get_ref() {
                    if inner.is::<rustls::Error>() {
                        return Self::Tls;
                    }
                    if inner.is::<Refusal>() {
                        return Self::NotAllowed;
                    }
                }
                class = class.or(Self::of_io(io.kind()));
            }
            cause = error.source();
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
