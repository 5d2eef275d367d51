//! What is known of sources: whether they are silent, and what they sent.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use audit_journal::Topic;
use audit_record::Timestamp;
use audit_server::{App, Parts, ServerConfig};
use flagtrail_testkit::wait;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::send;
use crate::server::{ADMIN, SOON, Server, Wanted, keyring, record};

const JSON: (&str, &str) = ("content-type", "application/json");

fn watching(wanted: &mut Wanted) {
    wanted.archive = true;
    wanted.config.silence_check_interval = Duration::from_millis(50);
}

/// What was told of silences, in the order of the log; a record that stands there twice counts once.
async fn told(server: &Server) -> Vec<String> {
    let messages = server.messages(Topic::Records).await;
    let records =
        messages.iter().map(|m| serde_json::from_slice::<Value>(m.value.as_ref().unwrap()).unwrap());
    let mut seen = BTreeSet::new();
    records
        .filter(|record| ["source.silent", "source.heard"].iter().any(|action| record["action"] == *action))
        .filter(|record| seen.insert(record["id"].as_str().unwrap().to_owned()))
        .map(|record| record["action"].as_str().unwrap().to_owned())
        .collect()
}

async fn until_told(server: &Server, action: &str) -> Vec<String> {
    wait::some(SOON, action, || async {
        let told = told(server).await;
        told.iter().any(|told| told == action).then_some(told)
    })
    .await
}

/// Another process that watches the same. What came to the server it knows from the log alone.
async fn another_process(server: &Server) -> JoinHandle<()> {
    let control = audit_journal::Control::open(server.journal.clone()).await.unwrap();
    let parts = Parts {
        endpoints: audit_webhook::Endpoints::new(
            server.journal.clone(),
            control.clone(),
            Default::default(),
            keyring(),
        ),
        journal: server.journal.clone(),
        control,
        keyring: keyring(),
        spool: Some(server.spool.clone()),
        deliverer: None,
        archive: Some(audit_archive::Reader::open(server.dir.path().join("archive"))),
        exports: None,
        sealing: None,
    };
    let config =
        ServerConfig { silence_check_interval: Duration::from_millis(50), ..ServerConfig::default() };
    let other = App::new(parts, config, CancellationToken::new());
    tokio::spawn(async move { other.watch_sources().await })
}

