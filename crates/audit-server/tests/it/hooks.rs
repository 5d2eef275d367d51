use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::client::send;
use crate::server::{Server, record};

const JSON: (&str, &str) = ("content-type", "application/json");

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn flag_updated() -> String {
    let state = json!({
        "enabled": true, "environment": {"id": 23, "name": "Production"},
        "feature": {"id": 7, "name": "checkout", "project": {"id": 1, "name": "Main"}, "type": "STANDARD"},
        "feature_segment": null, "feature_state_value": null, "identity": null,
    });
    json!({
        "data": {"changed_by": "ada@example.com", "timestamp": "2026-11-21T07:50:26.595298Z", "new_state": state},
        "event_type": "FLAG_UPDATED",
    })
    .to_string()
}

#[tokio::test]
async fn a_signed_hook_becomes_a_record_and_any_configured_secret_signs() {
    let server = Server::start().await;
    let url = server.source("fs", "flagsmith", json!({"secrets": ["old", "new"]})).await;
    for secret in ["old", "new"] {
        let signature = signature(secret, &flag_updated());
        let headers = [JSON, ("x-flagsmith-signature", signature.as_str())];
        let answer = send("POST", &url, &headers, flag_updated()).await.expect(200);
        assert_eq!(answer["records"].as_array().unwrap().len(), 1);
        assert_eq!(answer["spooled"], false);
    }
    let records = server.records().await;
    assert_eq!(records[0]["source"]["authenticated"], "signature");
    assert_eq!(records[0]["flag"]["name"], "checkout");
    // Self-dating: the retry is the same record, seen twice.
    assert_eq!(records[0]["id"], records[1]["id"]);
    server.stop().await;
}

#[tokio::test]
async fn a_bad_signature_is_401_counted_and_kept_and_can_be_re_driven_once_the_secret_is_mended() {
    let server = Server::start().await;
    let url = server.source("fs", "flagsmith", json!({"secrets": ["right"]})).await;
    let signed = signature("mended", &flag_updated());
    let wrong = [JSON, ("x-flagsmith-signature", signed.as_str())];
    send("POST", &url, &wrong, flag_updated()).await.problem(401);
    send("POST", &url, &[JSON], flag_updated()).await.problem(401);
    assert!(server.records().await.is_empty());
    let source = server.call("GET", "/v1/sources/fs", None).await;
    let etag = source.etag();
    let status = source.expect(200)["status"].clone();
    assert_eq!(
        (&status["bad_signatures"], &status["rejected"], &status["accepted"]),
        (&json!(2), &json!(2), &json!(0))
    );
    let list = server.call("GET", "/v1/rejected?source=fs", None).await.expect(200);
    let entries = list["rejected"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["why"], "bad_signature");
    let redrive = format!("/v1/rejected/{}/redrive", entries[1]["id"].as_str().unwrap());
    server.call("POST", &redrive, Some(json!({}))).await.problem(422);
    let patch = json!({"secrets": ["right", "mended"]});
    server
        .call_as(crate::server::ADMIN, "PATCH", "/v1/sources/fs", &[("if-match", &etag)], Some(patch))
        .await
        .expect(200);
    let redriven = server.call("POST", &redrive, Some(json!({}))).await.expect(200);
    let records = server.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(redriven["records"][0]["id"], records[0]["id"]);
    server.stop().await;
}

