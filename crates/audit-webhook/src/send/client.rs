//! The one HTTP client that all endpoints share.
//!
//! HTTP/1.1 with kept connections, no proxy from the environment, no redirects, and our own resolver.
//! TLS is rustls on ring, and trusts what the machine trusts: an endpoint inside a company is often
//! signed by the company's own authority, which its operators have already installed there; a bundle of
//! Mozilla's roots would refuse it.

use std::sync::Arc;
use std::time::Duration;

use super::egress::{CheckedResolver, Egress};

/// How long connecting may take, name resolution and TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Most unused connections kept to one host.
const IDLE_CONNECTIONS_MAX: usize = 256;

/// Most headers that an answer may have.
const ANSWER_HEADERS_MAX: usize = 100;

/// What we call ourselves.
const USER_AGENT: &str = concat!("flagtrail/", env!("CARGO_PKG_VERSION"));

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// TLS can't be set up.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The client can't be built.
    #[error("the HTTP client can't be built: {0}")]
    Build(#[from] reqwest::Error),
}

pub(crate) fn client(egress: &Egress) -> Result<reqwest::Client, ClientError> {
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls()?)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // Whether a request is repeated is the schedule's decision alone.
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .http1_max_headers(ANSWER_HEADERS_MAX)
        .tcp_nodelay(true)
        .dns_resolver(Arc::new(CheckedResolver::new(egress.clone())))
        .build()?)
}

fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (trusted, _) = roots.add_parsable_certificates(found.certs);
    if trusted == 0 {
        tracing::warn!(
            "this machine trusts no certificate authority, so every https endpoint will fail: install its ca-certificates"
        );
    }
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(config)
}
