//! Segments over a real embedded log: whatever happens to the sealer and to the destination, none is missing, doubled or
//! overlapping, and each proves itself.

mod epochs;
mod going_on;
mod holes;
mod verify;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use audit_export::{
    Destination, SealKeys, SealStanding, Sealer, SealerConfig, SegmentManifest, SegmentsConfig,
};
use audit_journal::{ReadLimit, Topic};
use audit_proof::{Checkpoint, Cut, Frontier, LogKeys, NodeHash, SignedNote};
use bytes::Bytes;
use flagtrail_testkit::clients::Clients;
use flagtrail_testkit::wait;
use sha2::{Digest, Sha256};

use crate::faulty::{Fault, Faulty};
use crate::sealing::{self, INTERVAL, PARTITIONS, WITHIN, keys};

/// A log whose sealers cut it, too, and where the segments go.
struct Bench {
    log: sealing::Bench,
    appended: usize,
    /// Whose signatures count: of all keys that the log ever had.
    keys: LogKeys,
}

struct Running {
    store: Faulty,
    standing: SealStanding,
    sealing: sealing::Running,
}

impl Running {
    async fn stop(self) {
        self.sealing.stop().await;
    }

    /// As a crash would end it: nothing is finished, nobody is told.
    async fn kill(self) {
        self.sealing.kill().await;
    }
}

/// What this adds nothing to: the log, its file, and the time.
impl Deref for Bench {
    type Target = sealing::Bench;

    fn deref(&self) -> &sealing::Bench {
        &self.log
    }
}

impl Bench {
    async fn new() -> Self {
        Self { log: sealing::Bench::new().await, appended: 0, keys: keys().log_keys() }
    }

    /// The same log, opened anew, after something was done to its file.
    async fn reopened(self, alter: impl FnOnce(&rusqlite::Connection)) -> Self {
        let Self { log, appended, keys } = self;
        Self { log: log.reopened(alter).await, appended, keys }
    }

    fn start(&self, faults: impl IntoIterator<Item = (usize, Fault)>) -> Running {
        self.start_with(&keys(), faults)
    }

    fn start_with(&self, keys: &SealKeys, faults: impl IntoIterator<Item = (usize, Fault)>) -> Running {
        let store = Faulty::new(self.there(), faults);
        let config = SealerConfig { interval: INTERVAL, idle: 60 * INTERVAL };
        let destination = Destination::new("vault", "audit", store.clone());
        let segments = SegmentsConfig { destination, interval: INTERVAL };
        let sealer =
            Sealer::new(self.journal.clone(), keys.clone(), &config).unwrap().with_segments(&segments);
        let standing = sealer.standing();
        Running { store, standing, sealing: self.run(sealer) }
    }

    /// A sealer that cuts nothing, until everything on the log is sealed.
    async fn seal_without_cutting(&self) {
        let config = SealerConfig { interval: INTERVAL, idle: 60 * INTERVAL };
        let sealer = Sealer::new(self.journal.clone(), keys(), &config).unwrap();
        let sealing = self.run(sealer);
        wait::until(WITHIN, "what there is is sealed", || async {
            self.pass(INTERVAL / 4);
            let mut size = 0;
            for partition in 0..PARTITIONS {
                let heads = self.checkpoints(partition).await;
                let heads = heads.iter().filter_map(|value| audit_proof::Sealed::read(value).ok());
                size += heads.map(|(_, _, checkpoint, _)| checkpoint.size).max().unwrap_or(0);
            }
            size == self.appended as u64
        })
        .await;
        sealing.stop().await;
    }

    /// What stands on `checkpoints` of a partition: signed heads and cuts.
    async fn checkpoints(&self, partition: u32) -> Vec<Bytes> {
        let limit = ReadLimit { messages: 100_000, bytes: 64 * 1024 * 1024 };
        let range = self.journal.read(Topic::Checkpoints, partition, 0, limit).await.unwrap();
        range.messages.into_iter().filter_map(|message| message.value).collect()
    }

    /// The cuts of a partition, in the order of the log.
    async fn cuts(&self, partition: u32) -> Vec<Cut> {
        let values = self.checkpoints(partition).await;
        values.iter().filter_map(|value| Cut::read(value).ok()).map(|(cut, ..)| cut).collect()
    }

