//! Notes, checkpoints and proofs as they are written and read.

use audit_proof::{
    Checkpoint, CheckpointError, Cosigner, InvalidKey, NodeHash, NoteSigner, NoteVerifier, Prover,
    SIGNATURES_MAX, SignedNote, TlogProof, TlogProofError, Unproven, Unverified, leaf_hash,
};
use proptest::prelude::*;

use crate::sample::{Kept, entry, leaves};

const ORIGIN: &str = "flagtrail.example/records/0";

fn signer(seed: u8) -> NoteSigner {
    NoteSigner::new(ORIGIN, &[seed; 32]).expect("a key")
}

fn cosigner(seed: u8) -> Cosigner {
    Cosigner::new("flagtrail.example/clock", &[seed; 32]).expect("a key")
}

fn checkpoint(kept: &Kept) -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size: kept.tree.size(), root: kept.tree.root() }
}

fn signed(kept: &Kept) -> SignedNote {
    let mut note = checkpoint(kept).to_note().expect("a note");
    note.sign(&signer(1));
    note.add(cosigner(2).cosign(note.text(), 1_790_000_000));
    SignedNote::parse(note.to_string().as_bytes()).expect("a note")
}

#[test]
fn a_checkpoint_is_opened_by_the_logs_key_and_tells_the_cosigners_time() {
    let kept = Kept::of(leaves(0..10));
    let known = [signer(1).verifier().clone(), cosigner(2).verifier().clone()];
    let opened = Checkpoint::open(&signed(&kept), ORIGIN, &known);
    assert_eq!(opened, Ok((checkpoint(&kept), Some(1_790_000_000))));
    // Without the cosigner's key its signature is passed over.
    assert_eq!(Checkpoint::open(&signed(&kept), ORIGIN, &known[..1]), Ok((checkpoint(&kept), None)));
}

#[test]
fn a_checkpoint_is_refused_for_what_is_wrong_with_it() {
    let kept = Kept::of(leaves(0..10));
    let known = [signer(1).verifier().clone(), cosigner(2).verifier().clone()];
    let note = signed(&kept);
    assert_eq!(Checkpoint::open(&note, ORIGIN, &known[1..]), Err(CheckpointError::NotByLog));
    let stranger = [signer(9).verifier().clone()];
    let names = format!("{ORIGIN}, flagtrail.example/clock");
    assert_eq!(
        Checkpoint::open(&note, ORIGIN, &stranger),
        Err(CheckpointError::Unverified(Unverified::Unknown(names)))
    );
    assert!(matches!(Checkpoint::open(&note, "another", &known), Err(CheckpointError::OtherLog { .. })));
    // A key that is known, but is not the log's.
    let exports = NoteSigner::new("flagtrail.example/export", &[3; 32]).expect("a key");
    let mut by_exports = checkpoint(&kept).to_note().expect("a note");
    by_exports.sign(&exports);
    let with_exports = [signer(1).verifier().clone(), exports.verifier().clone()];
    assert_eq!(Checkpoint::open(&by_exports, ORIGIN, &with_exports), Err(CheckpointError::NotByLog));
    // A time that the cosigner did not sign.
    let mut forged = checkpoint(&kept).to_note().expect("a note");
    forged.sign(&signer(1));
    let mut signature = cosigner(2).cosign(forged.text(), 1_790_000_000);
    signature.bytes[7] ^= 1;
    forged.add(signature);
    let wrong = Unverified::Wrong("flagtrail.example/clock".to_owned());
    assert_eq!(Checkpoint::open(&forged, ORIGIN, &known), Err(CheckpointError::Unverified(wrong)));
}

#[test]
fn two_signatures_of_one_log_overlap_while_its_key_is_changed() {
    let kept = Kept::of(leaves(0..3));
    let mut note = checkpoint(&kept).to_note().expect("a note");
    note.sign(&signer(1));
    note.sign(&signer(2));
    for seed in [1, 2] {
        assert!(Checkpoint::open(&note, ORIGIN, &[signer(seed).verifier().clone()]).is_ok());
    }
}

#[test]
fn texts_that_are_no_checkpoint() {
    let root = leaf_hash(b"root").to_string();
    let good = format!("origin\n10\n{root}\n");
    assert!(Checkpoint::parse(&good).is_ok());
    assert_eq!(Checkpoint::parse(&format!("{good}extension\n")).map(|found| found.size), Ok(10));
    for bad in [
        String::new(),
        "origin\n10\n".to_owned(),
        good.trim_end().to_owned(),
        good.replace("origin", ""),
        good.replace("10", "010"),
        good.replace("10", "+10"),
        good.replace("10", "-1"),
        good.replace("10", "18446744073709551616"),
        good.replace(&root, "AAAA"),
        format!("{good}\n"),
    ] {
        assert_eq!(Checkpoint::parse(&bad), Err(CheckpointError::Form), "{bad:?}");
    }
}