/// Of a source, what it is said to have sent last, for each time that it was told to be silent; microseconds since 1970.
async fn silences(server: &Server, source: &str) -> Vec<i64> {
    let messages = server.messages(Topic::Records).await;
    let records =
        messages.iter().map(|m| serde_json::from_slice::<Value>(m.value.as_ref().unwrap()).unwrap());
    let begins = format!("Source {source} has sent nothing");
    records
        .filter(|record| record["action"] == "source.silent")
        .filter(|record| record["log"].as_str().unwrap().starts_with(&begins))
        .map(|record| record["attributes"]["last_received_at"].as_str().unwrap().to_owned())
        .map(|last| Timestamp::parse(&last).unwrap().micros())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_is_told_once_over_restarts_and_processes_and_so_is_its_end() {
    let server = Server::start_with(watching).await;
    let url = server.source("own", "native", json!({"silent_after": "1s"})).await;
    server.source("patient", "native", json!({"silent_after": "7d"})).await;
    server.source("unwatched", "native", json!({})).await;
    until_told(&server, "source.silent").await;
    wait::until(SOON, "the list shows it", || async {
        let list = server.call("GET", "/v1/sources", None).await.expect(200);
        let silent: Vec<&Value> =
            list["sources"].as_array().unwrap().iter().map(|s| &s["status"]["silent_since"]).collect();
        assert!(silent[1].is_null() && silent[2].is_null(), "{list}");
        silent[0].is_string()
    })
    .await;
    let server = Server::start_in(server.stop().await, watching).await;
    let watching_too = another_process(&server).await;
    wait::until(SOON, "the silence is seen again", || async {
        let metrics = send("GET", &server.url("/metrics"), &[], "").await.text;
        metrics.contains("flagtrail_source_silent{source=\"own\"} 1")
    })
    .await;
    let (_, path) = url.split_once("/v1/").unwrap();
    let url = format!("http://{}/v1/{path}", server.hooks);
    // Until that is told: on a slow machine one record is a silence ago before anybody looks.
    let told = wait::some(SOON, "source.heard", || async {
        send("POST", &url, &[JSON], record("a").to_string()).await.expect(200);
        let told = told(&server).await;
        told.iter().any(|told| told == "source.heard").then_some(told)
    })
    .await;
    // However slow this machine is: it may be silent again by now, but nothing is told twice.
    for (index, action) in told.iter().enumerate() {
        let expected = if index % 2 == 0 { "source.silent" } else { "source.heard" };
        assert_eq!(action, expected, "{told:?}");
    }
    watching_too.abort();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_requests_are_rejected_is_not_silent() {
    // It looks when it starts, and not again: what it received itself would put the silence off.
    let server = Server::start_with(|wanted| {
        wanted.archive = true;
        wanted.config.silence_check_interval = Duration::from_secs(24 * 3_600);
    })
    .await;
    let url = server.source("own", "native", json!({"silent_after": "3s"})).await;
    server.source("quiet", "native", json!({"silent_after": "3s"})).await;
    send("POST", &url, &[JSON], "{}").await.problem(422);
    let first_us = wait::some(SOON, "the first rejected request", || async {
        let rejected = server.messages(Topic::Rejected).await;
        rejected.first().map(|message| message.appended_at_ms * 1_000)
    })
    .await;
    let watching = another_process(&server).await;
    let count = AtomicUsize::new(0);
    wait::until(SOON, "the other source is silent", || async {
        let number = count.fetch_add(1, Ordering::Relaxed);
        send("POST", &url, &[], format!("no json {number}")).await.problem(422);
        tokio::time::sleep(Duration::from_millis(100)).await;
        !silences(&server, "quiet").await.is_empty()
    })
    .await;
    // A machine that stands still is a silence too: but what was rejected has been heard.
    let silences = silences(&server, "own").await;
    assert!(silences.iter().all(|last_us| *last_us >= first_us), "{silences:?} from {first_us} on");
    watching.abort();
    for wrong in ["soon", "0s", "500d"] {
        let patch = Some(json!({"silent_after": wrong}));
        let answer = server.call_as(ADMIN, "PATCH", "/v1/sources/own", &[("if-match", "*")], patch).await;
        assert!([400, 422].contains(&answer.status), "{wrong}: {}", answer.text);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_sent_is_counted_over_a_restart_and_its_records_by_the_archive() {
    let remembering = |wanted: &mut Wanted| wanted.archive = true;
    let server = Server::start_with(remembering).await;
    let url = server.source("own", "native", json!({})).await;
    send("POST", &url, &[JSON], record("a").to_string()).await.expect(200);
    send("POST", &url, &[JSON], record("b").to_string()).await.expect(200);
    send("POST", &url, &[JSON], "{}").await.problem(422);
    let before = server.call("GET", "/v1/sources/own", None).await.expect(200)["status"].clone();
    let server = Server::start_in(server.stop().await, remembering).await;
    let status = wait::some(SOON, "the archive has the records", || async {
        let status = server.call("GET", "/v1/sources/own", None).await.expect(200)["status"].clone();
        (status["records"] == 2).then_some(status)
    })
    .await;
    for counter in ["received", "accepted", "rejected", "bad_signatures"] {
        assert_eq!(status[counter], before[counter], "{counter}");
    }
    assert_eq!(
        (&status["received"], &status["accepted"], &status["rejected"]),
        (&json!(3), &json!(2), &json!(1))
    );
    assert!(status["last_received_at"].is_string());
    server.stop().await;
}
