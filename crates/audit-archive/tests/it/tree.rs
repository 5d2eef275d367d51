//! The trees of an archive: the same in every replica, and what they prove.

use std::collections::BTreeSet;

use audit_archive::{ArchiveConfig, EvidenceError, Order, Query, Reader, TreeHead, check, rebuild};
use audit_journal::{AppendOutcome, Journal, NewMessage, Placement, Topic};
use audit_proof::{Leaf, TileId, leaf_hash, read_bundle, verify_consistency, verify_inclusion};
use bytes::Bytes;

use crate::harness::{Place, Running, append, covered, records};

fn heads(reader: &Reader) -> Vec<TreeHead> {
    reader.tree_heads().expect("heads")
}

/// What is no record, and a record for the second time.
async fn append_oddities(journal: &Journal) {
    let odd = |key: &'static str, value: Option<&'static [u8]>| NewMessage {
        key: Bytes::from_static(key.as_bytes()),
        headers: vec![("salt".into(), Bytes::from_static(b"0123456789abcdef"))],
        value: value.map(Bytes::from_static),
        placement: Placement::ByKey,
    };
    // The archive asks more of a record than a leaf: the last one has a header that tells what it is.
    let half = br#"{"id":"half","action":"flag.created","related_object_type":"FEATURE","occurred_at":"2026-09-30T12:00:00Z","recorded_at":"2026-09-30T12:00:00Z"}"#;
    let messages =
        vec![odd("a", Some(b"\xff\x00")), odd("b", None), odd("", Some(b"{}")), odd("c", Some(half))];
    let outcomes = journal.append(Topic::Records, messages).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::Appended(_))), "{outcomes:?}");
    append(journal, &records(0..3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_built_at_different_times_and_in_different_steps_have_the_same_roots() {
    let place = Place::new(3);
    let journal = place.journal().await;
    let early = Running::start(place.config(), &journal);
    for start in [0, 1, 2, 300, 700] {
        append(&journal, &records(start..start + 250)).await;
        append_oddities(&journal).await;
        covered(&place.reader(), &journal).await;
    }
    early.stop().await;

    let late = place.beside("late");
    let config = ArchiveConfig { free_bytes_min: 0, full_text: false, ..ArchiveConfig::new(&late) };
    let running = Running::start(config, &journal);
    covered(&Reader::open(&late), &journal).await;
    running.stop().await;

    let found = heads(&place.reader());
    assert_eq!(found, heads(&Reader::open(&late)));
    assert_eq!(found.iter().map(|head| head.size).sum::<u64>(), 5 * (250 + 7));
    assert_eq!(found.iter().map(|head| head.root).collect::<BTreeSet<_>>().len(), 3);
    for dir in [place.archive_dir(), late] {
        let report = check(dir).expect("a report");
        assert!(report.is_sound(), "{report:?}");
    }

    rebuild(place.archive_dir()).expect("removed");
    let running = Running::start(place.config(), &journal);
    covered(&place.reader(), &journal).await;
    running.stop().await;
    assert_eq!(heads(&place.reader()), found);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_proven_in_every_later_tree() {
    let place = Place::new(1);
    let journal = place.journal().await;
    let running = Running::start(place.config(), &journal);
    let reader = place.reader();
    append(&journal, &records(0..200)).await;
    append_oddities(&journal).await;
    covered(&reader, &journal).await;
    let [older] = &heads(&reader)[..] else { panic!("one partition") };
    append(&journal, &records(200..700)).await;
    covered(&reader, &journal).await;
    running.stop().await;

    let [newer] = &heads(&reader)[..] else { panic!("one partition") };
    assert_eq!((older.size, newer.size), (207, 707));
    assert_eq!(reader.root(0, older.size).expect("a root"), older.root);
    let proof = reader.prove_consistency(0, older.size, newer.size).expect("a proof");
    assert_eq!(verify_consistency(older.size, newer.size, &proof, &older.root, &newer.root), Ok(()));
    for seq in [0, 199, 200, 201, 202, 203, 206, 255, 256, 511, 512, 706] {
        for tree in [older, newer].into_iter().filter(|tree| seq < tree.size) {
            let shown = reader.prove_inclusion(0, seq, Some(tree.size)).expect("a proof");
            assert_eq!((shown.index, shown.tree.size, shown.tree.root), (seq, tree.size, tree.root));
            let leaf = leaf_hash(&shown.entry);
            assert_eq!(verify_inclusion(&leaf, seq, tree.size, &shown.hashes, &tree.root), Ok(()));
            assert_eq!(Leaf::parse(&shown.entry).expect("a leaf").seq, seq);
        }
    }
    // The header tells of the record, and of the one that only a leaf takes for one.
    let page = reader.query(&Query { order: Order::Oldest, limit: 1, ..Query::default() }).expect("a page");
    let entry = reader.prove_inclusion(0, page.rows[0].seq, None).expect("a proof").entry;
    assert_eq!(Leaf::parse(&entry).expect("a leaf").record.expect("a record").id, "r0");
    let half = reader.prove_inclusion(0, 203, None).expect("a proof").entry;
    assert_eq!(Leaf::parse(&half).expect("a leaf").record.expect("a record").id, "half");

    for refused in [reader.prove_inclusion(0, 707, None), reader.prove_inclusion(0, 300, Some(207))] {
        assert!(matches!(refused, Err(EvidenceError::NotInTree { .. })), "{refused:?}");
    }
    assert!(matches!(reader.root(0, 708), Err(EvidenceError::NotInTree { size: 707, asked: 708, .. })));
    assert!(matches!(reader.root(5, 1), Err(EvidenceError::NoSuchPartition(5))));
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_and_entries_belong_together() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..600)).await;
    let running = Running::start(place.config(), &journal);
    let reader = place.reader();
    covered(&reader, &journal).await;
    running.stop().await;
    for (index, width) in [(0, 256), (1, 256), (2, 88), (2, 17)] {
        let tile = reader.tile(0, TileId { level: 0, index }, width).expect("an answer").expect("a tile");
        let bundle = reader.entry_bundle(0, index, width).expect("an answer").expect("a bundle");
        let entries = read_bundle(&bundle).expect("entries");
        assert_eq!((entries.len(), tile.width()), (width, width));
        for (place, entry) in entries.iter().enumerate() {
            assert_eq!(tile.get(place), Some(leaf_hash(entry)));
        }
    }
    let above = reader.tile(0, TileId { level: 1, index: 0 }, 2).expect("an answer").expect("a tile");
    assert_eq!(above.get(1), Some(reader_root_of_second_tile(&reader)));
    for (level, index, width) in [(0, 2, 89), (0, 3, 1), (1, 0, 3), (2, 0, 1)] {
        assert_eq!(reader.tile(0, TileId { level, index }, width).expect("an answer"), None);
    }
    assert_eq!(reader.entry_bundle(0, 2, 89).expect("an answer"), None);
}

fn reader_root_of_second_tile(reader: &Reader) -> audit_proof::NodeHash {
    let tile = reader.tile(0, TileId { level: 0, index: 1 }, 256).expect("an answer").expect("a tile");
    let mut frontier = audit_proof::Frontier::new();
    (0..256).for_each(|place| frontier.append(tile.get(place).expect("a hash"), |_, _| {}));
    frontier.root()
}
