//! Why a delivery may not go somewhere. Every text names the line of the configuration that would allow it.

use std::net::IpAddr;

/// Why a delivery may not go somewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Neither http nor https.
    #[error("must begin with https://, not {0}://")]
    Scheme(String),
    /// Plain http.
    #[error("must begin with https://; to allow http to this host, add {0:?} to egress.allow_hosts")]
    Plain(String),
    /// No host.
    #[error("must name a host")]
    NoHost,
    /// The host is an address that is not public.
    #[error("leads to {address}, which is {reason}; to allow it, add \"{address}\" to egress.allow_networks")]
    Address {
        /// The address.
        address: IpAddr,
        /// What its network is for.
        reason: &'static str,
    },
    /// The host is a name, and one of its addresses is not public.
    #[error(
        "{host} resolves to {address}, which is {reason}; to allow it, add {host:?} to egress.allow_hosts, or \"{address}\" to egress.allow_networks"
    )]
    Resolved {
        /// The name.
        host: String,
        /// The first of its addresses that is refused.
        address: IpAddr,
        /// What the address's network is for.
        reason: &'static str,
    },
}
