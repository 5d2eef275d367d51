//! The log does not answer: another connection holds the write lock of its file, as a backup tool might.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{Answer, send};
use crate::server::{SOON, Server, record};

/// Holds the log's write lock until dropped.
struct Outage(Connection);

impl Outage {
    fn begin(server: &Server) -> Self {
        let connection = Connection::open(server.dir.path().join("log.sqlite")).unwrap();
        connection.busy_timeout(SOON).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(connection)
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        let _ = self.0.execute_batch("ROLLBACK");
    }
}

/// Every write of the log fails at once, as on a disk that is full, until dropped; it can be read and opened.
struct Refusal(Connection);

impl Refusal {
    fn begin(dir: &Path) -> Self {
        let connection = Connection::open(dir.join("log.sqlite")).unwrap();
        connection.busy_timeout(SOON).unwrap();
        let trigger =
            "CREATE TRIGGER refuse BEFORE UPDATE ON partitions BEGIN SELECT RAISE(ABORT, 'refused'); END";
        connection.execute_batch(trigger).unwrap();
        Self(connection)
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        let _ = self.0.execute_batch("DROP TRIGGER refuse");
    }
}

/// Copies the spool as it stands, for [`put_back`].
fn copy_spool(dir: &Path) -> PathBuf {
    let kept = dir.join("spool.before");
    let spool = Connection::open(dir.join("spool.sqlite")).unwrap();
    spool.busy_timeout(SOON).unwrap();
    spool.execute("VACUUM INTO ?1", [kept.to_str().unwrap()]).unwrap();
    kept
}

/// Puts a copy of the spool in the place of a stopped server's.
fn put_back(dir: &Path, kept: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(dir.join(format!("spool.sqlite{suffix}")));
    }
    std::fs::rename(kept, dir.join("spool.sqlite")).unwrap();
}