    /// Waits until everything on the log is cut, and some of it in each partition is in no segment, while time passes.
    async fn cut_and_not_written(&self) {
        wait::until(WITHIN, "everything is cut, and not written", || async {
            self.pass(INTERVAL / 4);
            let (mut cut, mut waiting) = (0, 0);
            for partition in 0..PARTITIONS {
                let ends_at = self.cuts(partition).await.last().map_or(0, |cut| cut.end.seq);
                cut += ends_at;
                waiting += u32::from(ends_at > self.manifests(partition).last().map_or(0, end));
            }
            cut == self.appended as u64 && waiting == PARTITIONS
        })
        .await;
    }

    fn there(&self) -> PathBuf {
        self.dir.path().join("there")
    }

    async fn append(&mut self, count: usize) {
        self.log.append(self.appended..self.appended + count).await;
        self.appended += count;
    }

    /// The manifests of a partition, by name.
    fn manifests(&self, partition: u32) -> Vec<SegmentManifest> {
        let proofs = self.there().join("audit/segments/proofs");
        let folder =
            proofs.join(self.journal.identity().deployment.to_string()).join(format!("p{partition:05}"));
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        files.retain(|file| file.extension().is_some_and(|end| end == "json"));
        files.sort();
        files.iter().map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect()
    }

    fn covered(&self) -> u64 {
        let ends = (0..PARTITIONS).map(|partition| self.manifests(partition).last().map_or(0, end));
        ends.sum()
    }

    /// Waits until everything that is on the log is in segments, while time passes.
    async fn written(&self) {
        wait::until(WITHIN, "everything is in segments", || async {
            self.pass(INTERVAL / 4);
            self.covered() == self.appended as u64
        })
        .await;
    }

    /// Every leaf of a partition, from the log itself.
    async fn leaves(&self, partition: u32) -> Vec<NodeHash> {
        let limit = ReadLimit { messages: 100_000, bytes: 256 * 1024 * 1024 };
        let range = self.journal.read(Topic::Records, partition, 0, limit).await.unwrap();
        let mut leaves = Vec::new();
        for message in &range.messages {
            let header = |name| message.header(name).map(|value: &Bytes| &value[..]);
            let leaf = audit_proof::Leaf::of(
                leaves.len() as u64,
                header(audit_journal::SALT_HEADER),
                header(audit_journal::TAGS_HEADER),
                message.value.as_deref(),
            );
            leaves.push(leaf.hash(&mut Vec::new()));
        }
        leaves
    }

    /// None is missing, doubled or overlapping, and each proves itself.
    async fn check(&self) {
        let mut parquet = Vec::new();
        for partition in 0..PARTITIONS {
            let leaves = self.leaves(partition).await;
            let mut before: Option<Cut> = None;
            for manifest in self.manifests(partition) {
                let (cut, _, signed, mut edge) = Cut::read(&manifest.cut.to_json()).unwrap();
                assert!(cut.follows(before.as_ref().map(Cut::name).as_ref()), "{cut:?} after {before:?}");
                self.vouched_for(partition, &manifest, &cut);
                let files: Vec<Vec<u8>> = manifest
                    .files
                    .iter()
                    .map(|file| {
                        let bytes = std::fs::read(self.there().join("audit").join(&file.path)).unwrap();
                        assert_eq!(hex::encode(Sha256::digest(&bytes)), file.sha256);
                        bytes
                    })
                    .collect();
                let own = &leaves[cut.start.seq as usize..cut.end.seq as usize];
                assert_eq!(files.is_empty(), own.is_empty());
                if let [rows, hashes] = &files[..] {
                    assert_eq!(&rows[..4], b"PAR1");
                    let hashes: Vec<&[u8]> = hashes.chunks(32).collect();
                    assert!(hashes.iter().copied().eq(own.iter().map(|leaf| &leaf.as_bytes()[..])));
                    parquet.push(manifest.files[0].path.clone());
                }
                own.iter().for_each(|leaf| edge.append(*leaf, |_, _| {}));
                assert_eq!((edge.size(), edge.root()), (signed.size, signed.root));
                before = Some(cut);
            }
            assert_eq!(before.map_or(0, |cut| cut.end.seq), leaves.len() as u64);
        }
        // And nothing else lies among the rows.
        let mut there = files_below(&self.there().join("audit/segments/records"));
        let mut listed: Vec<PathBuf> =
            parquet.iter().map(|path| self.there().join("audit").join(path)).collect();
        there.sort();
        listed.sort();
        assert_eq!(there, listed);
    }

