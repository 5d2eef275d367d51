//! A log that is created anew and accepted by a new epoch, in the same archive: what an export of both shows, and which tree
//! is meant where the present one is asked for. The former one is the larger.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use audit_archive::TreeHead;
use audit_export::{ExportJob, Manifest, SealStanding, WitnessAnswer, WitnessTransport, Witnessing};
use audit_journal::Topic;
use audit_proof::{Cosigner, origin};
use audit_record::AuditRecord;
use audit_verify::verify_export_with;
use flagtrail_testkit::clients::Clients;
use flagtrail_testkit::wait;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::guide::{run, steps, text};
use super::single::{Archive, Log, export, journal, the_only};
use super::{found, says, trust};
use crate::export::the_manifest_is_what_its_schema_says;
use crate::harness::{WITHIN, record};

/// Records of the former log.
const BEFORE: u64 = 60;

/// Those of the one in its place: the last one came before, too.
const SINCE: u64 = 20;

/// The log as it is now, and the archive that saw both.
struct Replaced {
    dir: TempDir,
    log: Log,
    archive: Archive,
    /// An export of the former log, from its time.
    former: (ExportJob, Manifest),
}

impl Replaced {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path()).await;
        let archive = Archive::follow(dir.path(), &log);
        log.grow(0..BEFORE).await;
        let former = export(dir.path(), &log, &archive, "former", None).await;
        level(&log, &archive).await;
        archive.stop().await;
        log.close().await;

        create_anew(dir.path()).await;
        let accepting = journal(dir.path()).await;
        accepting.new_epoch().await.unwrap();
        accepting.close().await;
        drop(accepting);

        let log = Log::open(dir.path()).await;
        let archive = Archive::follow(dir.path(), &log);
        let mut records: Vec<AuditRecord> =
            (BEFORE..BEFORE + SINCE - 1).map(|number| record(number as usize)).collect();
        records.push(record(5));
        log.append(&records).await;
        level(&log, &archive).await;
        Self { dir, log, archive, former }
    }

    /// The former tree and the one that grows.
    fn trees(&self) -> [TreeHead; 2] {
        let trees = self.archive.reader.trees(0).unwrap();
        let [former, present] = <[TreeHead; 2]>::try_from(trees).unwrap();
        assert!(former.size > present.size, "{former:?}, {present:?}");
        [former, present]
    }

    /// What the tree that grows is called.
    fn origin(&self) -> String {
        let identity = self.log.journal.identity();
        assert!(identity.epoch > 0);
        origin(&identity.deployment, 0, identity.epoch)
    }

    async fn end(self) {
        self.archive.stop().await;
        self.log.close().await;
    }
}

/// Waits until the archive has all of the log.
async fn level(log: &Log, archive: &Archive) {
    let (epoch, bounds) = (log.journal.identity().epoch, log.journal.bounds(Topic::Records).await.unwrap());
    wait::until(WITHIN, "the archive is level", || async {
        archive.reader.is_level(epoch, &bounds).unwrap_or(false)
    })
    .await;
}

