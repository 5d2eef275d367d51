//! The HTTP proxy that deliveries go through.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use secrecy::SecretString;

use crate::send::basic::basic;

/// The port of a proxy whose URL names none.
const PORT: u16 = 80;

/// An HTTP proxy.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Where it is. It may be anywhere: the operator named it.
    pub url: ProxyUrl,
    /// Who resolves names. `false`: we do, and the proxy is asked (by CONNECT) for addresses that passed
    /// the policy. `true`: the policy is delegated; the proxy is asked for names, and only it can tell where
    /// they lead. Hosts that are addresses are checked here in both cases.
    pub resolves: bool,
}

/// `http://[user:password@]host[:port]`. `Debug` shows no password.
#[derive(Clone)]
pub struct ProxyUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of `Proxy-Authorization`.
    pub(crate) authorization: Option<SecretString>,
}

/// The text is no proxy's URL. Never shows any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http://host:port, with user:password@ before the host where the proxy asks for them")]
pub struct InvalidProxy;

impl FromStr for ProxyUrl {
    type Err = InvalidProxy;
    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let url = Url::parse(text).map_err(|_| InvalidProxy)?;
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        match url.host_str() {
            Some(host) if url.scheme() == "http" && is_bare => Ok(Self {
                host: host.trim_matches(['[', ']']).to_owned(),
                port: url.port().unwrap_or(PORT),
                authorization: basic(&url),
            }),
            _ => Err(InvalidProxy),
        }
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({}:{})", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::ProxyUrl;

    #[test]
    fn credentials_of_a_proxy_are_sent_as_they_were_meant() {
        let read = |url: &str| url.parse::<ProxyUrl>().expect(url);
        let plain = read("http://[fd00::1]");
        assert_eq!((plain.host.as_str(), plain.port), ("fd00::1", 80));
        assert!(plain.authorization.is_none());
        let proxy = read("http://ada:p%40ss@proxy:3128/");
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy", 3128));
        // ada:p@ss, in base64
        let authorization = proxy.authorization.as_ref().expect("credentials");
        assert_eq!(authorization.expose_secret(), "Basic YWRhOnBAc3M=");
        assert!(!format!("{proxy:?}").contains("p@ss"));
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for text in
            ["", "proxy", "proxy:3128", "https://proxy", "socks5://proxy", "http://proxy/path", "http://"]
        {
            assert!(text.parse::<ProxyUrl>().is_err(), "{text}");
        }
    }
}
