//! What a chain survives whole: days, exchanged keys, other writers, and sealers that forgot.

use std::collections::BTreeSet;
use std::fs;

use audit_export::{SEALER_GROUP, SealKeys};
use audit_journal::{
    AppendOutcome, Bookmark, NewMessage, OwnedCommit, OwnedEvent, PartitionCommit, Placement, ReadLimit,
    Topic,
};
use audit_proof::{Checkpoint, Cut, Edge, Sealed, leaf_hash};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use flagtrail_testkit::wait;

use super::{Bench, INTERVAL, PARTITIONS, WITHIN, keys};
use crate::faulty::Fault;
use crate::sealing::BEGIN_MS;

const DAY_MS: i64 = 86_400_000;

/// A destination at which every put hangs.
pub(super) fn away() -> impl Iterator<Item = (usize, Fault)> {
    (0..1_000).map(|put| (put, Fault::HangsBefore))
}

/// The UTC days on which the log took the messages of a partition, by their numbers.
async fn days(bench: &Bench, partition: u32) -> Vec<String> {
    let limit = ReadLimit { messages: 100_000, bytes: 256 * 1024 * 1024 };
    let range = bench.journal.read(Topic::Records, partition, 0, limit).await.unwrap();
    let day = |ms| DateTime::<Utc>::from_timestamp_millis(ms).unwrap().format("%Y-%m-%d").to_string();
    range.messages.iter().map(|message| day(message.appended_at_ms)).collect()
}

