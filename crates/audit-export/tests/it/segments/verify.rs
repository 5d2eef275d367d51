//! What `audit-verify` says of segments: that they are whole, and of every way to tamper with them, what was done where.

mod rows;

use std::fs;
use std::path::{Path, PathBuf};

use audit_export::{SealKeys, SegmentLoss, SegmentManifest};
use audit_proof::{Checkpoint, SignedNote, leaf_hash};
use audit_verify::{Report, Trust, verify_directory};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use uuid::Uuid;

use super::{Bench, PARTITIONS, keys};
use crate::evidence::{copied, copy, found, says};

/// Several segments in each partition.
struct Made {
    dir: TempDir,
    deployment: Uuid,
    /// What an auditor knows who got the log's keys from the operator.
    trust: Trust,
    /// A partition that has messages in three segments at least.
    partition: u32,
}

impl Made {
    async fn new() -> Self {
        let mut bench = Bench::new().await;
        let running = bench.start([]);
        for _ in 0..3 {
            bench.append(40).await;
            bench.written().await;
        }
        running.stop().await;
        // A segment of silence may still be on its way: what is looked at does not change any more.
        let dir = tempfile::tempdir().unwrap();
        copy(&bench.there().join("audit"), &dir.path().join("audit"));
        let deployment = bench.journal.identity().deployment;
        let mut trust = Trust::default();
        for partition in 0..PARTITIONS {
            let origin = audit_proof::origin(&deployment, partition, 0);
            trust.keys.extend(keys().verifiers(&origin, &deployment).unwrap());
        }
        let mut made = Self { dir, deployment, trust, partition: 0 };
        while made.full().len() < 3 {
            made.partition += 1;
            assert!(made.partition < PARTITIONS, "each append goes to some partition");
        }
        made
    }

    fn prefix(&self) -> PathBuf {
        self.dir.path().join("audit")
    }

    /// Of the partition, in order.
    fn manifests(&self) -> Vec<SegmentManifest> {
        let proofs = self.prefix().join("segments/proofs").join(self.deployment.to_string());
        let folder = fs::read_dir(proofs.join(format!("p{:05}", self.partition)));
        let files = folder.into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> =
            files.filter(|file| file.extension().is_some_and(|end| end == "json")).collect();
        files.sort();
        files.iter().map(|file| serde_json::from_slice(&fs::read(file).unwrap()).unwrap()).collect()
    }

    /// Which segments have messages.
    fn full(&self) -> Vec<usize> {
        let manifests = self.manifests();
        (0..manifests.len()).filter(|number| manifests[*number].messages > 1).collect()
    }

    /// What is found in a copy that was tampered with.
    fn after(&self, tamper: impl FnOnce(&Path)) -> Report {
        let (_dir, prefix) = copied(&self.prefix());
        tamper(&prefix);
        verify_directory(&prefix, &self.trust, None).unwrap()
    }

    /// What is found by whoever has kept a checkpoint, too.
    fn against(&self, prefix: &Path, kept: &str) -> Report {
        let mut trust = self.trust.clone();
        trust.add_kept("kept", kept.as_bytes()).unwrap();
        verify_directory(prefix, &trust, None).unwrap()
    }
}

fn rows(manifest: &SegmentManifest) -> &str {
    &manifest.files[0].path
}

fn hashes(manifest: &SegmentManifest) -> &str {
    &manifest.files[1].path
}

/// Where the manifest lies.
pub(super) fn place(manifest: &SegmentManifest) -> String {
    let SegmentManifest { deployment, partition, cut, .. } = manifest;
    let epoch = audit_proof::epoch_of(&cut.origin, deployment, *partition).unwrap();
    let name = format!("p{partition:05}-e{epoch}-n{:010}-s{:012}", cut.number, cut.start.seq);
    format!("segments/proofs/{deployment}/p{partition:05}/{name}.json")
}

/// Alters a file, and has its manifest say so.
fn alter(prefix: &Path, manifest: &mut SegmentManifest, file: usize, alter: impl FnOnce(&mut Vec<u8>)) {
    let path = prefix.join(&manifest.files[file].path);
    let mut bytes = fs::read(&path).unwrap();
    alter(&mut bytes);
    fs::write(path, &bytes).unwrap();
    manifest.files[file].sha256 = hex::encode(Sha256::digest(&bytes));
    manifest.files[file].bytes = bytes.len() as u64;
    write(prefix, manifest);
}

