//! A request that the log takes in part.

use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Node, PATIENT_APPENDS, READY_WITHIN, http};

/// The broker's tool for settings.
const CONFIG_TOOL: &str = "kafka.admin.ConfigCommand";

/// Most bytes of a batch that the topic takes from then on.
const BYTES_MAX: usize = 20_000;

/// Text that compression does not make small: the broker judges a batch as it arrives, compressed.
fn incompressible(length: usize) -> String {
    let mut state = 1u64;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + ((state >> 33) % 94) as u8)
    };
    (0..length).map(letter).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_line_of_a_request_that_the_log_takes_in_part_is_told_what_became_of_it() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
    let (root, prefix) = (tempfile::tempdir().unwrap(), kafka::unique("partly"));
    let settings = format!(
        "[log]\nbackend = \"kafka\"\n[kafka]\nbrokers = {:?}\nprefix = {prefix:?}\npartitions = 4\n{PATIENT_APPENDS}",
        cluster.bootstrap()
    );
    let mut node = Node::new(root.path(), "one", &["up"], &settings);
    node.start();
    node.ready().await;
    // Somebody lowers what the topic takes.
    let topic = format!("{prefix}.records");
    tokio::task::spawn_blocking(move || {
        let limit = format!("max.message.bytes={BYTES_MAX}");
        let entity = ["--alter", "--entity-type", "topics", "--entity-name", &topic, "--add-config", &limit];
        cluster.run_tool(CONFIG_TOOL, &entity).unwrap();
    })
    .await
    .unwrap();
    let line = |project: usize, padding: usize| {
        json!({
            "id": format!("p{project}-{padding}"), "action": "flag.state.changed", "log": "switched on",
            "author": {"type": "user"}, "project": {"key": format!("project-{project}")},
            "flag": {"key": "checkout"}, "related_object_type": "FEATURE", "padding": incompressible(padding),
        })
    };
    // Twelve projects over four partitions: the line that is too large takes at most its partition's with it.
    let mut lines: Vec<String> = (0..12).map(|project| line(project, 0).to_string()).collect();
    lines.push(line(0, 4 * BYTES_MAX).to_string());
    let body = lines.join("\n");
    let problem: Value = wait::some(READY_WITHIN, "the broker refuses the large one", || async {
        let answer = http()
            .post(format!("{}/v1/records", node.admin))
            .bearer_auth(ADMIN_TOKEN)
            .header("content-type", "application/x-ndjson")
            .body(body.clone())
            .send()
            .await
            .unwrap();
        if answer.status() == 503 { Some(answer.json().await.unwrap()) } else { None }
    })
    .await;
    let results = problem["results"].as_array().unwrap();
    assert_eq!(results.len(), lines.len(), "{problem}");
    let large = &results[12];
    assert_eq!((&large["line"], &large["outcome"]), (&json!(13), &json!("not_appended")), "{problem}");
    let appended: Vec<&Value> = results.iter().filter(|result| result["outcome"] == "appended").collect();
    assert!(!appended.is_empty(), "{problem}");
    assert!(
        appended.iter().all(|result| result["partition"].is_u64() && result["offset"].is_u64()),
        "{problem}"
    );
    node.stop();
}
