//! Processes that seal, write segments and make exports, killed at any moment: one history, one sequence of segments, each export
//! once.

mod load;
#[cfg(feature = "kafka")]
mod two;
mod vault;

use std::collections::BTreeSet;
use std::time::Duration;

use audit_journal::{EmbeddedConfig, Journal, JournalConfig};
use flagtrail_testkit::wait;
use serde_json::{Value, json};
use uuid::Uuid;

use self::load::Load;
use self::vault::{Length, PARTITIONS, Vault};
use crate::harness::{ADMIN_TOKEN, Node, http};

/// How long anything may take, on a machine busy with other tests.
const LIMIT: Duration = Duration::from_secs(600);

/// How often the process is killed.
const KILLS: usize = 6;

/// By when after an export was asked for: its records are written, proven, brought to the destination and told of meanwhile, and
/// each partition is sealed and cut a few times.
const KILLED_WITHIN_MS: u64 = 2_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_goes_on_with_one_history_one_sequence_of_segments_and_each_export_once() {
    let root = tempfile::tempdir().unwrap();
    let vault = Vault::new(root.path());
    let settings = format!("[log]\npartitions = {PARTITIONS}\n{}", vault.settings());
    let mut node = Node::new(root.path(), "one", &["up"], &settings);
    node.configure("[admin]\n", "[admin]\nrecord_reads = false\n");
    node.start();
    node.ready().await;
    let load = Load::begin(&node.admin);
    let mut exports = Vec::new();
    for _ in 0..KILLS {
        exports.push(Asked::now(&node, &load).await);
        let moment = u64::try_from(Uuid::new_v4().as_u128() % u128::from(KILLED_WITHIN_MS)).unwrap();
        println!("killed {moment} ms after an export was asked for");
        tokio::time::sleep(Duration::from_millis(moment)).await;
        node.kill();
        node.start();
        node.ready().await;
    }
    let taken = load.ends().await;
    for export in &exports {
        export.is_made_once(&node, &vault).await;
    }
    node.stop();

    let path = node.dir.join("data/journal.sqlite");
    let log = JournalConfig::Embedded(EmbeddedConfig { path, partitions: PARTITIONS });
    let journal = open(&log).await;
    let length = Length::of(&journal).await;
    assert!(length.messages() >= taken);
    journal.close().await;
    drop(journal);
    node.start();
    node.ready().await;
    vault.covers(&length).await;
    node.stop();
    let journal = open(&log).await;
    vault.check(&journal).await;
    journal.close().await;
}

/// Opens the log: where a process has just ended, the machine may take a moment to let go of it.
async fn open(log: &JournalConfig) -> Journal {
    wait::some(LIMIT, "the log opens", || async { Journal::open(log.clone()).await.ok() }).await
}

/// An export that was asked for.
struct Asked {
    id: String,
    /// So many records had been acknowledged before.
    taken: usize,
}

impl Asked {
    async fn now(node: &Node, load: &Load) -> Self {
        let taken = load.taken();
        let asked = http()
            .post(format!("{}/v1/exports", node.admin))
            .bearer_auth(ADMIN_TOKEN)
            .json(&json!({"query": {"filter": {"flag": ["checkout"]}}, "destination": "vault"}))
            .send()
            .await
            .unwrap();
        assert_eq!(asked.status(), 202);
        let asked: Value = asked.json().await.unwrap();
        Self { id: asked["id"].as_str().unwrap().to_owned(), taken }
    }

    /// Waits until it is done. It stands at its destination, verifies, and has everything that was acknowledged before it was asked
    /// for, each record once; and the log tells of it once.
    async fn is_made_once(&self, node: &Node, vault: &Vault) {
        let client = http();
        let shown = format!("{}/v1/exports/{}", node.admin, self.id);
        wait::until(LIMIT, "the export is done", || async {
            let job = client.get(&shown).bearer_auth(ADMIN_TOKEN).send().await.unwrap();
            let job: Value = job.json().await.unwrap();
            assert_ne!(job["state"], "failed", "{job}");
            job["state"] == "done"
        })
        .await;
        let bag = vault.bag(&self.id);
        node.command(&["verify", bag.to_str().unwrap()]);
        let mut ids = BTreeSet::new();
        for file in std::fs::read_dir(bag.join("data")).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|end| end == "ndjson") {
                for line in std::fs::read_to_string(&file).unwrap().lines() {
                    let record: Value = serde_json::from_str(line).unwrap();
                    let id = record["id"].as_str().unwrap().to_owned();
                    assert!(ids.insert(id), "twice in {}: {record}", file.display());
                }
            }
        }
        let missing: Vec<String> = (0..self.taken).map(load::id).filter(|id| !ids.contains(id)).collect();
        assert!(missing.is_empty(), "not in {}: {missing:?}", bag.display());
        for action in ["flagtrail.export.requested", "flagtrail.export.completed"] {
            let told = || {
                node.command(&["--json", "query", "--action", action, "--object", &self.id]).lines().count()
            };
            wait::until(LIMIT, "the archive has what tells of the export", || async { told() > 0 }).await;
            assert_eq!(told(), 1, "{action} is on the record once");
        }
    }
}
