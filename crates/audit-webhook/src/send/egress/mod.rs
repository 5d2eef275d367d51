//! Where deliveries may go: https to public addresses, and whatever the operator allow-lists.
//!
//! One function, [`Policy::allowed`], judges every address: literal hosts before each send (the HTTP
//! client resolves no literal), resolved ones inside the resolver, so that the address that was checked is
//! the one connected to. The policy can be replaced while deliveries are made ([`Egress::replace`]); each
//! has a generation, and a connection is used only by deliveries of the generation it was opened under.
//!
//! Not here: what is done with an answer that asks to go elsewhere. No redirect is ever followed.

mod networks;
mod proxy;
mod refusal;
mod resolver;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use ipnet::IpNet;
use reqwest::Url;

use super::bounds::{CHECKS_MAX, Times};

pub use proxy::{InvalidProxy, ProxyConfig, ProxyUrl};
pub use refusal::Refusal;
use resolver::Lookups;
pub(crate) use resolver::{CheckedResolver, Lookup, ResolveError, SystemLookup};

/// What the operator allows besides public addresses over https.
#[derive(Clone, Debug, Default)]
pub struct EgressConfig {
    /// Networks that may be delivered to, by whatever scheme.
    pub networks: Vec<IpNet>,
    /// Hosts that may be delivered to, whatever they resolve to and by whatever scheme. Compared
    /// without regard to case or to a dot at the end.
    pub hosts: Vec<String>,
    /// The HTTP proxy through which every delivery goes; `None` to connect directly.
    pub proxy: Option<ProxyConfig>,
}

/// The policy as of some moment.
#[derive(Debug)]
pub(crate) struct Policy {
    config: EgressConfig,
    /// Rises with every change.
    pub(crate) generation: u64,
}

/// The policy in force. Cheap to clone; all clones see a change.
#[derive(Clone, Debug)]
pub struct Egress {
    current: Arc<RwLock<Arc<Policy>>>,
    /// Those of [`Self::check_resolved_url`], apart from those of deliveries: neither waits for the other.
    checks: Lookups,
}

impl Default for Egress {
    fn default() -> Self {
        Self::new(EgressConfig::default())
    }
}

impl Egress {
    /// A policy with these exceptions.
    pub fn new(config: EgressConfig) -> Self {
        let config = normalised(config);
        let policy = Arc::new(Policy { config, generation: 0 });
        Self { current: Arc::new(RwLock::new(policy)), checks: Lookups::new(CHECKS_MAX) }
    }

    /// Puts another policy into force. Deliveries under way end under the old one; none begins under it,
    /// and none uses a connection that was opened under it.
    pub fn replace(&self, config: EgressConfig) {
        let config = normalised(config);
        // The policy is one pointer, whole at every moment, whatever happened to who held the lock.
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(Policy { config, generation: current.generation + 1 });
    }

    /// Checks what can be told without resolving: the scheme, and the address where the host is one.
    pub fn check_url(&self, url: &Url) -> Result<(), Refusal> {
        self.policy().check_url(url)
    }

    /// Checks, too, where the name leads at this moment. One that does not resolve (yet) is not refused:
    /// each send checks again.
    pub async fn check_resolved_url(&self, url: &Url) -> Result<(), Refusal> {
        let policy = self.policy();
        policy.check_url(url)?;
        if policy.is_delegated() {
            return Ok(());
        }
        let Some(name) = url.host_str().filter(|host| literal(host).is_none()) else { return Ok(()) };
        let (checks, timeout) = (self.checks.clone(), Times::default().resolve);
        let resolver = CheckedResolver::among(checks, self.clone(), Arc::new(SystemLookup), timeout);
        match resolver.addresses(name).await {
            Err(ResolveError::Refused(refusal)) => Err(refusal),
            Ok(_) | Err(ResolveError::Timeout(_) | ResolveError::Failed(_)) => Ok(()),
        }
    }

    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Policy {
    /// Whether this address may be connected to; else why not.
    pub(crate) fn allowed(&self, address: IpAddr) -> Result<(), &'static str> {
        let plain = networks::plain(address);
        if self.is_listed(address) || self.is_listed(plain) {
            return Ok(());
        }
        if let IpAddr::V6(v6) = plain
            && let Some(inner) = networks::isatap(v6)
            && networks::row_of(IpAddr::V4(inner)).is_some()
        {
            return Err("ISATAP, a tunnel to an IPv4 address that is not public (RFC 5214)");
        }
        networks::row_of(plain).map_or(Ok(()), |row| Err(row.reason))
    }

