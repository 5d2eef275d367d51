//! Deliveries made again by the command line: a period replayed through a kill, and what was given up redriven, one and all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use flagtrail_testkit::receiver::{Answer, Received, Receiver};
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Node, http};

/// How long anything may take, on a machine busy with other tests.
const WITHIN: Duration = Duration::from_secs(180);

/// How many records the replayed period has.
const PERIOD: usize = 200;

/// After so many deliveries of the replay its receiver becomes slow: the kill comes in the middle, on any machine.
const SWIFT: usize = 40;

/// How long the slow receiver takes.
const SLOW: Duration = Duration::from_secs(1);

/// The mark of a delivery that is of a replay.
const REPLAY: &str = "x-flagtrail-replay";

/// Appends changes of flags, under ids that tell which: `name-00000` and so on, over four projects.
async fn append(node: &Node, name: &str, count: usize) -> BTreeSet<String> {
    let ids: Vec<String> = (0..count).map(|number| format!("{name}-{number:05}")).collect();
    let line = |(number, id): (usize, &String)| {
        json!({
            "id": id, "action": "flag.state.changed", "log": "switched on", "author": {"type": "user", "email": "ada@example.com"},
            "project": {"key": format!("p{}", number % 4)}, "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
        })
        .to_string()
    };
    let body = ids.iter().enumerate().map(line).collect::<Vec<_>>().join("\n");
    let request = http().post(format!("{}/v1/records", node.admin)).bearer_auth(ADMIN_TOKEN);
    let answer = request.header("content-type", "application/x-ndjson").body(body).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    ids.into_iter().collect()
}

/// How often each record has come: of itself, and marked as of a replay.
fn came(receiver: &Receiver) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    let (mut own, mut again) = (BTreeMap::new(), BTreeMap::new());
    for request in receiver.received() {
        let came = if request.header(REPLAY).is_some() { &mut again } else { &mut own };
        *came.entry(id(&request)).or_default() += 1;
    }
    (own, again)
}

fn id(request: &Received) -> String {
    request.header("webhook-id").unwrap().to_owned()
}

fn names(came: &BTreeMap<String, usize>) -> BTreeSet<String> {
    came.keys().cloned().collect()
}

async fn until(node: &Node, words: &[&str], what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait::some(WITHIN, what, || async { Some(node.json(words)).filter(&wanted) }).await
}

