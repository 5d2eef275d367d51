//! Deliveries as others verify them: the published libraries of Standard Webhooks in Rust, Python and JavaScript, and
//! Ed25519 by implementations that are not ours.

use std::io::Write;
use std::process::{Command, Stdio};

use audit_webhook::SigningSecret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flagtrail_testkit::clients::Clients;
use flagtrail_testkit::receiver::{Received, Receiver};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use crate::world::{LIMIT, World, record};

/// An old and a new secret of a rotation, and one that receivers can't sign with.
fn secrets() -> [SigningSecret; 3] {
    [SigningSecret::generate(), SigningSecret::generate(), SigningSecret::generate_asymmetric()]
}

async fn delivered(secrets: &[SigningSecret]) -> Received {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let texts: Vec<_> = secrets.iter().map(|secret| secret.reveal().expose_secret().to_owned()).collect();
    world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"], "secrets": texts })).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    let received = receiver.wait_for(1, LIMIT).await.remove(0);
    running.stop().await;
    received
}

/// What a receiver holds: the secret, or the public key of an asymmetric one.
fn key(secret: &SigningSecret) -> String {
    secret.public_key().unwrap_or_else(|| secret.reveal().expose_secret().to_owned())
}

/// Whether a program of another language takes a delivery for genuine.
fn verifies(mut program: Command, key: &str, received: &Received, body: &[u8]) -> bool {
    let headers: Map<String, Value> = received
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.into())))
        .collect();
    let delivery = json!({ "key": key, "headers": headers, "body": STANDARD.encode(body) });
    let mut child = program.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(delivery.to_string().as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    match output.status.code() {
        Some(0) => true,
        Some(1) => false,
        _ => panic!("it broke: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

async fn each_signature_is_verified_and_another_body_is_not(program: impl Fn() -> Command) {
    let secrets = secrets();
    let received = delivered(&secrets).await;
    let tampered = [&received.body[..], b" "].concat();
    for secret in &secrets {
        assert!(verifies(program(), &key(secret), &received, &received.body), "{secret:?}");
        assert!(!verifies(program(), &key(secret), &received, &tampered), "{secret:?}");
    }
    let stranger = SigningSecret::generate_asymmetric();
    assert!(!verifies(program(), &key(&stranger), &received, &received.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_libraries_of_python_verify_every_signature() {
    let Some(clients) = Clients::available() else { return };
    each_signature_is_verified_and_another_body_is_not(|| clients.python("verify.py")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_libraries_of_javascript_verify_every_signature() {
    let Some(clients) = Clients::available() else { return };
    each_signature_is_verified_and_another_body_is_not(|| clients.node("verify.js")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library_of_rust_verifies_every_symmetric_signature_beside_an_asymmetric_one() {
    let secrets = secrets();
    let received = delivered(&secrets).await;
    for secret in &secrets[..2] {
        let webhook = standardwebhooks::Webhook::new(&key(secret)).expect("a secret");
        webhook.verify(&received.body, &received.headers).expect("genuine");
        assert!(webhook.verify(b"{}", &received.headers).is_err());
    }
}
