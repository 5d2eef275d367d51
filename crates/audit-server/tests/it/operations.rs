use std::sync::Arc;
use std::time::Duration;

use audit_export::{Destination, Directory, SegmentsConfig};
use flagtrail_testkit::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::send;
use crate::server::{SOON, Server, record};

#[tokio::test]
async fn health_and_readiness_need_no_token_and_every_answer_has_a_request_id() {
    let server = Server::start().await;
    for url in [server.url("/healthz"), server.url("/readyz"), format!("http://{}/healthz", server.hooks)] {
        let answer = send("GET", &url, &[], "").await;
        assert_eq!(answer.status, 200, "{url}");
        assert_eq!(answer.headers["x-request-id"].len(), 36);
    }
    server.stop().await;
}

#[tokio::test]
async fn nothing_but_health_metrics_and_the_description_is_open() {
    let server = Server::start().await;
    let api: Value = send("GET", &server.url("/openapi.json"), &[], "").await.expect(200);
    for (path, operations) in api["paths"].as_object().unwrap() {
        if path.starts_with("/v1/hooks") || ["/healthz", "/readyz", "/metrics"].contains(&path.as_str()) {
            continue;
        }
        for method in operations.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            let path = path.replace(['{', '}', '*'], "");
            let answer = send(&method.to_uppercase(), &server.url(&path), &[], "").await;
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text);
        }
    }
    // And the administration is not on the listener that platforms call.
    send("GET", &format!("http://{}/v1/sources", server.hooks), &[], "").await.problem(404);
    server.stop().await;
}

