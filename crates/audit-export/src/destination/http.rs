//! How requests to an S3-compatible store go out: hyper over rustls on ring, as deliveries do. No proxy, no redirect, and nothing
//! read from the environment but what the machine trusts.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, Sleep};

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long a request may take until its answer begins: [`super::s3::PART_BYTES_MAX`] at a quarter of a megabyte a second.
const ANSWER_MAX: Duration = Duration::from_secs(300);

/// How long the next piece of an answer may take once the answer has begun.
const PIECE_MAX: Duration = Duration::from_secs(60);

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
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(Watched::new(body))))
    }
}

/// Nothing more of an answer came.
#[derive(Debug, thiserror::Error)]
#[error("nothing more of the answer came for {} seconds", PIECE_MAX.as_secs())]
struct Stalled;

/// The body of an answer, given up where its next piece takes longer than [`PIECE_MAX`]. How long whoever reads it takes
/// between two pieces does not count.
struct Watched<B> {
    body: B,
    /// Until when the next piece has to come, while it is waited for.
    until: Pin<Box<Sleep>>,
    is_awaited: bool,
}

impl<B> Watched<B> {
    fn new(body: B) -> Self {
        Self { body, until: Box::pin(tokio::time::sleep(PIECE_MAX)), is_awaited: false }
    }
}

impl<B> Body for Watched<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Error + Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let watched = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut watched.body).poll_frame(context) {
            watched.is_awaited = false;
            let broken = |error| HttpError::new(HttpErrorKind::Interrupted, error);
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        if !watched.is_awaited {
            watched.is_awaited = true;
            watched.until.as_mut().reset(Instant::now() + PIECE_MAX);
        }
        ready!(watched.until.as_mut().poll(context));
        Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, Stalled))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What the store's client may make of an error. One that leaves open whether a request was carried out may be tried again
/// all the same: what is put a second time finds the first.
fn kind(error: &legacy::Error) -> HttpErrorKind {
    if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Request }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    /// Gives what it has, and then nothing, not even an end.
    struct Stalling(Option<Bytes>);

    impl Body for Stalling {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            match self.0.take() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None => Poll::Pending,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_stops_in_the_middle_is_given_up_however_slowly_it_was_read_before() {
        let mut body = Watched::new(Stalling(Some(Bytes::from_static(b"half"))));
        let first = body.frame().await.expect("a piece").expect("whole");
        assert_eq!(first.into_data().expect("data"), "half");
        tokio::time::advance(PIECE_MAX * 2).await;
        let began = Instant::now();
        let stalled = body.frame().await.expect("an end").expect_err("nothing comes");
        assert!(matches!(stalled.kind(), HttpErrorKind::Timeout), "{stalled}");
        assert!(began.elapsed() >= PIECE_MAX, "{:?}", began.elapsed());
    }
}
