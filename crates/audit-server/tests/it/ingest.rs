use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::send;
use crate::server::{ADMIN, Server, record};

#[tokio::test]
async fn a_record_is_appended_with_what_is_missing_filled_in() {
    let server = Server::start().await;
    let answer = server.append("application/json", record("checkout").to_string()).await.expect(201);
    let records = server.records().await;
    assert_eq!(records.len(), 1);
    let stored = &records[0];
    assert_eq!(answer["records"][0]["id"], stored["id"]);
    assert!(answer["records"][0]["partition"].is_u64() && answer["records"][0]["offset"].is_u64());
    assert_eq!(stored["organisation"], json!({"key": "acme"}));
    assert_eq!(stored["source"]["name"], "admin");
    assert_eq!(stored["source"]["system"], "native");
    assert_eq!(stored["source"]["event"], "flag.state.changed");
    assert_eq!(stored["source"]["authenticated"], "token");
    assert_eq!(stored["occurred_at"], stored["recorded_at"]);
    server.stop().await;
}

#[tokio::test]
async fn a_list_and_lines_are_appended_in_their_order() {
    let server = Server::start().await;
    let list = json!([record("a"), record("b")]);
    server.append("application/json", list.to_string()).await.expect(201);
    let lines = format!("{}\n\n{}\r\n", record("c"), record("d"));
    let answer = server.append("application/x-ndjson; charset=utf-8", lines).await.expect(201);
    assert_eq!(answer["records"].as_array().unwrap().len(), 2);
    let flags: Vec<Value> = server.records().await.iter().map(|r| r["flag"]["key"].clone()).collect();
    assert_eq!(flags, ["a", "b", "c", "d"]);
    server.stop().await;
}

#[tokio::test]
async fn cloudevents_are_appended_structured_batched_and_binary() {
    let server = Server::start().await;
    let event = |id: &str| {
        json!({
            "specversion": "1.0", "id": id, "type": "flag.state.changed", "source": "/app",
            "datacontenttype": "application/json", "data": record(id),
        })
    };
    server.append("application/cloudevents+json", event("one").to_string()).await.expect(201);
    let batch = json!([event("two"), event("three")]).to_string();
    server.append("application/cloudevents-batch+json", batch).await.expect(201);
    let bearer = format!("Bearer {ADMIN}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "four"),
        ("ce-type", "flag.state.changed"),
        ("ce-source", "/app"),
    ];
    send("POST", &server.url("/v1/records"), &headers, record("four").to_string()).await.expect(201);
    let records = server.records().await;
    let flags: BTreeSet<&str> = records.iter().filter_map(|r| r["flag"]["key"].as_str()).collect();
    assert_eq!(flags, BTreeSet::from(["one", "two", "three", "four"]));
    assert!(records.iter().all(|record| record["organisation"]["key"] == "acme"));
    server.stop().await;
}

