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

#[tokio::test]
async fn exports_archives_and_servers_are_verified_against_published_keys_and_a_kept_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "[seal]\ninterval = \"1ms\"\n");
    node.start();
    node.ready().await;
    let place = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    let append = |node: &Node, ids: std::ops::Range<usize>| {
        let record = |id: usize| {
            json!({
                "id": format!("r{id}"), "action": "flag.state.changed", "log": "on", "author": {"type": "user", "email": "ada@example.com"},
                "project": {"key": "shop"}, "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
            })
        };
        std::fs::write(place("records.json"), json!(ids.map(record).collect::<Vec<_>>()).to_string())
            .unwrap();
        node.command(&["append", &place("records.json")]);
    };
    append(&node, 0..20);
    let earlier = root.path().join("earlier");
    node.command(&["export", "--project", "shop", "--out", earlier.to_str().unwrap()]);
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(earlier.join("manifest.json")).unwrap()).unwrap();
    let part = manifest["evidence"]["partitions"].as_array().unwrap().iter();
    let part = part.max_by_key(|part| part["population"]["delivered"].as_u64()).unwrap();
    let kept = earlier.join(format!("data/proofs/{}/checkpoint-end", part["partition"]));
    let kept = kept.to_str().unwrap();
    let origin: Vec<&str> = part["origin"].as_str().unwrap().split('/').collect();
    let keys = ["keys", "show", "--deployment", origin[1], "--partition", origin[3], "--epoch", origin[4]];
    std::fs::write(place("published"), node.command(&keys)).unwrap();

    append(&node, 20..40);
    let later = place("later");
    node.command(&["export", "--project", "shop", "--out", &later]);
    let archive = node.dir.join("data/archive").to_str().unwrap().to_owned();
    let published = place("published");
    // The keys of one partition are published here, so it is that one that is looked at.
    let against = ["--against", kept];
    for (what, flags, proven) in [
        (later.as_str(), &[][..], "every one is accounted for: 40 records delivered"),
        (later.as_str(), &against[..], "has changed since"),
        (archive.as_str(), &["--key", &published, "--against", kept][..], "are those that"),
        (node.admin.as_str(), &against[..], "has changed since"),
        (node.admin.as_str(), &["--leaves"][..], "lead to the root that was signed"),
    ] {
        let told = node.command(&[&["verify", what][..], flags].concat());
        assert!(told.contains("proven") && told.contains(proven), "{what} {flags:?}: {told}");
    }

    // A checkpoint of the same log that signs something else: another history.
    let text = std::fs::read_to_string(kept).unwrap();
    let root_hash = text.lines().nth(2).unwrap();
    let other = place("other");
    std::fs::write(&other, text.replace(root_hash, &audit_proof::empty_root().to_string())).unwrap();
    for (what, problem) in [
        (later.as_str(), "not one that the log's keys vouch for"),
        (archive.as_str(), "the archive holds a second history"),
        (node.admin.as_str(), "is a second history"),
    ] {
        let output = node.try_command(&["verify", what, "--against", &other]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{what}: {told}");
        assert!(told.contains("WRONG") && told.contains(problem), "{what}: {told}");
    }
    node.stop();
}
