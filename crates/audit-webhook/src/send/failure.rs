//! Why a delivery failed: the small enum that everything branches on, found by the types of the causes.

use std::error::Error as StdError;
use std::io;

use hyper_util::client::legacy;
use serde::{Deserialize, Serialize};

use super::egress::{Refusal, ResolveError};
use super::transport::TunnelError;

/// Most characters of a failure's words in the attempt log.
const DETAIL_CHARS_MAX: usize = 512;

/// A failure: its class, and what went wrong in words, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) class: FailureClass,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(class: FailureClass, detail: impl ToString) -> Self {
        Self { class, detail: detail.to_string().chars().take(DETAIL_CHARS_MAX).collect() }
    }

    /// What an HTTP client reports. The words are those of the last cause: the ones before it only say where
    /// it happened, and some repeat the URL.
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Self {
        let last = causes(error).last().unwrap_or(error);
        Self::new(FailureClass::of(error), last)
    }
}

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
    /// The proxy can't be reached, or does not let the delivery through.
    Proxy,
    /// The TLS handshake failed: certificate, name, version.
    Tls,
    /// The connection broke before the answer was whole.
    Reset,
    /// The answer took too long.
    Timeout,
    /// The answer was not HTTP/1.
    Protocol,
    /// The answer's status was not 2xx.
    Status,
    /// The URL of a GET, with the record in it, would be longer than receivers take.
    UrlTooLong,
    /// The endpoint's format can't be made from this record.
    Format,
    /// The endpoint's settings can't be used: certificates, or a format of a later release.
    Settings,
    /// Anything else.
    Other,
}

impl FailureClass {
    /// Whether every further attempt would end in the same way, so that none is made: the delivery is given
    /// up at once, to be redriven when the endpoint has been changed.
    pub fn is_lasting(self) -> bool {
        matches!(self, Self::UrlTooLong | Self::Format)
    }

    /// The class of what an HTTP client reports, by the types in its chain of causes.
    fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut shape = Shape::default();
        for cause in causes(error) {
            if let Some(class) = Self::decisive(cause) {
                return class;
            }
            shape.see(cause);
        }
        shape.class()
    }

    /// The class of a cause that decides, whatever stands above or below it.
    fn decisive(cause: &(dyn StdError + 'static)) -> Option<Self> {
        if cause.is::<Refusal>() {
            return Some(Self::NotAllowed);
        }
        if let Some(error) = cause.downcast_ref::<ResolveError>() {
            return Some(Self::of_resolve(error));
        }
        if let Some(error) = cause.downcast_ref::<TunnelError>() {
            return Some(match error {
                TunnelError::Resolve(error) => Self::of_resolve(error),
                TunnelError::Timeout(_) => Self::ConnectTimeout,
                TunnelError::Io(_) | TunnelError::Refused(_) | TunnelError::NotHttp | TunnelError::NoHost => {
                    Self::Proxy
                }
            });
        }
        if cause.is::<rustls::Error>() {
            return Some(Self::Tls);
        }
        let hyper = cause.downcast_ref::<hyper::Error>();
        hyper.is_some_and(|error| error.is_parse() || error.is_parse_too_large()).then_some(Self::Protocol)
    }

    fn of_resolve(error: &ResolveError) -> Self {
        match error {
            ResolveError::Refused(_) => Self::NotAllowed,
            ResolveError::Timeout(_) | ResolveError::Failed(_) => Self::Dns,
        }
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

/// What the causes say together, where none decides alone.
#[derive(Default)]
struct Shape {
    connecting: bool,
    dns: bool,
    timeout: bool,
    exchanging: bool,
    io: Option<FailureClass>,
}

impl Shape {
    fn see(&mut self, cause: &(dyn StdError + 'static)) {
        if let Some(error) = cause.downcast_ref::<reqwest::Error>() {
            self.connecting |= error.is_connect();
            self.dns |= error.is_dns();
            self.timeout |= error.is_timeout();
            self.exchanging |= error.is_request() || error.is_body() || error.is_decode();
        } else if let Some(error) = cause.downcast_ref::<legacy::Error>() {
            self.connecting |= error.is_connect();
            self.exchanging |= !error.is_connect();
        } else if let Some(error) = cause.downcast_ref::<io::Error>() {
            self.io = self.io.or(FailureClass::of_io(error.kind()));
        }
    }

    fn class(self) -> FailureClass {
        match self {
            Self { dns: true, .. } => FailureClass::Dns,
            Self { timeout: true, connecting: true, .. } => FailureClass::ConnectTimeout,
            Self { timeout: true, .. } => FailureClass::Timeout,
            Self { io: Some(class), .. } => class,
            Self { connecting: true, .. } => FailureClass::Refused,
            // A connection that ends in the middle has no io::Error in hyper's chain.
            Self { exchanging: true, .. } => FailureClass::Reset,
            _ => FailureClass::Other,
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