#[tokio::test]
async fn the_description_names_every_route_and_holds_together() {
    let server = Server::start().await;
    let api: Value = send("GET", &server.url("/openapi.json"), &[], "").await.expect(200);
    assert!(api["openapi"].as_str().unwrap().starts_with("3."));
    let expected = [
        ("/v1/records", "get"),
        ("/v1/records", "post"),
        ("/v1/records/{id}", "get"),
        ("/v1/records/stream", "get"),
        ("/v1/hooks/{source}/{token}", "post"),
        ("/v1/hooks/{source}/{token}", "get"),
        ("/v1/hooks/{source}/{token}", "put"),
        ("/v1/hooks/{source}/{token}", "patch"),
        ("/v1/sources", "get"),
        ("/v1/sources", "post"),
        ("/v1/sources/{name}", "patch"),
        ("/v1/sources/{name}", "delete"),
        ("/v1/sources/{name}/rotate", "post"),
        ("/v1/tokens", "get"),
        ("/v1/tokens", "post"),
        ("/v1/tokens/{id}", "get"),
        ("/v1/tokens/{id}", "delete"),
        ("/v1/settings/diff", "post"),
        ("/v1/endpoints", "get"),
        ("/v1/endpoints", "post"),
        ("/v1/endpoints/{id}", "patch"),
        ("/v1/endpoints/{id}/deliveries", "get"),
        ("/v1/endpoints/{id}/dead-letters", "get"),
        ("/v1/endpoints/{id}/test", "post"),
        ("/v1/endpoints/{id}/pause", "post"),
        ("/v1/endpoints/{id}/resume", "post"),
        ("/v1/endpoints/{id}/rotate-secret", "post"),
        ("/v1/endpoints/{id}/replay", "post"),
        ("/v1/endpoints/{id}/redrive", "post"),
        ("/v1/endpoints/{id}/replays", "get"),
        ("/v1/endpoints/{id}/replays/{replay}", "get"),
        ("/v1/endpoints/{id}/replays/{replay}", "delete"),
        ("/v1/endpoints/preview", "post"),
        ("/v1/rejected", "get"),
        ("/v1/rejected/{id}", "get"),
        ("/v1/rejected/{id}/redrive", "post"),
        ("/v1/exports", "get"),
        ("/v1/exports", "post"),
        ("/v1/exports/{id}", "get"),
        ("/v1/exports/{id}", "delete"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
    ];
    for (path, method) in expected {
        let operation = &api["paths"][path][method];
        assert!(operation["responses"].is_object(), "{method} {path}");
        assert!(operation["summary"].is_string(), "{method} {path}");
    }
    // Every reference points at something.
    let text = api.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(api["components"]["schemas"][name].is_object(), "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let server = Server::start().await;
    server.call("GET", "/v1/nothing", None).await.problem(404);
    server.call("PUT", "/v1/sources", Some(json!({}))).await.problem(405);
    let bearer = format!("Bearer {}", crate::server::ADMIN);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    send("POST", &server.url("/v1/sources"), &headers, "{").await.problem(400);
    send("POST", &server.url("/v1/sources"), &headers[..1], "{}").await.problem(415);
    let large = json!({"name": "x".repeat(300 * 1024)}).to_string();
    send("POST", &server.url("/v1/sources"), &headers, large).await.problem(413);
    server.stop().await;
}

#[tokio::test]
async fn metrics_count_what_happened_under_route_templates() {
    let server = Server::start().await;
    let url = server.source("own", "native", json!({})).await;
    send("POST", &url, &[("content-type", "application/json")], record("a").to_string()).await.expect(200);
    server.append("application/x-ndjson", format!("{}\n{}", record("b"), record("c"))).await.expect(201);
    let text = send("GET", &server.url("/metrics"), &[], "").await.text;
    for line in [
        "flagtrail_records_ingested_total 2",
        "flagtrail_hooks_received_total{source=\"own\"} 1",
        "flagtrail_hooks_accepted_total{source=\"own\"} 1",
        "flagtrail_spool_entries 0",
        "route=\"/v1/hooks/{source}/{token}\"",
        "flagtrail_append_seconds_count 2",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    server.stop().await;
}

#[tokio::test]
async fn metrics_ask_for_a_token_when_told_to() {
    let server = Server::start_with(|wanted| wanted.config.metrics_need_token = true).await;
    send("GET", &server.url("/metrics"), &[], "").await.problem(401);
    assert_eq!(server.call("GET", "/metrics", None).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_segment_that_cannot_be_written_is_told_until_it_can() {
    let dir = Arc::new(TempDir::new().unwrap());
    let there = dir.path().join("there");
    std::fs::write(&there, "a file where the folder is to be").unwrap();
    let destination = Destination::new("vault", "", Directory::new(&there));
    let segments = SegmentsConfig { destination, interval: Duration::from_millis(100) };
    let server = Server::start_in(dir, |wanted| wanted.seal = Some(segments)).await;
    server.append("application/x-ndjson", record("a").to_string()).await.expect(201);
    let (ready, metrics) = (server.url("/readyz?role=seal"), server.url("/metrics"));
    wait::until(SOON, "it is told", || async { send("GET", &ready, &[], "").await.status == 503 }).await;
    let problem = send("GET", &ready, &[], "").await.problem(503);
    assert!(problem["detail"].as_str().unwrap().contains("vault"), "{problem}");
    let figures = send("GET", &metrics, &[], "").await.text;
    let is_told = |name: &str| {
        let begin = format!("flagtrail_{name}{{partition=");
        figures.lines().any(|line| line.starts_with(&begin) && line.ends_with("} 1"))
    };
    assert!(
        is_told("segments_stopped") && !is_told("segments_uncut") && !is_told("segments_lost"),
        "{figures}"
    );
    std::fs::remove_file(&there).unwrap();
    wait::until(SOON, "it is written", || async { send("GET", &ready, &[], "").await.status == 200 }).await;
    server.stop().await;
}

#[tokio::test]
async fn a_process_that_seals_nothing_is_not_ready_to_seal() {
    let server = Server::start().await;
    send("GET", &server.url("/readyz?role=seal"), &[], "").await.problem(503);
    server.stop().await;
}

#[tokio::test]
async fn a_partition_that_is_delivered_from_no_further_is_told() {
    let server = Server::start_with(|wanted| wanted.deliver = true).await;
    let (ready, metrics) = (server.url("/readyz?role=deliver"), server.url("/metrics"));
    wait::until(SOON, "every partition is delivered from", || async {
        let figures = send("GET", &metrics, &[], "").await.text;
        let lines = figures.lines().filter(|line| line.starts_with("flagtrail_deliver_stopped{partition="));
        lines.filter(|line| line.ends_with("} 0")).count() == server.journal.identity().partitions as usize
    })
    .await;
    assert_eq!(send("GET", &ready, &[], "").await.status, 200);
    // Whatever comes from now on is removed before anybody has read it.
    let trigger = "CREATE TRIGGER unread AFTER UPDATE ON partitions WHEN NEW.topic = 'records'
         BEGIN UPDATE partitions SET first_offset = next_offset
         WHERE topic = 'records' AND partition = NEW.partition; END";
    let log = rusqlite::Connection::open(server.dir.path().join("log.sqlite")).unwrap();
    log.execute_batch(trigger).unwrap();
    server.append("application/x-ndjson", record("a").to_string()).await.expect(201);
    wait::until(SOON, "it is told", || async { send("GET", &ready, &[], "").await.status == 503 }).await;
    let problem = send("GET", &ready, &[], "").await.problem(503);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("partition ") && detail.contains("removed by retention"), "{problem}");
    let figures = send("GET", &metrics, &[], "").await.text;
    let is_told =
        |line: &str| line.starts_with("flagtrail_deliver_stopped{partition=") && line.ends_with("} 1");
    assert!(figures.lines().any(is_told), "{figures}");
    server.stop().await;
}

#[tokio::test]
async fn a_process_that_delivers_nothing_is_not_ready_to_deliver() {
    let server = Server::start().await;
    send("GET", &server.url("/readyz?role=deliver"), &[], "").await.problem(503);
    server.stop().await;
}