/// As if the log had taken so many messages of each partition a day sooner.
pub(super) fn sooner(file: &rusqlite::Connection, messages: &[u64]) {
    for (partition, messages) in messages.iter().enumerate() {
        let earlier = format!(
            "UPDATE records_{partition} SET appended_at_ms = appended_at_ms - {DAY_MS} WHERE offset < ?1"
        );
        file.execute(&earlier, [*messages]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_ends_with_the_day_on_which_the_log_took_its_messages() {
    let mut bench = Bench::new().await;
    bench.append(60).await;
    let bench = bench.reopened(|file| sooner(file, &[5; PARTITIONS as usize])).await;
    let running = bench.start([]);
    bench.written().await;
    running.stop().await;
    bench.check().await;
    for partition in 0..PARTITIONS {
        let days = days(&bench, partition).await;
        let mut dates = BTreeSet::new();
        for manifest in bench.manifests(partition) {
            let cut = &manifest.cut;
            let own = &days[cut.start.seq as usize..cut.end.seq as usize];
            assert!(own.iter().all(|day| *day == cut.date), "{own:?} in a segment of {}", cut.date);
            dates.extend(own.iter().cloned());
        }
        assert!(dates.len() > 1, "the messages of partition {partition} are of several days");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_cut_before_the_keys_were_exchanged_is_written_when_the_former_one_is_left_behind() {
    let mut bench = Bench::new().await;
    bench.append(40).await;
    let running = bench.start_with(&keys(), away());
    bench.cut_and_not_written().await;
    running.kill().await;

    let rotated = keys().rotated().unwrap();
    let finished = rotated.without_former().unwrap();
    let deployment = bench.journal.identity().deployment;
    bench.append(40).await;
    let running = bench.start_with(&rotated, away());
    wait::until(WITHIN, "each partition is sealed with the new key", || async {
        bench.pass(INTERVAL / 4);
        let mut sealed = 0;
        for partition in 0..PARTITIONS {
            let origin = audit_proof::origin(&deployment, partition, 0);
            let known = finished.verifiers(&origin, &deployment).unwrap();
            let heads = bench.checkpoints(partition).await;
            let last = heads.iter().filter_map(|value| Sealed::read(value).ok()).next_back();
            let is_by_new =
                last.is_some_and(|(_, note, ..)| Checkpoint::open(&note, &origin, &known).is_ok());
            sealed += u32::from(is_by_new);
        }
        sealed == PARTITIONS
    })
    .await;
    running.kill().await;

    // What waits was signed by the former key alone.
    for partition in 0..PARTITIONS {
        let cut = bench.cuts(partition).await.swap_remove(0);
        let note = audit_proof::SignedNote::parse(cut.note.as_bytes()).unwrap();
        let known = finished.verifiers(&cut.origin, &deployment).unwrap();
        assert!(Checkpoint::open(&note, &cut.origin, &known).is_err());
    }
    let running = bench.start_with(&finished, []);
    bench.written().await;
    running.stop().await;
    bench.keys = finished.log_keys();
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_writer_who_is_sooner_with_a_manifest_stops_nobody() {
    let mut bench = Bench::new().await;
    bench.append(40).await;
    let running = bench.start([]);
    running.store.rivals(2);
    bench.written().await;
    assert_eq!(running.store.rivals_left(), 0);
    bench.append(20).await;
    bench.written().await;
    running.stop().await;
    bench.check().await;
    let by_another = (0..PARTITIONS).flat_map(|partition| bench.manifests(partition));
    assert_eq!(by_another.filter(|manifest| manifest.written_by.starts_with("another")).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_manifest_is_told_and_once_it_is_moved_away_the_chain_goes_on() {
    let mut bench = Bench::new().await;
    let proofs = bench.there().join("audit/segments/proofs");
    let folder = proofs.join(bench.journal.identity().deployment.to_string()).join("p00001");
    let foreign = folder.join("p00001-e0-n0000000000-s000000000000.json");
    fs::create_dir_all(&folder).unwrap();
    fs::write(&foreign, "{}").unwrap();
    bench.append(40).await;
    let running = bench.start([]);
    wait::until(WITHIN, "it is told", || async {
        bench.pass(INTERVAL / 4);
        let partitions = running.standing.partitions();
        let told = partitions.get(&1).and_then(|standing| standing.problem()).unwrap_or_default();
        told.contains("p00001-e0-n0000000000-s000000000000.json") && told.contains("vault")
    })
    .await;
    // Nothing was put in its place, and the other partition is written meanwhile.
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "{}");
    wait::until(WITHIN, "the other partition is written", || async {
        bench.pass(INTERVAL / 4);
        !bench.manifests(0).is_empty()
    })
    .await;
    assert_eq!(running.standing.partitions()[&0].problem(), None);
    fs::remove_file(&foreign).unwrap();
    bench.written().await;
    wait::until(WITHIN, "nothing is told any more", || async {
        running.standing.partitions().values().all(|standing| standing.problem().is_none())
    })
    .await;
    running.stop().await;
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealer_that_forgot_how_far_it_cut_goes_on_from_the_last_cut_on_the_log() {
    let mut bench = Bench::new().await;
    let running = bench.start([]);
    for _ in 0..2 {
        bench.append(30).await;
        bench.written().await;
    }
    running.stop().await;
    // Position and documents of every partition are gone, as if the topic had been lost.
    let mut owner = bench.journal.follow_owned(SEALER_GROUP).await;
    let mut commit = OwnedCommit::default();
    while commit.partitions.len() < PARTITIONS as usize {
        let event = owner.next().await.unwrap();
        let OwnedEvent::Assigned { partition, generation, documents, .. } = event else { continue };
        assert!(documents.len() > 1, "what was sealed, and how far it was cut");
        commit.partitions.push(PartitionCommit {
            partition,
            generation,
            bookmark: Bookmark::default(),
            documents: documents.into_iter().map(|(key, _)| (key, None)).collect(),
        });
    }
    owner.committer().commit(commit).await.unwrap();
    owner.leave().await;
    let running = bench.start([]);
    bench.append(20).await;
    bench.written().await;
    running.stop().await;
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sealed_for_a_while_without_cutting_is_in_the_next_segment() {
    let mut bench = Bench::new().await;
    let running = bench.start([]);
    bench.append(30).await;
    bench.written().await;
    running.stop().await;
    bench.append(30).await;
    bench.seal_without_cutting().await;
    let running = bench.start([]);
    bench.append(10).await;
    bench.written().await;
    running.stop().await;
    let manifests: Vec<_> = (0..PARTITIONS).flat_map(|partition| bench.manifests(partition)).collect();
    // Unless the test began before midnight and ended after it.
    if manifests
        .iter()
        .filter(|manifest| manifest.messages > 0)
        .all(|one| one.cut.date == manifests[0].cut.date)
    {
        assert!(manifests.iter().all(|manifest| manifest.lost.is_none()));
        bench.check().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_cut_keeps_no_partition_from_being_cut() {
    let mut bench = Bench::new().await;
    let (deployment, stranger) = (bench.journal.identity().deployment, SealKeys::new([9; 32]));
    for partition in 0..PARTITIONS {
        let origin = audit_proof::origin(&deployment, partition, 0);
        let forged = Checkpoint { origin: origin.clone(), size: 5, root: leaf_hash(b"another history") };
        let mut note = forged.to_note().unwrap();
        stranger.signers(&origin).unwrap().iter().for_each(|signer| note.sign(signer));
        let cut = Cut {
            v: 1,
            kind: "cut".to_owned(),
            origin: origin.clone(),
            number: 0,
            previous: None,
            start: Edge { seq: 0, offset: 0 },
            end: Edge { seq: 5, offset: 5 },
            peaks: Vec::new(),
            date: "2026-11-21".to_owned(),
            at_ms: BEGIN_MS,
            note: note.to_string(),
        };
        assert!(Cut::read(&cut.to_json()).is_ok());
        let message = NewMessage {
            key: Bytes::from(origin),
            headers: Vec::new(),
            value: Some(cut.to_json().into()),
            placement: Placement::Fixed(partition),
        };
        let outcome = bench.journal.append(Topic::Checkpoints, vec![message]).await.remove(0);
        assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
    }
    let running = bench.start([]);
    bench.append(30).await;
    bench.written().await;
    running.stop().await;
    bench.check().await;
}
