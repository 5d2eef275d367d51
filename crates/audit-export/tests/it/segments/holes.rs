//! What no try can bring back is a hole that the chain itself tells of, and no end of it.

use std::path::Path;

use audit_export::SegmentLoss;
use audit_journal::{Bounds, Topic};
use audit_verify::{Report, Trust, verify_directory};
use flagtrail_testkit::wait;

use super::going_on::{away, sooner};
use super::{Bench, INTERVAL, PARTITIONS, WITHIN, end, keys};
use crate::evidence::{found, says};

/// What an auditor finds who knows the log's keys, of the trees of these epochs, and kept these checkpoints.
fn report(bench: &Bench, epochs: &[u32], kept: &[String]) -> Report {
    report_of(&bench.there().join("audit"), bench, epochs, kept)
}

/// The same of a copy.
pub(super) fn report_of(prefix: &Path, bench: &Bench, epochs: &[u32], kept: &[String]) -> Report {
    let deployment = bench.journal.identity().deployment;
    let mut trust = Trust::default();
    for (partition, epoch) in (0..PARTITIONS).flat_map(|one| epochs.iter().map(move |epoch| (one, *epoch))) {
        let origin = audit_proof::origin(&deployment, partition, epoch);
        trust.keys.extend(keys().verifiers(&origin, &deployment).unwrap());
    }
    kept.iter().for_each(|note| trust.add_kept("kept", note.as_bytes()).unwrap());
    verify_directory(prefix, &trust, None).unwrap()
}

/// As if the log had been created anew: nothing is on it, and it begins from offset 0.
pub(super) fn emptied(file: &rusqlite::Connection) {
    for partition in 0..PARTITIONS {
        file.execute(&format!("DELETE FROM records_{partition}"), []).unwrap();
    }
    let empty = "UPDATE partitions SET first_offset = 0, next_offset = 0 WHERE topic = 'records'";
    file.execute(empty, []).unwrap();
}