    /// Checks what can be told without resolving. Called when an endpoint is made and before every send.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), Refusal> {
        let host = url.host_str().ok_or(Refusal::NoHost)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme(url.scheme().to_owned()));
        }
        if self.is_listed_host(host) {
            return Ok(());
        }
        if let Some(address) = literal(host) {
            self.allowed(address).map_err(|reason| Refusal::Address { address, reason })?;
            if self.is_listed(address) || self.is_listed(networks::plain(address)) {
                return Ok(());
            }
        }
        if url.scheme() == "http" { Err(Refusal::Plain(host.to_owned())) } else { Ok(()) }
    }

    /// Checks what a name resolved to: one address that is refused refuses the name.
    pub(crate) fn check_addresses(&self, host: &str, addresses: &[SocketAddr]) -> Result<(), Refusal> {
        if self.is_listed_host(host) {
            return Ok(());
        }
        for address in addresses.iter().map(SocketAddr::ip) {
            self.allowed(address).map_err(|reason| Refusal::Resolved {
                host: host.to_owned(),
                address,
                reason,
            })?;
        }
        Ok(())
    }

    /// The proxy that every delivery goes through.
    pub(crate) fn proxy(&self) -> Option<&ProxyConfig> {
        self.config.proxy.as_ref()
    }

    fn is_delegated(&self) -> bool {
        self.proxy().is_some_and(|proxy| proxy.resolves)
    }

    fn is_listed(&self, address: IpAddr) -> bool {
        self.config.networks.iter().any(|network| network.contains(&address))
    }

    fn is_listed_host(&self, host: &str) -> bool {
        let host = without_dot(host);
        self.config.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}

/// The address that a URL's host is, if it is one. `Url` has already turned every spelling of an IPv4
/// address (decimal, octal, hex, fewer parts, other digits, a dot at the end) into the usual one, and
/// refused an IPv6 zone.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn normalised(mut config: EgressConfig) -> EgressConfig {
    for host in &mut config.hosts {
        host.truncate(without_dot(host).len());
    }
    config
}

#[cfg(test)]
mod tests {
    use reqwest::Url;
    use rstest::rstest;

    use super::{Egress, EgressConfig, Refusal};

    fn check(egress: &Egress, url: &str) -> Result<(), Refusal> {
        egress.check_url(&url.parse().expect(url))
    }

    fn listing(networks: &[&str], hosts: &[&str]) -> Egress {
        Egress::new(EgressConfig {
            networks: networks.iter().map(|network| network.parse().expect("a network")).collect(),
            hosts: hosts.iter().map(ToString::to_string).collect(),
            proxy: None,
        })
    }

    #[rstest]
    #[case::loopback("127.0.0.1")]
    #[case::loopback_as_one_decimal_number("2130706433")]
    #[case::loopback_as_one_hex_number("0x7f000001")]
    #[case::loopback_as_one_octal_number("017700000001")]
    #[case::loopback_in_hex_and_decimal("0x7f.1")]
    #[case::loopback_in_octal("0177.0.0.1")]
    #[case::loopback_in_three_parts("127.0.1")]
    #[case::loopback_with_a_dot_at_the_end("127.0.0.1.")]
    #[case::loopback_in_percent_signs("%31%32%37.0.0.1")]
    #[case::loopback_in_wide_digits("１２７.0.0.1")]
    #[case::loopback_with_ideographic_full_stops("127。0。0。1")]
    #[case::private_10("10.0.0.1")]
    #[case::private_172("172.31.255.255")]
    #[case::private_192("192.168.1.1")]
    #[case::metadata("169.254.169.254")]
    #[case::metadata_of_azure("168.63.129.16")]
    #[case::metadata_of_oracle("192.0.0.192")]
    #[case::metadata_of_alibaba("100.100.100.200")]
    #[case::carrier_nat("100.64.0.1")]
    #[case::this_network("0.0.0.0")]
    #[case::zero("0")]
    #[case::multicast("224.0.0.1")]
    #[case::broadcast("255.255.255.255")]
    #[case::benchmarks("198.19.0.1")]
    #[case::loopback_6("[::1]")]
    #[case::loopback_6_in_full("[0:0:0:0:0:0:0:1]")]
    #[case::unspecified_6("[::]")]
    #[case::link_local_6("[fe80::1]")]
    #[case::site_local_6("[fec0::1]")]
    #[case::unique_local_6("[fd00:ec2::254]")]
    #[case::multicast_6("[ff02::1]")]
    #[case::mapped("[::ffff:127.0.0.1]")]
    #[case::mapped_in_hex("[::ffff:7f00:1]")]
    #[case::compatible("[::127.0.0.1]")]
    #[case::documentation_6("[2001:db8::1]")]
    #[case::nat64_to_loopback("[64:ff9b::127.0.0.1]")]
    #[case::nat64_to_metadata("[64:ff9b::a9fe:a9fe]")]
    #[case::nat64_within_a_site("[64:ff9b:1::10.0.0.1]")]
    #[case::sixtofour_to_loopback("[2002:7f00:1::]")]
    #[case::sixtofour_to_a_public_address("[2002:5db8:d822::1]")]
    #[case::teredo("[2001:0:4136:e378:8000:63bf:3fff:fdd2]")]
    #[case::isatap_to_loopback("[2606:2800:220:1:0:5efe:127.0.0.1]")]
    #[case::isatap_globally_unique_to_10("[2606:2800:220:1:200:5efe:10.0.0.1]")]
    fn an_address_that_is_not_public_is_refused_in_every_spelling(#[case] host: &str) {
        let result = check(&Egress::default(), &format!("https://{host}/"));
        assert!(matches!(result, Err(Refusal::Address { .. })), "{host}: {result:?}");
    }