#[test]
fn keys_that_are_none_are_refused_for_what_is_wrong() {
    let vkey = signer(1).verifier().to_string();
    assert_eq!(NoteVerifier::parse(&vkey).map(|key| key.to_string()), Ok(vkey.clone()));
    let (name, rest) = vkey.split_once('+').expect("a plus sign");
    let (id, key) = rest.split_once('+').expect("a plus sign");
    for (bad, problem) in [
        ("name", InvalidKey::Form),
        ("name+00000000", InvalidKey::Form),
        (&format!("{name}+{id}+!"), InvalidKey::Form),
        (&format!("{name}+{id}+"), InvalidKey::Form),
        (&format!("{name}+00000000+{key}"), InvalidKey::Id),
        (&format!("another+{id}+{key}"), InvalidKey::Id),
        (&format!("{name}+{id}+AgAA"), InvalidKey::Kind(2)),
        (&format!("{name}+{id}+AQAA"), InvalidKey::Point),
        (&format!("a name+{id}+{key}"), InvalidKey::Name),
    ] {
        assert_eq!(NoteVerifier::parse(bad), Err(problem), "{bad}");
    }
    assert!(matches!(NoteSigner::new("", &[1; 32]), Err(InvalidKey::Name)));
    assert!(matches!(Cosigner::new("a+b", &[1; 32]), Err(InvalidKey::Name)));
}

#[test]
fn a_signers_secret_is_not_shown() {
    let shown = format!("{:?} {:?}", signer(1), cosigner(2));
    let secret = |seed: u8| hex::encode([seed; 32]);
    assert!(
        shown.contains("[REDACTED]") && !shown.contains(&secret(1)) && !shown.contains("[1, 1"),
        "{shown}"
    );
}

#[test]
fn more_signatures_than_the_bound_are_refused() {
    let mut note = checkpoint(&Kept::of(leaves(0..1))).to_note().expect("a note");
    (0..SIGNATURES_MAX).for_each(|_| note.sign(&signer(1)));
    assert!(SignedNote::parse(note.to_string().as_bytes()).is_ok());
    note.sign(&signer(1));
    assert!(SignedNote::parse(note.to_string().as_bytes()).is_err());
}

fn proof(kept: &Kept, index: u64) -> TlogProof {
    let hashes = Prover::new(kept, kept.tree.size()).inclusion(index).expect("a proof");
    TlogProof { extra: Some(entry(index)), index, hashes, checkpoint: signed(kept) }
}

#[test]
fn a_proof_in_a_file_shows_that_its_entry_is_in_the_log() {
    let kept = Kept::of(leaves(0..300));
    let known = [signer(1).verifier().clone()];
    let text = proof(&kept, 257).to_string();
    let read = TlogProof::parse(&text).expect("a proof");
    assert_eq!(read.to_string(), text);
    let extra = read.extra.clone().expect("the entry");
    assert_eq!(read.verify(&leaf_hash(&extra), ORIGIN, &known), Ok((checkpoint(&kept), None)));
    let other = read.verify(&leaf_hash(b"another"), ORIGIN, &known);
    assert_eq!(other, Err(TlogProofError::Unproven(Unproven::OtherRoot)));
    let moved = TlogProof { index: 256, ..read };
    let moved = moved.verify(&leaf_hash(&extra), ORIGIN, &known);
    assert_eq!(moved, Err(TlogProofError::Unproven(Unproven::OtherRoot)));
}

#[test]
fn the_proof_of_the_only_entry_has_no_hashes() {
    let kept = Kept::of(leaves(0..1));
    let text = TlogProof { extra: None, ..proof(&kept, 0) }.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 0\n\nflagtrail"), "{text}");
    assert_eq!(TlogProof::parse(&text).expect("a proof").hashes, Vec::<NodeHash>::new());
}

#[test]
fn texts_that_are_no_proof() {
    let good = proof(&Kept::of(leaves(0..5)), 3).to_string();
    assert!(TlogProof::parse(&good).is_ok());
    for bad in [
        String::new(),
        good.replace("@v1", "@v2"),
        good.replace("index 3", "index 03"),
        good.replace("index 3\n", ""),
        good.replace("extra ", "extra !"),
        good.replace("\n\n", "\n"),
        good.replace("index 3\n", &format!("index 3\n{}", format!("{}\n", leaf_hash(b"")).repeat(65))),
        good.replace("\u{2014} ", "- "),
    ] {
        assert!(TlogProof::parse(&bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "(\\PC|\n|\u{2014} ){0,200}") {
        let _ = TlogProof::parse(&text);
        let _ = Checkpoint::parse(&text);
        let _ = NoteVerifier::parse(&text);
        if let Ok(note) = SignedNote::parse(text.as_bytes()) {
            prop_assert_eq!(note.to_string(), text);
        }
    }
}
