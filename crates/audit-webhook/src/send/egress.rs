//! Where deliveries may go: https to public addresses, and whatever the operator allow-lists.
//!
//! The minimal policy, in one function ([`Egress::allowed`]) that every address passes: literal hosts
//! before each send, resolved ones inside the resolver, so that the address that was checked is the one
//! connected to. Not here yet: addresses that embed others (NAT64, 6to4, Teredo, ISATAP), proxies, and
//! closing connections that were opened before the allow-list changed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

/// Names that are being resolved at a time: each occupies a thread.
const RESOLUTIONS_MAX: usize = 32;

/// How long a name may take to resolve.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the operator allows besides public addresses over https.
#[derive(Clone, Debug, Default)]
pub struct EgressConfig {
    /// Networks that may be delivered to, by whatever scheme.
    pub networks: Vec<IpNet>,
    /// Hosts that may be delivered to, whatever they resolve to and by whatever scheme. Compared
    /// without regard to case.
    pub hosts: Vec<String>,
}

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
    /// An address that is not public.
    #[error("leads to {0}, which is not a public address; to allow it, add it to egress.allow_networks")]
    Address(IpAddr),
}

/// The policy. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    config: Arc<EgressConfig>,
}

impl Egress {
    /// A policy with these exceptions.
    pub fn new(config: EgressConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    /// Whether this address may be connected to.
    pub fn allowed(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.config.networks.iter().any(|network| network.contains(&address))
            || match address {
                IpAddr::V4(address) => is_public_v4(address),
                IpAddr::V6(address) => is_public_v6(address),
            }
    }

    /// Checks what can be told without resolving: the scheme, and the address where the host is one.
    /// Called when an endpoint is made and before every send.
    pub fn check_url(&self, url: &Url) -> Result<(), Refusal> {
        let host = url.host_str().ok_or(Refusal::NoHost)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme(url.scheme().to_owned()));
        }
        if self.is_allowed_host(host) {
            return Ok(());
        }
        // `Url` has already turned every spelling of an IPv4 address (octal, hex, one number) into the
        // usual one.
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        match address {
            Some(address) if !self.allowed(address) => Err(Refusal::Address(address)),
            Some(address) if self.is_allowed_network(address) => Ok(()),
            _ if url.scheme() == "http" => Err(Refusal::Plain(host.to_owned())),
            _ => Ok(()),
        }
    }

    fn is_allowed_network(&self, address: IpAddr) -> bool {
        self.config.networks.iter().any(|network| network.contains(&address.to_canonical()))
    }

    fn is_allowed_host(&self, host: &str) -> bool {
        self.config.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    /// Checks what a name resolved to: one address that is refused refuses the name.
    fn check_resolved(&self, host: &str, addresses: &[SocketAddr]) -> Result<(), Refusal> {
        if self.is_allowed_host(host) {
            return Ok(());
        }
        match addresses.iter().find(|address| !self.allowed(address.ip())) {
            Some(address) => Err(Refusal::Address(address.ip())),
            None => Ok(()),
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmarks = a == 198 && (b == 18 || b == 19);
    let protocol_assignments = a == 192 && b == 0 && c == 0;
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || shared
        || benchmarks
        || protocol_assignments)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    let documentation = first == 0x2001 && address.segments()[1] == 0x0db8;
    // Global unicast is 2000::/3; loopback, unspecified, unique-local, link-local and multicast lie outside.
    first & 0xe000 == 0x2000 && !documentation
}

/// Resolves names for the HTTP client, and refuses those that the policy refuses.
pub(crate) struct CheckedResolver {
    egress: Egress,
    running: Arc<Semaphore>,
}

impl CheckedResolver {
    pub(crate) fn new(egress: Egress) -> Self {
        Self { egress, running: Arc::new(Semaphore::new(RESOLUTIONS_MAX)) }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (egress, running) = (self.egress.clone(), Arc::clone(&self.running));
        Box::pin(async move {
            let resolving = async {
                let _permit = running.acquire_owned().await.map_err(std::io::Error::other)?;
                tokio::net::lookup_host((name.as_str(), 0)).await
            };
            let found =
                tokio::time::timeout(RESOLVE_TIMEOUT, resolving).await.map_err(|_| ResolveTimeout)??;
            let addresses: Vec<SocketAddr> = found.collect();
            egress.check_resolved(name.as_str(), &addresses)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// A name did not resolve in time.
#[derive(Debug)]
struct ResolveTimeout;

impl fmt::Display for ResolveTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name did not resolve within {} s", RESOLVE_TIMEOUT.as_secs())
    }
}

impl std::error::Error for ResolveTimeout {}

#[cfg(test)]
mod tests {
    use super::{Egress, EgressConfig, Refusal};

    fn check(egress: &Egress, url: &str) -> Result<(), Refusal> {
        egress.check_url(&url.parse().expect(url))
    }

    #[test]
    fn addresses_that_are_not_public_are_refused_in_every_spelling() {
        let egress = Egress::default();
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fc00::1]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]",
            "[2001:db8::1]",
        ] {
            let result = check(&egress, &format!("https://{host}/"));
            assert!(matches!(result, Err(Refusal::Address(_))), "{host}: {result:?}");
        }
        for host in ["example.com", "93.184.216.34", "[2606:2800:220:1::1]"] {
            assert_eq!(check(&egress, &format!("https://{host}/")), Ok(()), "{host}");
        }
    }

    #[test]
    fn plain_http_is_only_for_what_is_allowed_by_name() {
        let egress = Egress::new(EgressConfig {
            networks: vec!["10.1.0.0/16".parse().expect("a network")],
            hosts: vec!["hooks.internal".to_owned()],
        });
        assert_eq!(check(&egress, "http://example.com/"), Err(Refusal::Plain("example.com".to_owned())));
        assert_eq!(check(&egress, "ftp://example.com/"), Err(Refusal::Scheme("ftp".to_owned())));
        assert_eq!(check(&egress, "http://HOOKS.internal/"), Ok(()));
        assert_eq!(check(&egress, "http://10.1.2.3/"), Ok(()));
        assert!(matches!(check(&egress, "http://10.2.2.3/"), Err(Refusal::Address(_))));
    }

    #[test]
    fn a_name_with_one_private_address_is_refused_whole() {
        let egress = Egress::default();
        let addresses = ["93.184.216.34:0", "10.0.0.1:0"].map(|a| a.parse().expect("an address"));
        assert!(egress.check_resolved("example.com", &addresses).is_err());
        assert!(egress.check_resolved("example.com", &addresses[..1]).is_ok());
    }
}
