//! Two archives of a log of several partitions, one of them made after a retention.

use audit_archive::{LeafRow, Reader, check};
use audit_journal::{Bounds, Topic};
use flagtrail_testkit::wait;

use crate::harness::{CAUGHT_UP_WITHIN, Place, Running, append, covered, records};
use crate::witness::{config, remove_before_of, signer};

const PARTITIONS: u32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn every_partition_of_an_archive_made_after_a_retention_has_the_same_leaves_tags_and_root() {
    let place = Place::new(PARTITIONS);
    let journal = place.journal().await;
    append(&journal, &records(0..900)).await;
    let keys = signer(&journal).keys();
    let bounds = journal.bounds(Topic::Records).await.expect("bounds");
    let mut half = Vec::new();
    for Bounds { partition, end, .. } in bounds {
        assert!(end > 20, "each partition has some of the ten projects");
        for size in [end / 2, end] {
            let size = usize::try_from(size).expect("it is small");
            let sealed = signer(&journal).head_of(partition, size).await;
            signer(&journal).publish_to(partition, sealed.to_json()).await;
        }
        half.push((partition, end / 2));
    }
    let whole = Reader::open(place.beside("whole"));
    let running = Running::start(config(&place, "whole", keys.clone()), &journal);
    covered(&whole, &journal).await;
    journal.close().await;
    running.stop().await;
    drop(journal);
    // Of each some messages are left that the first checkpoint covers.
    for (partition, half) in &half {
        remove_before_of(&place, *partition, half - 5);
    }

    let journal = place.journal().await;
    append(&journal, &records(900..1_200)).await;
    let late = Reader::open(place.beside("late"));
    for (dir, reader) in [("whole", &whole), ("late", &late)] {
        let running = Running::start(config(&place, dir, keys.clone()), &journal);
        covered(reader, &journal).await;
        running.stop().await;
    }
    let heads = whole.tree_heads().expect("heads");
    assert_eq!(late.tree_heads().expect("heads"), heads);
    assert_eq!(heads.iter().map(|head| head.size).sum::<u64>(), 1_200);
    for (head, (partition, half)) in heads.iter().zip(half) {
        let leaves = |reader: &Reader| -> Vec<LeafRow> {
            reader.leaves(partition, head.first_seq, half..head.size).expect("leaves")
        };
        let of_whole = leaves(&whole);
        assert_eq!(leaves(&late), of_whole);
        assert_eq!(of_whole.len() as u64, head.size - half);
        assert!(of_whole.iter().all(|row| row.leaf.tags.scope.is_some() && row.leaf.tags.flag.is_some()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_waits_for_a_checkpoint_is_named_and_holds_up_no_other() {
    let place = Place::new(PARTITIONS);
    let journal = place.journal().await;
    append(&journal, &records(0..900)).await;
    let keys = signer(&journal).keys();
    let bounds = journal.bounds(Topic::Records).await.expect("bounds");
    let mut awaited = Vec::new();
    for Bounds { partition, end, .. } in &bounds {
        let size = usize::try_from(*end).expect("it is small");
        let whole = signer(&journal).head_of(*partition, size).await;
        // Of the last one a checkpoint ends among what is kept; of the others none does yet.
        if partition + 1 == PARTITIONS {
            signer(&journal).publish_to(*partition, whole.to_json()).await;
        } else {
            let half = signer(&journal).head_of(*partition, size / 2).await;
            signer(&journal).publish_to(*partition, half.to_json()).await;
            awaited.push((*partition, whole));
        }
    }
    journal.close().await;
    drop(journal);
    for Bounds { partition, end, .. } in &bounds {
        remove_before_of(&place, *partition, end - 5);
    }

    let journal = place.journal().await;
    append(&journal, &records(900..1_200)).await;
    let bounds = journal.bounds(Topic::Records).await.expect("bounds");
    let late = Reader::open(place.beside("late"));
    let running = Running::start(config(&place, "late", keys), &journal);
    let has_all_of = |partition: u32| late.covers(&bounds[partition as usize..][..1]).unwrap_or(false);
    wait::until(CAUGHT_UP_WITHIN, "the last partition is archived", || async { has_all_of(PARTITIONS - 1) })
        .await;
    for (partition, whole) in awaited {
        let is_named = format!("waiting until it can be told where partition {partition} of the log begins");
        wait::until(CAUGHT_UP_WITHIN, "the partition says that it waits", || async {
            let status = late.status().expect("a status");
            let waiting = &status.partitions[partition as usize];
            waiting.messages == 0 && waiting.stopped.as_ref().is_some_and(|why| why.starts_with(&is_named))
        })
        .await;
        // One after the other: each is followed apart from those that are followed already.
        signer(&journal).publish_to(partition, whole.to_json()).await;
        wait::until(CAUGHT_UP_WITHIN, "the partition is archived", || async { has_all_of(partition) }).await;
    }
    append(&journal, &records(1_200..1_300)).await;
    covered(&late, &journal).await;
    running.stop().await;
    let status = late.status().expect("a status");
    assert!(status.partitions.iter().all(|partition| partition.stopped.is_none()), "{status:?}");
    let messages: u64 = status.partitions.iter().map(|partition| partition.messages).sum();
    assert_eq!(messages, u64::from(PARTITIONS) * 5 + 400, "each message that is kept once");
    let report = check(place.beside("late")).expect("a report");
    assert!(report.is_sound(), "{report:?}");
}
