//! Sealing over a real embedded log: every checkpoint extends the one before, whatever happens to the sealer.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use audit_archive::{ArchiveConfig, Archiver, Reader};
use audit_export::{
    KeyFileError, SEALER_GROUP, SealKeys, SealStanding, Sealer, SealerConfig, WitnessAnswer,
    WitnessTransport, Witnessing, record_keys,
};
use audit_journal::{
    Anchor, Bookmark, Bounds, Control, MessageHash, OwnedCommit, OwnedEvent, PartitionCommit, ReadLimit,
    Topic,
};
use audit_proof::{Checkpoint, Cosigner, NoteVerifier, Sealed, SignedNote, origin, verify_consistency};
use audit_record::AuditRecord;
use flagtrail_testkit::wait;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::sealing::{Bench, INTERVAL, PARTITIONS, Running, WITHIN, keys};

const IDLE: Duration = Duration::from_secs(3_600);

impl Bench {
    fn start(&self, keys: &SealKeys) -> Running {
        let config = SealerConfig { interval: INTERVAL, idle: IDLE };
        let sealer = Sealer::new(self.journal.clone(), keys.clone(), &config).unwrap();
        self.run(sealer)
    }

    /// Every checkpoint of a partition, signed by these keys, in the order of publication.
    async fn checkpoints(&self, partition: u32, keys: &SealKeys) -> Vec<(Checkpoint, u64)> {
        let limit = ReadLimit { messages: 10_000, bytes: 64 * 1024 * 1024 };
        let range = self.journal.read(Topic::Checkpoints, partition, 0, limit).await.unwrap();
        let deployment = self.journal.identity().deployment;
        let origin = origin(&deployment, partition, 0);
        let known: Vec<NoteVerifier> = keys.verifiers(&origin, &deployment).unwrap();
        let open = |message: &audit_journal::Message| {
            let (_, note, checkpoint, _) = Sealed::read(message.value.as_deref().unwrap()).unwrap();
            let (opened, at_s) = Checkpoint::open(&note, &origin, &known).unwrap();
            assert_eq!(opened, checkpoint);
            (checkpoint, at_s.unwrap())
        };
        range.messages.iter().map(open).collect()
    }

    async fn sizes(&self, keys: &SealKeys) -> Vec<Vec<u64>> {
        let mut sizes = Vec::new();
        for partition in 0..PARTITIONS {
            let found = self.checkpoints(partition, keys).await;
            sizes.push(found.iter().map(|(checkpoint, _)| checkpoint.size).collect());
        }
        sizes
    }

    /// Waits until what is on the log now is sealed, whatever the time says.
    async fn sealed(&self, keys: &SealKeys, records: u64) {
        wait::until(WITHIN, "all records are sealed", || async {
            self.pass(INTERVAL);
            let sizes = self.sizes(keys).await;
            sizes.iter().filter_map(|sizes| sizes.last()).sum::<u64>() == records
        })
        .await;
    }

    /// Whether the last checkpoint of each partition stands where the log ends.
    async fn sealed_up_to_the_end(&self) -> bool {
        let limit = ReadLimit { messages: 10_000, bytes: 64 * 1024 * 1024 };
        for Bounds { partition, end, .. } in self.journal.bounds(Topic::Records).await.unwrap() {
            let range = self.journal.read(Topic::Checkpoints, partition, 0, limit).await.unwrap();
            let last = range.messages.last().and_then(|message| message.value.as_deref()).unwrap_or_default();
            if !Sealed::read(last).is_ok_and(|(sealed, ..)| sealed.next == end) {
                return false;
            }
        }
        true
    }

    /// An archive of it at work, which knows the keys.
    fn archive(&self, stop: &CancellationToken) -> (Reader, JoinHandle<()>) {
        let dir = self.dir.path().join("archive");
        let log_keys = keys().log_keys();
        let config = ArchiveConfig { free_bytes_min: 0, log_keys, ..ArchiveConfig::new(&dir) };
        let archiver = Archiver::open(config, &self.journal).unwrap();
        (Reader::open(&dir), tokio::spawn(archiver.run(self.journal.clone(), stop.clone())))
    }

