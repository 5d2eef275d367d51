//! The client that connects to receivers itself: kept connections, no proxy from the environment, no
//! redirects, no second try of its own, and our resolver.

use std::sync::Arc;

use crate::send::bounds::{ANSWER_HEADERS_MAX, IDLE_CONNECTIONS_MAX, IDLE_MAX, Times};
use crate::send::egress::CheckedResolver;

pub(super) fn client(
    tls: rustls::ClientConfig,
    resolver: CheckedResolver,
    times: Times,
) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // Whether a request is repeated is the schedule's decision alone.
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(times.connect)
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .http1_max_headers(ANSWER_HEADERS_MAX)
        .tcp_nodelay(true)
        .dns_resolver(Arc::new(resolver))
        .build()
}
