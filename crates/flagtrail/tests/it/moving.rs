//! The log moves from the machine to Kafka, and what stood on it goes on where it was.

use std::time::Duration;

use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::wait;
use serde_json::Value;

use crate::harness::{Node, PATIENT_APPENDS, flagtrail};
use crate::zenmanage::{flags, hook};

/// How long anything may take on a machine busy with other tests.
const PATIENCE: Duration = Duration::from_secs(180);

fn settings(backend: &str, cluster: &Cluster, prefix: &str) -> String {
    let brokers = cluster.bootstrap();
    format!(
        "[log]\nbackend = {backend:?}\n[kafka]\nbrokers = {brokers:?}\nprefix = {prefix:?}\n{PATIENT_APPENDS}"
    )
}

/// Runs `journal copy` with the process's configuration.
async fn copy(node: &Node, to: &str) -> Value {
    wait::some(PATIENCE, "the log is copied", || async {
        let mut command = flagtrail();
        command.arg("--config").arg(node.dir.join("flagtrail.toml"));
        let output = command.args(["--json", "journal", "copy", "--to", to]).output().unwrap();
        let problem = String::from_utf8_lossy(&output.stderr);
        // The mark of a last transaction's end may come to the brokers while it runs: then it says so, and is run again.
        if problem.contains("while it was copied") {
            return None;
        }
        assert!(output.status.success(), "{problem}");
        Some(serde_json::from_slice(&output.stdout).unwrap())
    })
    .await
}

fn archived(node: &Node, figure: &str) -> u64 {
    let status = node.json(&["--data-dir", node.dir.join("data").to_str().unwrap(), "archive", "status"]);
    let partitions = status["partitions"].as_array().into_iter().flatten();
    partitions.map(|partition| partition[figure].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_whose_log_is_copied_to_kafka_and_back_goes_on_with_sources_and_archive_as_they_were() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
    let (root, prefix) = (tempfile::tempdir().unwrap(), kafka::unique("moved"));
    let node_on = |backend: &str| {
        let node = Node::new(root.path(), "one", &["up"], &settings(backend, cluster, &prefix));
        node.configure("[admin]\n", "[admin]\nrecord_reads = false\n");
        node
    };
    let mut node = node_on("embedded");
    node.start();
    node.ready().await;
    let made = node.json(&["source", "create", "zen", "--platform", "zenmanage", "--organisation", "acme"]);
    let path = made["url"].as_str().unwrap().split_once("/v1/").unwrap().1.to_owned();
    let mut expected = Vec::new();
    for backend in ["embedded", "kafka", "embedded"] {
        if !expected.is_empty() {
            let copied = copy(&node, backend).await;
            assert!(copied["messages"]["records"].as_u64() > Some(expected.len() as u64), "{copied}");
            // Of the same data directory, at other ports.
            node = node_on(backend);
            node.start();
            node.ready().await;
            // The archive's bookmarks still hold: it is not stopped, and reads nothing again.
            wait::until(PATIENCE, "the archive is asked", || async { flags(&node).await == expected }).await;
        }
        for _ in 0..3 {
            let flag = format!("f{:02}", expected.len());
            assert!(hook(&format!("{}/v1/{path}", node.hooks), &flag).await.is_success());
            expected.push(flag);
        }
        wait::until(PATIENCE, "the archive has them", || async { flags(&node).await == expected }).await;
        // (Reading is not recorded here: a restart within a minute tells of it again under the same id.)
        assert_eq!(archived(&node, "duplicates"), 0);
        node.stop();
    }
}
