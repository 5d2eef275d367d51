//! Logs of ours under the eyes of Go's verifiers: `tests/clients/tlog`.

use std::fs;
use std::path::Path;
use std::process::Command;

use audit_proof::{
    Checkpoint, Cosigner, NoteSigner, NoteVerifier, Prover, SignedNote, TlogProof, write_bundle,
};
use flagtrail_testkit::clients::go;

use crate::sample::{Kept, entry, leaves};

const ORIGIN: &str = "flagtrail.example/4f0c/flagtrail.records/3/0";

fn write(dir: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, bytes).expect("written");
}

/// Lays out a log of this many entries, with proofs beside it.
fn lay_out(dir: &Path, size: u64) {
    let kept = Kept::of(leaves(0..size));
    let signer = NoteSigner::new(ORIGIN, &[1; 32]).expect("a key");
    let cosigner = Cosigner::new("flagtrail.example/clock", &[2; 32]).expect("a key");
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root: kept.tree.root() };
    let mut note = checkpoint.to_note().expect("a note");
    note.sign(&signer);
    note.add(cosigner.cosign(note.text(), 1_790_000_000));
    write(dir, "log.vkey", signer.verifier().to_string());
    write(dir, "cosigner.vkey", cosigner.verifier().to_string());
    write(dir, "checkpoint", note.to_string());
    for (id, tile) in kept.tiles() {
        write(dir, &format!("tile/{}", id.path(tile.width())), tile.to_bytes());
        if id.level == 0 {
            let mut bundle = Vec::new();
            let first = id.index * 256;
            (first..first + tile.width() as u64).for_each(|n| assert!(write_bundle(&mut bundle, &entry(n))));
            let path = id.path(tile.width()).replacen("0/", "tile/entries/", 1);
            write(dir, &path, bundle);
        }
    }
    let mut prover = Prover::new(&kept, size);
    for index in [0, 1, size / 2, size - 1].into_iter().filter(|index| *index < size) {
        let hashes = prover.inclusion(index).expect("a proof");
        let proof = TlogProof { extra: Some(entry(index)), index, hashes, checkpoint: note.clone() };
        write(dir, &format!("{index}.tlog-proof"), proof.to_string());
    }
    for older in [1, size / 2, size].into_iter().filter(|older| *older > 0) {
        let mut lines = format!("old {older}\n{}\n", Kept::of(leaves(0..older)).tree.root());
        prover.consistency(older).expect("a proof").iter().for_each(|hash| lines += &format!("{hash}\n"));
        write(dir, &format!("{older}.consistency"), lines);
    }
}

fn check(mut program: Command, dir: &Path) -> Result<String, String> {
    let output = program.arg("log").arg(dir).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn gos_verifiers_accept_our_logs_and_find_what_was_tampered_with() {
    if go("tlog").is_none() {
        return;
    }
    for (size, told) in [
        (1, "1 entries, 1 proofs, 1 earlier trees"),
        (256, "256 entries, 4 proofs, 3 earlier trees"),
        (70_000, "70000 entries, 4 proofs, 3 earlier trees"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        lay_out(dir.path(), size);
        let checked = check(go("tlog").expect("Go"), dir.path()).expect("accepted");
        assert_eq!(checked, format!("cosigned at 1790000000\n{told}\n"));
    }

    let dir = tempfile::tempdir().expect("a directory");
    for (file, from, to) in [
        ("checkpoint", "\n300\n", "\n301\n"),
        ("tile/entries/000", "entry 17", "entry 71"),
        ("150.tlog-proof", "index 150", "index 151"),
        ("150.consistency", "old 150", "old 151"),
    ] {
        lay_out(dir.path(), 300);
        let path = dir.path().join(file);
        // Entry bundles have lengths between the entries; the rest is text.
        let bytes = fs::read(&path).expect("a file");
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect(from);
        let altered = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat();
        fs::write(&path, altered).expect("written");
        let complaint = check(go("tlog").expect("Go"), dir.path()).expect_err(file);
        assert!(!complaint.is_empty());
    }
}

#[test]
fn a_note_that_go_signed_is_opened_here() {
    let Some(mut program) = go("tlog") else { return };
    let text = "Signed elsewhere.\n\nWith a blank line.\n";
    let output = program.args(["sign", "go.example/notes", text]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("text");
    let (vkey, note) = printed.split_once('\n').expect("two parts");
    let note = SignedNote::parse(note.as_bytes()).expect("a note");
    assert_eq!(note.text(), text);
    assert!(note.verify(&[NoteVerifier::parse(vkey).expect("a key")]).is_ok());
}
