//! Secrets of sources at rest, and the keys that they are sealed with.

use audit_journal::{Control, SettingsChange, Topic};
use audit_secret::{Keyring, SecretKey};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::client::send;
use crate::server::{ADMIN, Server, TEST_KEY};

const SECRET: &str = "planted-signing-secret";

fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn body() -> String {
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

fn keyring(key: &str, former: &[&str]) -> Keyring {
    let former = former.iter().map(|key| key.parse().unwrap()).collect();
    Keyring::new(key.parse().unwrap(), former).unwrap()
}

fn other_key() -> String {
    use secrecy::ExposeSecret;
    SecretKey::generate().to_text().expose_secret().to_owned()
}

/// Everything on a topic, as text.
async fn text_of(server: &Server, topic: Topic) -> String {
    let messages = server.messages(topic).await;
    messages.iter().map(|m| String::from_utf8_lossy(m.value.as_deref().unwrap_or_default())).collect()
}

#[tokio::test]
async fn no_signing_secret_is_on_the_log_in_clear() {
    let server = Server::start().await;
    let url = server.source("fs", "flagsmith", json!({"secrets": [SECRET]})).await;
    let headers = [("content-type", "application/json"), ("x-flagsmith-signature", &signature(&body()))];
    send("POST", &url, &headers, body()).await.expect(200);
    let patch = Some(json!({"description": "changed"}));
    server.call_as(ADMIN, "PATCH", "/v1/sources/fs", &[("if-match", "*")], patch).await.expect(200);
    let control = text_of(&server, Topic::Control).await;
    assert!(control.contains("ciphertext"), "{control}");
    assert!(!control.contains(SECRET), "{control}");
    assert!(!text_of(&server, Topic::Records).await.contains(SECRET));
    server.stop().await;
}

#[tokio::test]
async fn without_a_key_a_source_with_secrets_is_refused_by_the_name_of_the_setting_and_others_are_made() {
    let server = Server::start_with(|wanted| wanted.keyring = Keyring::empty()).await;
    let mut new =
        json!({"name": "fs", "platform": "flagsmith", "organisation": {"key": "acme"}, "secrets": [SECRET]});
    let problem = server.call("POST", "/v1/sources", Some(new.clone())).await.problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("secrets.key_file"), "{problem}");
    let endpoint = json!({"name": "cache", "url": "https://example.com/hook"});
    let problem = server.call("POST", "/v1/endpoints", Some(endpoint)).await.problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("secrets.key_file"), "{problem}");
    server.call("POST", "/v1/keys/reseal", Some(json!({}))).await.problem(409);
    new["secrets"] = json!([]);
    server.call("POST", "/v1/sources", Some(new)).await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn what_comes_in_while_the_key_is_lost_is_kept_and_re_driven_when_it_is_back() {
    let server = Server::start().await;
    let url = server.source("fs", "flagsmith", json!({"secrets": [SECRET]})).await;
    let path = url.split_once("/v1/").unwrap().1.to_owned();
    let lost = keyring(&other_key(), &[]);
    let server = Server::start_in(server.stop().await, |wanted| wanted.keyring = lost).await;
    let url = format!("http://{}/v1/{path}", server.hooks);
    let headers = [("content-type", "application/json"), ("x-flagsmith-signature", &signature(&body()))];
    send("POST", &url, &headers, body()).await.problem(503);
    let shown = server.call("GET", "/v1/sources/fs", None).await.expect(200);
    assert!(shown["locked"].as_str().unwrap().contains("secrets.former_key_files"), "{shown}");
    let keys = server.call("GET", "/v1/keys", None).await.expect(200)["keys"].clone();
    let roles: Vec<_> = keys.as_array().unwrap().iter().map(|key| key["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["current", "missing"]);
    assert_eq!(keys[1]["settings"], json!(["source fs"]));
    let rejected = server.call("GET", "/v1/rejected", None).await.expect(200)["rejected"][0].clone();
    assert_eq!((&rejected["why"], &rejected["status"]), (&json!("unchecked"), &json!(503)));
    let redrive = format!("/v1/rejected/{}/redrive", rejected["id"].as_str().unwrap());
    server.call("POST", &redrive, Some(json!({}))).await.problem(409);
    // It can still be switched off and on: its secrets stay as they are.
    let off = Some(json!({"enabled": false}));
    server.call_as(ADMIN, "PATCH", "/v1/sources/fs", &[("if-match", "*")], off).await.expect(200);
    let server = Server::start_in(server.stop().await, |_| {}).await;
    server.call("POST", &redrive, Some(json!({}))).await.expect(200);
    let records = server.records().await;
    assert_eq!((records.len(), &records[0]["source"]["authenticated"]), (1, &json!("signature")));
    server.stop().await;
}

#[tokio::test]
async fn resealing_takes_what_is_in_clear_or_under_a_former_key_and_can_be_repeated() {
    let server = Server::start().await;
    for name in ["one", "two", "three"] {
        server.source(name, "flagsmith", json!({"secrets": [SECRET]})).await;
    }
    server.source("unsigned", "zenmanage", json!({})).await;
    let endpoint =
        json!({"name": "cache", "url": "https://example.com/hook", "headers": {"x-team": "hush-hush"}});
    server.call("POST", "/v1/endpoints", Some(endpoint)).await.expect(201);
    // As an earlier release wrote it.
    let control = Control::open(server.journal.clone()).await.unwrap();
    let mut old = control.get("source", "one").unwrap().value.clone();
    (old["v"], old["secrets"]) = (json!(1), json!([SECRET]));
    let change =
        SettingsChange { kind: "source".to_owned(), id: "one".to_owned(), base_version: 1, value: Some(old) };
    control.write(change, None).await.unwrap();
    drop(control);
    let rotated = other_key();
    let both = keyring(&rotated, &[TEST_KEY]);
    let server = Server::start_in(server.stop().await, |wanted| wanted.keyring = both).await;
    let keys = server.call("GET", "/v1/keys", None).await.expect(200);
    assert_eq!(keys["outdated"].as_array().unwrap().len(), 4, "{keys}");
    let first = server.call("POST", "/v1/keys/reseal", Some(json!({}))).await.expect(200);
    assert_eq!((first["resealed"].as_array().unwrap().len(), &first["remaining"]), (4, &json!(0)), "{first}");
    let again = server.call("POST", "/v1/keys/reseal", Some(json!({}))).await.expect(200);
    assert_eq!((&again["resealed"], &again["failed"]), (&json!([]), &json!([])));
    // The former key is not needed any more.
    let alone = keyring(&rotated, &[]);
    let server = Server::start_in(server.stop().await, |wanted| wanted.keyring = alone).await;
    let keys = server.call("GET", "/v1/keys", None).await.expect(200);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{keys}");
    let sources = server.call("GET", "/v1/sources", None).await.expect(200);
    assert!(sources["sources"].as_array().unwrap().iter().all(|source| source["locked"] == Value::Null));
    server.stop().await;
}

/// An audit entry of Flagsmith that holds the environment's key, of no form that is known.
fn unfit_with_secret() -> String {
    json!({"data": {"environment": {"api_key": "planted-api-key", "name": "Production"}}, "event_type": "WHAT"}).to_string()
}

async fn only_rejected(server: &Server) -> Value {
    let list = server.call("GET", "/v1/rejected", None).await.expect(200);
    let id = list["rejected"][0]["id"].as_str().unwrap().to_owned();
    server.call("GET", &format!("/v1/rejected/{id}"), None).await.expect(200)
}

fn shown_body(rejected: &Value) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.decode(rejected["body"].as_str().unwrap()).unwrap();
    String::from_utf8(body).unwrap()
}

#[tokio::test]
async fn a_badly_signed_body_is_kept_redacted_and_re_driven_by_its_raw_bytes_once_the_secret_is_mended() {
    let server = Server::start().await;
    let url = server.source("fs", "flagsmith", json!({"secrets": ["wrong"]})).await;
    let mut body: Value = serde_json::from_str(&body()).unwrap();
    body["data"]["new_state"]["environment"]["api_key"] = json!("planted-api-key");
    // Bytes that no serialiser of ours would give again: the signature must be checked over these.
    let raw = format!("{}\n ", serde_json::to_string_pretty(&body).unwrap());
    let signed = signature(&raw);
    let headers = [
        ("content-type", "application/json"),
        ("x-flagsmith-signature", &*signed),
        ("x-vendor-token", "planted"),
    ];
    send("POST", &url, &headers, raw.clone()).await.problem(401);
    assert!(!text_of(&server, Topic::Rejected).await.contains("planted"));
    let rejected = only_rejected(&server).await;
    assert_eq!(rejected["redacted"], json!(["/body/data/new_state/environment/api_key"]));
    assert!(rejected["sealed_with"].is_string() && rejected.get("raw").is_none(), "{rejected}");
    assert!(shown_body(&rejected).contains("\"api_key\":\"[REDACTED]\""), "{rejected}");
    let mended = Some(json!({"secrets": [SECRET]}));
    server.call_as(ADMIN, "PATCH", "/v1/sources/fs", &[("if-match", "*")], mended).await.expect(200);
    let redrive = format!("/v1/rejected/{}/redrive", rejected["id"].as_str().unwrap());
    server.call("POST", &redrive, Some(json!({}))).await.expect(200);
    // The platform's own retry is the same record.
    send("POST", &url, &headers, raw).await.expect(200);
    let records = server.records().await;
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["id"], records[1]["id"]);
    assert_eq!(records[0]["source"]["authenticated"], "signature");
    assert!(!records[0].to_string().contains("planted"));
    server.stop().await;
}