/// As if the topic of records had been created anew.
async fn create_anew(dir: &Path) {
    let file = wait::some(WITHIN, "the log's file is free", || async {
        let file = rusqlite::Connection::open(dir.join("journal.sqlite")).ok()?;
        file.execute_batch("BEGIN IMMEDIATE; COMMIT").ok().map(|()| file)
    })
    .await;
    file.execute("DELETE FROM records_0", []).unwrap();
    let empty =
        "UPDATE partitions SET first_offset = 0, next_offset = 0 WHERE topic = 'records' AND partition = 0";
    file.execute(empty, []).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_over_two_epochs_proves_the_present_log_and_counts_what_is_of_the_former() {
    let replaced = Replaced::new().await;
    let Replaced { dir, log, archive, former: (former_job, former) } = &replaced;
    let (job, manifest) = export(dir.path(), log, archive, "both", None).await;
    the_manifest_is_what_its_schema_says(&job.destination);
    let [tree_before, tree_now] = replaced.trees();
    let part = the_only(&manifest);
    assert_eq!(part.origin, Some(replaced.origin()));
    assert_eq!((part.first_seq, part.start_size, part.base_size), (tree_before.size, 0, None));
    assert_eq!(part.former_records, tree_before.size, "each of them is a record, and none came twice");
    // What was appended since, and that the export was asked for.
    let leaves = SINCE + 1;
    assert_eq!((part.covered_size, part.population.in_range), (leaves, leaves));
    assert!(part.sealed_size >= leaves && tree_now.size >= leaves);
    assert_eq!((part.population.delivered, part.population.duplicates), (leaves - 1, 1));
    assert_eq!(manifest.records, tree_before.size + leaves - 1);
    let not_proven = &manifest.evidence.as_ref().unwrap().not_proven;
    let told = format!("{} records of partition 0 come from a log that was replaced since", tree_before.size);
    assert!(says(not_proven, &told), "{not_proven:#?}");

    // The keys that an auditor has from the time of the former log vouch for this one, too.
    for known in [trust(&manifest), trust(former)] {
        let report = verify_export_with(&job.destination, &known).unwrap();
        assert!(report.passes(), "{:#?}", report.findings);
        let whole = format!("each of the {} records is, byte for byte", leaves - 1);
        assert!(says(&report.proven, &whole), "{:#?}", report.proven);
        let told = format!("{} records of partition 0 from a log that was replaced since", tree_before.size);
        assert!(says(&report.not_covered, &told), "{:#?}", report.not_covered);
        let repeated = "1 leaves told to be repeats are: what they repeat is not looked at here";
        assert!(says(&report.asserted, repeated), "{:#?}", report.asserted);
    }
    if let Some(clients) = Clients::available() {
        let output = run(&clients, &job.destination, &steps(&job.destination)[2]);
        let told = text(&output);
        assert!(output.status.success(), "{told}");
        assert!(told.contains(&format!("{} records have a leaf", leaves - 1)), "{told}");
    }

    // A checkpoint of the former tree holds against an export of its time, and is not passed over by this one.
    let kept = std::fs::read(former_job.destination.join("data/proofs/0/checkpoint-end")).unwrap();
    let mut known = trust(former);
    known.add_kept("kept-before", &kept).unwrap();
    let then = verify_export_with(&former_job.destination, &known).unwrap();
    assert!(then.passes(), "{:#?}", then.findings);
    assert!(says(&then.proven, "has changed since kept-before was signed"), "{:#?}", then.proven);
    let now = verify_export_with(&job.destination, &known).unwrap();
    assert!(!now.passes() && !now.is_damaged(), "{:#?}", now.findings);
    found(&now, "kept-before", "of which this export has nothing");
    replaced.end().await;
}

/// A witness that cosigns nothing, and what it was asked.
#[derive(Debug, Default)]
struct Asked(Mutex<Vec<String>>);

impl WitnessTransport for Asked {
    fn add_checkpoint(
        &self,
        _: usize,
        body: String,
    ) -> Pin<Box<dyn Future<Output = WitnessAnswer> + Send + '_>> {
        self.0.lock().unwrap().push(body);
        Box::pin(std::future::ready(Err("it is away".to_owned())))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_of_the_present_log_is_shown_and_taken_to_witnesses_though_the_former_one_is_larger() {
    let replaced = Replaced::new().await;
    let (reader, present) = (&replaced.archive.reader, replaced.origin());
    let [_, tree] = replaced.trees();
    wait::until(WITHIN, "the archive bears out what is signed of the present log", || async {
        let latest = reader.latest_checkpoint(0).unwrap();
        latest.is_some_and(|head| head.size == Some(tree.size))
    })
    .await;
    let latest = reader.latest_checkpoint(0).unwrap().unwrap();
    assert_eq!((latest.origin, latest.root), (Some(present.clone()), Some(tree.root)));
    let status = reader.status().unwrap().partitions.remove(0);
    assert_eq!((status.signed.map(|head| head.size), status.alarm), (Some(tree.size), None));
    let covering = reader.checkpoint_covering(0, 1).unwrap().unwrap();
    assert_eq!(covering.origin, Some(present.clone()));
    assert_eq!(reader.checkpoint_covering(0, tree.size + 1).unwrap(), None);

    let asked = Arc::new(Asked::default());
    let witness = Cosigner::new("one.example/w", &[9; 32]).unwrap().verifier().clone();
    let journal = replaced.log.journal.clone();
    let standing = SealStanding::default();
    let witnessing = Witnessing::new(journal, reader.clone(), vec![witness], asked.clone(), standing);
    let stop = CancellationToken::new();
    let asking = tokio::spawn(witnessing.run(stop.clone()));
    wait::until(WITHIN, "the witness is asked", || async { !asked.0.lock().unwrap().is_empty() }).await;
    stop.cancel();
    asking.await.unwrap();
    let bodies = asked.0.lock().unwrap().clone();
    // From nothing on, with an empty proof: of this tree it has seen none.
    let wanted = format!("old 0\n\n{present}\n{}\n{}\n", tree.size, tree.root);
    assert!(bodies.iter().all(|body| body.starts_with(&wanted)), "{wanted}: {bodies:#?}");
    replaced.end().await;
}
