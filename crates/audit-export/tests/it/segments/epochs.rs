//! A log that is created anew and accepted by a new epoch: what was written of the former one and what is written of the one
//! in its place are two chains side by side, and both are whole.

use std::fs;

use audit_export::SegmentManifest;

use super::holes::{caught_up, emptied, report_of};
use super::verify::{leave_out, place};
use super::{Bench, PARTITIONS, end};
use crate::evidence::{copied, found, says};

/// A log of 60 messages, all of them in segments, and one of 20 in its place, in the epoch that is told.
async fn replaced() -> (Bench, u32) {
    let mut bench = Bench::new().await;
    let running = bench.start([]);
    bench.append(60).await;
    bench.written().await;
    running.stop().await;
    let bench = bench.reopened(emptied).await;
    bench.journal.new_epoch().await.unwrap();
    let mut bench = bench.reopened(|_| {}).await;
    bench.append(20).await;
    let running = bench.start([]);
    caught_up(&bench).await;
    running.stop().await;
    let epoch = bench.journal.identity().epoch;
    assert!(epoch > 0);
    (bench, epoch)
}

/// The segments of one partition's tree, in order.
fn chain(bench: &Bench, partition: u32, epoch: u32) -> Vec<SegmentManifest> {
    let origin = audit_proof::origin(&bench.journal.identity().deployment, partition, epoch);
    let manifests = bench.manifests(partition).into_iter();
    manifests.filter(|manifest| manifest.cut.origin == origin).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_replaced_and_the_one_after_it_are_two_chains_and_both_are_whole() {
    let (bench, epoch) = replaced().await;
    let epochs = [0, epoch];
    let (mut kept, mut shown) = (Vec::new(), Vec::new());
    for partition in 0..PARTITIONS {
        let sizes = epochs.map(|epoch| {
            let chain = chain(&bench, partition, epoch);
            let (first, last) = (&chain[0], &chain[chain.len() - 1]);
            assert_eq!((first.cut.number, first.cut.start.seq, first.cut.previous.is_none()), (0, 0, true));
            assert!(chain.iter().all(|manifest| manifest.lost.is_none()));
            let (origin, size) = (&last.cut.origin, end(last));
            shown.push(format!("{} segments of {origin}, ", chain.len()));
            shown.push(format!("the hashes of leaves 0 to {size} lead to the roots"));
            shown.push(format!("nothing of the first {size} leaves of {origin} has changed"));
            kept.push(last.cut.note.clone());
            size
        });
        assert!(sizes[0] > sizes[1], "the former tree is the larger one: {sizes:?}");
    }
    let prefix = bench.there().join("audit");
    let report = report_of(&prefix, &bench, &epochs, &kept);
    assert!(report.passes(), "{:#?}", report.findings);
    for words in shown {
        assert!(says(&report.proven, &words), "{words}, not in {:#?}", report.proven);
    }

    // Whoever knows the keys of the former tree alone is told that nothing vouches for the other.
    let of_former = report_of(&prefix, &bench, &[0], &[]);
    assert!(!of_former.passes() && !of_former.is_damaged(), "{:#?}", of_former.findings);
    found(&of_former, "segments/proofs/", "none of the keys given is its");

    // The chain of the former log is left out as a whole.
    let (_dir, without) = copied(&prefix);
    chain(&bench, 0, 0).iter().for_each(|manifest| leave_out(&without, manifest));
    let unnoticed = report_of(&without, &bench, &epochs, &[]);
    let former = audit_proof::origin(&bench.journal.identity().deployment, 0, 0);
    assert!(unnoticed.passes(), "{:#?}", unnoticed.findings);
    assert!(says(&unnoticed.not_covered, &format!("{former}, of which a key was given")));
    let missed = report_of(&without, &bench, &epochs, &kept);
    assert!(!missed.is_damaged(), "{:#?}", missed.findings);
    found(&missed, "kept", &format!("is of {former}, of which there is no segment here"));

    // A segment of the former log stands where one of the other belongs, as it is.
    let (_dir, swapped) = copied(&prefix);
    let [of_former, of_present] = epochs.map(|epoch| place(&chain(&bench, 0, epoch)[0]));
    fs::copy(swapped.join(of_former), swapped.join(&of_present)).unwrap();
    found(&report_of(&swapped, &bench, &epochs, &[]), &of_present, "it was moved, or altered");
}