#[tokio::test]
async fn a_get_is_kept_without_the_secrets_of_its_query() {
    let server = Server::start().await;
    let url = server.source("zen", "zenmanage", json!({})).await;
    let query = "json=%7B%22password%22%3A%22planted%22%7D&api_key=planted";
    send("GET", &format!("{url}?{query}"), &[], "").await.problem(422);
    assert!(!text_of(&server, Topic::Rejected).await.contains("planted"));
    let rejected = only_rejected(&server).await;
    assert_eq!(rejected["redacted"], json!(["/query/json/password", "/query/api_key"]));
    assert!(rejected["sealed_with"].is_string());
    server.stop().await;
}

#[tokio::test]
async fn without_a_key_an_unsigned_body_is_kept_redacted_and_one_that_does_not_parse_as_it_came() {
    let server = Server::start_with(|wanted| wanted.keyring = Keyring::empty()).await;
    let url = server.source("fs", "flagsmith", json!({})).await;
    send("POST", &url, &[("content-type", "application/json")], unfit_with_secret()).await.problem(422);
    let rejected = only_rejected(&server).await;
    assert_eq!(rejected["redacted"], json!(["/body/data/environment/api_key"]));
    assert!(rejected.get("sealed_with").is_none());
    assert!(!text_of(&server, Topic::Rejected).await.contains("planted"));
    let broken = unfit_with_secret()[..60].to_owned();
    send("POST", &url, &[("content-type", "application/json")], broken.clone()).await.problem(422);
    let rejected = only_rejected(&server).await;
    assert_eq!((shown_body(&rejected), rejected.get("redacted")), (broken, None));
    server.stop().await;
}
