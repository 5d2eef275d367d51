//! TLS of a listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use audit_server::{Certificate, Limits, ServerTls, serve};
use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use flagtrail_testkit::wait;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::server::SOON;

/// A certificate that signs itself, as PEM and as clients trust it.
struct Identity {
    chain: String,
    key: String,
    der: CertificateDer<'static>,
}

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Identity { chain: made.cert.pem(), key: made.signing_key.serialize_pem(), der: made.cert.der().clone() }
}

fn certificate(identity: &Identity) -> Certificate {
    Certificate::from_pem(&identity.chain, &identity.key.as_str().into()).unwrap()
}

struct Listening {
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

async fn listening(tls: &ServerTls, limits: Limits) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let router = Router::new().route("/", get(|| async { "here" }));
    let serving = serve("test", listener, Some(tls.clone()), router, limits, shutdown.clone());
    let serving = tokio::spawn(async move { serving.await.unwrap() });
    Listening { address, shutdown, serving }
}

impl Listening {
    async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap();
    }
}

/// A connection of a client that trusts one certificate alone.
struct Connection {
    http: SendRequest<Empty<Bytes>>,
    shown: CertificateDer<'static>,
}

impl Connection {
    async fn open(address: SocketAddr, trusts: &Identity) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(trusts.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        let name = "localhost".try_into().unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
        let (http, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Ok(Self { http, shown })
    }

    async fn get(&mut self) -> String {
        let request = hyper::Request::get("/").header("host", "localhost").body(Empty::new()).unwrap();
        let answer = self.http.send_request(request).await.unwrap();
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_one_that_stands_goes_on() {
    let (old, new) = (identity(), identity());
    let tls = ServerTls::new(certificate(&old)).unwrap();
    let listening = listening(&tls, Limits::default()).await;
    let mut standing = Connection::open(listening.address, &old).await.unwrap();
    assert_eq!((standing.get().await.as_str(), &standing.shown), ("here", &old.der));
    tls.replace(certificate(&new));
    assert_eq!(standing.get().await, "here");
    let mut later = Connection::open(listening.address, &new).await.unwrap();
    assert_eq!((later.get().await.as_str(), &later.shown), ("here", &new.der));
    assert!(Connection::open(listening.address, &old).await.is_err(), "the old one is shown to nobody new");
    assert_eq!(standing.get().await, "here");
    listening.stop().await;
}

#[tokio::test]
async fn who_does_not_finish_the_handshake_is_cut_and_holds_up_nobody_for_longer() {
    let identity = identity();
    let tls = ServerTls::new(certificate(&identity)).unwrap();
    let limits =
        Limits { connections_max: 1, tls_handshake_timeout: Duration::from_secs(2), ..Limits::default() };
    let listening = listening(&tls, limits).await;
    let mut silent = TcpStream::connect(listening.address).await.unwrap();
    let mut plain = TcpStream::connect(listening.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    // On a slow machine this handshake may itself be too late.
    let open = || async { Connection::open(listening.address, &identity).await.ok() };
    let mut served = wait::some(SOON, "its turn comes", open).await;
    assert_eq!(served.get().await, "here");
    let mut answer = Vec::new();
    // Cut: an end, an alert of TLS or a reset, never an answer.
    let _ = silent.read_to_end(&mut answer).await;
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("here"));
    listening.stop().await;
}

#[test]
fn a_key_that_is_not_the_certificates_and_what_is_no_pem_are_refused_in_words_that_show_nothing() {
    let (one, other) = (identity(), identity());
    let refusal = |chain: &str, key: &str| {
        Certificate::from_pem(chain, &key.into()).expect_err("not usable").to_string()
    };
    assert_eq!(refusal(&one.chain, &other.key), "the key is not that of the certificate");
    assert!(refusal("", &one.key).contains("it has 0"));
    let broken = one.key.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN SECRET-----");
    for key in ["", "planted", &broken] {
        let refused = refusal(&one.chain, key);
        assert!(refused.contains("no private key in PEM") && !refused.contains("planted"), "{refused}");
    }
}
