//! Two sealers at once, on a log on Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use audit_journal::{Journal, JournalConfig, KafkaConfig};
use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::wait;

use super::load::Load;
use super::vault::{Length, PARTITIONS, Vault};
use super::{LIMIT, open};
use crate::harness::{Node, PATIENT_APPENDS};

/// How often one of the two is killed.
const KILLS: usize = 4;

/// Longer than a paused owner is waited for: its partitions are the other's by then.
const PAST_THE_SESSION: Duration = Duration::from_secs(14);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sealers_that_are_killed_paused_and_woken_make_one_history_and_one_sequence_of_segments() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
    let (root, prefix) = (tempfile::tempdir().unwrap(), kafka::unique("sealed"));
    let vault = Vault::new(root.path());
    let settings = format!(
        "[log]\nbackend = \"kafka\"\n[kafka]\nbrokers = {:?}\nprefix = {prefix:?}\npartitions = {PARTITIONS}\n{PATIENT_APPENDS}{}",
        cluster.bootstrap(),
        vault.settings()
    );
    let node = |name: &str, role: &str| Node::new(root.path(), name, &["serve", "--roles", role], &settings);
    let mut ingest = node("ingest", "ingest");
    ingest.start();
    ingest.ready().await;
    let mut sealers = ["one", "two"].map(|name| node(name, "seal"));
    sealers.iter_mut().for_each(Node::start);
    let journal = open(&log(cluster, &prefix)).await;
    let load = Load::begin(&ingest.admin);
    for sealer in [0, 1].into_iter().cycle().take(KILLS) {
        has_grown(&vault, &journal).await;
        sealers[sealer].kill();
        sealers[sealer].start();
    }
    has_grown(&vault, &journal).await;
    sealers[0].pause();
    tokio::time::sleep(PAST_THE_SESSION).await;
    sealers[0].resume();
    has_grown(&vault, &journal).await;
    let taken = load.ends().await;
    let length = Length::of(&journal).await;
    assert!(length.messages() >= taken);
    vault.covers(&length).await;
    for sealer in &mut sealers {
        sealer.stop_whatever_it_says();
    }
    ingest.stop();
    vault.check(&journal).await;
    journal.close().await;
}

fn log(cluster: &Cluster, prefix: &str) -> JournalConfig {
    JournalConfig::Kafka(KafkaConfig {
        brokers: cluster.bootstrap(),
        prefix: prefix.to_owned(),
        partitions: PARTITIONS,
        create_topics: false,
        append_timeout: Duration::from_secs(20),
        librdkafka: BTreeMap::new(),
    })
}

/// Waits until each partition has more in segments than now: somebody owns it, and is at work.
async fn has_grown(vault: &Vault, journal: &Journal) {
    let deployment = journal.identity().deployment;
    let covered =
        || -> Vec<u64> { (0..PARTITIONS).map(|partition| vault.covered(&deployment, partition)).collect() };
    let before = covered();
    wait::until(LIMIT, "each partition is written further", || async {
        covered().iter().zip(&before).all(|(now, before)| now > before)
    })
    .await;
}
