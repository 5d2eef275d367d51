//! An endpoint's life by the command line: made, tested, paused, resumed, its secret rotated, a delivery given up.

use std::time::Duration;

use flagtrail_testkit::proxy::Proxy;
use flagtrail_testkit::receiver::{Answer, Received, Receiver};
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Node, http};

/// How long anything may take, on a machine busy with other tests.
const WITHIN: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_made_tested_paused_resumed_and_rotated_by_commands() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "");
    node.start();
    node.ready().await;
    let receiver = Receiver::start().unwrap();
    // What is older than a second is not tried again, and the first pause is longer: one failure is a dead letter.
    let choices = ["--name", "cache", "--events", "flag.*", "--max-age", "1s"];
    let url = receiver.url("/hook");
    let made = node.json(&[["endpoint", "create", url.as_str()].as_slice(), &choices].concat());
    assert!(made["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{made}");

    it_is_tested(&node, &receiver).await;
    it_is_paused_and_resumed(&node, &receiver).await;
    its_secret_is_rotated(&node, &receiver).await;
    what_is_given_up_is_a_dead_letter(&node, &receiver).await;

    for words in [
        ["endpoint", "list"].as_slice(),
        &["endpoint", "show", "cache"],
        &["endpoint", "deliveries", "cache"],
    ] {
        let shown = node.command(words);
        assert!(shown.contains("cache") || shown.contains("delivered"), "{shown}");
    }
    node.command(&["endpoint", "delete", "cache"]);
    let gone = node.try_command(&["endpoint", "show", "cache"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("endpoint list"));
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_deliveries_may_go_changes_with_the_configuration_while_the_process_runs() {
    const ALLOWED: &str = "allow_networks = [\"127.0.0.1\"]";
    const NOT_ALLOWED: &str = "allow_networks = []";
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "");
    node.start();
    node.ready().await;
    let receiver = Receiver::start().unwrap();
    let url = receiver.url("/hook");
    node.json(&["endpoint", "create", url.as_str(), "--name", "cache", "--events", "flag.*"]);
    let first = append(&node, "before").await;
    delivered(&receiver, 0, &first).await;

    node.configure(ALLOWED, NOT_ALLOWED);
    until(&node, &["endpoint", "test", "cache"], "it is not allowed any more", |tested| {
        tested["error"] == "not_allowed"
    })
    .await;
    let (before, connections) = (receiver.count(), receiver.connections());
    let second = append(&node, "meanwhile").await;
    until(&node, &["endpoint", "show", "cache"], "the delivery is refused", |shown| {
        shown["status"]["last_error"]["class"] == "not_allowed"
    })
    .await;
    assert_eq!(receiver.count(), before, "the connection that was kept open is not used");

    node.configure(NOT_ALLOWED, ALLOWED);
    delivered(&receiver, before, &second).await;
    assert!(receiver.connections() > connections, "it came by a new one");
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_file_that_is_named_while_the_process_runs_is_read_again_when_it_changes() {
    const BEFORE: &str = "allow_networks = [\"127.0.0.1\"]";
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "");
    node.start();
    node.ready().await;
    let receiver = Receiver::start().unwrap();
    let url = receiver.url("/hook");
    node.json(&["endpoint", "create", url.as_str(), "--name", "cache", "--events", "flag.*"]);
    let file = root.path().join("proxy");
    let name = |proxy: &Proxy| std::fs::write(&file, format!("http://{}\n", proxy.address())).unwrap();
    let goes_by = async |proxy: &Proxy| {
        until(&node, &["endpoint", "test", "cache"], "it goes by the proxy", |tested| {
            tested["delivered"] == true && !proxy.asked().is_empty()
        })
        .await
    };
    let (first, second) = (Proxy::start().unwrap(), Proxy::start().unwrap());
    name(&first);
    node.configure(BEFORE, &format!("{BEFORE}\nproxy_file = {file:?}"));
    goes_by(&first).await;
    name(&second);
    goes_by(&second).await;
    node.stop();
}

/// Appends a change of a flag; returns the record's id.
async fn append(node: &Node, flag: &str) -> String {
    let record = json!({
        "action": "flag.state.changed", "log": format!("{flag} switched on"), "author": {"type": "user", "email": "ada@example.com"},
        "project": {"key": "shop"}, "flag": {"key": flag}, "related_object_type": "FEATURE",
    });
    let request = http().post(format!("{}/v1/records", node.admin)).bearer_auth(ADMIN_TOKEN).json(&record);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    answer.json::<Value>().await.unwrap()["records"][0]["id"].as_str().unwrap().to_owned()
}

/// Waits for a delivery of the record after the first `before` requests.
async fn delivered(receiver: &Receiver, before: usize, id: &str) -> Received {
    wait::some(WITHIN, "the delivery", || async {
        receiver.received().into_iter().skip(before).find(|request| request.header("webhook-id") == Some(id))
    })
    .await
}

/// Waits until what a command answers is as wanted.
async fn until(node: &Node, words: &[&str], what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait::some(WITHIN, what, || async { Some(node.json(words)).filter(&wanted) }).await
}

async fn it_is_tested(node: &Node, receiver: &Receiver) {
    receiver.script([Answer::status(202).body("noted")]);
    let tested = node.json(&["endpoint", "test", "cache"]);
    assert_eq!(
        (&tested["delivered"], &tested["status"], &tested["excerpt"]),
        (&json!(true), &json!(202), &json!("noted"))
    );
    let request = receiver.wait_for(1, WITHIN).await.pop().unwrap();
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["type"], "webhook.test");
    assert!(request.header("webhook-signature").is_some());
    receiver.script([Answer::status(500)]);
    let failed = node.json(&["endpoint", "test", "cache"]);
    assert_eq!((&failed["delivered"], &failed["error"]), (&json!(false), &json!("status")));
    assert_eq!(node.command(&["--json", "query", "--action", "webhook.test"]), "", "a test is in no log");
}

