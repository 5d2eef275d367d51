//! A log whose records were made anew behind the product's back, and is accepted as it stands: by the commands that the
//! product names.

use std::time::Duration;

use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::wait;
use serde_json::Value;

use crate::harness::{ADMIN_TOKEN, Node, PATIENT_APPENDS, http};
use crate::zenmanage::{flags, hook};

/// How long anything may take on a machine busy with other tests.
const PATIENCE: Duration = Duration::from_secs(180);

/// Webhooks that the former log holds.
const BEFORE: usize = 20;

/// What the process names as the mend.
const MEND: &str = "`flagtrail log new-epoch`";

/// What a path of the administration answers, with its status.
async fn answer(node: &Node, path: &str) -> (u16, String) {
    let asked = http().get(format!("{}{path}", node.admin)).bearer_auth(ADMIN_TOKEN).send().await;
    match asked {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
        Err(_) => (0, String::new()),
    }
}

/// Sends a webhook for each of these flags.
async fn send(url: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let flag = format!("f{number:02}");
        assert!(hook(url, &flag).await.is_success(), "{flag}");
    }
}

/// Waits until the archive has this many flags, in the order in which they were sent.
async fn has(node: &Node, count: usize) {
    let expected: Vec<String> = (0..count).map(|number| format!("f{number:02}")).collect();
    wait::until(PATIENCE, "the archive has them", || async { flags(node).await == expected }).await;
}

/// Waits until every message of the former log is sealed that a webhook made.
async fn sealed(node: &Node) {
    wait::until(PATIENCE, "they are sealed", || async {
        let (_, listed) = answer(node, "/v1/checkpoints").await;
        let listed: Value = serde_json::from_str(&listed).unwrap_or_default();
        listed["checkpoints"][0]["size"].as_u64() >= Some(BEFORE as u64)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_made_anew_stops_what_follows_it_by_name_until_a_new_epoch_accepts_it() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
    let (root, prefix) = (tempfile::tempdir().unwrap(), kafka::unique("replaced"));
    let settings = format!(
        "[log]\nbackend = \"kafka\"\n[kafka]\nbrokers = {:?}\nprefix = {prefix:?}\npartitions = 1\n{PATIENT_APPENDS}\
         [seal]\ninterval = \"100ms\"\n",
        cluster.bootstrap()
    );
    let mut node = Node::new(root.path(), "one", &["up"], &settings);
    // Of the records here none is to tell that others were read.
    node.configure("[admin]\n", "[admin]\nrecord_reads = false\n");
    node.start();
    node.ready().await;
    let made = node.json(&["source", "create", "zen", "--platform", "zenmanage", "--organisation", "acme"]);
    let url = made["url"].as_str().unwrap().to_owned();
    send(&url, 0..BEFORE).await;
    node.drained().await;
    has(&node, BEFORE).await;
    sealed(&node).await;
    node.stop();

    let topic = format!("{prefix}.records");
    tokio::task::spawn_blocking(move || cluster.delete_topic(&topic)).await.unwrap().unwrap();
    // While the topic is on its way out it can be neither read nor made: whoever opens the log makes what is missing.
    wait::until(PATIENCE, "the topic is there anew, and empty", || async {
        let shown = node.try_command(&["--json", "log", "show"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
        shown["partitions"][0]["end"] == 0
    })
    .await;

    node.start();
    node.ready().await;
    for role in ["archive", "seal"] {
        wait::until(PATIENCE, "the role is stopped, and says what mends it", || async {
            let (status, why) = answer(&node, &format!("/readyz?role={role}")).await;
            status == 503 && why.contains(MEND)
        })
        .await;
    }
    assert!(node.log().contains(MEND), "{}", node.log_tail());
    let status = node.json(&["archive", "status"]);
    assert!(status["partitions"][0]["stopped"].as_str().is_some_and(|why| why.contains(MEND)), "{status}");
    // What comes is taken all the same, and waits on the log.
    send(&url, BEFORE..BEFORE + 1).await;
    node.drained().await;
    has(&node, BEFORE).await;
    node.stop();

    assert!(node.command(&["log", "new-epoch"]).contains("say --yes to do it"));
    assert!(node.command(&["log", "new-epoch", "--yes"]).contains("has begun"));
    node.start();
    node.ready().await;
    send(&url, BEFORE + 1..BEFORE + 2).await;
    node.drained().await;
    has(&node, BEFORE + 2).await;
    for role in ["archive", "seal"] {
        wait::until(PATIENCE, "the role is ready again", || async {
            answer(&node, &format!("/readyz?role={role}")).await.0 == 200
        })
        .await;
    }
    let status = node.json(&["archive", "status"]);
    assert!(status["partitions"][0]["stopped"].is_null(), "{status}");

    let export = root.path().join("both");
    let folder = export.to_str().unwrap();
    node.command(&["export", "--project", "shop", "--out", folder]);
    let told = node.command(&["verify", folder]);
    for words in ["proven", "from a log that was replaced since"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let records = std::fs::read_to_string(export.join("data/records-00001.ndjson")).unwrap();
    assert_eq!(records.lines().count(), BEFORE + 2, "{records}");
    node.stop();
}
