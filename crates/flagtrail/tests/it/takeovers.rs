//! Deliveries through takeovers, on a real broker: an owner is killed, another is paused past its session's end
//! and woken, while endpoints are level with the log, far behind it, held up by a failing record, replaying and
//! hanging.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::receiver::{Answer, Received, Receiver};
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, NOT_WRITTEN, Node, PATIENT_APPENDS, http};

const PROJECTS: usize = 4;
const RECORDS: usize = 1_600;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Longer than a paused owner is waited for: its partitions are another's by then.
const PAST_THE_SESSION: Duration = Duration::from_secs(14);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_takeovers_nothing_is_lost_for_any_endpoint_and_each_project_stays_in_order() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1).unwrap()).await.unwrap();
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
    let [level, ordered, late, hanging] = [(); 4].map(|()| Receiver::start().unwrap());
    hanging.answer(Answer::hang());
    let count = AtomicU64::new(0);
    // Every fortieth is refused once, and holds its project up until it is tried again.
    ordered.answer_by(move |_| {
        Answer::status(if count.fetch_add(1, Ordering::Relaxed) % 40 == 39 { 422 } else { 200 })
    });
    let endpoint =
        create(&ingest, json!({ "name": "level", "url": level.url("/"), "events": ["flag.*"] })).await;
    let more = json!({ "name": "ordered", "url": ordered.url("/"), "events": ["flag.*"], "ordered": true, "timeout": "1s" });
    create(&ingest, more).await;
    create(&ingest, json!({ "name": "hanging", "url": hanging.url("/"), "events": ["flag.*"] })).await;

    let taken = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..PROJECTS)
        .map(|project| tokio::spawn(write(ingest.admin.clone(), project, Arc::clone(&taken))))
        .collect();
    let reach = |share: usize| {
        let taken = Arc::clone(&taken);
        async move {
            wait::until(LIMIT, "the load reaches the moment", || async {
                taken.load(Ordering::Relaxed) >= RECORDS * share / 100
            })
            .await;
        }
    };
    reach(25).await;
    // One endpoint begins far behind and one replays, and then an owner dies.
    create(
        &ingest,
        json!({ "name": "late", "url": late.url("/"), "events": ["flag.*"], "start": "earliest" }),
    )
    .await;
    let replayed: BTreeSet<String> = ids(&arrived(&level));
    let replay = post(&ingest, &format!("/v1/endpoints/{endpoint}/replay"), json!({}), 202).await;
    assert!(replay["id"].is_string(), "{replay}");
    owners[0].kill();
    owners[0].start();
    reach(55).await;
    owners[1].pause();
    tokio::time::sleep(PAST_THE_SESSION).await;
    owners[1].resume();
    for writer in writers {
        writer.await.unwrap();
    }
    let all: BTreeSet<String> = (0..PROJECTS)
        .flat_map(|project| (0..RECORDS / PROJECTS).map(move |number| format!("p{project}-{number:05}")))
        .collect();
    for (name, receiver) in [("level", &level), ("ordered", &ordered), ("late", &late)] {
        wait::until(LIMIT, &format!("everything has come to {name}"), || async {
            ids(&arrived(receiver)).is_superset(&all)
        })
        .await;
    }
    wait::until(LIMIT, "the replay is through", || async {
        let of_replay = |request: &&Received| request.header("x-flagtrail-replay").is_some();
        let received = level.received();
        let again: BTreeSet<&str> =
            received.iter().filter(of_replay).filter_map(|request| request.header("webhook-id")).collect();
        replayed.iter().all(|id| again.contains(id.as_str()))
    })
    .await;
    for owner in &mut owners {
        owner.stop_whatever_it_says();
    }
    ingest.stop();

    in_order(&arrived(&ordered));
    for (name, receiver) in [("level", &level), ("ordered", &ordered), ("late", &late)] {
        let own = arrived(receiver).len();
        let repeats = own - all.len();
        eprintln!("{name}: {repeats} of {own} came again");
        assert!(repeats < RECORDS / 2, "{name}: {repeats} repeats");
    }
}

/// What came, replays aside.
fn arrived(receiver: &Receiver) -> Vec<Received> {
    let mut received = receiver.received();
    received.retain(|request| request.header("x-flagtrail-replay").is_none());
    received
}

fn ids(received: &[Received]) -> BTreeSet<String> {
    received.iter().filter_map(|request| request.header("webhook-id")).map(str::to_owned).collect()
}

/// The sequence of a project may begin again at an earlier record, and then runs in order: nothing comes before
/// everything that precedes it has come. And each names its predecessor, where one is known.
fn in_order(received: &[Received]) {
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    let mut positions: BTreeMap<String, String> = BTreeMap::new();
    for request in received {
        let (project, number) = request.header("webhook-id").unwrap().split_once('-').unwrap();
        let number: usize = number.parse().unwrap();
        let next = last.get(project).map_or(0, |last| last + 1);
        assert!(number <= next, "{project}: {number} came before {next}");
        last.insert(project.to_owned(), number.max(next.saturating_sub(1)));
        positions.insert(
            format!("{project}-{number}"),
            request.header("x-flagtrail-position").unwrap().to_owned(),
        );
        if let Some(previous) = request.header("x-flagtrail-previous") {
            let before = &positions[&format!("{project}-{}", number - 1)];
            assert_eq!(previous, before, "{project}-{number}");
        }
    }
}

async fn create(node: &Node, endpoint: Value) -> String {
    post(node, "/v1/endpoints", endpoint, 201).await["id"].as_str().unwrap().to_owned()
}

async fn post(node: &Node, path: &str, body: Value, expected: u16) -> Value {
    wait::some(LIMIT, path, || async {
        let request = http().post(format!("{}{path}", node.admin)).bearer_auth(ADMIN_TOKEN).json(&body);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap();
        if answer["detail"] == NOT_WRITTEN {
            return None;
        }
        assert_eq!(status, expected, "{path}: {answer}");
        Some(answer)
    })
    .await
}

/// Writes one record after the other, each until it is taken.
async fn write(server: String, project: usize, taken: Arc<AtomicUsize>) {
    let client = http();
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    for number in 0..RECORDS / PROJECTS {
        ticks.tick().await;
        let record = json!({
            "id": format!("p{project}-{number:05}"), "action": "flag.value.changed", "log": "changed",
            "author": {"type": "user", "email": "ada@example.com"}, "project": {"key": format!("p{project}")},
            "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
        });
        wait::until(LIMIT, "a record is taken", || async {
            let request = client.post(format!("{server}/v1/records")).bearer_auth(ADMIN_TOKEN).json(&record);
            request.send().await.is_ok_and(|answer| answer.status() == 201)
        })
        .await;
        taken.fetch_add(1, Ordering::Relaxed);
    }
}
