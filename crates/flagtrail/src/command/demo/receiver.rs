//! The demo's webhook receiver: verifies each delivery as a receiver should, and keeps what came.

use audit_digest::MacKey;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Largest delivery read, in bytes: a record's bound and its envelope.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What has come in.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    /// The `webhook-id`s, each once.
    pub(super) ids: BTreeSet<String>,
    /// One line a delivery: type and sentence.
    pub(super) lines: Vec<String>,
    /// Deliveries whose signature was wrong.
    pub(super) bad_signatures: u32,
}

/// A running receiver.
pub(super) struct Receiver {
    /// Where it listens.
    pub(super) address: SocketAddr,
    secret: Arc<Mutex<Option<Vec<u8>>>>,
    received: watch::Receiver<Received>,
}

impl Receiver {
    /// Listens on a free loopback port until the process ends.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let secret = Arc::new(Mutex::new(None));
        let (sender, received) = watch::channel(Received::default());
        let sender = Arc::new(sender);
        let shared = secret.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, sender) = (shared.clone(), sender.clone());
                let service = service_fn(move |request| {
                    let (secret, sender) = (shared.clone(), sender.clone());
                    async move { Ok::<_, Infallible>(take(request, &secret, &sender).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, secret, received })
    }

    /// Sets the secret that deliveries are signed with: `whsec_` and base64.
    pub(super) fn trust(&self, secret: &str) {
        let key = STANDARD.decode(secret.trim_start_matches("whsec_")).ok();
        *self.secret.lock().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// Waits until `count` different deliveries are there.
    pub(super) async fn wait_for(&mut self, count: usize) -> anyhow::Result<Received> {
        Ok(self.received.wait_for(|received| received.ids.len() >= count).await?.clone())
    }
}

async fn take(
    request: Request<Incoming>,
    secret: &Mutex<Option<Vec<u8>>>,
    received: &watch::Sender<Received>,
) -> Response<Full<Bytes>> {
    let status = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    let header = |name: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let (id, timestamp, signatures) =
        (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let body = body.to_bytes();
    let key = secret.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if !key.is_some_and(|key| is_signed(&key, &id, &timestamp, &body, &signatures)) {
        received.send_modify(|received| received.bad_signatures += 1);
        return status(StatusCode::UNAUTHORIZED);
    }
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    received.send_modify(|received| {
        // A repeat has the id of what it repeats: a receiver drops it.
        if received.ids.insert(id) {
            received.lines.push(format!("{:<26} {}", text(&event["type"]), text(&event["data"]["log"])));
        }
    });
    status(StatusCode::NO_CONTENT)
}

/// Standard Webhooks, v1: base64 HMAC-SHA256 over `id.timestamp.body`; any one of the signatures counts.
fn is_signed(key: &[u8], id: &str, timestamp: &str, body: &[u8], signatures: &str) -> bool {
    signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,")).any(|signature| {
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        STANDARD.decode(signature).is_ok_and(|signature| MacKey::new(key).vouches(&signed, &signature))
    })
}
