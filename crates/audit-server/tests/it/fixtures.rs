//! Every recorded request of a real platform through its hook.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::client::send;
use crate::server::Server;

struct Recording {
    name: String,
    path: String,
    method: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn recordings(platform: &str) -> Vec<Recording> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(platform);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let body = file["body"].as_str().filter(|_| !name.starts_with("rest-"))?;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let headers = file["headers"].as_array()?.iter().map(|pair| (text(&pair[0]), text(&pair[1])));
        Some(Recording {
            path: text(&file["path"]),
            method: text(&file["method"]),
            headers: headers.collect(),
            body: body.as_bytes().to_vec(),
            name,
        })
    };
    files.iter().filter_map(read).collect()
}

/// The secret of the webhook that sent a request (see `tests/fixtures/README.md`).
fn secret(path: &str) -> Option<&'static str> {
    match path.split('/').nth(2)? {
        "org-signed" => Some("org-secret-1"),
        "env-dev-signed" => Some("env-dev-sécret-✓"),
        "env-ver-signed" => Some("env-ver-secret"),
        "status" | "slow" | "late" => Some("retry-secret"),
        "test-org" | "test-env" => Some("test-secret"),
        _ => None,
    }
}

async fn replay(server: &Server, platform: &str) -> (usize, Vec<String>) {
    let mut urls: BTreeMap<String, String> = BTreeMap::new();
    let (mut accepted, mut refused) = (0, Vec::new());
    for recording in recordings(platform) {
        if !urls.contains_key(&recording.path) {
            let source = format!("{platform}-{}", urls.len());
            let secrets: Vec<&str> =
                secret(&recording.path).filter(|_| platform == "flagsmith").into_iter().collect();
            let url = server.source(&source, platform, json!({"secrets": secrets})).await;
            urls.insert(recording.path.clone(), url);
        }
        let own = ["host", "content-length", "connection", "transfer-encoding", "accept-encoding"];
        let headers: Vec<(&str, &str)> = (recording.headers.iter())
            .filter(|(name, _)| !own.contains(&name.to_ascii_lowercase().as_str()))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let answer = send(&recording.method, &urls[&recording.path], &headers, recording.body).await;
        match answer.status {
            200 => accepted += 1,
            422 => refused.push(recording.name),
            other => panic!("{}: {other} {}", recording.name, answer.text),
        }
    }
    (accepted, refused)
}

#[tokio::test]
async fn every_recorded_flagsmith_request_becomes_a_record() {
    let server = Server::start().await;
    let (accepted, refused) = replay(&server, "flagsmith").await;
    assert!(accepted > 200, "{accepted}");
    assert!(refused.is_empty(), "{refused:?}");
    let records = server.records().await;
    assert!(records.len() >= accepted);
    assert!(records.iter().all(|record| record["organisation"]["key"] == "acme"));
    let signed = records.iter().filter(|r| r["source"]["authenticated"] == "signature").count();
    assert!(signed > 100, "{signed}");
    let list = server.call("GET", "/v1/sources", None).await.expect(200);
    let sum: u64 =
        list["sources"].as_array().unwrap().iter().map(|s| s["status"]["accepted"].as_u64().unwrap()).sum();
    assert_eq!(sum as usize, accepted);
    server.stop().await;
}

#[tokio::test]
async fn every_recorded_unleash_request_becomes_a_record_or_is_kept() {
    let server = Server::start().await;
    let (accepted, refused) = replay(&server, "unleash").await;
    assert!(accepted > 50, "{accepted}");
    let list = server.call("GET", "/v1/rejected?limit=200", None).await.expect(200);
    assert_eq!(list["rejected"].as_array().unwrap().len(), refused.len(), "{refused:?}");
    server.stop().await;
}