#[tokio::test]
async fn one_wrong_line_refuses_all_and_every_wrong_line_and_field_is_named() {
    let server = Server::start().await;
    let mut no_log = record("b");
    no_log.as_object_mut().unwrap().remove("log");
    let mut no_project = record("d");
    no_project.as_object_mut().unwrap().remove("project");
    let lines = format!("{}\n{no_log}\n{{\"action\":\n{no_project}\n", record("a"));
    let problem = server.append("application/x-ndjson", lines).await.problem(400);
    assert_eq!(problem["type"], "urn:flagtrail:problem:invalid-records");
    let errors = problem["errors"].as_array().unwrap();
    let named = |line: u64, field: Value| errors.iter().any(|e| e["line"] == line && e["field"] == field);
    assert!(named(2, json!("log")) && named(3, Value::Null) && named(4, json!("project")), "{problem}");
    assert!(!errors.iter().any(|error| error["line"] == 1));
    assert!(server.records().await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn the_list_of_errors_is_bounded_and_the_others_are_counted() {
    let server = Server::start().await;
    let problem = server.append("application/x-ndjson", "{}x\n".repeat(250)).await.problem(400);
    assert_eq!(problem["errors"].as_array().unwrap().len(), 100);
    assert_eq!(problem["errors_left_out"], 150);
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_request_with_an_idempotency_key_is_the_same_records() {
    let server = Server::start().await;
    let token = server.token(&["records:write"], json!({})).await;
    let ids = async |token: &str, key: &str| {
        let body = Some(json!([record("a"), record("b")]));
        let headers = [("idempotency-key", key)];
        let answer = server.call_as(token, "POST", "/v1/records", &headers, body).await.expect(201);
        let records = answer["records"].as_array().unwrap().clone();
        records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = ids(&token, "k1").await;
    assert_eq!(first, ids(&token, "k1").await);
    assert_ne!(first[0], first[1]);
    assert_ne!(first, ids(&token, "k2").await);
    assert_ne!(first, ids(ADMIN, "k1").await);
    server.stop().await;
}

#[tokio::test]
async fn an_idempotency_key_that_is_used_again_with_another_body_hides_nothing() {
    let server = Server::start().await;
    let id = async |flag: &str| {
        let headers = [("idempotency-key", "k")];
        let answer = server.call_as(ADMIN, "POST", "/v1/records", &headers, Some(record(flag))).await;
        answer.expect(201)["records"][0]["id"].as_str().unwrap().to_owned()
    };
    let first = id("a").await;
    assert_ne!(first, id("b").await);
    assert_eq!(first, id("a").await);
    server.stop().await;
}

#[tokio::test]
async fn a_dry_run_checks_everything_shows_what_would_be_appended_and_appends_nothing() {
    let server = Server::start().await;
    let headers = [("idempotency-key", "k")];
    let post =
        async |path: &str, body: Value| server.call_as(ADMIN, "POST", path, &headers, Some(body)).await;
    let shown = post("/v1/records?dry_run=true", json!([record("a"), record("b")])).await.expect(200);
    let shown = shown["records"].as_array().unwrap();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0]["record"]["id"], shown[0]["id"]);
    assert_eq!(shown[0]["record"]["organisation"], json!({"key": "acme"}));
    let problem =
        post("/v1/records?dry_run=true", json!([record("a"), {"log": "no action"}])).await.problem(400);
    assert!(problem["errors"].as_array().unwrap().iter().all(|error| error["line"] == 2), "{problem}");
    // A misspelt parameter must not append.
    post("/v1/records?dryrun=true", record("a")).await.problem(400);
    assert!(server.records().await.is_empty());
    let appended = post("/v1/records?dry_run=false", json!([record("a"), record("b")])).await.expect(201);
    assert_eq!(appended["records"][0]["id"], shown[0]["id"]);
    assert_eq!(server.records().await.len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn what_a_client_says_of_its_source_is_kept_beside_what_is_known() {
    let server = Server::start().await;
    let mut sent = record("a");
    sent["source"] = json!({"name": "somebody", "event": "toggled", "delivery_id": "7", "region": "eu"});
    sent["recorded_at"] = json!("2001-01-01T00:00:00Z");
    sent["tomorrow"] = json!({"field": [1, 2]});
    server.append("application/json", sent.to_string()).await.expect(201);
    let stored = &server.records().await[0];
    assert_eq!(stored["source"]["name"], "admin");
    assert_eq!(stored["source"]["claimed"], json!({"name": "somebody"}));
    assert_eq!(stored["source"]["event"], "toggled");
    assert_eq!(stored["source"]["region"], "eu");
    assert_eq!(stored["tomorrow"], json!({"field": [1, 2]}));
    assert!(stored["recorded_at"].as_str().unwrap() > "2020");
    server.stop().await;
}

#[tokio::test]
async fn a_token_writes_only_its_organisation_and_its_projects() {
    let server = Server::start().await;
    let token = server.token(&["records:write"], json!({"projects": ["Main"]})).await;
    let mut other_project = record("a");
    other_project["project"] = json!({"id": "2"});
    let answer = server.call_as(&token, "POST", "/v1/records", &[], Some(other_project)).await;
    assert_eq!(answer.problem(403)["errors"][0]["field"], "project");
    let mut other_organisation = record("a");
    other_organisation["organisation"] = json!({"key": "globex"});
    let answer = server.call_as(&token, "POST", "/v1/records", &[], Some(other_organisation)).await;
    assert_eq!(answer.problem(403)["errors"][0]["field"], "organisation");
    server.call_as(&token, "POST", "/v1/records", &[], Some(record("a"))).await.expect(201);
    assert_eq!(server.records().await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn without_a_token_with_a_wrong_one_and_without_the_scope_nothing_is_appended() {
    let server = Server::start().await;
    let url = server.url("/v1/records");
    let body = record("a").to_string();
    send("POST", &url, &[("content-type", "application/json")], body.clone()).await.problem(401);
    for wrong in ["Bearer ft_0_wrong", "Bearer x", "Basic eDp5", "Bearer"] {
        send("POST", &url, &[("authorization", wrong)], body.clone()).await.problem(401);
    }
    let reader = server.token(&["records:read"], json!({})).await;
    let problem = server.call_as(&reader, "POST", "/v1/records", &[], Some(record("a"))).await.problem(403);
    assert!(problem["detail"].as_str().unwrap().contains("records:write"));
    assert!(server.records().await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_content_type_is_refused_with_those_that_are_known() {
    let server = Server::start().await;
    let problem = server.append("text/csv", "a,b").await.problem(415);
    assert!(problem["hint"].as_str().unwrap().contains("application/x-ndjson"));
    server.stop().await;
}

#[tokio::test]
async fn more_bytes_in_flight_than_the_bound_are_answered_429() {
    let server = Server::start_with(|wanted| wanted.config.ingest_bytes_in_flight_max = 1).await;
    // The bound is never below one body, so the first chunked request takes all of it.
    let mut slow = tokio::net::TcpStream::connect(server.admin).await.unwrap();
    let head = format!(
        "POST /v1/records HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    tokio::io::AsyncWriteExt::write_all(&mut slow, head.as_bytes()).await.unwrap();
    flagtrail_testkit::wait::until(crate::server::SOON, "the second is refused", || async {
        server.append("application/json", record("a").to_string()).await.status == 429
    })
    .await;
    drop(slow);
    flagtrail_testkit::wait::until(crate::server::SOON, "there is room again", || async {
        server.append("application/json", record("a").to_string()).await.status == 201
    })
    .await;
    server.stop().await;
}
