//! Erasing over HTTP, where one request does not read everything.

use std::collections::BTreeSet;
use std::time::Duration;

use audit_journal::Topic;
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::server::{SOON, Server, record};

/// How many projects there are, in more than one partition.
const PROJECTS: u64 = 32;

/// A server that reads no more for one request than it must: one partition.
async fn archived() -> Server {
    let server = Server::start_with(|wanted| {
        wanted.archive = true;
        wanted.config.erasure_read_max = Duration::ZERO;
        wanted.config.record_reads = false;
    })
    .await;
    let by = |project: u64, email: &str| {
        let mut one = record("checkout");
        one["project"] = json!({"id": project.to_string()});
        one["author"]["email"] = json!(email);
        format!("{one}\n")
    };
    let lines: String =
        (0..PROJECTS).flat_map(|n| [by(n, "ada@example.com"), by(n, "bob@example.com")]).collect();
    server.append("application/x-ndjson", lines).await.expect(201);
    server
}

/// Asks for an erasure, once the archive has everything.
async fn ask(server: &Server, body: &Value) -> (u16, Value) {
    wait::some(SOON, "the archive has everything", || async {
        let answer = server.call("POST", "/v1/erasures", Some(body.clone())).await;
        (answer.status != 503).then(|| (answer.status, answer.json()))
    })
    .await
}

/// Waits until so many records of an author are shown.
async fn shown(server: &Server, author: &str, count: u64) {
    let path = format!("/v1/records?author={author}%40example.com&limit=100");
    wait::until(SOON, "what is left of the author's records", || async {
        let answer = server.call("GET", &path, None).await;
        answer.status == 200 && answer.json()["records"].as_array().map(Vec::len) == Some(count as usize)
    })
    .await;
}

#[tokio::test]
async fn what_one_request_can_not_read_is_erased_by_those_that_go_on() {
    let server = archived().await;
    let mut body = json!({"subject": ["Ada@example.com"], "reason": "request 12"});
    let mut answers = Vec::new();
    loop {
        let (status, answer) = ask(&server, &body).await;
        let next = answer["next"].clone();
        assert_eq!(status, if next.is_null() { 200 } else { 202 }, "{answer}");
        answers.push(answer);
        if next.is_null() {
            break;
        }
        assert_ne!(next, body["cursor"], "it gets on");
        body["cursor"] = next;
    }
    assert!(answers.len() > 1, "{answers:?}");
    let erased: u64 = answers.iter().filter_map(|answer| answer["erased"].as_u64()).sum();
    assert_eq!(erased, PROJECTS);
    shown(&server, "ada", 0).await;
    shown(&server, "bob", PROJECTS).await;

    // It is one erasure, and the last of its records says how many there are.
    let ids: BTreeSet<&str> = answers.iter().filter_map(|answer| answer["id"].as_str()).collect();
    assert_eq!(ids.len(), 1, "{answers:?}");
    let messages = server.messages(Topic::Records).await;
    let orders: Vec<Value> = messages
        .iter()
        .map(|message| serde_json::from_slice::<Value>(message.value.as_deref().unwrap()).unwrap())
        .filter(|record| record["action"] == "flagtrail.erased")
        .collect();
    let attributes = |name: &str| -> BTreeSet<u64> {
        orders.iter().filter_map(|order| order["attributes"][name].as_u64()).collect()
    };
    let count = orders.len() as u64;
    assert!(count > 1);
    assert_eq!(attributes("part"), BTreeSet::from_iter(1..=count));
    assert_eq!(attributes("parts"), BTreeSet::from([count]));

    // Asked again, it finds nothing.
    let mut again = json!({"subject": ["ada@example.com"], "reason": "request 13"});
    loop {
        let (_, answer) = ask(&server, &again).await;
        assert_eq!((&answer["erased"], &answer["id"]), (&json!(0), &Value::Null), "{answer}");
        if answer["next"].is_null() {
            break;
        }
        again["cursor"] = answer["next"].clone();
    }
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_leads_on_with_its_own_request_on_its_own_log_alone() {
    let server = archived().await;
    let mut body = json!({"subject": ["ada@example.com"], "reason": "request 12", "dry_run": true});
    let (status, answer) = ask(&server, &body).await;
    assert_eq!((status, &answer["id"]), (202, &Value::Null), "{answer}");
    body["cursor"] = answer["next"].clone();
    // What a dry run has passed over is not erased.
    let mut erase = body.clone();
    erase["dry_run"] = json!(false);
    let problem = server.call("POST", "/v1/erasures", Some(erase)).await.problem(400);
    assert_eq!(problem["errors"][0]["field"], "cursor");
    let elsewhere = archived().await;
    let (status, problem) = ask(&elsewhere, &body).await;
    assert_eq!(status, 409, "{problem}");
    assert!(ask(&server, &body).await.0 < 300, "at home it does");
    shown(&server, "ada", PROJECTS).await;
    elsewhere.stop().await;
    server.stop().await;
}
