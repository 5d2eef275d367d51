//! What bounds one request, each with its name. The whole of it, from the name to the end of the answer,
//! is bounded by the endpoint's own timeout; nothing here lengthens that.

use std::time::Duration;

/// Names that are being resolved at a time: each occupies a thread.
pub(crate) const RESOLUTIONS_MAX: usize = 32;

/// Names that are being resolved at a time to check what people write: each occupies a thread, too.
pub(crate) const CHECKS_MAX: usize = 4;

/// Addresses of one name that are tried through a proxy, one after the other.
pub(crate) const ADDRESSES_TRIED_MAX: usize = 4;

/// Longest time for a name to resolve.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time to connect: name resolution and TLS included; through a proxy, until the tunnel stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(60);

/// Most unused connections kept to one host.
pub(crate) const IDLE_CONNECTIONS_MAX: usize = 256;

/// Most HTTP clients kept for endpoints with certificates of their own; the one that was not used for
/// longest is dropped, with its connections.
pub(crate) const OWN_CLIENTS_MAX: usize = 128;

/// Most headers that an answer may have. All together they have about 400 KiB of room, which is hyper's.
pub(crate) const ANSWER_HEADERS_MAX: usize = 100;

/// Most bytes read of an answer's body, after which its connection is closed rather than reused.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Most bytes of an answer kept in the attempt log.
pub(crate) const EXCERPT_BYTES_MAX: usize = 1024;

/// Most bytes of a proxy's answer to CONNECT.
pub(crate) const PROXY_HEAD_BYTES_MAX: usize = 8 * 1024;

/// The times among the bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// For a name to resolve.
    pub(crate) resolve: Duration,
    /// To connect.
    pub(crate) connect: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { resolve: RESOLVE_TIMEOUT, connect: CONNECT_TIMEOUT }
    }
}