    fn vouched_for(&self, partition: u32, manifest: &SegmentManifest, cut: &Cut) {
        let deployment = self.journal.identity().deployment;
        assert_eq!((manifest.partition, &manifest.deployment), (partition, &deployment.to_string()));
        assert_eq!(cut.origin, audit_proof::origin(&deployment, partition, 0));
        let known = self.keys.verifiers(&cut.origin, &deployment).unwrap();
        let note = SignedNote::parse(cut.note.as_bytes()).unwrap();
        Checkpoint::open(&note, &cut.origin, &known).unwrap();
        let signature = SignedNote::parse(manifest.signature.as_bytes()).unwrap();
        assert_eq!(signature.text(), manifest.signed_text());
        assert!(!signature.verify(&known).unwrap().is_empty());
    }
}

fn end(manifest: &SegmentManifest) -> u64 {
    manifest.cut.end.seq
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let below = entries.flat_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path) } else { vec![path] }
    });
    below.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_in_segments_in_time_and_silence_is_sealed_too() {
    let mut bench = Bench::new().await;
    let running = bench.start([]);
    for _ in 0..3 {
        bench.append(40).await;
        bench.written().await;
    }
    let before: Vec<usize> = (0..PARTITIONS).map(|partition| bench.manifests(partition).len()).collect();
    wait::until(WITHIN, "a segment of silence in each partition", || async {
        bench.pass(INTERVAL / 4);
        (0..PARTITIONS).zip(&before).all(|(partition, before)| bench.manifests(partition).len() > before + 1)
    })
    .await;
    running.stop().await;
    bench.check().await;
    let silent = bench.manifests(0).into_iter().next_back().unwrap();
    assert!(silent.messages == 0 && silent.cut.start == silent.cut.end && silent.files.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_fails_in_either_way_gets_every_segment_once() {
    let mut bench = Bench::new().await;
    let faults = [Fault::NotWritten, Fault::AnswerLost].into_iter().cycle();
    let running = bench.start((0..6).map(|put| 2 * put).zip(faults));
    bench.append(60).await;
    bench.written().await;
    assert!(running.store.faults_left() < 6, "some came to pass");
    running.stop().await;
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_put_before_or_after_it_the_next_one_goes_on() {
    let mut bench = Bench::new().await;
    for put in 0..4 {
        for fault in [Fault::HangsBefore, Fault::HangsAfter] {
            bench.append(20).await;
            let running = bench.start([(put, fault)]);
            let hung = wait::until(WITHIN, "a put hangs", || async {
                bench.pass(INTERVAL / 4);
                tokio::time::timeout(Duration::from_millis(20), running.store.hung()).await.is_ok()
            });
            hung.await;
            running.kill().await;
        }
    }
    let running = bench.start([]);
    bench.written().await;
    running.stop().await;
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sealers_make_one_sequence_though_one_is_killed() {
    let mut bench = Bench::new().await;
    let (first, second) = (bench.start([]), bench.start([]));
    for _ in 0..5 {
        bench.append(20).await;
        bench.pass(INTERVAL);
        tokio::task::yield_now().await;
    }
    bench.written().await;
    first.kill().await;
    bench.append(30).await;
    bench.written().await;
    second.stop().await;
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_destination_is_configured_later_segments_begin_where_the_log_is() {
    let mut bench = Bench::new().await;
    bench.append(30).await;
    bench.seal_without_cutting().await;
    let running = bench.start([]);
    bench.append(20).await;
    bench.written().await;
    running.stop().await;
    let firsts: Vec<Cut> =
        (0..PARTITIONS).map(|partition| bench.manifests(partition)[0].cut.clone()).collect();
    assert_eq!(firsts.iter().map(|cut| cut.start.seq).sum::<u64>(), 30);
    for (partition, first) in (0..).zip(firsts) {
        let edge = Frontier::from_peaks(first.start.seq, first.peaks).unwrap();
        let mut grown = Frontier::new();
        let leaves = bench.leaves(partition).await;
        leaves[..first.start.seq as usize].iter().for_each(|leaf| grown.append(*leaf, |_, _| {}));
        assert_eq!(edge, grown);
    }
}

/// DuckDB knows nothing of Flagtrail. The program checks every row against the leaf hashes, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duckdb_reads_all_segments_as_one_table() {
    let Some(clients) = Clients::available() else { return };
    let mut bench = Bench::new().await;
    let running = bench.start([]);
    for _ in 0..2 {
        bench.append(150).await;
        bench.written().await;
    }
    running.stop().await;
    let output = clients.python("segments.py").arg(bench.there().join("audit/segments")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read["rows"], 300);
    assert_eq!(read["ids"], 300);
    assert_eq!(read["flag"], "checkout");
    assert_eq!(read["deployments"], serde_json::json!([bench.journal.identity().deployment]));
    assert_eq!(read["hashes_checked"], 300);
}
