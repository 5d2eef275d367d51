//! Proofs over HTTP: what is served is checked with the log's keys and nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use audit_export::{SealKeys, Sealer, SealerConfig};
use audit_proof::{
    Checkpoint, Leaf, NoteVerifier, SignedNote, TlogProof, body_hash, leaf_hash, origin, read_bundle,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flagtrail_testkit::wait;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::client::send;
use crate::server::{ADMIN, SOON, Server, record};

/// A server that archives, and a sealer that signs at once.
async fn sealed() -> (Server, SealKeys) {
    let keys = SealKeys::generate();
    let (server, _) = sealed_in(Arc::new(TempDir::new().unwrap()), &keys).await;
    (server, keys)
}

async fn sealed_in(dir: Arc<TempDir>, keys: &SealKeys) -> (Server, JoinHandle<()>) {
    let server = Server::start_in(dir, |wanted| wanted.archive = true).await;
    let pace = SealerConfig { interval: Duration::ZERO, idle: Duration::from_secs(3_600) };
    let sealer = Sealer::new(server.journal.clone(), keys.clone(), &pace).unwrap();
    let sealing = tokio::spawn(sealer.run(|| 1_795_219_200_000, server.shutdown.clone()));
    (server, sealing)
}

/// Stops both, and gives the directory back.
async fn stop((server, sealing): (Server, JoinHandle<()>)) -> Arc<TempDir> {
    let dir = server.stop().await;
    sealing.await.unwrap();
    dir
}

/// Copies the files of a log that nobody writes.
fn copy_log(from: &Path, to: &Path) {
    for file in ["log.sqlite", "log.sqlite-wal"] {
        if from.join(file).exists() {
            std::fs::copy(from.join(file), to.join(file)).unwrap();
        }
    }
}

async fn append(server: &Server, flags: &[&str]) -> Vec<String> {
    let lines: String = flags.iter().map(|flag| format!("{}\n", record(flag))).collect();
    let answer = server.append("application/x-ndjson", lines).await.expect(201);
    answer["records"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect()
}

/// The proof of a record, once it is sealed.
async fn proof(server: &Server, id: &str) -> Value {
    wait::some(SOON, "the record's proof", || async {
        let answer = server.call("GET", &format!("/v1/proofs/{id}"), None).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await
}

async fn get(server: &Server, path: &str) -> (u16, Bytes) {
    let authorization = format!("Bearer {ADMIN}");
    let answer = send("GET", &server.url(path), &[("authorization", &authorization)], "").await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn a_records_proof_is_checked_with_the_logs_key_alone() {
    let (server, keys) = sealed().await;
    let ids = append(&server, &["a", "b", "c", "d", "e"]).await;
    let deployment = server.journal.identity().deployment;
    for id in &ids {
        let shown = proof(&server, id).await;
        let proof = TlogProof::parse(shown["proof"].as_str().unwrap()).unwrap();
        let found = Checkpoint::parse(proof.checkpoint.text()).unwrap().origin;
        let partition: u32 = found.split('/').nth(3).unwrap().parse().unwrap();
        let origin = origin(&deployment, partition, 0);
        let known: Vec<NoteVerifier> = keys.verifiers(&origin, &deployment).unwrap();
        let leaf = proof.extra.clone().unwrap();
        let (_, at_s) = proof.verify(&leaf_hash(&leaf), &origin, &known).unwrap();
        assert_eq!(at_s, Some(1_795_219_200));
        // And the leaf is this record's.
        assert_eq!(shown["leaf"].as_str().unwrap().as_bytes(), leaf);
        let leaf = Leaf::parse(&leaf).unwrap();
        let salt = STANDARD.decode(shown["salt"].as_str().unwrap()).unwrap();
        let record = server.call("GET", &format!("/v1/records/{id}"), None).await.expect(200);
        let value = record["record"].to_string();
        assert_eq!(leaf.record.as_ref().unwrap().id, *id);
        assert_eq!(record["record"], shown["record"]);
        assert_eq!(body_hash(Some(&salt), Some(value.as_bytes())), leaf.body);
    }
    server.call("GET", "/v1/proofs/nothing", None).await.problem(404);
    server.stop().await;
}

#[tokio::test]
async fn a_partitions_tree_is_served_as_tiles_that_belong_to_its_checkpoint() {
    let (server, keys) = sealed().await;
    let ids = append(&server, &["a"; 7]).await;
    for id in &ids {
        proof(&server, id).await;
    }
    let listed = server.call("GET", "/v1/checkpoints", None).await.expect(200);
    let listed = listed["checkpoints"].as_array().unwrap();
    assert_eq!(listed.iter().map(|listed| listed["size"].as_u64().unwrap()).sum::<u64>(), 7);
    let deployment = server.journal.identity().deployment;
    for checkpoint in listed {
        let partition = checkpoint["partition"].as_u64().unwrap() as u32;
        let (status, note) = get(&server, &format!("/tlog/{partition}/checkpoint")).await;
        assert_eq!(status, 200);
        let note = SignedNote::parse(&note).unwrap();
        let origin = origin(&deployment, partition, 0);
        let known: Vec<NoteVerifier> = keys.verifiers(&origin, &deployment).unwrap();
        let (opened, _) = Checkpoint::open(&note, &origin, &known).unwrap();
        assert_eq!(json!(opened.root.to_string()), checkpoint["root"]);
        let width = opened.size;
        let (status, tile) = get(&server, &format!("/tlog/{partition}/tile/0/000.p/{width}")).await;
        assert_eq!((status, tile.len() as u64), (200, 32 * width));
        let (status, bundle) = get(&server, &format!("/tlog/{partition}/tile/entries/000.p/{width}")).await;
        assert_eq!(status, 200);
        let hashes = read_bundle(&bundle)
            .unwrap()
            .iter()
            .flat_map(|entry| *leaf_hash(entry).as_bytes())
            .collect::<Vec<_>>();
        assert_eq!(hashes, tile.to_vec());
    }
    for missing in ["/tlog/0/tile/0/999", "/tlog/0/tile/0/1", "/tlog/99/checkpoint", "/tlog/0/tile/entries/x"]
    {
        assert_eq!(get(&server, missing).await.0, 404, "{missing}");
    }
    server.stop().await;
}

#[tokio::test]
async fn partitions_that_nobody_seals_are_named_and_empty_ones_are_not() {
    let server = Server::start_with(|wanted| {
        wanted.archive = true;
        // Who reads it is no record here.
        wanted.config.record_reads = false;
    })
    .await;
    let ids = append(&server, &["a", "b"]).await;
    let placed = wait::some(SOON, "the record in the archive", || async {
        let answer = server.call("GET", &format!("/v1/records/{}", ids[1]), None).await;
        (answer.status == 200).then(|| answer.json()["position"]["partition"].clone())
    })
    .await;
    let listed = server.call("GET", "/v1/checkpoints", None).await.expect(200);
    assert_eq!((&listed["checkpoints"], &listed["unsealed"]), (&json!([]), &json!([placed])));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_backup_was_put_back_what_is_on_the_log_is_proven_and_what_was_lost_is_told_so() {
    let keys = SealKeys::generate();
    let backup = TempDir::new().unwrap();
    let begun = sealed_in(Arc::new(TempDir::new().unwrap()), &keys).await;
    let kept = append(&begun.0, &["a", "b"]).await;
    for id in &kept {
        proof(&begun.0, id).await;
    }
    let dir = stop(begun).await;
    copy_log(dir.path(), backup.path());
    let longer = sealed_in(dir, &keys).await;
    let lost = append(&longer.0, &["c", "d", "e"]).await;
    for id in &lost {
        proof(&longer.0, id).await;
    }
    let dir = stop(longer).await;
    // Another folder: whoever still lets go of the longer log does it there.
    let again = Arc::new(TempDir::new().unwrap());
    copy_log(backup.path(), again.path());
    std::fs::rename(dir.path().join("archive"), again.path().join("archive")).unwrap();
    let put_back = sealed_in(again, &keys).await;
    put_back.0.journal.new_epoch().await.unwrap();
    let dir = stop(put_back).await;

    let (server, sealing) = sealed_in(dir, &keys).await;
    let new = append(&server, &["x", "y", "z"]).await;
    for id in new.iter().chain(&kept) {
        proof(&server, id).await;
    }
    for id in &lost {
        let problem = server.call("GET", &format!("/v1/proofs/{id}"), None).await.problem(404);
        assert!(problem["detail"].as_str().unwrap().contains("replaced"), "{problem}");
    }
    stop((server, sealing)).await;
}
