//! How requests to an S3-compatible store go out: hyper over rustls on ring, as deliveries do. No proxy, no redirect, and nothing
//! read from the environment but what the machine trusts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use rustls::{ClientConfig, RootCertStore};

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long a request may take until its answer begins: [`super::s3::PART_BYTES_MAX`] at a quarter of a megabyte a second.
const ANSWER_MAX: Duration = Duration::from_secs(300);

/// How long a connection is kept that nothing is sent over.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// One pool of connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client<HttpsConnector<legacy::connect::HttpConnector>, HttpRequestBody>,
}

impl Http {
    /// Trusts what the machine trusts. Without `allow_http`, nothing is sent in clear.
    pub(super) fn new(allow_http: bool) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (trusted, _) = roots.add_parsable_certificates(found.certs);
        if trusted == 0 {
            tracing::warn!(
                errors = ?found.errors,
                "this machine trusts no certificate authority, so no store can be reached by https: install its ca-certificates"
            );
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
        let builder = if allow_http { builder.https_or_http() } else { builder.https_only() };
        let mut tcp = legacy::connect::HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_MAX));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .build(builder.enable_http1().wrap_connector(tcp));
        Ok(Self { client })
    }
}

impl HttpConnector for Http {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Http {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = tokio::time::timeout(ANSWER_MAX, self.client.request(request)).await;
        let answer = answer.map_err(|late| HttpError::new(HttpErrorKind::Timeout, late))?;
        let (head, body) = answer.map_err(|error| HttpError::new(kind(&error), error))?.into_parts();
        let broken = |error| HttpError::new(HttpErrorKind::Interrupted, error);
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body.map_err(broken))))
    }
}

/// What the store's client may make of an error. One that leaves open whether a request was carried out may be tried again
/// all the same: what is put a second time finds the first.
fn kind(error: &legacy::Error) -> HttpErrorKind {
    if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Request }
}