/// Adds an entry to a copy of the spool: like the newest, of the same process, but of another flag and never
/// appended.
fn add_entry(kept: &Path, flag: &str) {
    let spool = Connection::open(kept).unwrap();
    let newest = "SELECT source, received_at_us, request FROM requests ORDER BY number DESC LIMIT 1";
    let (source, at, request): (String, i64, Vec<u8>) =
        spool.query_row(newest, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let mut request: Value = serde_json::from_slice(&request).unwrap();
    let message = &mut request["messages"][0];
    let mut record: Value = serde_json::from_str(message["value"].as_str().unwrap()).unwrap();
    record["id"] = json!("another");
    record["flag"]["key"] = json!(flag);
    message["value"] = json!(record.to_string());
    // 16 bytes that no other message has.
    message["mark"] = json!("A".repeat(22));
    let insert = "INSERT INTO requests (source, received_at_us, request) VALUES (?, ?, ?)";
    spool.execute(insert, params![source, at, request.to_string().into_bytes()]).unwrap();
}

async fn until_spooled(server: &Server, count: u64) {
    flagtrail_testkit::wait::until(SOON, "so many wait in the spool", || async {
        server.spool.backlog().0 == count
    })
    .await;
}

async fn hook(url: &str, flag: &str) -> Answer {
    send("POST", url, &[("content-type", "application/json")], record(flag).to_string()).await
}

/// Sends a hook until one is answered as on the log; while that is slow, some go by way of the spool. Says how many were sent.
async fn until_on_log(server: &Server, url: &str, flag: &str) -> usize {
    let began = Instant::now();
    let mut sent = 1;
    while hook(url, flag).await.status != 200 {
        assert!(began.elapsed() < SOON, "no hook is taken by the log");
        until_spooled(server, 0).await;
        sent += 1;
    }
    sent
}

/// Five hooks are spooled in an outage and then moved. Returns the stopped server's directory, and the spool as it was before.
async fn moved_from_the_spool() -> (Arc<TempDir>, PathBuf) {
    let server = Server::start_with(quick).await;
    let url = server.source("own", "native", json!({})).await;
    let outage = Outage::begin(&server);
    for index in 0..5 {
        hook(&url, &format!("f{index:02}")).await.expect(202);
    }
    let kept = copy_spool(server.dir.path());
    drop(outage);
    server.until_records(5).await;
    until_spooled(&server, 0).await;
    (server.stop().await, kept)
}

/// Of a server under which the log goes away: its hooks do not wait for it long.
fn quick(wanted: &mut crate::server::Wanted) {
    wanted.config.hook_acknowledge_timeout = Duration::from_secs(1);
}

fn flags(records: &[Value]) -> Vec<&str> {
    records.iter().filter_map(|record| record["flag"]["key"].as_str()).collect()
}

#[tokio::test]
async fn while_the_log_is_away_hooks_are_202_and_reach_it_in_order_and_once_when_it_is_back() {
    let server = Server::start_with(quick).await;
    let url = server.source("own", "native", json!({})).await;
    hook(&url, "f00").await;
    server.until_records(1).await;
    until_spooled(&server, 0).await;
    let outage = Outage::begin(&server);
    let mut ids = Vec::new();
    for index in 1..20 {
        let answer = hook(&url, &format!("f{index:02}")).await.expect(202);
        assert_eq!(answer["spooled"], true);
        ids.push(answer["records"][0]["id"].clone());
    }
    assert!(server.records().await.len() <= 1);
    assert_eq!(send("GET", &server.url("/readyz"), &[], "").await.status, 200);
    drop(outage);
    let records = server.until_records(20).await;
    let expected: Vec<String> = (0..20).map(|index| format!("f{index:02}")).collect();
    assert_eq!(flags(&records), expected);
    let stored: Vec<Value> = records[1..].iter().map(|record| record["id"].clone()).collect();
    assert_eq!(stored, ids);
    until_spooled(&server, 0).await;
    let more = until_on_log(&server, &url, "f20").await;
    assert_eq!(server.records().await.len(), 20 + more);
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
    until_spooled(&server, 0).await;
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
    let dir = server.crash(|| drop(outage)).await;
    let server = Server::start_in(dir, quick).await;
    let url = format!("http://{}/v1/{path}", server.hooks);
    until_spooled(&server, 0).await;
    let more = until_on_log(&server, &url, "f10").await;
    let records = server.records().await;
    let expected = (0..10).map(|index| format!("f{index:02}"));
    let expected: Vec<String> = expected.chain(std::iter::repeat_n("f10".to_owned(), more)).collect();
    assert_eq!(flags(&records), expected);
    server.stop().await;
}

/// The second failure of a durable write: the batch is on the log, and the process dies before the spool
/// learns of it.
#[tokio::test]
async fn what_was_moved_but_not_removed_from_the_spool_is_found_on_the_log_and_not_appended_again() {
    let (dir, kept) = moved_from_the_spool().await;
    put_back(dir.path(), &kept);
    let server = Server::start_in(dir, quick).await;
    until_spooled(&server, 0).await;
    assert_eq!(flags(&server.records().await), ["f00", "f01", "f02", "f03", "f04"]);
    server.stop().await;
}

#[tokio::test]
async fn what_a_dead_process_moved_is_not_moved_again_after_an_append_that_failed() {
    let (dir, kept) = moved_from_the_spool().await;
    // Five entries that are on the log and one that is not, while the log takes nothing.
    add_entry(&kept, "f05");
    put_back(dir.path(), &kept);
    let refusal = Refusal::begin(dir.path());
    let server = Server::start_in(dir, quick).await;
    flagtrail_testkit::wait::until(SOON, "an append failed", || async { !server.journal.is_writable() })
        .await;
    drop(refusal);
    until_spooled(&server, 0).await;
    assert_eq!(flags(&server.records().await), ["f00", "f01", "f02", "f03", "f04", "f05"]);
    server.stop().await;
}

#[tokio::test]
async fn a_hook_whose_platform_hangs_up_during_an_outage_is_spooled_and_reaches_the_log() {
    let server = Server::start_with(quick).await;
    let url = server.source("own", "native", json!({})).await;
    let path = url.strip_prefix(&format!("http://{}", server.hooks)).unwrap();
    let outage = Outage::begin(&server);
    let body = record("kept").to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut platform = TcpStream::connect(server.hooks).await.unwrap();
    platform.write_all(request.as_bytes()).await.unwrap();
    flagtrail_testkit::wait::until(SOON, "the hook is received", || async {
        let figures = send("GET", &server.url("/metrics"), &[], "").await.text;
        figures.contains("flagtrail_hooks_received_total{source=\"own\"} 1")
    })
    .await;
    drop(platform);
    until_spooled(&server, 1).await;
    drop(outage);
    until_spooled(&server, 0).await;
    assert_eq!(flags(&server.records().await), ["kept"]);
    server.stop().await;
}

#[tokio::test]
async fn without_the_log_and_with_a_spool_that_takes_nothing_it_is_not_ready_until_the_log_is_back() {
    let server = Server::start_with(|wanted| wanted.spool_bytes_max = 1).await;
    let url = server.source("own", "native", json!({})).await;
    let ready = async || send("GET", &server.url("/readyz"), &[], "").await.status;
    assert_eq!(ready().await, 200);
    let refusal = Refusal::begin(server.dir.path());
    hook(&url, "refused").await.problem(503);
    assert_eq!(server.spool.backlog().0, 0);
    assert_eq!(ready().await, 503);
    drop(refusal);
    flagtrail_testkit::wait::until(SOON, "it is ready", || async { ready().await == 200 }).await;
    hook(&url, "taken").await.expect(200);
    // Another outage: nothing is known yet against the spool.
    let refusal = Refusal::begin(server.dir.path());
    server.append("application/json", record("a").to_string()).await.problem(503);
    assert_eq!(ready().await, 200);
    drop(refusal);
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