/// Waits until so many deliveries have been made and the log has them as made.
async fn delivered(node: &Node, count: usize) {
    until(node, &["endpoint", "show", "cache"], "it is caught up, and that is on the log", |shown| {
        shown["status"]["state"] == "caught_up" && shown["status"]["window"]["delivered"] == count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_period_is_replayed_by_a_command_beside_what_is_new_and_goes_on_after_a_kill() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "");
    node.start();
    node.ready().await;
    let receiver = Receiver::start().unwrap();
    let url = receiver.url("/hook");
    node.json(&["endpoint", "create", &url, "--name", "cache", "--events", "flag.*", "--max-in-flight", "4"]);
    let before = append(&node, "before", 10).await;
    let from = wait::next_moment().await;
    let within = append(&node, "within", PERIOD).await;
    let to = wait::next_moment().await;
    let after = append(&node, "after", 10).await;
    delivered(&node, PERIOD + 20).await;

    let replayed = AtomicUsize::new(0);
    let slow = Arc::new(AtomicBool::new(true));
    let is_slow = Arc::clone(&slow);
    receiver.answer_by(move |request| {
        let of_replay = request.header(REPLAY).is_some();
        let late = of_replay && replayed.fetch_add(1, Ordering::Relaxed) >= SWIFT;
        Answer::status(200).after(if late && is_slow.load(Ordering::Relaxed) { SLOW } else { Duration::ZERO })
    });
    let ordered = node.json(&["endpoint", "replay", "cache", "--from", &from, "--to", &to]);
    let replay = ordered["id"].as_str().unwrap().to_owned();
    assert_eq!(ordered["state"], "running", "{ordered}");
    wait::until(WITHIN, "the replay is in the middle", || async { came(&receiver).1.len() > SWIFT }).await;
    node.kill();
    node.start();
    node.ready().await;

    let under_way = node.json(&["endpoint", "replays", "cache"]);
    assert_eq!(
        (&under_way["replays"][0]["id"], &under_way["replays"][0]["state"]),
        (&json!(replay), &json!("running"))
    );
    let live = append(&node, "live", 10).await;
    wait::until(WITHIN, "what is new has come", || async { names(&came(&receiver).0).is_superset(&live) })
        .await;
    let under_way = node.json(&["endpoint", "replays", "cache"]);
    assert_eq!(under_way["replays"][0]["state"], "running", "what is new did not wait for the replay");
    slow.store(false, Ordering::Relaxed);
    let through = until(&node, &["endpoint", "replays", "cache"], "the replay is through", |replays| {
        replays["replays"][0]["state"] == "done" && replays["replays"][0]["left"] == 0
    })
    .await;
    assert_eq!(through["replays"][0]["sent"], PERIOD, "each counts once, though some came twice");

    let (own, again) = came(&receiver);
    assert_eq!(names(&again), within, "the period, and nothing before or after it");
    assert!(receiver.received().iter().filter_map(|one| one.header(REPLAY)).all(|mark| mark == replay));
    let all: BTreeSet<String> = [before, within, after, live].into_iter().flatten().collect();
    assert_eq!(names(&own), all);
    assert!(own.values().all(|times| *times == 1), "of itself each came once, the kill aside: {own:?}");
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_is_redriven_by_commands_one_by_its_id_a_period_and_all_of_it() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "");
    node.start();
    node.ready().await;
    let [receiver, other] = [(); 2].map(|()| Receiver::start().unwrap());
    // What is older than a second is not tried again, and the first pause is longer: one failure is a dead letter.
    let choices = ["--name", "cache", "--events", "flag.*", "--max-age", "1s"];
    let url = receiver.url("/hook");
    node.json(&[["endpoint", "create", url.as_str()].as_slice(), &choices].concat());
    node.json(&["endpoint", "create", &other.url("/hook"), "--name", "other", "--events", "flag.*"]);
    // Every second one is refused.
    receiver.answer_by(|request| {
        let odd = id(request).ends_with(['1', '3', '5', '7', '9']);
        Answer::status(if odd { 422 } else { 200 })
    });
    append(&node, "early", 6).await;
    let from = wait::next_moment().await;
    append(&node, "late", 4).await;
    let to = wait::next_moment().await;
    append(&node, "last", 4).await;
    let given_up = |node: &Node| {
        let found = node.json(&["endpoint", "dead-letters", "cache"]);
        let letters = found["dead_letters"].as_array().unwrap().iter();
        letters.map(|letter| letter["record_id"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    let seven = ids(&[
        "early-00001",
        "early-00003",
        "early-00005",
        "late-00001",
        "late-00003",
        "last-00001",
        "last-00003",
    ]);
    wait::until(WITHIN, "seven are dead letters", || async { given_up(&node) == seven }).await;
    wait::until(WITHIN, "all came to the other one", || async { other.count() == 14 }).await;

    receiver.answer(Answer::status(200));
    let through = node.json(&["endpoint", "redrive", "cache", "early-00003", "--wait"]);
    assert_eq!(through["state"], "done", "{through}");
    assert_eq!(came(&receiver).1, BTreeMap::from([("early-00003".to_owned(), 1)]));
    let arrived = node.try_command(&["endpoint", "redrive", "cache", "early-00002", "early-00003"]);
    assert_eq!(arrived.status.code(), Some(1), "what has arrived is not made again");
    assert!(String::from_utf8_lossy(&arrived.stderr).contains("nothing was given up there"));

    let period = ["--from", &from, "--to", &to, "--only-failed", "--wait"];
    let elsewhere = [["endpoint", "replay", "cache", "--to-endpoint", "other"].as_slice(), &period].concat();
    assert_eq!(node.json(&elsewhere)["state"], "done");
    assert_eq!(names(&came(&other).1), ids(&["late-00001", "late-00003"]));
    assert_eq!(node.json(&[["endpoint", "replay", "cache"].as_slice(), &period].concat())["state"], "done");
    assert_eq!(names(&came(&receiver).1), ids(&["early-00003", "late-00001", "late-00003"]));

    assert_eq!(node.json(&["endpoint", "redrive", "cache", "--all", "--wait"])["state"], "done");
    let (own, again) = came(&receiver);
    assert_eq!(names(&again), seven);
    assert!(again.values().chain(own.values()).all(|times| *times == 1), "{own:?} {again:?}");
    wait::until(WITHIN, "no dead letter is left", || async { given_up(&node).is_empty() }).await;
    let nothing = node.try_command(&["endpoint", "redrive", "cache", "--all"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("nothing was given up there"));
    node.stop();
}