async fn it_is_paused_and_resumed(node: &Node, receiver: &Receiver) {
    node.command(&["endpoint", "pause", "cache"]);
    let before = receiver.count();
    let id = append(node, "meanwhile").await;
    until(node, &["endpoint", "show", "cache"], "it is paused and behind", |shown| {
        shown["status"]["state"] == "paused"
            && shown["status"]["behind"]["records"].as_u64().is_some_and(|records| records > 0)
    })
    .await;
    assert_eq!(receiver.count(), before);
    node.command(&["endpoint", "resume", "cache"]);
    delivered(receiver, before, &id).await;
    until(node, &["endpoint", "show", "cache"], "it is caught up", |shown| {
        shown["status"]["state"] == "caught_up" && shown["status"]["window"]["delivered"] == 1
    })
    .await;
}

/// Waits until deliveries bear so many signatures: the one under way when a secret is rotated may have the former ones.
async fn signed_so_often(node: &Node, receiver: &Receiver, flag: &str, what: &str, wanted: usize) {
    wait::until(WITHIN, what, || async {
        let before = receiver.count();
        let found = delivered(receiver, before, &append(node, flag).await).await;
        let signatures = found.header("webhook-signature").unwrap().split(' ');
        signatures.filter(|one| one.starts_with("v1,")).count() == wanted
    })
    .await;
}

async fn its_secret_is_rotated(node: &Node, receiver: &Receiver) {
    let rotated = node.json(&["endpoint", "rotate-secret", "cache", "--grace", "1h"]);
    assert!(rotated["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{rotated}");
    assert_eq!(rotated["retiring"].as_array().map(Vec::len), Some(1), "{rotated}");
    signed_so_often(node, receiver, "rotated", "the old secret signs beside the new one", 2).await;
    node.json(&["endpoint", "rotate-secret", "cache", "--grace", "0s"]);
    signed_so_often(node, receiver, "rotated again", "without grace only the new one signs", 1).await;
}

async fn what_is_given_up_is_a_dead_letter(node: &Node, receiver: &Receiver) {
    receiver.answer(Answer::status(500));
    let id = append(node, "lost").await;
    let found = until(node, &["endpoint", "dead-letters", "cache"], "a dead letter", |found| {
        found["dead_letters"][0]["record_id"] == id.as_str()
    })
    .await;
    assert_eq!(found["dead_letters"].as_array().map(Vec::len), Some(1), "{found}");
    wait::until(WITHIN, "its attempt is shown whole", || async {
        let shown = node.command(&["endpoint", "deliveries", "cache", "--record", &id]);
        shown.contains(&format!("  webhook-id: {id}\n"))
    })
    .await;
}
