//! The client that goes through an HTTP proxy. The proxy is asked, by CONNECT, for an address that passed
//! the policy, never for a name, which it would resolve for itself to whatever it likes (unless the
//! operator has delegated the policy to it). TLS is with the receiver, through the tunnel.
//!
//! Not reqwest, which would name the host to the proxy: hyper's own client, over a connection made here.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::send::bounds::{
    ADDRESSES_TRIED_MAX, ANSWER_HEADERS_MAX, IDLE_CONNECTIONS_MAX, IDLE_MAX, PROXY_HEAD_BYTES_MAX, Times,
};
use crate::send::egress::{CheckedResolver, ProxyConfig, ProxyUrl, ResolveError, literal};
use crate::send::failure::Failure;

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TunnelError {
    /// Nobody could be asked for.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// It took too long.
    #[error("no tunnel within {0:?}")]
    Timeout(Duration),
    /// The proxy can't be reached, or hung up.
    #[error("the proxy can't be reached: {0}")]
    Io(#[from] io::Error),
    /// The proxy does not do it.
    #[error("the proxy refused with status {0}")]
    Refused(u16),
    /// The proxy does not speak HTTP, or too much of it.
    #[error("the proxy did not answer in HTTP")]
    NotHttp,
    /// The URL has no host.
    #[error("there is no host to connect to")]
    NoHost,
}

/// A client with its connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client(legacy::Client<HttpsConnector<Connector>, reqwest::Body>);

impl Client {
    pub(super) fn new(
        proxy: &ProxyConfig,
        tls: rustls::ClientConfig,
        resolver: CheckedResolver,
        times: Times,
    ) -> Self {
        let connector = Connector(Arc::new(Proxy {
            url: proxy.url.clone(),
            resolver: (!proxy.resolves).then_some(resolver),
            connect: times.connect,
        }));
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .http1_max_headers(ANSWER_HEADERS_MAX)
            .build(HttpsConnector::from((connector, tls)));
        Self(client)
    }

    pub(super) async fn execute(&self, request: reqwest::Request) -> Result<reqwest::Response, Failure> {
        let request = hyper::Request::<reqwest::Body>::try_from(request);
        let request = request.map_err(|error| Failure::of(&error.without_url()))?;
        let response = self.0.request(request).await.map_err(|error| Failure::of(&error))?;
        Ok(response.map(reqwest::Body::wrap).into())
    }
}

/// The proxy, and what is asked of it.
struct Proxy {
    url: ProxyUrl,
    /// Absent where the proxy resolves.
    resolver: Option<CheckedResolver>,
    connect: Duration,
}

/// Makes tunnels.
#[derive(Clone)]
struct Connector(Arc<Proxy>);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connector({:?})", self.0.url)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = TunnelError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, TunnelError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TunnelError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let proxy = Arc::clone(&self.0);
        Box::pin(async move {
            let made = tokio::time::timeout(proxy.connect, proxy.reach(&uri)).await;
            made.map_err(|_| TunnelError::Timeout(proxy.connect))?.map(TokioIo::new)
        })
    }
}

impl Proxy {
    /// A connection to the URL's host, through the proxy.
    async fn reach(&self, uri: &Uri) -> Result<TcpStream, TunnelError> {
        let host = uri.host().ok_or(TunnelError::NoHost)?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let resolver = match &self.resolver {
            // A host that is an address was checked before the request was made.
            Some(resolver) if literal(host).is_none() => resolver,
            _ => return self.tunnel(&format!("{host}:{port}")).await,
        };
        let mut refusal = TunnelError::NoHost;
        for address in resolver.addresses(host).await?.iter().take(ADDRESSES_TRIED_MAX) {
            match self.tunnel(&SocketAddr::new(address.ip(), port).to_string()).await {
                Ok(stream) => return Ok(stream),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// CONNECT to an authority: an address and a port, or a name and a port.
    async fn tunnel(&self, authority: &str) -> Result<TcpStream, TunnelError> {
        let mut stream = TcpStream::connect((self.url.host.as_str(), self.url.port)).await?;
        stream.set_nodelay(true)?;
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n");
        if let Some(authorization) = &self.url.authorization {
            request.push_str("proxy-authorization: ");
            request.push_str(authorization.expose_secret());
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let head = head(&mut stream).await?;
        match status(&head) {
            // In a tunnel the client speaks first: what came after the head is none of the receiver's.
            Some(200..=299) if head.ends_with(HEAD_END) => Ok(stream),
            Some(200..=299) | None => Err(TunnelError::NotHttp),
            // What a proxy says of its refusal in a body is not waited for.
            Some(status) => Err(TunnelError::Refused(status)),
        }
    }
}

/// What ends the head of an answer.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// The head of the proxy's answer, and what came with its end.
async fn head(stream: &mut TcpStream) -> Result<Vec<u8>, TunnelError> {
    let mut head = Vec::with_capacity(256);
    let mut searched = 0;
    while !head[searched..].windows(HEAD_END.len()).any(|window| window == HEAD_END) {
        if head.len() >= PROXY_HEAD_BYTES_MAX {
            return Err(TunnelError::NotHttp);
        }
        // The end may have begun in what was searched.
        searched = head.len().saturating_sub(HEAD_END.len() - 1);
        if stream.read_buf(&mut head).await? == 0 {
            return Err(TunnelError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(head)
}

/// The status of `HTTP/1.x NNN …`.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn the_status_of_a_proxys_answer_is_read() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407\r\n\r\n"), Some(407));
        for nonsense in [&b"SSH-2.0-OpenSSH_9.9\r\n\r\n"[..], b"HTTP/2 200\r\n\r\n", b"HTTP/1.1", b""] {
            assert_eq!(status(nonsense), None);
        }
    }
}
