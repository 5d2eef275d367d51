//! Two archives of a log of several partitions, one of them made after a retention.

use audit_archive::{LeafRow, Reader};
use audit_journal::{Bounds, Topic};

use crate::harness::{Place, Running, append, covered, records};
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
