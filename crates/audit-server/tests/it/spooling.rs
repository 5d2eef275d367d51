//! The log does not answer: another connection holds the write lock of its file, as a backup tool might.

use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::client::{Answer, send};
use crate::server::{SOON, Server, record};

/// Holds the log's write lock until dropped.
struct Outage(Connection);

impl Outage {
    fn begin(server: &Server) -> Self {
        let connection = Connection::open(server.dir.path().join("log.sqlite")).unwrap();
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(connection)
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        let _ = self.0.execute_batch("ROLLBACK");
    }
}

async fn hook(url: &str, flag: &str) -> Answer {
    send("POST", url, &[("content-type", "application/json")], record(flag).to_string()).await
}

fn quick(wanted: &mut crate::server::Wanted) {
    wanted.config.hook_acknowledge_timeout = Duration::from_millis(100);
}

fn flags(records: &[Value]) -> Vec<&str> {
    records.iter().filter_map(|record| record["flag"]["key"].as_str()).collect()
}

#[tokio::test]
async fn while_the_log_is_away_hooks_are_202_and_reach_it_in_order_and_once_when_it_is_back() {
    let server = Server::start_with(quick).await;
    let url = server.source("own", "native", json!({})).await;
    hook(&url, "f00").await.expect(200);
    let outage = Outage::begin(&server);
    let mut ids = Vec::new();
    for index in 1..20 {
        let answer = hook(&url, &format!("f{index:02}")).await.expect(202);
        assert_eq!(answer["spooled"], true);
        ids.push(answer["records"][0]["id"].clone());
    }
    assert!(server.records().await.len() <= 1);
    send("GET", &server.url("/readyz"), &[], "").await;
    drop(outage);
    let records = server.until_records(20).await;
    let expected: Vec<String> = (0..20).map(|index| format!("f{index:02}")).collect();
    assert_eq!(flags(&records), expected);
    let stored: Vec<Value> = records[1..].iter().map(|record| record["id"].clone()).collect();
    assert_eq!(stored, ids);
    flagtrail_testkit::wait::until(SOON, "the spool is empty", || async { server.spool.backlog().0 == 0 })
        .await;
    hook(&url, "f20").await.expect(200);
    assert_eq!(server.records().await.len(), 21);
    server.stop().await;
}

#[tokio::test]
async fn an_append_that_succeeds_after_its_hook_was_spooled_is_not_repeated() {
    let server = Server::start_with(quick).await;
    let url = server.source("own", "native", json!({})).await;
    // Shorter than the log waits for its lock: the append under way succeeds late.
    let outage = Outage::begin(&server);
    hook(&url, "late").await.expect(202);
    drop(outage);
    server.until_records(1).await;
    hook(&url, "next").await;
    let records = server.until_records(2).await;
    flagtrail_testkit::wait::until(SOON, "the spool is empty", || async { server.spool.backlog().0 == 0 })
        .await;
    assert_eq!(flags(&records), ["late", "next"]);
    assert_eq!(server.records().await.len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_kill_in_the_middle_loses_nothing_and_doubles_nothing() {
    let server = Server::start_with(quick).await;
    let url = server.source("own", "native", json!({})).await;
    let path = url.split_once("/v1/").unwrap().1.to_owned();
    let outage = Outage::begin(&server);
    for index in 0..10 {
        hook(&url, &format!("f{index:02}")).await.expect(202);
    }
    // The first append is still under way when the process goes; whether it lands is not known to anybody.
    let crashed = tokio::spawn(server.crash());
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(outage);
    let dir = crashed.await.unwrap();
    let server = Server::start_in(dir, quick).await;
    let url = format!("http://{}/v1/{path}", server.hooks);
    flagtrail_testkit::wait::until(SOON, "the spool is empty", || async { server.spool.backlog().0 == 0 })
        .await;
    hook(&url, "f10").await.expect(200);
    let records = server.records().await;
    let expected: Vec<String> = (0..11).map(|index| format!("f{index:02}")).collect();
    assert_eq!(flags(&records), expected);
    server.stop().await;
}

/// The second failure of a durable write: the batch is on the log, and the process dies before the spool
/// learns of it.
#[tokio::test]
async fn what_was_moved_but_not_removed_from_the_spool_is_found_on_the_log_and_not_appended_again() {
    let server = Server::start_with(quick).await;
    let url = server.source("own", "native", json!({})).await;
    let outage = Outage::begin(&server);
    for index in 0..5 {
        hook(&url, &format!("f{index:02}")).await.expect(202);
    }
    let kept = server.dir.path().join("spool.before");
    let spool = server.dir.path().join("spool.sqlite");
    let copy = Connection::open(&spool).unwrap();
    copy.execute("VACUUM INTO ?1", [kept.to_str().unwrap()]).unwrap();
    drop(copy);
    drop(outage);
    server.until_records(5).await;
    flagtrail_testkit::wait::until(SOON, "the spool is empty", || async { server.spool.backlog().0 == 0 })
        .await;
    let dir = server.stop().await;
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(dir.path().join(format!("spool.sqlite{suffix}")));
    }
    std::fs::rename(&kept, &spool).unwrap();
    let server = Server::start_in(dir, quick).await;
    flagtrail_testkit::wait::until(SOON, "the spool is empty", || async { server.spool.backlog().0 == 0 })
        .await;
    assert_eq!(flags(&server.records().await), ["f00", "f01", "f02", "f03", "f04"]);
    server.stop().await;
}

#[tokio::test]
async fn while_the_log_is_away_an_unfit_hook_is_still_422_and_kept() {
    let server = Server::start_with(quick).await;
    let url = server.source("own", "native", json!({})).await;
    let outage = Outage::begin(&server);
    send("POST", &url, &[], "no json").await.problem(422);
    drop(outage);
    flagtrail_testkit::wait::until(SOON, "it is listed", || async {
        let list = server.call("GET", "/v1/rejected", None).await;
        list.status == 200 && list.json()["rejected"].as_array().unwrap().len() == 1
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn only_a_full_spool_refuses_a_hook() {
    let server = Server::start_with(|wanted| {
        quick(wanted);
        wanted.spool_bytes_max = 4_000;
    })
    .await;
    let url = server.source("own", "native", json!({})).await;
    let outage = Outage::begin(&server);
    let mut accepted = 0;
    let refused = loop {
        let answer = hook(&url, &format!("f{accepted:02}")).await;
        if answer.status != 202 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 100);
    };
    assert!(accepted > 0);
    let headers = refused.headers.clone();
    refused.problem(503);
    assert!(headers.contains_key("retry-after"));
    drop(outage);
    let records = server.until_records(accepted).await;
    assert_eq!(records.len(), accepted);
    server.stop().await;
}

#[tokio::test]
async fn post_records_is_answered_503_with_a_result_a_line_while_the_log_is_away() {
    let server = Server::start().await;
    let outage = Outage::begin(&server);
    let body = format!("{}\n{}\n", record("a"), record("b"));
    let problem = server.append("application/x-ndjson", body).await.problem(503);
    let results = problem["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert!(results.iter().all(|result| result["outcome"] == "not_appended" && result["id"].is_string()));
    drop(outage);
    server.stop().await;
}
