//! Endpoints that are created, paused and enabled again while no partition has an owner: every delivering process is
//! gone, and another one, which delivers nothing, takes records and changes of settings. Whoever owns a partition next
//! finds each endpoint where it belongs.

use std::collections::BTreeSet;
use std::time::Duration;

use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::receiver::{Answer, Receiver};
use flagtrail_testkit::wait;
use serde_json::json;

use crate::harness::{ADMIN_TOKEN, Node, PATIENT_APPENDS, http};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Projects, spread over the partitions.
const PROJECTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_to_endpoints_while_no_partition_has_an_owner_holds_for_the_next_owner() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(3).unwrap()).await.unwrap();
    let root = tempfile::tempdir().unwrap();
    let settings = format!(
        "[log]\nbackend = \"kafka\"\n[kafka]\nbrokers = {:?}\npartitions = 4\n{PATIENT_APPENDS}",
        cluster.bootstrap()
    );
    let node = |name, roles| Node::new(root.path(), name, &["serve", "--roles", roles], &settings);
    let mut ingest = node("ingest", "ingest");
    let mut owners = [node("one", "deliver"), node("two", "deliver")];
    ingest.start();
    ingest.ready().await;
    for owner in &mut owners {
        owner.start();
    }
    let [steady, paused, resumed, gone, now, earliest, removed] =
        [(); 7].map(|()| Receiver::start().unwrap());
    let create = |name: &str, receiver: &Receiver, start: &str| {
        let (url, choices) = (receiver.url("/"), ["--events", "flag.*", "--start", start]);
        ingest.json(&[["endpoint", "create", url.as_str(), "--name", name].as_slice(), &choices].concat());
    };
    for (name, receiver) in [
        ("steady", &steady),
        ("paused", &paused),
        ("resumed", &resumed),
        ("gone", &gone),
        ("removed", &removed),
    ] {
        create(name, receiver, "now");
    }
    let first = append(&ingest, "first").await;
    for receiver in [&steady, &paused, &resumed, &gone, &removed] {
        came(receiver, &first).await;
    }
    // One is paused by people, another ends itself: both have something to come back to.
    ingest.command(&["endpoint", "pause", "resumed"]);
    gone.answer(Answer::status(410));
    let second = append(&ingest, "second").await;
    for receiver in [&steady, &paused, &removed] {
        came(receiver, &second).await;
    }
    wait::until(LIMIT, "it is disabled", || async {
        ingest.json(&["endpoint", "show", "gone"])["enabled"] == false
    })
    .await;

    // From here on nobody owns anything.
    for owner in &mut owners {
        owner.stop();
    }
    let third = append(&ingest, "third").await;
    ingest.command(&["endpoint", "pause", "paused"]);
    ingest.command(&["endpoint", "resume", "resumed"]);
    gone.answer(Answer::status(200));
    ingest.command(&["endpoint", "resume", "gone"]);
    ingest.command(&["endpoint", "delete", "removed"]);
    create("now", &now, "now");
    create("earliest", &earliest, "earliest");
    let fourth = append(&ingest, "fourth").await;
    let untouched = [&paused, &removed].map(Receiver::count);

    // The new owners are others by name, too: what they know, they know from the log.
    let mut heirs = [node("three", "deliver"), node("four", "deliver")];
    for heir in &mut heirs {
        heir.start();
    }
    let fifth = append(&ingest, "fifth").await;
    let all = [&first, &second, &third, &fourth, &fifth].map(Clone::clone).concat();
    for (name, receiver) in
        [("steady", &steady), ("resumed", &resumed), ("gone", &gone), ("earliest", &earliest)]
    {
        came(receiver, &all).await;
        assert_eq!(ids(receiver).len(), all.len(), "{name} gets what there is and nothing else");
    }
    came(&now, &[fourth.as_slice(), &fifth].concat()).await;
    let made_now = ids(&now);
    assert!(
        first.iter().chain(&second).chain(&third).all(|id| !made_now.contains(id)),
        "it begins where it was made: {made_now:?}"
    );
    assert_eq!([&paused, &removed].map(Receiver::count), untouched, "paused is paused, removed is removed");
    ingest.command(&["endpoint", "resume", "paused"]);
    came(&paused, &all).await;
    for heir in &mut heirs {
        heir.stop();
    }
    ingest.stop();
}

/// Appends a change in every project; returns the ids.
async fn append(node: &Node, name: &str) -> Vec<String> {
    let ids: Vec<String> = (0..PROJECTS).map(|project| format!("{name}-{project}")).collect();
    let line = |(project, id): (usize, &String)| {
        json!({
            "id": id, "action": "flag.value.changed", "log": "changed", "author": {"type": "user", "email": "ada@example.com"},
            "project": {"key": format!("p{project}")}, "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
        })
        .to_string()
    };
    let body = ids.iter().enumerate().map(line).collect::<Vec<_>>().join("\n");
    wait::until(LIMIT, "the records are taken", || async {
        let request = http().post(format!("{}/v1/records", node.admin)).bearer_auth(ADMIN_TOKEN);
        let sent = request.header("content-type", "application/x-ndjson").body(body.clone()).send().await;
        sent.is_ok_and(|answer| answer.status() == 201)
    })
    .await;
    ids
}

/// Waits until all of these have come.
async fn came(receiver: &Receiver, wanted: &[String]) {
    let what = format!("{} records and more have come", wanted.last().map_or("no", String::as_str));
    wait::until(LIMIT, &what, || async {
        let came = ids(receiver);
        wanted.iter().all(|id| came.contains(id))
    })
    .await;
}

fn ids(receiver: &Receiver) -> BTreeSet<String> {
    let received = receiver.received();
    received.iter().filter_map(|request| request.header("webhook-id")).map(str::to_owned).collect()
}
