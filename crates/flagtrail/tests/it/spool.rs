//! The broker is away for a minute, and the process is killed meanwhile: what was answered 2xx is on the log
//! afterwards, in order, once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::wait;
use serde_json::Value;

use crate::harness::{Node, http};

/// How long the broker is away.
const OUTAGE: Duration = Duration::from_secs(60);

/// Pause between two hooks of a project.
const PACE: Duration = Duration::from_millis(50);

/// How long the spool may take to empty once the broker is back.
const DRAINED_WITHIN: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_that_were_answered_during_an_outage_with_a_kill_are_on_the_log_in_order_once() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = Arc::new(tokio::task::spawn_blocking(|| Cluster::start(1).unwrap()).await.unwrap());
    let root = tempfile::tempdir().unwrap();
    let settings =
        format!("[log]\nbackend = \"kafka\"\n[kafka]\nbrokers = {:?}\npartitions = 2\n", cluster.bootstrap());
    let mut node = Node::new(root.path(), "one", &["up"], &settings);
    node.start();
    node.ready().await;
    let made = node.json(&["source", "create", "zen", "--platform", "zenmanage", "--organisation", "acme"]);
    let url = made["url"].as_str().unwrap().to_owned();

    let stop = Arc::new(AtomicBool::new(false));
    let platforms: Vec<_> =
        ["shop", "site"].map(|project| tokio::spawn(platform(url.clone(), project, stop.clone()))).into();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let broker = cluster.clone();
    tokio::task::spawn_blocking(move || broker.kill_broker(1).unwrap()).await.unwrap();
    let began = Instant::now();
    tokio::time::sleep(OUTAGE / 2).await;
    node.kill();
    node.start();
    tokio::time::sleep(OUTAGE.saturating_sub(began.elapsed())).await;
    let broker = cluster.clone();
    tokio::task::spawn_blocking(move || broker.restart_broker(1).unwrap()).await.unwrap();
    node.ready().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    let mut answered = Vec::new();
    for platform in platforms {
        answered.push(platform.await.unwrap());
    }
    assert!(answered.iter().any(|(_, spooled)| *spooled > 0), "some hooks were answered 202");

    node.drained().await;
    let export = root.path().join("export");
    let exported = || -> Option<Vec<Value>> {
        let _ = std::fs::remove_dir_all(&export);
        // Fails until the process has reached the log, and where that is slow to answer.
        let written = node.try_command(&["export", "--source", "zen", "--out", export.to_str().unwrap()]);
        let file = export.join("data/records-00001.ndjson");
        let text = written.status.success().then(|| std::fs::read_to_string(file).unwrap())?;
        Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    };
    // What was moved last is to be seen a moment later. There may be more than was answered: a hook that nobody answered may have
    // come in all the same.
    let are_there = |records: &Vec<Value>| {
        answered.iter().zip(["shop", "site"]).all(|((numbers, _), project)| {
            let found = of_project(records, project);
            numbers.iter().all(|number| found.contains(number))
        })
    };
    let records = wait::some(DRAINED_WITHIN, "what was answered is on the log", || async {
        exported().filter(&are_there)
    })
    .await;
    for ((numbers, _), project) in answered.iter().zip(["shop", "site"]) {
        let found = of_project(&records, project);
        let once: BTreeSet<&u64> = found.iter().collect();
        assert_eq!(once.len(), found.len(), "{project}: each stands once: {found:?}");
        // A hook that nobody answered may have come in all the same, late and beside others.
        let in_order: Vec<&u64> = found.iter().filter(|number| numbers.contains(number)).collect();
        assert!(in_order.is_sorted(), "{project} is in order: {in_order:?}");
    }
    node.stop();
}

/// The numbers of a project's flags, in the order of the records.
fn of_project(records: &[Value], project: &str) -> Vec<u64> {
    let of_project = records.iter().filter(|record| record["project"]["key"] == project);
    of_project
        .map(|record| record["flag"]["key"].as_str().unwrap().trim_start_matches("flag-").parse().unwrap())
        .collect()
}

/// A platform that sends one hook after the other and never retries; says which were answered 2xx, and how many
/// of those were 202.
async fn platform(url: String, project: &'static str, stop: Arc<AtomicBool>) -> (Vec<u64>, usize) {
    let client = http();
    let (mut answered, mut spooled) = (Vec::new(), 0);
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let body = format!(
            r#"{{"type":"flag.target.changed","timestamp":"2026-01-02T03:04:05+00:00","attributes":{{"project_key":"{project}","environment_key":"production","flag_key":"flag-{number}","new_target_value":"on"}}}}"#
        );
        let sent = client.post(&url).header("content-type", "application/json").body(body).send().await;
        if let Ok(answer) = sent
            && answer.status().is_success()
        {
            answered.push(number);
            spooled += usize::from(answer.status() == 202);
        }
        tokio::time::sleep(PACE).await;
    }
    (answered, spooled)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_brokers_are_gone_still_stops_when_told_to() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1).unwrap()).await.unwrap();
    let root = tempfile::tempdir().unwrap();
    let settings = format!(
        "[shutdown]\ndrain = \"3s\"\n[log]\nbackend = \"kafka\"\n[kafka]\nbrokers = {:?}\npartitions = 2\n",
        cluster.bootstrap()
    );
    let mut node = Node::new(root.path(), "one", &["up"], &settings);
    node.start();
    node.ready().await;
    tokio::task::spawn_blocking(move || cluster.kill_broker(1).unwrap()).await.unwrap();
    // It may say that the drain took too long; it may not hang.
    node.stop_whatever_it_says();
}
