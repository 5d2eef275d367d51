//! The receivers that the README shows, in Python and Node, against real deliveries: they verify, drop repeats and
//! notice a gap.

use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flagtrail_testkit::clients::Clients;
use flagtrail_testkit::process::Process;
use flagtrail_testkit::wait;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{ADMIN_TOKEN, Node, http};

/// How long anything may take, on a machine busy with other tests.
const WITHIN: Duration = Duration::from_secs(180);

/// The key that deliveries of these tests are signed with.
const KEY: [u8; 32] = [7; 32];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_receiver_verifies_drops_repeats_and_notices_a_gap() {
    let Some(clients) = Clients::available() else { return };
    it_verifies_drops_repeats_and_notices_a_gap(clients.python("receive.py")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_receiver_verifies_drops_repeats_and_notices_a_gap() {
    let Some(clients) = Clients::available() else { return };
    it_verifies_drops_repeats_and_notices_a_gap(clients.node("receive.js")).await;
}

async fn it_verifies_drops_repeats_and_notices_a_gap(mut program: Command) {
    let root = tempfile::tempdir().unwrap();
    let secret = format!("whsec_{}", STANDARD.encode(KEY));
    let output = root.path().join("receiver.log");
    program.env("FLAGTRAIL_SECRET", &secret).env("PORT", "0");
    let _receiver = Process::start("receiver", &program, &output).unwrap();
    let lines = || -> Vec<String> {
        // What is not ended by a newline is still being written.
        let text = std::fs::read_to_string(&output).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    };
    let port = wait::some(WITHIN, "the receiver listens", || async {
        lines().first().and_then(|line| line.strip_prefix("listening on ")).map(str::to_owned)
    })
    .await;
    let url = format!("http://127.0.0.1:{port}/");

    let mut node = Node::new(root.path(), "one", &["up"], "");
    node.start();
    node.ready().await;
    let file = root.path().join("secret");
    std::fs::write(&file, &secret).unwrap();
    let file = file.to_str().unwrap();
    node.command(&["endpoint", "create", &url, "--name", "own", "--events", "flag.*", "--secret-file", file]);
    let id = append(&node).await;
    wait::until(WITHIN, "the delivery is taken", || async {
        lines().get(1).is_some_and(|line| line == "flag.state.changed")
    })
    .await;

    // The same once more: the answer is 2xx, so that it does not come a third time, and nothing is done.
    assert_eq!(signed(&url, &id, &[]).await, 200);

    refuses_what_is_not_signed(&url).await;
    assert_eq!(
        signed(&url, "after-a-gap", &[("x-flagtrail-position", "0:9"), ("x-flagtrail-previous", "0:8")])
            .await,
        200
    );
    let gap = "flag.state.changed after a gap: 0:8 never came";
    wait::until(WITHIN, "the gap is noticed", || async { lines().get(2).is_some_and(|line| line == gap) })
        .await;
    assert_eq!(
        signed(&url, "without-a-gap", &[("x-flagtrail-position", "0:12"), ("x-flagtrail-previous", "0:9")])
            .await,
        200
    );
    wait::until(WITHIN, "no gap", || async {
        lines().get(3).is_some_and(|line| line == "flag.state.changed")
    })
    .await;
    node.stop();
}

/// Appends a record and returns its id.
async fn append(node: &Node) -> String {
    let record = json!({
        "action": "flag.state.changed", "log": "switched on", "author": {"type": "user", "email": "ada@example.com"},
        "project": {"key": "shop"}, "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
    });
    let request = http().post(format!("{}/v1/records", node.admin)).bearer_auth(ADMIN_TOKEN).json(&record);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    answer.json::<Value>().await.unwrap()["records"][0]["id"].as_str().unwrap().to_owned()
}

const BODY: &str = r#"{"type":"flag.state.changed"}"#;

/// Sends a delivery signed with [`KEY`]; answers with the status.
async fn signed(url: &str, id: &str, headers: &[(&str, &str)]) -> u16 {
    let timestamp = chrono::Utc::now().timestamp().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    mac.update(format!("{id}.{timestamp}.{BODY}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    send(url, id, &timestamp, &signature, headers).await
}

async fn send(url: &str, id: &str, timestamp: &str, signature: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = http()
        .post(url)
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature)
        .body(BODY);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap().status().as_u16()
}

async fn refuses_what_is_not_signed(url: &str) {
    let now = chrono::Utc::now().timestamp().to_string();
    let forged = format!("v1,{}", STANDARD.encode([0; 32]));
    assert_eq!(send(url, "forged", &now, &forged, &[]).await, 401);
    // Signed rightly, an hour ago: somebody plays it again.
    let old = (chrono::Utc::now().timestamp() - 3_600).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
    mac.update(format!("old.{old}.{BODY}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(send(url, "old", &old, &signature, &[]).await, 401);
}