    #[rstest]
    #[case::a_name("example.com")]
    #[case::ipv4("93.184.216.34")]
    #[case::ipv4_as_a_number("1572395042")]
    #[case::beside_a_private_network("172.32.0.1")]
    #[case::ipv6("[2606:2800:220:1::1]")]
    #[case::mapped("[::ffff:93.184.216.34]")]
    #[case::nat64_to_a_public_address("[64:ff9b::93.184.216.34]")]
    #[case::isatap_to_a_public_address("[2606:2800:220:1:200:5efe:93.184.216.34]")]
    fn a_public_address_is_allowed(#[case] host: &str) {
        assert_eq!(check(&Egress::default(), &format!("https://{host}/")), Ok(()), "{host}");
    }

    #[rstest]
    #[case::an_ipv6_zone("https://[fe80::1%25eth0]/")]
    #[case::an_ipv6_zone_unescaped("https://[fe80::1%eth0]/")]
    #[case::too_large_a_number("https://4294967296/")]
    #[case::five_parts("https://127.0.0.0.1/")]
    fn a_host_that_only_looks_like_an_address_is_no_url(#[case] url: &str) {
        assert!(Url::parse(url).is_err(), "{url}");
    }

    #[test]
    fn a_refusal_names_the_reason_and_the_line_to_add() {
        let text = |url: &str| check(&Egress::default(), url).expect_err(url).to_string();
        assert_eq!(
            text("https://0x0a.1/"),
            "leads to 10.0.0.1, which is private (RFC 1918); to allow it, add \"10.0.0.1\" to egress.allow_networks"
        );
        assert_eq!(
            text("http://hooks.example/"),
            "must begin with https://; to allow http to this host, add \"hooks.example\" to egress.allow_hosts"
        );
    }

    #[test]
    fn plain_http_is_only_for_what_is_allow_listed() {
        let egress = listing(&["10.1.0.0/16"], &["hooks.internal."]);
        assert_eq!(check(&egress, "http://example.com/"), Err(Refusal::Plain("example.com".to_owned())));
        assert_eq!(check(&egress, "http://93.184.216.34/"), Err(Refusal::Plain("93.184.216.34".to_owned())));
        assert_eq!(check(&egress, "ftp://example.com/"), Err(Refusal::Scheme("ftp".to_owned())));
        assert_eq!(check(&egress, "http://HOOKS.internal/"), Ok(()));
        assert_eq!(check(&egress, "http://hooks.internal./"), Ok(()));
        assert_eq!(check(&egress, "http://10.1.2.3/"), Ok(()));
        assert_eq!(check(&egress, "http://[::ffff:10.1.2.3]/"), Ok(()));
        assert!(matches!(check(&egress, "http://10.2.2.3/"), Err(Refusal::Address { .. })));
        assert!(matches!(check(&egress, "http://xhooks.internal/"), Err(Refusal::Plain(_))));
    }

    #[test]
    fn a_name_with_one_private_address_is_refused_whole() {
        let policy = Egress::default().policy();
        let addresses = ["93.184.216.34:0", "10.0.0.1:0"].map(|a| a.parse().expect("an address"));
        let refusal = policy.check_addresses("example.com", &addresses).expect_err("refused");
        assert!(refusal.to_string().contains("example.com resolves to 10.0.0.1"), "{refusal}");
        assert_eq!(policy.check_addresses("example.com", &addresses[..1]), Ok(()));
        let listed = listing(&[], &["Example.com"]).policy();
        assert_eq!(listed.check_addresses("example.com", &addresses), Ok(()));
    }

    #[test]
    fn a_policy_that_is_replaced_is_another_generation_for_every_clone() {
        let egress = Egress::default();
        let clone = egress.clone();
        assert!(check(&clone, "https://10.0.0.1/").is_err());
        egress.replace(EgressConfig {
            networks: vec!["10.0.0.0/8".parse().expect("a network")],
            ..EgressConfig::default()
        });
        assert_eq!(check(&clone, "https://10.0.0.1/"), Ok(()));
        assert_eq!(clone.policy().generation, 1);
    }
}
