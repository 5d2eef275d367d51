//! Processes that start while the brokers are away or are killed when those are back, and processes that share a
//! data directory.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::wait;

use crate::harness::{Node, flagtrail, http};
use crate::zenmanage::{flags, hook};

/// How long anything may take on a machine busy with other tests.
const PATIENCE: Duration = Duration::from_secs(180);

async fn status_of(url: &str) -> (u16, String) {
    match http().get(url).send().await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
        Err(_) => (0, String::new()),
    }
}

fn settings(cluster: &Cluster, prefix: &str) -> String {
    format!(
        "[log]\nbackend = \"kafka\"\n[kafka]\nbrokers = {:?}\nprefix = {prefix:?}\npartitions = 2\n",
        cluster.bootstrap()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_starts_while_the_log_is_away_takes_webhooks_of_the_sources_it_knew() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = Arc::new(tokio::task::spawn_blocking(|| Cluster::start(1).unwrap()).await.unwrap());
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "known", &["up"], &settings(&cluster, "flagtrail"));
    node.start();
    node.ready().await;
    let made = node.json(&["source", "create", "zen", "--platform", "zenmanage", "--organisation", "acme"]);
    let url = made["url"].as_str().unwrap().to_owned();
    assert!(hook(&url, "f00").await.is_success());
    let copy = root.path().join("known/data/settings.json");
    wait::until(PATIENCE, "the source is in the copy", || async {
        std::fs::read_to_string(&copy).is_ok_and(|copy| copy.contains("\"zen\""))
    })
    .await;
    node.stop();
    let broker = cluster.clone();
    tokio::task::spawn_blocking(move || broker.kill_broker(1).unwrap()).await.unwrap();

    // One that never saw the log says that it can do nothing; that it lives is true all the same.
    let mut stranger = Node::new(root.path(), "stranger", &["up"], &settings(&cluster, "flagtrail"));
    stranger.start();
    wait::until(PATIENCE, "the stranger says why it is not ready", || async {
        let (status, why) = status_of(&format!("{}/readyz", stranger.admin)).await;
        status == 503 && why.contains("has never seen it")
    })
    .await;
    assert_eq!(status_of(&format!("{}/healthz", stranger.admin)).await.0, 200);
    let path = url.split_once("/v1/").unwrap().1;
    assert_eq!(hook(&format!("{}/v1/{path}", stranger.hooks), "lost").await, 503);

    // Twice, for the first time's webhooks must outlive the second start.
    let mut next = 1;
    for _ in 0..2 {
        node.start();
        node.serving().await;
        for _ in 0..5 {
            assert_eq!(hook(&url, &format!("f{next:02}")).await, 202);
            next += 1;
        }
        assert_eq!(hook(&format!("{url}x"), "forged").await, 404);
        let refused = node.try_command(&["source", "disable", "zen"]);
        assert!(!refused.status.success(), "nothing can be written down while the log is away");
        node.kill();
    }
    node.start();
    node.serving().await;
    let broker = cluster.clone();
    tokio::task::spawn_blocking(move || broker.restart_broker(1).unwrap()).await.unwrap();
    let expected: Vec<String> = (0..next).map(|number| format!("f{number:02}")).collect();
    let found = wait::some(PATIENCE, "what was answered is on the log", || async {
        Some(flags(&node).await).filter(|found| found.len() >= next)
    })
    .await;
    assert_eq!(found, expected, "in order and once");
    assert!(hook(&url, "last").await.is_success());
    // The archive may have reached the log before what writes settings has.
    wait::until(PATIENCE, "settings are written again", || async {
        node.try_command(&["source", "disable", "zen"]).status.success()
    })
    .await;
    stranger.ready().await;
    stranger.stop();
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_again_and_again_while_its_spool_empties_appends_nothing_twice() {
    const HOOKS: usize = 1_500;
    const KILLS: usize = 4;
    if kafka::available().is_none() {
        return;
    }
    let cluster = Arc::new(tokio::task::spawn_blocking(|| Cluster::start(1).unwrap()).await.unwrap());
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], &settings(&cluster, "flagtrail"));
    node.start();
    node.ready().await;
    let made = node.json(&["source", "create", "zen", "--platform", "zenmanage", "--organisation", "acme"]);
    let url = made["url"].as_str().unwrap().to_owned();
    assert!(hook(&url, "first").await.is_success());
    let broker = cluster.clone();
    tokio::task::spawn_blocking(move || broker.kill_broker(1).unwrap()).await.unwrap();
    let senders: Vec<_> = (0..10)
        .map(|sender| {
            let url = url.clone();
            tokio::spawn(async move {
                for number in 0..HOOKS / 10 {
                    assert_eq!(hook(&url, &format!("f{sender}-{number}")).await, 202);
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    node.kill();
    let broker = cluster.clone();
    tokio::task::spawn_blocking(move || broker.restart_broker(1).unwrap()).await.unwrap();

    // Each dies as soon as it has moved anything: with a transaction under way, or one that the spool has not heard of.
    let mut left = HOOKS;
    for _ in 0..KILLS {
        node.start();
        left = wait::some(PATIENCE, "the spool empties", || async {
            node.spooled().await.filter(|now| *now < left || *now == 0)
        })
        .await;
        node.kill();
    }
    node.start();
    node.drained().await;
    let archived = wait::some(PATIENCE, "the archive has them", || async {
        let status = node.json(&["--data-dir", node.dir.join("data").to_str().unwrap(), "archive", "status"]);
        let sum = |figure: &str| -> usize {
            let partitions = status["partitions"].as_array().into_iter().flatten();
            partitions.map(|partition| partition[figure].as_u64().unwrap_or_default() as usize).sum()
        };
        // The hooks, and the records that tell of the source.
        (sum("messages") > HOOKS && sum("lag") == 0).then(|| (sum("messages"), sum("duplicates")))
    })
    .await;
    assert_eq!(archived.1, 0, "of {} records so many are there twice", archived.0);
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_different_roles_share_a_data_directory_and_a_second_spool_is_refused_by_name() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
    let root = tempfile::tempdir().unwrap();
    let prefix = kafka::unique("roles");
    let data = root.path().join("data");
    let serve = |roles: &'static str| ["--data-dir", data.to_str().unwrap(), "serve", "--roles", roles];
    let mut one = Node::new(root.path(), "one", &serve("ingest"), &settings(cluster, &prefix));
    one.start();
    one.ready().await;
    let mut two = Node::new(root.path(), "two", &serve("deliver,archive,query"), &settings(cluster, &prefix));
    two.start();
    two.ready().await;
    let made = one.json(&["source", "create", "zen", "--platform", "zenmanage", "--organisation", "acme"]);
    assert!(hook(made["url"].as_str().unwrap(), "f00").await.is_success());
    wait::until(PATIENCE, "the other process answers queries", || async { flags(&two).await == ["f00"] })
        .await;

    let three = Node::new(root.path(), "three", &serve("ingest"), &settings(cluster, &prefix));
    let refused = serve_to_its_end(&three.dir, &serve("ingest"));
    assert!(refused.contains("spool.sqlite is held by another process"), "{refused}");
    two.stop();
    one.stop();
}

/// Runs a process that must end by itself, and returns what it complains about.
fn serve_to_its_end(dir: &Path, arguments: &[&str]) -> String {
    let mut command: Command = flagtrail();
    let output = command.arg("--config").arg(dir.join("flagtrail.toml")).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