fn write(prefix: &Path, manifest: &SegmentManifest) {
    fs::write(prefix.join(place(manifest)), serde_json::to_vec(manifest).unwrap()).unwrap();
}

/// Signs a manifest again, with whatever it says now.
fn sign(prefix: &Path, manifest: &mut SegmentManifest, keys: &SealKeys) {
    let mut note = SignedNote::unsigned(manifest.signed_text()).unwrap();
    for signer in keys.signers(&manifest.cut.origin).unwrap() {
        note.sign(&signer);
    }
    manifest.signature = note.to_string();
    write(prefix, manifest);
}

/// Removes a segment with all its files.
pub(super) fn leave_out(prefix: &Path, manifest: &SegmentManifest) {
    let files = manifest.files.iter().map(|file| file.path.clone());
    for path in files.chain([place(manifest)]) {
        fs::remove_file(prefix.join(path)).unwrap();
    }
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untouched_chain_is_proven_to_whoever_has_the_keys_and_says_what_it_does_not_show() {
    let made = Made::new().await;
    let last = made.manifests().pop().unwrap();
    let report = made.against(&made.prefix(), &last.cut.note);
    assert!(report.passes(), "{:#?}", report.findings);
    let end = last.cut.end.seq;
    for words in [
        format!("the hashes of leaves 0 to {end} lead to the roots that the log's keys have signed"),
        format!("{} had {end} leaves at 20", last.cut.origin),
        format!("nothing of the first {end} leaves of {} has changed since kept was signed", last.cut.origin),
        "byte for byte what the segments' manifests list, and the log's keys have signed these".to_owned(),
    ] {
        assert!(says(&report.proven, &words), "{words}, not in {:#?}", report.proven);
    }
    assert!(says(&report.asserted, "Parquet is not opened here"));
    assert!(says(&report.not_covered, "after the last segment"));

    // Of the folder itself, and without keys.
    let report = verify_directory(&made.prefix().join("segments"), &Trust::default(), None).unwrap();
    assert!(report.passes(), "{:#?}", report.findings);
    assert!(says(&report.asserted, "no key of it was given"));
    assert!(!says(&report.proven, "have signed"));

    // With the keys of other partitions alone, nothing vouches for this one.
    let mut others = made.trust.clone();
    others.keys.retain(|key| key.name() != last.cut.origin);
    let report = verify_directory(&made.prefix(), &others, None).unwrap();
    assert!(!report.passes() && !report.is_damaged());
    found(&report, &format!("p{:05}", made.partition), "none of the keys given is its");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_altered_removed_swapped_or_added_are_named() {
    let made = Made::new().await;
    let (manifests, full) = (made.manifests(), made.full());
    let (first, second) = (&manifests[full[0]], &manifests[full[1]]);

    let byte = made.after(|prefix| {
        let path = prefix.join(rows(first));
        let mut bytes = fs::read(&path).unwrap();
        flip(&mut bytes);
        fs::write(path, bytes).unwrap();
    });
    found(&byte, rows(first), "was altered: its SHA-256 is");
    assert!(byte.proven.is_empty());

    let shorter = made.after(|prefix| {
        let path = prefix.join(hashes(first));
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[32..]).unwrap();
    });
    found(&shorter, hashes(first), "was altered: its SHA-256 is");

    let swapped = made.after(|prefix| {
        let (one, other) = (prefix.join(rows(first)), prefix.join(rows(second)));
        let bytes = fs::read(&one).unwrap();
        fs::copy(&other, one).unwrap();
        fs::write(other, bytes).unwrap();
    });
    found(&swapped, rows(first), "was altered");
    found(&swapped, rows(second), "was altered");

    let swapped = made.after(|prefix| {
        let (one, other) = (prefix.join(place(first)), prefix.join(place(second)));
        let bytes = fs::read(&one).unwrap();
        fs::copy(&other, one).unwrap();
        fs::write(other, bytes).unwrap();
    });
    found(&swapped, &place(first), "it was moved, or altered");

    let gone = made.after(|prefix| fs::remove_file(prefix.join(rows(first))).unwrap());
    found(&gone, rows(first), "was left out");

    // Whatever it is called: nothing of ours is written there before it is whole.
    for name in ["segments/records/more.parquet", "segments/records/.unfinished-1"] {
        let added = made.after(|prefix| {
            fs::copy(prefix.join(rows(first)), prefix.join(name)).unwrap();
        });
        found(&added, name, "no manifest names it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_is_forged_is_named_whoever_signs_it() {
    let made = Made::new().await;
    let first = made.manifests()[made.full()[0]].clone();

    let unsigned = made.after(|prefix| alter(prefix, &mut first.clone(), 0, |bytes| flip(bytes)));
    found(&unsigned, &place(&first), "was forged: what it says is not what was signed");

    // Nobody else can say that messages are lost.
    let unsigned = made.after(|prefix| {
        let mut forged = first.clone();
        fs::remove_file(prefix.join(rows(&forged))).unwrap();
        fs::remove_file(prefix.join(hashes(&forged))).unwrap();
        forged.files.clear();
        (forged.lost, forged.version) = (Some(SegmentLoss::Removed), 2);
        write(prefix, &forged);
    });
    found(&unsigned, &place(&first), "was forged: what it says is not what was signed");

    let by_another = made.after(|prefix| {
        let mut forged = first.clone();
        alter(prefix, &mut forged, 0, |bytes| flip(bytes));
        sign(prefix, &mut forged, &SealKeys::new([9; 32]));
    });
    found(&by_another, &place(&first), "is not one that the log's keys vouch for");

    // Whoever has the log's keys can't make leaves lead to a root that they don't lead to.
    let swapped = made.after(|prefix| {
        let mut forged = first.clone();
        alter(prefix, &mut forged, 1, |bytes| {
            let (one, other) = bytes.split_at_mut(32);
            one.swap_with_slice(&mut other[..32]);
        });
        sign(prefix, &mut forged, &keys());
    });
    found(&swapped, hashes(&first), "does not lead to the root");
    let removed = made.after(|prefix| {
        let mut forged = first.clone();
        alter(prefix, &mut forged, 1, |bytes| bytes.truncate(bytes.len() - 32));
        sign(prefix, &mut forged, &keys());
    });
    found(&removed, &place(&first), "bytes for the hashes of");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_that_are_left_out_and_a_second_history_are_found() {
    let made = Made::new().await;
    let (manifests, full) = (made.manifests(), made.full());
    let (number, last_full) = (full[1], full[full.len() - 1]);
    let (left_out, next) = (&manifests[number], &manifests[number + 1]);

    let gap = made.after(|prefix| leave_out(prefix, left_out));
    found(&gap, &place(next), "left out");

    // By whoever has the keys, and closes the ranks.
    let mut forged = next.clone();
    forged.cut.number = left_out.cut.number;
    forged.cut.previous.clone_from(&left_out.cut.previous);
    let hidden = made.after(|prefix| {
        leave_out(prefix, left_out);
        fs::remove_file(prefix.join(place(next))).unwrap();
        let (former, new) = (format!("-n{:010}-", next.cut.number), format!("-n{:010}-", forged.cut.number));
        for file in &mut forged.files {
            let path = file.path.replace(&former, &new);
            fs::rename(prefix.join(&file.path), prefix.join(&path)).unwrap();
            file.path = path;
        }
        sign(prefix, &mut forged, &keys());
    });
    found(&hidden, &place(&forged), "what lies between is in none");

    // From the last one with messages on.
    let kept = &manifests.last().unwrap().cut.note;
    let (_dir, prefix) = copied(&made.prefix());
    manifests[last_full..].iter().for_each(|manifest| leave_out(&prefix, manifest));
    let truncated = made.against(&prefix, kept);
    assert!(!truncated.passes());
    found(&truncated, &place(&manifests[last_full - 1]), "their chain was truncated");

    let cut = &left_out.cut;
    let other =
        Checkpoint { origin: cut.origin.clone(), size: cut.end.seq, root: leaf_hash(b"another history") };
    let mut note = other.to_note().unwrap();
    for signer in keys().signers(&cut.origin).unwrap() {
        note.sign(&signer);
    }
    let second = made.against(&made.prefix(), &note.to_string());
    found(&second, ".json", "ends a second history");
    let unknown = Checkpoint { origin: "flagtrail/other/records/0/0".to_owned(), ..other };
    let mut note = unknown.to_note().unwrap();
    note.sign(&keys().signers("flagtrail/other/records/0/0").unwrap()[0]);
    found(&made.against(&made.prefix(), &note.to_string()), "kept", "of which there is no segment here");
}