    /// Whether a witness has cosigned a checkpoint of each partition that so many keys of the log signed.
    async fn is_cosigned_under(&self, keys: usize) -> bool {
        let limit = ReadLimit { messages: 10_000, bytes: 64 * 1024 * 1024 };
        for partition in 0..PARTITIONS {
            let range = self.journal.read(Topic::Checkpoints, partition, 0, limit).await.unwrap();
            let origin = origin(&self.journal.identity().deployment, partition, 0);
            let is_there = range.messages.iter().any(|message| {
                let (_, note, ..) = Sealed::read(message.value.as_deref().unwrap()).unwrap();
                let by = |name: &str| note.signatures().iter().filter(|line| line.name == name).count();
                by(&origin) == keys && by("one.example/w") == 1
            });
            if !is_there {
                return false;
            }
        }
        true
    }

    /// Checks every checkpoint against the one before, and against the tree of an archive that knows none of them.
    async fn check(&self, keys: &SealKeys) {
        let dir = self.dir.path().join("archive");
        let archive = ArchiveConfig { free_bytes_min: 0, ..ArchiveConfig::new(&dir) };
        let stop = CancellationToken::new();
        let archiver = Archiver::open(archive, &self.journal).unwrap();
        let archiving = tokio::spawn(archiver.run(self.journal.clone(), stop.clone()));
        let reader = Reader::open(&dir);
        let bounds = self.journal.bounds(Topic::Records).await.unwrap();
        wait::until(WITHIN, "the archive is level", || async { reader.covers(&bounds).unwrap_or(false) })
            .await;
        stop.cancel();
        archiving.await.unwrap();
        for partition in 0..PARTITIONS {
            let found = self.checkpoints(partition, keys).await;
            for (checkpoint, _) in &found {
                assert_eq!(reader.root(partition, checkpoint.size).unwrap(), checkpoint.root);
            }
            for pair in found.windows(2) {
                let [(older, before_s), (newer, after_s)] = pair else { panic!("two of them") };
                assert!(before_s <= after_s);
                let proof = reader.prove_consistency(partition, older.size, newer.size).unwrap();
                let shown = verify_consistency(older.size, newer.size, &proof, &older.root, &newer.root);
                assert_eq!(shown, Ok(()), "{} then {}", older.size, newer.size);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_records_are_sealed_after_the_interval_and_silence_after_the_idle_time() {
    let bench = Bench::new().await;
    let running = bench.start(&keys());
    bench.append(0..50).await;
    bench.sealed(&keys(), 50).await;
    let before = bench.sizes(&keys()).await;
    // Nothing new: no time but the idle one brings a checkpoint.
    bench.pass(IDLE);
    wait::until(WITHIN, "a sign of life", || async {
        bench.sizes(&keys()).await.iter().zip(&before).all(|(now, before)| now.len() > before.len())
    })
    .await;
    running.stop().await;
    for partition in 0..PARTITIONS {
        let found = bench.checkpoints(partition, &keys()).await;
        let [.., (before, earlier_s), (silent, later_s)] = &found[..] else { panic!("two checkpoints") };
        assert_eq!(before, silent);
        assert!(*later_s >= earlier_s + INTERVAL.as_secs());
    }
    bench.check(&keys()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_stopped_by_name_is_sealed_no_further_and_says_so_for_good() {
    let bench = Bench::new().await;
    let config = SealerConfig { interval: INTERVAL, idle: IDLE };
    let sealer = Sealer::new(bench.journal.clone(), keys(), &config).unwrap();
    let standing = sealer.standing();
    let running = bench.run(sealer);
    bench.append(0..50).await;
    bench.sealed(&keys(), 50).await;
    bench.remove_unread(0);
    bench.append(50..100).await;
    let told = || standing.partitions().get(&0).and_then(|one| one.not_sealed.clone());
    wait::until(WITHIN, "it is told", || async {
        told().is_some_and(|why| why.contains("removed by retention before they were read"))
    })
    .await;
    let before = bench.sizes(&keys()).await;
    // The time for a sign of life of both: they would be sealed at once, in one transaction.
    bench.pass(IDLE);
    wait::until(WITHIN, "the other partition is sealed", || async {
        bench.sizes(&keys()).await[1].len() > before[1].len()
    })
    .await;
    assert!(told().is_some());
    running.stop().await;
    assert_eq!(bench.sizes(&keys()).await[0], before[0]);
    assert!(told().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_a_sealer_goes_on_from_what_was_published() {
    let bench = Bench::new().await;
    let mut appended = 0;
    for round in 0..6 {
        let running = bench.start(&keys());
        for _ in 0..5 {
            bench.append(appended..appended + 11).await;
            appended += 11;
            bench.pass(INTERVAL);
            tokio::task::yield_now().await;
        }
        if round % 2 == 0 { running.kill().await } else { running.stop().await }
    }
    let running = bench.start(&keys());
    bench.sealed(&keys(), appended as u64).await;
    running.stop().await;
    bench.check(&keys()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_of_which_retention_left_nothing_but_a_hole_is_sealed_on_whatever_its_sealer_remembers() {
    for forgets in [false, true] {
        let bench = Bench::new().await;
        let running = bench.start(&keys());
        bench.append(0..50).await;
        bench.sealed(&keys(), 50).await;
        running.stop().await;
        // As on Kafka, where a transaction ends with a marker that is no message.
        let marker = "UPDATE partitions SET next_offset = next_offset + 1 WHERE topic = 'records'";
        let bench = bench
            .reopened(|file| {
                file.execute(marker, []).unwrap();
            })
            .await;
        let running = bench.start(&keys());
        wait::until(WITHIN, "signs of life from behind the marker", || async {
            bench.pass(IDLE);
            bench.sealed_up_to_the_end().await
        })
        .await;
        running.stop().await;
        let bench = bench
            .reopened(|file| {
                for partition in 0..PARTITIONS {
                    file.execute(&format!("DELETE FROM records_{partition}"), []).unwrap();
                }
                let first = "UPDATE partitions SET first_offset = next_offset WHERE topic = 'records'";
                file.execute(first, []).unwrap();
                if forgets {
                    file.execute("DELETE FROM documents", []).unwrap();
                }
            })
            .await;
        let running = bench.start(&keys());
        bench.append(50..80).await;
        bench.sealed(&keys(), 80).await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_could_not_be_taken_up_is_tried_again_and_the_other_is_sealed_meanwhile() {
    let bench = Bench::new().await;
    let running = bench.start(&keys());
    bench.append(0..50).await;
    bench.sealed(&keys(), 50).await;
    running.stop().await;

    bench.rename("checkpoints_0", "out_of_reach");
    let config = SealerConfig { interval: INTERVAL, idle: IDLE };
    let sealer = Sealer::new(bench.journal.clone(), keys(), &config).unwrap();
    let standing = sealer.standing();
    let running = bench.run(sealer);
    let told = || standing.partitions().get(&0).and_then(|one| one.not_sealed.clone());
    wait::until(WITHIN, "it is told", || async { told().is_some_and(|why| why.contains("can't be read")) })
        .await;
    bench.append(50..100).await;
    let before = bench.checkpoints(1, &keys()).await.last().map(|(checkpoint, _)| checkpoint.size);
    wait::until(WITHIN, "the other one is sealed", || async {
        bench.pass(INTERVAL);
        bench.checkpoints(1, &keys()).await.last().map(|(checkpoint, _)| checkpoint.size) > before
    })
    .await;

    bench.rename("out_of_reach", "checkpoints_0");
    bench.sealed(&keys(), 100).await;
    wait::until(WITHIN, "nothing is told any more", || async { told().is_none() }).await;
    running.stop().await;
    bench.check(&keys()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sealers_never_publish_two_histories() {
    let bench = Bench::new().await;
    let first = bench.start(&keys());
    let second = bench.start(&keys());
    for start in (0..200).step_by(20) {
        bench.append(start..start + 20).await;
        bench.pass(INTERVAL);
    }
    bench.sealed(&keys(), 200).await;
    first.kill().await;
    bench.append(200..260).await;
    bench.sealed(&keys(), 260).await;
    second.stop().await;
    bench.check(&keys()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_begins_again_in_a_new_epoch_is_sealed_under_another_name() {
    let bench = Bench::new().await;
    let running = bench.start(&keys());
    bench.append(0..20).await;
    bench.sealed(&keys(), 20).await;
    running.stop().await;
    // As if it had been longer when it was sealed, and then been put back.
    let mut owner = bench.journal.follow_owned(SEALER_GROUP).await;
    let mut commit = OwnedCommit::default();
    while commit.partitions.len() < PARTITIONS as usize {
        let event = owner.next().await.unwrap();
        let OwnedEvent::Assigned { partition, generation, documents, .. } = event else { continue };
        let (key, value) = documents.into_iter().next().unwrap();
        let (mut sealed, ..) = Sealed::read(&value).unwrap();
        sealed.next = 1_000;
        let anchor = Anchor { offset: 999, hash: MessageHash::from_bytes([7; 32]) };
        commit.partitions.push(PartitionCommit {
            partition,
            generation,
            bookmark: Bookmark { next: 1_000, anchor: Some(anchor), epoch: 0 },
            documents: vec![(key, Some(sealed.to_json().into()))],
        });
    }
    owner.committer().commit(commit).await.unwrap();
    owner.leave().await;
    bench.journal.new_epoch().await.unwrap();
    let bench = bench.reopened(|_| {}).await;

    let running = bench.start(&keys());
    let identity = bench.journal.identity().clone();
    let limit = ReadLimit { messages: 10_000, bytes: 64 * 1024 * 1024 };
    wait::until(WITHIN, "all records are sealed anew", || async {
        bench.pass(INTERVAL);
        let mut size = 0;
        for partition in 0..PARTITIONS {
            let range = bench.journal.read(Topic::Checkpoints, partition, 0, limit).await.unwrap();
            let Some(last) = range.messages.last() else { continue };
            let (_, note, checkpoint, _) = Sealed::read(last.value.as_deref().unwrap()).unwrap();
            let origin = origin(&identity.deployment, partition, identity.epoch);
            if checkpoint.origin == origin {
                let known = keys().verifiers(&origin, &identity.deployment).unwrap();
                Checkpoint::open(&note, &origin, &known).unwrap();
                size += checkpoint.size;
            }
        }
        size == 20
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_keys_are_exchanged_the_former_one_still_checks() {
    let bench = Bench::new().await;
    let rotated = keys().rotated().unwrap();
    let running = bench.start(&rotated);
    bench.append(0..20).await;
    // Whoever knows the former key alone opens it, without the time, which the new cosigner tells.
    let deployment = bench.journal.identity().deployment;
    wait::until(WITHIN, "all records are sealed", || async {
        bench.pass(INTERVAL);
        let sizes = bench.sizes(&rotated).await;
        sizes.iter().filter_map(|sizes| sizes.last()).sum::<u64>() == 20
    })
    .await;
    running.stop().await;
    let mut opened = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let limit = ReadLimit { messages: 1, bytes: 1 << 20 };
        let range = bench.journal.read(Topic::Checkpoints, partition, 0, limit).await.unwrap();
        let (_, note, _, _) = Sealed::read(range.messages[0].value.as_deref().unwrap()).unwrap();
        let origin = origin(&deployment, partition, 0);
        for (name, keys) in [("former", keys()), ("new", rotated.without_former().unwrap())] {
            let signers = keys.signers(&origin).unwrap();
            let known: Vec<NoteVerifier> = signers.iter().map(|signer| signer.verifier().clone()).collect();
            opened.insert((name, partition), Checkpoint::open(&note, &origin, &known).is_ok());
        }
    }
    assert!(opened.len() == 4 && opened.values().all(|is_open| *is_open), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_becomes_of_the_keys_is_on_the_record_once() {
    let bench = Bench::new().await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    let stop = CancellationToken::new();
    let rotated = keys().rotated().unwrap();
    let finished = rotated.without_former().unwrap();
    for keys in [keys(), keys(), rotated.clone(), keys(), rotated, finished.clone(), finished] {
        record_keys(&control, &keys, &stop).await;
    }
    let mut told = Vec::new();
    for partition in 0..PARTITIONS {
        let limit = ReadLimit { messages: 100, bytes: 1 << 20 };
        let range = bench.journal.read(Topic::Records, partition, 0, limit).await.unwrap();
        told.extend(range.messages.iter().map(|message| {
            let record = AuditRecord::from_json(message.value.as_deref().unwrap()).unwrap();
            record.action().as_str().to_owned()
        }));
    }
    assert_eq!(told, ["flagtrail.key.created", "flagtrail.key.rotated", "flagtrail.key.retired"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealer_whose_memory_was_deleted_goes_on_from_what_it_published() {
    let bench = Bench::new().await;
    let running = bench.start(&keys());
    bench.append(0..40).await;
    bench.sealed(&keys(), 40).await;
    running.stop().await;
    let before = bench.sizes(&keys()).await;
    // Position and document of every partition are gone, as if the topic had been lost.
    let mut owner = bench.journal.follow_owned(SEALER_GROUP).await;
    let mut commit = OwnedCommit::default();
    while commit.partitions.len() < PARTITIONS as usize {
        let event = owner.next().await.unwrap();
        let OwnedEvent::Assigned { partition, generation, documents, .. } = event else { continue };
        commit.partitions.push(PartitionCommit {
            partition,
            generation,
            bookmark: Bookmark::default(),
            documents: documents.into_iter().map(|(key, _)| (key, None)).collect(),
        });
    }
    owner.committer().commit(commit).await.unwrap();
    owner.leave().await;
    let running = bench.start(&keys());
    bench.append(40..60).await;
    bench.sealed(&keys(), 60).await;
    running.stop().await;
    for (before, after) in before.iter().zip(bench.sizes(&keys()).await) {
        assert_eq!(after[..before.len()], before[..]);
        assert!(after.is_sorted(), "nothing smaller was signed again: {after:?}");
    }
    bench.check(&keys()).await;
}

/// A log that is sealed, with an archive of it, whose checkpoints are brought to witnesses.
struct Witnessed {
    bench: Bench,
    standing: SealStanding,
    stop: CancellationToken,
    archiving: JoinHandle<()>,
    asking: JoinHandle<()>,
}

impl Witnessed {
    async fn by(witnesses: Vec<NoteVerifier>, transport: Arc<dyn WitnessTransport>) -> Self {
        let bench = Bench::new().await;
        let running = bench.start(&keys());
        bench.append(0..40).await;
        bench.sealed(&keys(), 40).await;
        running.stop().await;
        let (stop, standing) = (CancellationToken::new(), SealStanding::default());
        let (reader, archiving) = bench.archive(&stop);
        let journal = bench.journal.clone();
        let witnessing = Witnessing::new(journal, reader, witnesses, transport, standing.clone());
        let asking = tokio::spawn(witnessing.run(stop.clone()));
        Self { bench, standing, stop, archiving, asking }
    }

    async fn end(self) {
        self.stop.cancel();
        self.asking.await.unwrap();
        self.archiving.await.unwrap();
    }
}

fn witness(name: &str) -> Cosigner {
    Cosigner::new(name, &[9; 32]).unwrap()
}

/// Witnesses that never answer, and about which trees each was asked.
#[derive(Debug, Default)]
struct Silent(Mutex<BTreeSet<(usize, String)>>);

impl WitnessTransport for Silent {
    fn add_checkpoint(
        &self,
        witness: usize,
        body: String,
    ) -> Pin<Box<dyn Future<Output = WitnessAnswer> + Send + '_>> {
        let origin = body.lines().find(|line| line.starts_with("flagtrail/")).unwrap().to_owned();
        self.0.lock().unwrap().insert((witness, origin));
        Box::pin(std::future::pending())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_that_does_not_answer_keeps_no_other_from_being_asked_about_any_partition() {
    let witnesses = ["one.example/w", "two.example/w"].map(|name| witness(name).verifier().clone());
    let silent = Arc::new(Silent::default());
    let witnessed = Witnessed::by(witnesses.to_vec(), silent.clone()).await;
    wait::until(WITHIN, "each is asked about each partition", || async {
        silent.0.lock().unwrap().len() == 2 * PARTITIONS as usize
    })
    .await;
    witnessed.end().await;
}

/// A witness that has cosigned a million leaves of partition 0, and does not know any other.
struct Ahead;

impl WitnessTransport for Ahead {
    fn add_checkpoint(
        &self,
        _witness: usize,
        body: String,
    ) -> Pin<Box<dyn Future<Output = WitnessAnswer> + Send + '_>> {
        let is_known = body.lines().any(|line| line.starts_with("flagtrail/") && line.ends_with("/0/0"));
        let (status, answer) = if is_known { (409, "1000000\n") } else { (404, "") };
        Box::pin(async move { Ok((status, answer.to_owned())) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_that_has_cosigned_more_than_the_log_has_is_told() {
    let witnesses = vec![witness("one.example/w").verifier().clone()];
    let witnessed = Witnessed::by(witnesses, Arc::new(Ahead)).await;
    wait::until(WITHIN, "it is told of that partition alone", || async {
        witnessed.standing.witnesses_ahead() == BTreeMap::from([(0, true), (1, false)])
    })
    .await;
    witnessed.end().await;
}

/// A witness that cosigns whatever goes on from what it cosigned last.
struct Willing {
    cosigner: Cosigner,
    /// By the tree's name.
    cosigned: Mutex<BTreeMap<String, u64>>,
}

impl WitnessTransport for Willing {
    fn add_checkpoint(
        &self,
        _witness: usize,
        body: String,
    ) -> Pin<Box<dyn Future<Output = WitnessAnswer> + Send + '_>> {
        let (head, note) = body.split_once("\n\n").unwrap();
        let old = head.lines().next().unwrap().strip_prefix("old ").unwrap();
        let note = SignedNote::parse(note.as_bytes()).unwrap();
        let Checkpoint { origin, size, .. } = Checkpoint::parse(note.text()).unwrap();
        let mut cosigned = self.cosigned.lock().unwrap();
        let last = cosigned.entry(origin).or_default();
        let answer = if old == last.to_string() {
            *last = size;
            (200, format!("{}\n", self.cosigner.cosign(note.text(), 1_795_219_200)))
        } else {
            (409, format!("{last}\n"))
        };
        Box::pin(async move { Ok(answer) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_partition_is_cosigned_again_once_the_log_signs_with_a_further_key() {
    let cosigner = witness("one.example/w");
    let witnesses = vec![cosigner.verifier().clone()];
    let willing = Arc::new(Willing { cosigner, cosigned: Mutex::default() });
    let witnessed = Witnessed::by(witnesses, willing).await;
    let bench = &witnessed.bench;
    wait::until(WITHIN, "the witness has cosigned each partition", || bench.is_cosigned_under(1)).await;
    let rotated = bench.start(&keys().rotated().unwrap());
    wait::until(WITHIN, "and again, with both keys of the log", || bench.is_cosigned_under(2)).await;
    rotated.stop().await;
    witnessed.end().await;
}

#[test]
fn a_key_file_is_read_back_and_shows_nothing() {
    let rotated = keys().rotated().unwrap();
    let read = SealKeys::parse(&rotated.to_text()).unwrap();
    assert_eq!(read.to_text(), rotated.to_text());
    assert_eq!(rotated.rotated().unwrap_err(), KeyFileError::Exchanging);
    assert_eq!(keys().without_former().unwrap_err(), KeyFileError::NotExchanging);
    let finished = rotated.without_former().unwrap();
    assert_eq!(finished.to_text().lines().nth(1), rotated.to_text().lines().nth(1));
    assert!(!finished.to_text().contains(keys().to_text().lines().nth(1).unwrap()));
    // What the former key signed still counts.
    assert_eq!(SealKeys::parse(&finished.to_text()).unwrap().former(), keys().signing());
    assert_eq!(finished.log_keys(), rotated.log_keys());
    assert_ne!(SealKeys::generate().to_text(), SealKeys::generate().to_text());
    assert_eq!(format!("{read:?}"), "SealKeys(2 keys, [REDACTED])");
    let text = rotated.to_text();
    for bad in ["", "hunter2", &text.replace("v1", "v9"), &text.replace("=", ""), &format!("{text}{text}")] {
        assert!(SealKeys::parse(bad).is_err(), "{bad}");
    }
    assert!(SealKeys::parse("flagtrail-log-keys-v1\n# none\n").is_err());
}
