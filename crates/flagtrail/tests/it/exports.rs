//! An export whose process is killed in the middle: the next start finishes it by itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Node, http};

/// Records: together more than one payload file holds.
const RECORDS: usize = 1_100;

/// What pads each of them, in bytes: as long as a change of a large flag value.
const PADDING: usize = 70_000;

/// Records a request: within what a request may hold.
const BATCH: usize = 50;

/// Jobs that may be over before the process is killed, on a machine that is that fast.
const ATTEMPTS: usize = 20;

/// How long an export may take on a busy machine.
const DONE_WITHIN: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_killed_in_the_middle_is_finished_by_the_next_start_with_each_record_once() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "");
    node.start();
    node.ready().await;
    append(&node).await;

    // In the second file: the first one is closed, and need not be written again.
    let (job, first) = killed(&mut node, "ndjson", "records-00002.ndjson").await;
    let closed = unfinished(&node, &job).join("data/records-00001.ndjson");
    let written_at = std::fs::metadata(&closed).unwrap().modified().unwrap();
    assert!(!first.exists(), "it is there whole or not at all");
    node.start();
    node.ready().await;
    let export = finished(&node, &job, root.path().join("lines")).await;
    let kept = first.join("data/records-00001.ndjson");
    assert_eq!(std::fs::metadata(kept).unwrap().modified().unwrap(), written_at);
    let mut numbers = Vec::new();
    for file in ["data/records-00001.ndjson", "data/records-00002.ndjson"] {
        let text = std::fs::read_to_string(export.join(file)).unwrap();
        numbers.extend(text.lines().map(|line| number(&serde_json::from_str(line).unwrap())));
    }
    assert_eq!(numbers.len(), RECORDS, "each record once");
    assert_eq!(numbers.into_iter().collect::<BTreeSet<_>>(), (0..RECORDS).collect());

    // In the only file there is: it is begun anew.
    let (job, _) = killed(&mut node, "sqlite", "records-00001.sqlite").await;
    node.start();
    node.ready().await;
    let export = finished(&node, &job, root.path().join("table")).await;
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(export.join("manifest.json")).unwrap()).unwrap();
    assert_eq!((&manifest["records"], &manifest["files"][0]["records"]), (&json!(RECORDS), &json!(RECORDS)));
    node.stop();
}

/// Appends the records.
async fn append(node: &Node) {
    let padding = "x".repeat(PADDING);
    let record = |number: usize| {
        json!({
            "action": "flag.value.changed", "log": format!("change {number}"), "author": {"type": "unknown"},
            "project": {"key": format!("project-{}", number % 5)}, "flag": {"key": "checkout"},
            "related_object_type": "FEATURE", "attributes": {"number": number, "padding": padding},
        })
    };
    for first in (0..RECORDS).step_by(BATCH) {
        let body: String =
            (first..RECORDS.min(first + BATCH)).map(|number| record(number).to_string() + "\n").collect();
        let answer = http()
            .post(format!("{}/v1/records", node.admin))
            .bearer_auth(ADMIN_TOKEN)
            .header("content-type", "application/x-ndjson")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    }
}

/// Asks for an export, and kills the process while it writes `file`; again where it was over before. Answers with the job, and
/// where its bag will be.
async fn killed(node: &mut Node, format: &str, file: &str) -> (String, PathBuf) {
    for _ in 0..ATTEMPTS {
        let asked: Value = http()
            .post(format!("{}/v1/exports", node.admin))
            .bearer_auth(ADMIN_TOKEN)
            .json(&json!({"query": {"filter": {"flag": ["checkout"]}}, "format": format}))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let job = asked["id"].as_str().unwrap().to_owned();
        let (bag, writing) =
            (exports(node).join(&job).join("bag"), unfinished(node, &job).join("data").join(file));
        let began = Instant::now();
        while !writing.exists() && !bag.exists() {
            assert!(began.elapsed() < DONE_WITHIN, "nothing is written:\n{}", node.log_tail());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        node.kill();
        if writing.exists() && unfinished(node, &job).join("state.json").exists() {
            return (job, bag);
        }
        node.start();
        node.ready().await;
    }
    panic!("{ATTEMPTS} exports were over before the process was killed");
}

/// Waits until the next start has finished the job, asked by nobody; fetches it and checks it. Nothing is left of the first try.
async fn finished(node: &Node, job: &str, to: PathBuf) -> PathBuf {
    let to_text = to.to_str().unwrap();
    node.command(&["export", "resume", job, "--out", to_text]);
    node.command(&["verify", to_text]);
    let folder = exports(node).join(job);
    assert_eq!(names(&folder), ["bag", "job.json", "on-record"]);
    assert_eq!(names(&folder.join("bag")), names(&to), "and nothing beside the export in its folder");
    assert_eq!(names(&folder.join("bag/data")), names(&to.join("data")));
    for action in ["flagtrail.export.requested", "flagtrail.export.completed"] {
        let told = || node.command(&["--json", "query", "--action", action, "--object", job]).lines().count();
        wait::until(DONE_WITHIN, "the archive has what tells of the export", || async { told() > 0 }).await;
        assert_eq!(told(), 1, "{action} is on the record once");
    }
    to
}

fn exports(node: &Node) -> PathBuf {
    node.dir.join("data/exports")
}

fn unfinished(node: &Node, job: &str) -> PathBuf {
    exports(node).join(job).join("bag.unfinished")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn number(record: &Value) -> usize {
    record["attributes"]["number"].to_string().parse().unwrap()
}
