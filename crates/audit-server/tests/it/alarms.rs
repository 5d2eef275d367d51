//! A checkpoint that the archive's tree does not bear out is told wherever somebody looks, and stops nothing.

use audit_export::SealKeys;
use audit_journal::{AppendOutcome, NewMessage, Placement, Topic};
use audit_proof::{Checkpoint, Frontier, Sealed, leaf_hash, origin};
use bytes::Bytes;
use flagtrail_testkit::wait;
use serde_json::Value;

use crate::client::send;
use crate::server::{SOON, Server, record};

/// Appends a record; where it is, once it is archived.
async fn archived(server: &Server, flag: &str) -> Value {
    let line = format!("{}\n", record(flag));
    let answer = server.append("application/x-ndjson", line).await.expect(201);
    let path = format!("/v1/records/{}", answer["records"][0]["id"].as_str().unwrap());
    wait::some(SOON, "the record in the archive", || async {
        let answer = server.call("GET", &path, None).await;
        (answer.status == 200).then(|| answer.json()["position"].clone())
    })
    .await
}

/// Signs a history that there never was of a partition's first message, as somebody can who has the log's key.
async fn sign_another_history(server: &Server, partition: u32) {
    let origin = origin(&server.journal.identity().deployment, partition, 0);
    let mut tree = Frontier::new();
    tree.append(leaf_hash(b"another history"), |_, _| {});
    let checkpoint = Checkpoint { origin: origin.clone(), size: tree.size(), root: tree.root() };
    let mut note = checkpoint.to_note().unwrap();
    note.sign(&SealKeys::generate().signers(&origin).unwrap()[0]);
    let sealed = Sealed { v: 1, epoch: 0, next: 1, peaks: tree.peaks().to_vec(), note: note.to_string() };
    let message = NewMessage {
        key: Bytes::from(origin),
        headers: Vec::new(),
        value: Some(sealed.to_json().into()),
        placement: Placement::Fixed(partition),
    };
    let outcome = server.journal.append(Topic::Checkpoints, vec![message]).await.remove(0);
    assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_second_history_is_told_in_readiness_metric_and_record_and_stops_nothing() {
    let server = Server::start_with(|wanted| wanted.archive = true).await;
    let position = archived(&server, "a").await;
    let partition = u32::try_from(position["partition"].as_u64().unwrap()).unwrap();
    sign_another_history(&server, partition).await;
    wait::until(SOON, "the archive is not ready for that reason", || async {
        let answer = server.call("GET", "/readyz?role=archive", None).await;
        answer.status == 503 && answer.text.contains("or one key signs for two histories")
    })
    .await;
    wait::until(SOON, "the metric counts it", || async {
        let figures = send("GET", &server.url("/metrics"), &[], "").await.text;
        figures.lines().any(|line| line == "flagtrail_archive_checkpoint_alarms 1")
    })
    .await;
    wait::until(SOON, "it is on the record", || async {
        let found = server.call("GET", "/v1/records?action=flagtrail.checkpoint.*", None).await.json();
        found["records"][0]["action"] == "flagtrail.checkpoint.mismatch"
    })
    .await;
    // Records are taken and archived as before.
    assert_eq!(archived(&server, "b").await["erased"], false);
    server.stop().await;
}
