use serde_json::{Value, json};

use crate::client::send;
use crate::server::{Server, record};

#[tokio::test]
async fn rejected_requests_are_listed_youngest_first_page_by_page_and_by_source() {
    let server = Server::start().await;
    let (one, other) =
        (server.source("one", "native", json!({})).await, server.source("other", "native", json!({})).await);
    for index in 0..7 {
        send("POST", &one, &[], format!("no json {index}")).await.problem(422);
    }
    send("POST", &other, &[], "nor this").await.problem(422);
    let mut path = "/v1/rejected?source=one&limit=3".to_owned();
    let mut ids: Vec<String> = Vec::new();
    let mut pages = 0;
    loop {
        let page = server.call("GET", &path, None).await.expect(200);
        let entries = page["rejected"].as_array().unwrap();
        assert!(entries.len() <= 3 && entries.iter().all(|entry| entry["source"] == "one"));
        ids.extend(entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(before) = page["before"].as_str() else { break };
        path = format!("/v1/rejected?source=one&limit=3&before={before}");
    }
    assert!(pages >= 3);
    assert_eq!(ids, ["0-6", "0-5", "0-4", "0-3", "0-2", "0-1", "0-0"]);
    server.call("GET", "/v1/rejected?before=x", None).await.problem(400);
    server.call("GET", "/v1/rejected/0-99", None).await.problem(404);
    server.call("GET", "/v1/rejected/nonsense", None).await.problem(400);
    server.stop().await;
}

#[tokio::test]
async fn what_was_rejected_for_want_of_a_project_becomes_a_record_once_the_source_has_one_and_only_once() {
    let server = Server::start().await;
    let url = server.source("own", "native", json!({"project": null})).await;
    let mut without_project = record("a");
    without_project.as_object_mut().unwrap().remove("project");
    let headers =
        [("content-type", "application/json"), ("authorization", "Bearer hush"), ("x-other", "kept")];
    let problem = send("POST", &url, &headers, without_project.to_string()).await.problem(422);
    assert!(problem["detail"].as_str().unwrap().contains("project"), "{problem}");
    let list = server.call("GET", "/v1/rejected", None).await.expect(200);
    let id = list["rejected"][0]["id"].as_str().unwrap().to_owned();
    let whole = server.call("GET", &format!("/v1/rejected/{id}"), None).await.expect(200);
    let header = |name: &str| -> Value {
        let headers = whole["headers"].as_array().unwrap();
        headers.iter().find(|pair| pair[0] == name).map(|pair| pair[1].clone()).unwrap_or_default()
    };
    assert_eq!(header("authorization"), "[REDACTED]");
    assert_eq!(header("x-other"), "kept");
    let patch = Some(json!({"project": {"key": "shop"}}));
    server
        .call_as(crate::server::ADMIN, "PATCH", "/v1/sources/own", &[("if-match", "*")], patch)
        .await
        .expect(200);
    let redrive = format!("/v1/rejected/{id}/redrive");
    let first = server.call("POST", &redrive, Some(json!({}))).await.expect(200);
    let second = server.call("POST", &redrive, Some(json!({}))).await.expect(200);
    assert_eq!(first["records"][0]["id"], second["records"][0]["id"]);
    let records = server.records().await;
    assert!(
        records
            .iter()
            .all(|record| record["project"]["key"] == "shop" && record["id"] == first["records"][0]["id"])
    );
    server.stop().await;
}
