//! A record's proof, from `up` to a file that is checked with the log's verifier key and nothing else.

use std::time::Duration;

use audit_proof::{Checkpoint, Leaf, NoteVerifier, TlogProof, leaf_hash};
use flagtrail_testkit::wait;
use serde_json::json;

use crate::harness::{Node, flagtrail};

/// How long a record may take until it is sealed, on a busy machine.
const SEALED_WITHIN: Duration = Duration::from_secs(180);

#[tokio::test]
async fn a_records_proof_outlives_a_kill_and_a_change_of_keys() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "[seal]\ninterval = \"1ms\"\n");
    let config = root.path().join("one/flagtrail.toml");
    let keys = |arguments: &[&str]| {
        let output = flagtrail().arg("--config").arg(&config).arg("keys").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    node.start();
    node.ready().await;
    let prove = |node: &Node, id: &str| {
        let file = root.path().join(format!("{id}.tlog-proof"));
        let output = node.try_command(&["proof", id, "--out", file.to_str().unwrap()]);
        output.status.success().then(|| TlogProof::parse(&std::fs::read_to_string(file).unwrap()).unwrap())
    };
    let check = |proof: &TlogProof, id: &str| {
        let origin = Checkpoint::parse(proof.checkpoint.text()).unwrap().origin;
        let parts: Vec<&str> = origin.split('/').collect();
        let shown = keys(&["show", "--deployment", parts[1], "--partition", parts[3], "--epoch", parts[4]]);
        let known: Vec<NoteVerifier> = shown.lines().map(|line| NoteVerifier::parse(line).unwrap()).collect();
        let leaf = proof.extra.clone().unwrap();
        assert_eq!(Leaf::parse(&leaf).unwrap().record.unwrap().id, id);
        proof.verify(&leaf_hash(&leaf), &origin, &known).is_ok()
    };
    let append = |node: &Node, id: &str| {
        let record = json!({
            "id": id, "action": "flag.state.changed", "log": "switched on", "author": {"type": "user", "email": "ada@example.com"},
            "project": {"key": "shop"}, "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
        });
        let file = root.path().join("record.json");
        std::fs::write(&file, record.to_string()).unwrap();
        node.command(&["append", file.to_str().unwrap()]);
    };

    append(&node, "first");
    let first = wait::some(SEALED_WITHIN, "the first proof", || async { prove(&node, "first") }).await;
    assert!(check(&first, "first"));
    node.kill();
    keys(&["rotate"]);
    node.start();
    node.ready().await;
    append(&node, "second");
    let second = wait::some(SEALED_WITHIN, "the second proof", || async { prove(&node, "second") }).await;
    assert!(check(&first, "first") && check(&second, "second"));
    node.stop();
    keys(&["rotate", "--finish"]);
    // What was signed with both still holds by the new one alone.
    assert!(check(&second, "second"));
    assert!(!check(&first, "first"));
}