/// Of each partition, a segment is lost for this reason, and the chain holds all the same.
fn holds_but_for(bench: &Bench, loss: SegmentLoss, words: &str, epochs: &[u32]) {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let schema = std::fs::read(schemas.join("segment-manifest.v1.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
    let (mut kept, mut shown) = (Vec::new(), Vec::new());
    for partition in 0..PARTITIONS {
        let manifests = bench.manifests(partition);
        for manifest in &manifests {
            let json = serde_json::to_value(manifest).unwrap();
            assert!(schema.is_valid(&json), "{json}");
        }
        let lost: Vec<_> = manifests.iter().filter(|manifest| manifest.lost.is_some()).collect();
        assert!(!lost.is_empty(), "partition {partition} has a hole");
        for manifest in &lost {
            assert_eq!((manifest.lost, manifest.version), (Some(loss), 2));
            assert!(manifest.files.is_empty() && manifest.messages > 0);
        }
        let last = manifests.iter().rfind(|manifest| manifest.messages > 0).unwrap();
        assert_eq!(last.lost, None, "the chain goes on");
        // Whoever kept a checkpoint of the end is told of the leaves behind the hole alone.
        kept.push(last.cut.note.clone());
        let (origin, size) = (&last.cut.origin, last.cut.end.seq);
        let hole = lost.iter().rfind(|manifest| manifest.cut.origin == *origin);
        shown.push(match hole {
            Some(hole) => format!("nothing of leaves {} to {size} of {origin} has changed", hole.cut.end.seq),
            None => format!("nothing of the first {size} leaves of {origin} has changed"),
        });
    }
    let report = report(bench, epochs, &kept);
    for words in shown {
        assert!(says(&report.proven, &words), "{words}, not in {:#?}", report.proven);
    }
    assert!(!report.passes() && !report.is_damaged(), "{:#?}", report.findings);
    found(&report, "segments/proofs/", words);
}

/// Waits until the last segment of each partition ends where its tree does.
pub(super) async fn caught_up(bench: &Bench) {
    wait::until(WITHIN, "all partitions are in segments up to the end", || async {
        bench.pass(INTERVAL / 4);
        let mut level = 0;
        for Bounds { partition, end: log_end, .. } in bench.journal.bounds(Topic::Records).await.unwrap() {
            level += u32::from(bench.manifests(partition).last().is_some_and(|last| end(last) == log_end));
        }
        level == PARTITIONS
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_removed_before_it_was_written_is_a_hole_and_the_next_segment_is_written() {
    let mut bench = Bench::new().await;
    bench.append(40).await;
    let running = bench.start(away());
    bench.cut_and_not_written().await;
    running.kill().await;
    let mut bench = bench
        .reopened(|file| {
            for partition in 0..PARTITIONS {
                file.execute(&format!("DELETE FROM records_{partition}"), []).unwrap();
            }
            let first = "UPDATE partitions SET first_offset = next_offset WHERE topic = 'records'";
            file.execute(first, []).unwrap();
        })
        .await;
    let running = bench.start([]);
    bench.append(20).await;
    caught_up(&bench).await;
    assert!(running.standing.partitions().values().all(|standing| standing.lost > 0));
    running.stop().await;
    holds_but_for(&bench, SegmentLoss::Removed, "removed from the log before they were written", &[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replaced_log_no_longer_has_is_a_hole_and_the_new_log_has_a_chain_of_its_own() {
    let mut bench = Bench::new().await;
    bench.append(40).await;
    let running = bench.start(away());
    bench.cut_and_not_written().await;
    running.kill().await;
    let mut bench = bench.reopened(emptied).await;
    bench.journal.new_epoch().await.unwrap();
    let mut bench = {
        bench.append(30).await;
        bench.reopened(|_| {}).await
    };
    bench.append(40).await;
    let epoch = bench.journal.identity().epoch;
    assert!(epoch > 0);
    let running = bench.start([]);
    caught_up(&bench).await;
    running.stop().await;
    holds_but_for(
        &bench,
        SegmentLoss::Replaced,
        "the log was replaced before they were written",
        &[0, epoch],
    );
    for partition in 0..PARTITIONS {
        let manifests = bench.manifests(partition);
        let origin = audit_proof::origin(&bench.journal.identity().deployment, partition, epoch);
        let of_new: Vec<_> = manifests.iter().filter(|manifest| manifest.cut.origin == origin).collect();
        assert!(of_new[0].cut.number == 0 && of_new[0].cut.start.seq == 0);
        assert!(of_new.iter().all(|manifest| manifest.lost.is_none()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sealed_over_several_days_without_cutting_is_a_hole_and_no_segment_of_two_days() {
    let mut bench = Bench::new().await;
    let running = bench.start([]);
    bench.append(30).await;
    bench.written().await;
    running.stop().await;
    bench.append(40).await;
    bench.seal_without_cutting().await;
    // The first message that is in no segment came the day before.
    let first = |partition| bench.manifests(partition).last().map_or(0, end) + 1;
    let firsts: Vec<u64> = (0..PARTITIONS).map(first).collect();
    let mut bench = bench.reopened(|file| sooner(file, &firsts)).await;
    let running = bench.start([]);
    bench.append(10).await;
    caught_up(&bench).await;
    running.stop().await;
    holds_but_for(&bench, SegmentLoss::Uncut, "sealed while nobody cut", &[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_partition_that_is_stopped_by_name_no_silence_is_cut() {
    let mut bench = Bench::new().await;
    let running = bench.start([]);
    bench.append(40).await;
    bench.written().await;
    bench.remove_unread(0);
    bench.append(40).await;
    let told = || running.standing.partitions().get(&0).and_then(|one| one.not_sealed.clone());
    wait::until(WITHIN, "it is told", || async { told().is_some() }).await;
    let before = (bench.cuts(0).await, bench.cuts(1).await.len());
    wait::until(WITHIN, "the other partition is cut again and again", || async {
        bench.pass(INTERVAL / 4);
        bench.cuts(1).await.len() > before.1 + 2
    })
    .await;
    assert!(told().is_some());
    running.stop().await;
    assert_eq!(bench.cuts(0).await, before.0);
}