#[tokio::test]
async fn badly_signed_bodies_are_kept_up_to_a_rate_and_counted_beyond() {
    let server = Server::start_with(|wanted| wanted.config.bad_signatures_kept_per_minute = 2).await;
    let url = server.source("fs", "flagsmith", json!({"secrets": ["right"]})).await;
    for _ in 0..7 {
        send("POST", &url, &[JSON], flag_updated()).await.problem(401);
    }
    let kept =
        server.call("GET", "/v1/rejected", None).await.expect(200)["rejected"].as_array().unwrap().len();
    // A minute may end in between.
    assert!((2..=4).contains(&kept), "{kept}");
    let source = server.call("GET", "/v1/sources/fs", None).await.expect(200);
    assert_eq!(source["status"]["bad_signatures"], 7);
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_token_and_an_unknown_source_are_the_same_404_and_are_not_kept() {
    let server = Server::start().await;
    let url = server.source("own", "native", json!({})).await;
    let base = format!("http://{}/v1/hooks", server.hooks);
    let wrong = send("POST", &format!("{base}/own/wrong"), &[JSON], record("a").to_string()).await;
    let unknown = send("POST", &format!("{base}/nobody/wrong"), &[JSON], record("a").to_string()).await;
    assert_eq!(wrong.text, unknown.text);
    wrong.problem(404);
    assert!(
        server.call("GET", "/v1/rejected", None).await.expect(200)["rejected"].as_array().unwrap().is_empty()
    );
    send("POST", &url, &[JSON], record("a").to_string()).await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_rotated_url_works_and_the_old_one_does_not() {
    let server = Server::start().await;
    let old = server.source("own", "native", json!({})).await;
    let rotated = server.call("POST", "/v1/sources/own/rotate", Some(json!({}))).await.expect(200);
    let new = rotated["url"].as_str().unwrap();
    send("POST", &old, &[JSON], record("a").to_string()).await.problem(404);
    send("POST", new, &[JSON], record("a").to_string()).await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_disabled_source_takes_nothing() {
    let server = Server::start().await;
    let url = server.source("own", "native", json!({})).await;
    let any = [("if-match", "*")];
    let off = Some(json!({"enabled": false}));
    server.call_as(crate::server::ADMIN, "PATCH", "/v1/sources/own", &any, off).await.expect(200);
    send("POST", &url, &[JSON], record("a").to_string()).await.problem(403);
    assert!(server.records().await.is_empty());
    server.stop().await;
}

fn zenmanage() -> Value {
    json!({
        "type": "flag.target.changed", "timestamp": "2026-11-21T09:00:00+00:00",
        "attributes": {
            "project_key": "shop", "environment_key": "production", "flag_key": "checkout",
            "new_target_value": "on", "transaction_id": "wht_1",
        },
    })
}

#[tokio::test]
async fn post_put_patch_and_get_with_json_all_become_records() {
    let server = Server::start().await;
    let url = server.source("zen", "zenmanage", json!({})).await;
    for (index, method) in ["POST", "PUT", "PATCH"].into_iter().enumerate() {
        let mut body = zenmanage();
        body["attributes"]["transaction_id"] = json!(format!("wht_{index}"));
        send(method, &url, &[JSON], body.to_string()).await.expect(200);
    }
    let mut body = zenmanage();
    body["attributes"]["transaction_id"] = json!("wht_get");
    let encoded: String = body.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    send("GET", &format!("{url}?json={encoded}"), &[], "").await.expect(200);
    let records = server.records().await;
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|record| record["flag"]["key"] == "checkout"));
    send("DELETE", &url, &[], "").await.problem(405);
    server.stop().await;
}

#[tokio::test]
async fn a_query_that_is_no_utf8_is_refused_and_kept() {
    let server = Server::start().await;
    let url = server.source("zen", "zenmanage", json!({})).await;
    send("GET", &format!("{url}?json=%FF"), &[], "").await.problem(422);
    let list = server.call("GET", "/v1/rejected", None).await.expect(200);
    let id = list["rejected"][0]["id"].as_str().unwrap();
    let whole = server.call("GET", &format!("/v1/rejected/{id}"), None).await.expect(200);
    assert_eq!(whole["query"], "json=%FF");
    server.stop().await;
}

#[tokio::test]
async fn ten_equal_bodies_without_an_id_are_ten_records_and_the_repeats_are_linked_to_the_first() {
    let server = Server::start().await;
    let url = server.source("mozhno", "mozhno", json!({"project": {"id": "1"}})).await;
    let body = json!({
        "action": "flag.archived", "resourceType": "flag", "resourceId": "7", "resourceName": "",
        "details": "Flag archived", "projectId": "1", "user": {"id": "3", "name": "Ada", "email": "ada@example.com"},
    })
    .to_string();
    for _ in 0..10 {
        send("POST", &url, &[JSON], body.clone()).await.expect(200);
    }
    let records = server.records().await;
    let ids: std::collections::BTreeSet<&str> = records.iter().filter_map(|r| r["id"].as_str()).collect();
    assert_eq!(ids.len(), 10);
    let first = records.iter().find(|record| record["attributes"].get("repeat_of").is_none()).unwrap();
    let linked = records.iter().filter(|record| record["attributes"]["repeat_of"] == first["id"]).count();
    assert_eq!(linked, 9);
    server.stop().await;
}

#[tokio::test]
async fn the_token_of_a_url_is_neither_in_metrics_nor_in_settings_nor_in_the_log() {
    let server = Server::start().await;
    let url = server.source("own", "native", json!({"secrets": ["hush-hush-secret"]})).await;
    let token = url.rsplit('/').next().unwrap();
    send("POST", &url, &[JSON], "no json").await.problem(422);
    send("POST", &url, &[JSON], record("a").to_string()).await.expect(200);
    let metrics = send("GET", &server.url("/metrics"), &[], "").await;
    let source = server.call("GET", "/v1/sources/own", None).await;
    let list = server.call("GET", "/v1/sources", None).await;
    for text in [&metrics.text, &source.text, &list.text] {
        assert!(!text.contains(token) && !text.contains("hush-hush-secret"));
    }
    for topic in
        [audit_journal::Topic::Records, audit_journal::Topic::Rejected, audit_journal::Topic::Control]
    {
        for message in server.messages(topic).await {
            let text = String::from_utf8_lossy(message.value.as_deref().unwrap()).into_owned();
            assert!(!text.contains(token), "{topic:?}: {text}");
            assert!(topic == audit_journal::Topic::Control || !text.contains("hush-hush-secret"));
        }
    }
    server.stop().await;
}
