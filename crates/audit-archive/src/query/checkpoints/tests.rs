//! Which checkpoints are of the tree that grows.

use std::ops::Range;
use std::path::Path;

use audit_journal::Message;
use audit_proof::{Checkpoint, Cosigner, LogKeys, NoteSigner, Sealed, clock_name, origin};
use rusqlite::Connection;
use serde_json::json;

use super::CheckpointRow;
use crate::query::Reader;
use crate::samples::{file, identity, message, record};
use crate::store::tree::stored_trees;
use crate::store::{Store, StoreIdentity};

const SEED: [u8; 32] = [7; 32];

/// As [`identity`] has it.
const DEPLOYMENT: &str = "test";

fn clock() -> Cosigner {
    Cosigner::new(&clock_name(&DEPLOYMENT), &[8; 32]).expect("a key")
}

fn witness() -> Cosigner {
    Cosigner::new("witness.example", &[9; 32]).expect("a key")
}

fn keys() -> LogKeys {
    let signer = NoteSigner::new("any", &SEED).expect("a key");
    LogKeys::of_verifiers([signer.verifier(), clock().verifier(), witness().verifier()])
}

/// The head of the newest tree, signed as that of an epoch.
fn sealed(offset: u64, epoch: u32, is_witnessed: bool, dir: &Path) -> Message {
    let conn = Connection::open(file(dir)).expect("the file");
    let frontier = stored_trees(&conn).expect("trees").pop().expect("a tree").frontier;
    let origin = origin(&DEPLOYMENT, 0, epoch);
    let checkpoint = Checkpoint { origin: origin.clone(), size: frontier.size(), root: frontier.root() };
    let mut note = checkpoint.to_note().expect("a note");
    note.sign(&NoteSigner::new(&origin, &SEED).expect("a key"));
    note.add(clock().cosign(note.text(), 1_795_219_200));
    if is_witnessed {
        note.add(witness().cosign(note.text(), 1_795_219_201));
    }
    let (next, peaks) = (frontier.size(), frontier.peaks().to_vec());
    let sealed = Sealed { v: 1, epoch, next, peaks, note: note.to_string() };
    Message { value: Some(sealed.to_json().into()), ..message(offset, &record("any", json!({}))) }
}

fn messages(name: &str, range: Range<u64>) -> Vec<Message> {
    range.map(|n| message(n, &record(&format!("{name}{n}"), json!({})))).collect()
}

#[test]
fn what_is_signed_of_a_log_in_the_place_of_a_larger_one_waits_for_its_first_message() {
    let [dir, honest, other] = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
    let identity = StoreIdentity { log_keys: keys(), epoch: 1, ..identity(0) };
    let (new, forged) = (messages("new", 0..3), messages("else", 0..3));
    for (dir, leaves) in [(&honest, &new), (&other, &forged)] {
        let mut store = Store::open(&file(dir.path()), &identity).expect("a file");
        store.append(leaves, 1, 3).expect("appended");
    }
    let mut store = Store::open(&file(dir.path()), &identity).expect("a file");
    let reader = Reader::open(dir.path());
    let seen = || {
        let rows = reader.checkpoints(0, 0, 10).expect("checkpoints");
        let status = reader.status().expect("a status").partitions.remove(0);
        let verdicts: Vec<&str> = rows.iter().map(|row| row.verdict).collect();
        (verdicts.join(" "), status.alarms, status.signed.map(|head| head.size))
    };
    store.append(&messages("old", 0..5), 0, 5).expect("appended");
    store.append_checkpoints(&[sealed(0, 0, false, dir.path())], 0, 1).expect("appended");
    // It comes before any message of that log does.
    let heads = [sealed(1, 1, false, honest.path()), sealed(2, 1, false, other.path())];
    store.append_checkpoints(&heads, 1, 3).expect("appended");
    assert_eq!(seen(), ("agrees pending pending".to_owned(), 0, Some(5)));
    // Opened anew, nothing is forgotten.
    drop(store);
    let mut store = Store::open(&file(dir.path()), &identity).expect("a file");
    assert!(!store.judge_more().expect("looked at"));
    assert_eq!(seen(), ("agrees pending pending".to_owned(), 0, Some(5)));
    store.append(&new, 1, 3).expect("appended");
    assert_eq!(seen(), ("agrees agrees mismatch".to_owned(), 1, Some(3)));
}

#[test]
fn the_latest_checkpoint_is_one_of_the_tree_that_grows_however_large_the_former_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let identity = StoreIdentity { log_keys: keys(), ..identity(0) };
    let mut store = Store::open(&file(dir.path()), &identity).expect("a file");
    let reader = Reader::open(dir.path());
    let size = |row: Option<CheckpointRow>| row.and_then(|row| row.size);
    let seen = || {
        let latest = reader.latest_checkpoint(0).expect("an answer");
        let witnessed = reader.first_witnessed(0).expect("an answer");
        let status = reader.status().expect("a status").partitions.remove(0);
        assert_eq!(status.alarm, None);
        (size(latest), size(witnessed), status.signed.map(|head| head.size))
    };
    store.append(&messages("old", 0..5), 0, 5).expect("appended");
    store.append_checkpoints(&[sealed(0, 0, true, dir.path())], 0, 1).expect("appended");
    assert_eq!(seen(), (Some(5), Some(5), Some(5)));

    // The log begins again, with less than it had.
    store.append(&messages("new", 0..3), 1, 3).expect("appended");
    assert_eq!(seen(), (None, None, None));
    store.append_checkpoints(&[sealed(1, 1, false, dir.path())], 1, 2).expect("appended");
    assert_eq!(seen(), (Some(3), None, Some(3)));
    let covering = |leaves| size(reader.checkpoint_covering(0, leaves).expect("an answer"));
    assert_eq!((covering(2), covering(4)), (Some(3), None));
}
