//! The whole main job on three brokers, with every process killed once under load.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flagtrail_testkit::clients::Clients;
use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::receiver::Receiver;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::{ADMIN_TOKEN, Node, PATIENT_APPENDS, http};

/// How many records go in.
const RECORDS: usize = 10_000;

/// Projects, each fed by a writer of its own that waits for every answer: so an order exists to be kept.
const PROJECTS: usize = 20;

/// At what rate, records a second over all projects.
const RATE: usize = 300;

/// How long everything may take to come out after the last record went in.
const SETTLED_WITHIN: Duration = Duration::from_secs(600);

/// Pause between two looks at a condition: some of them look at everything that was delivered.
const LOOK: Duration = Duration::from_millis(500);

/// How long one record may take to be taken, over all attempts.
const TAKEN_WITHIN: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_record_comes_out_although_every_process_is_killed_once() {
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
    let mut nodes = [node("ingest", "ingest"), node("deliver", "deliver"), node("archive", "archive,query")];
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/audit-record.v1.schema.json");
    for node in &mut nodes {
        node.start();
    }
    for node in &nodes {
        node.ready().await;
    }
    let receiver = Receiver::start().unwrap();
    let endpoint = nodes[0].json(&[
        "endpoint",
        "create",
        &receiver.url("/hook"),
        "--name",
        "all",
        "--events",
        "*",
        "--start",
        "earliest",
    ]);
    assert!(endpoint["id"].is_string(), "{endpoint}");

    let taken = Arc::new(AtomicUsize::new(0));
    let feed = tokio::spawn(feed(nodes[0].admin.clone(), taken.clone()));
    // Each process dies once, at a moment in the thick of it, and comes back after a while.
    for (index, node) in nodes.iter_mut().enumerate() {
        let moment = (index + 1) * RECORDS / 5 + usize::from(rand_byte());
        until(TAKEN_WITHIN * 2, "the load reaches the moment of the kill", || {
            taken.load(Ordering::Relaxed) >= moment
        })
        .await;
        node.kill();
        sleep(Duration::from_millis(500)).await;
        node.start();
        node.ready().await;
    }
    let acknowledged = feed.await.unwrap();
    assert_eq!(acknowledged.len(), RECORDS);

    until(SETTLED_WITHIN, "every record is delivered", || {
        let received = receiver.received();
        let ids: BTreeSet<&str> =
            received.iter().filter_map(|request| request.header("webhook-id")).collect();
        acknowledged.iter().all(|id| ids.contains(id.as_str()))
    })
    .await;
    for request in receiver.received() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(
            body["data"]["id"].as_str(),
            request.header("webhook-id"),
            "each time under the record's own id"
        );
    }

    let export = root.path().join("export");
    nodes[2].command(&["export", "--out", export.to_str().unwrap()]);
    nodes[2].command(&["verify", export.to_str().unwrap()]);
    let exported = exported(&export);
    let mut by_id: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &exported {
        *by_id.entry(record["id"].as_str().unwrap()).or_default() += 1;
    }
    for id in &acknowledged {
        assert_eq!(by_id.get(id.as_str()), Some(&1), "{id} stands once in the export");
    }
    let archived = nodes[2].command(&["--json", "query", "--action", "flag.value.changed", "--all"]);
    let archived: Vec<Value> = archived.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: BTreeSet<&str> = archived.iter().map(|record| record["id"].as_str().unwrap()).collect();
    assert!(
        archived.len() == RECORDS && ids.len() == RECORDS,
        "each once: {} of {}",
        ids.len(),
        archived.len()
    );
    in_order_within_each_project(&exported);
    if let Some(clients) = Clients::available() {
        let topic = [cluster.bootstrap(), "flagtrail.records".to_owned()];
        let read = clients.python("validate.py").args(topic).arg(schema).output().unwrap();
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        in_order_within_each_project(&once_each(&String::from_utf8(read.stdout).unwrap()));
    }
    for node in &mut nodes {
        node.stop();
    }
}

/// Writers that send one record after the other, each until it is taken, with an `Idempotency-Key`: a record
/// whose answer was lost is the same record when it is sent again.
async fn feed(server: String, taken: Arc<AtomicUsize>) -> Vec<String> {
    let client = http();
    let writers: Vec<_> = (0..PROJECTS)
        .map(|project| tokio::spawn(write(client.clone(), server.clone(), project, taken.clone())))
        .collect();
    let mut ids = Vec::new();
    for writer in writers {
        ids.extend(writer.await.unwrap());
    }
    ids
}

async fn write(
    client: reqwest::Client,
    server: String,
    project: usize,
    taken: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(PROJECTS as f64 / RATE as f64));
    let mut ids = Vec::new();
    for number in 0..RECORDS / PROJECTS {
        ticks.tick().await;
        let record = json!({
            "action": "flag.value.changed", "log": format!("change {number}"), "author": {"type": "user", "email": "ada@example.com"},
            "project": {"key": format!("p{project}")}, "flag": {"key": "checkout"},
            "related_object_type": "FEATURE", "attributes": {"number": number},
        });
        let began = Instant::now();
        loop {
            let request = client
                .post(format!("{server}/v1/records"))
                .bearer_auth(ADMIN_TOKEN)
                .header("Idempotency-Key", format!("{project}-{number}"))
                .json(&record);
            if let Ok(answer) = request.send().await
                && answer.status() == 201
                && let Ok(answer) = answer.json::<Value>().await
            {
                ids.push(answer["records"][0]["id"].as_str().unwrap().to_owned());
                break;
            }
            assert!(began.elapsed() < TAKEN_WITHIN, "record {number} of p{project} is not taken");
            sleep(Duration::from_millis(100)).await;
        }
        taken.fetch_add(1, Ordering::Relaxed);
    }
    ids
}

fn exported(export: &std::path::Path) -> Vec<Value> {
    let mut files: Vec<_> =
        std::fs::read_dir(export.join("data")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap().to_string_lossy().starts_with("records-"));
    files.sort();
    let lines = files.iter().flat_map(|file| {
        std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    });
    lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
}

/// The records that a client printed, in the order of the log. One whose answer was lost may stand there again.
fn once_each(printed: &str) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let lines = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let records = lines.map(|mut line| line["record"].take());
    records.filter(|record| seen.insert(record["id"].as_str().unwrap().to_owned())).collect()
}

/// Export and topic are in log order within a partition, and a project lies in one partition.
fn in_order_within_each_project(records: &[Value]) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for record in records.iter().filter(|record| record["attributes"]["number"].is_u64()) {
        let (project, number) =
            (record["project"]["key"].as_str().unwrap(), record["attributes"]["number"].as_u64().unwrap());
        let before = last.insert(project.to_owned(), number);
        assert!(before.is_none_or(|before| before < number), "{project}: {before:?} before {number}");
    }
}

async fn until(limit: Duration, what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        sleep(LOOK).await;
    }
}

/// A moment that differs from run to run.
fn rand_byte() -> u8 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_micros() as u8
}
