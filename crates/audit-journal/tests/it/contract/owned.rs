//! Owning: sharing partitions out, committing, handing over.

use std::collections::BTreeMap;

use audit_journal::{
    Bookmark, CommitError, Committer, Journal, Message, Owned, OwnedCommit, OwnedEvent, Partition,
    PartitionCommit, Topic,
};
use bytes::Bytes;

use super::{Harness, PARTITIONS, PATIENCE, append_numbers, fixed, next_owned, text, until, until_holds};

const GROUP: &str = "flagtrail-deliver";

/// What an owner was told of a partition.
#[derive(Debug)]
struct Assigned {
    generation: u64,
    bookmark: Option<Bookmark>,
    documents: Vec<(Bytes, Bytes)>,
    clean: bool,
}

/// Events until every one of these partitions is assigned.
async fn assignments(owned: &mut Owned, count: usize) -> BTreeMap<Partition, Assigned> {
    let mut all = BTreeMap::new();
    while all.len() < count {
        match next_owned(owned).await {
            OwnedEvent::Assigned { partition, generation, bookmark, documents, clean, .. } => {
                all.insert(partition, Assigned { generation, bookmark, documents, clean });
            }
            // An owner that is alone for a moment is given all and must hand some of them over.
            OwnedEvent::Revoked { partition, done, .. } => {
                all.remove(&partition);
                drop(done);
            }
            OwnedEvent::Messages(_) | OwnedEvent::Level { .. } => {}
            OwnedEvent::Stopped(stop) => panic!("{stop}"),
        }
    }
    all
}

/// Joins, is given everything, and reads `count` messages of a partition.
async fn own_and_read(
    journal: &Journal,
    partition: Partition,
    count: usize,
) -> (Owned, BTreeMap<Partition, Assigned>, Vec<Message>, Option<Bookmark>) {
    let mut owned = journal.follow_owned(GROUP).await;
    let mut assigned = BTreeMap::new();
    let mut messages = Vec::new();
    let mut bookmark = None;
    while assigned.len() < PARTITIONS as usize || messages.len() < count {
        match next_owned(&mut owned).await {
            OwnedEvent::Assigned { partition, generation, bookmark, documents, clean, .. } => {
                assigned.insert(partition, Assigned { generation, bookmark, documents, clean });
            }
            OwnedEvent::Messages(batch) if batch.partition == partition => {
                bookmark = batch.bookmark();
                messages.extend(batch.messages);
            }
            OwnedEvent::Revoked { .. } | OwnedEvent::Stopped(_) => panic!("nobody else is there"),
            OwnedEvent::Messages(_) | OwnedEvent::Level { .. } => {}
        }
    }
    (owned, assigned, messages, bookmark)
}

fn commit_of(partition: Partition, generation: u64, bookmark: Bookmark) -> OwnedCommit {
    let state = PartitionCommit { partition, generation, bookmark, documents: Vec::new() };
    OwnedCommit { partitions: vec![state], messages: Vec::new() }
}

fn document(key: &'static str, value: &'static str) -> (Bytes, Option<Bytes>) {
    (Bytes::from_static(key.as_bytes()), Some(Bytes::from_static(value.as_bytes())))
}

async fn must_commit(committer: &Committer, commit: OwnedCommit) {
    super::commit(committer, commit).await.expect("the owner may commit");
}

/// Events until the journal is closed, with every partition given up at once.
async fn let_go(mut owned: Owned) {
    while let Some(event) = owned.next().await {
        if let OwnedEvent::Revoked { done, .. } = event {
            drop(done);
        }
    }
}

pub(crate) async fn one_owner_is_given_every_partition<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 1, 0..5).await;
    let (_owned, assigned, messages, _) = own_and_read(&journal, 1, 5).await;
    assert_eq!(assigned.keys().copied().collect::<Vec<_>>(), (0..PARTITIONS).collect::<Vec<_>>());
    assert!(assigned.values().all(|assigned| assigned.bookmark.is_none() && assigned.clean));
    assert_eq!(messages.iter().map(text).collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
}

pub(crate) async fn a_commit_is_one_transaction_of_watermark_documents_and_messages<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 1, 0..5).await;
    let (owned, assigned, _, bookmark) = own_and_read(&journal, 1, 5).await;
    let mut commit = commit_of(1, assigned[&1].generation, bookmark.expect("it read messages"));
    commit.partitions[0].documents = vec![document("endpoint-1", "{}")];
    commit.messages = vec![
        (Topic::Deliveries, fixed(1, "attempt")),
        (Topic::Records, fixed(1, "the record that tells of it")),
    ];
    must_commit(&owned.committer(), commit.clone()).await;
    let expected = [(1, Bytes::from_static(b"endpoint-1"), Bytes::from_static(b"{}"))];
    until(|| async { journal.documents(GROUP).await.is_ok_and(|documents| documents == expected) }).await;
    until_holds(&journal, Topic::Deliveries, 1, &["attempt"]).await;

    // One message of it can't be taken, so nothing of it happens.
    commit.partitions[0].documents = vec![document("endpoint-1", "changed")];
    commit.messages =
        vec![(Topic::Deliveries, fixed(1, "lost")), (Topic::Records, fixed(PARTITIONS, "nowhere"))];
    let refused = owned.committer().commit(commit.clone()).await;
    assert!(matches!(refused, Err(CommitError::NotCommitted(_))), "{refused:?}");
    // Nor may it come later: what is committed after it would be seen after it.
    commit.partitions[0].documents = vec![document("endpoint-2", "{}")];
    commit.messages = vec![(Topic::Deliveries, fixed(1, "next"))];
    must_commit(&owned.committer(), commit).await;
    until_holds(&journal, Topic::Deliveries, 1, &["attempt", "next"]).await;
    until(|| async { journal.documents(GROUP).await.is_ok_and(|documents| documents.len() == 2) }).await;
    let documents = journal.documents(GROUP).await.expect("documents can be listed");
    assert!(documents.iter().all(|(_, _, value)| value == "{}"), "{documents:?}");
}

pub(crate) async fn a_document_that_no_message_holds_is_refused_by_name<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 1, 0..1).await;
    let (owned, assigned, _, bookmark) = own_and_read(&journal, 1, 1).await;
    let mut commit = commit_of(1, assigned[&1].generation, bookmark.expect("it read a message"));
    commit.partitions[0].documents = vec![(Bytes::from_static(b"huge"), Some(vec![b'x'; 5 << 20].into()))];
    let refused = tokio::time::timeout(PATIENCE, owned.committer().commit(commit.clone())).await;
    let Ok(Err(CommitError::NotCommitted(why))) = refused else { panic!("{refused:?}") };
    assert!(why.contains("huge") && why.contains("bytes; at most"), "{why}");
    commit.partitions[0].documents = vec![document("small", "x")];
    must_commit(&owned.committer(), commit).await;
}

pub(crate) async fn the_next_owner_begins_at_the_watermark_with_the_documents<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 1, 0..5).await;
    let (owned, assigned, _, bookmark) = own_and_read(&journal, 1, 5).await;
    let bookmark = bookmark.expect("it read messages");
    let mut commit = commit_of(1, assigned[&1].generation, bookmark);
    commit.partitions[0].documents = vec![document("a", "1"), document("b", "2"), document("gone", "x")];
    must_commit(&owned.committer(), commit.clone()).await;
    commit.partitions[0].documents = vec![document("a", "3"), (Bytes::from_static(b"gone"), None)];
    must_commit(&owned.committer(), commit).await;
    append_numbers(&journal, 1, 5..7).await;
    drop(owned);
    drop(journal);

    let journal = log.open().await;
    let (_owned, assigned, messages, _) = own_and_read(&journal, 1, 2).await;
    assert_eq!(assigned[&1].bookmark, Some(bookmark));
    let documents: Vec<_> = [document("a", "3"), document("b", "2")]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    assert_eq!(assigned[&1].documents, documents);
    assert_eq!(assigned[&2].documents, []);
    assert_eq!(messages.iter().map(text).collect::<Vec<_>>(), ["5", "6"]);
}

pub(crate) async fn a_second_owner_takes_its_share_and_the_first_keeps_the_rest<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let (mut first, assigned, ..) = own_and_read(&journal, 0, 0).await;
    let mut held: BTreeMap<Partition, u64> =
        assigned.iter().map(|(partition, assigned)| (*partition, assigned.generation)).collect();

    // The first writes down, while it hands over, what the second must find. It may be told to hand over
    // everything, and be given its rest anew.
    let mut joining = {
        let journal = journal.clone();
        tokio::spawn(async move {
            let mut second = journal.follow_owned(GROUP).await;
            let assigned = assignments(&mut second, PARTITIONS as usize / 2).await;
            (second, assigned)
        })
    };
    let mut joined = None;
    while joined.is_none() || held.len() != PARTITIONS as usize / 2 {
        let event = tokio::select! {
            share = &mut joining, if joined.is_none() => {
                joined = Some(share.expect("the second owner is given its share"));
                continue;
            }
            event = next_owned(&mut first) => event,
        };
        match event {
            OwnedEvent::Revoked { partition, lost, done } => {
                assert!(!lost);
                let generation = held.remove(&partition).expect("it was held");
                let mut commit = commit_of(partition, generation, Bookmark::default());
                commit.partitions[0].documents = vec![document("handed", "over")];
                must_commit(&first.committer(), commit).await;
                drop(done);
            }
            OwnedEvent::Assigned { partition, generation, .. } => {
                held.insert(partition, generation);
            }
            OwnedEvent::Messages(_) | OwnedEvent::Level { .. } => {}
            OwnedEvent::Stopped(stop) => panic!("{stop}"),
        }
    }
    let (second, second_assigned) = joined.expect("the loop ended");
    for (partition, assigned) in &second_assigned {
        assert!(!held.contains_key(partition), "partition {partition} has two owners");
        assert!(assigned.clean, "it was handed over in good order");
        assert_eq!(assigned.documents.len(), 1, "what was committed on the way out is there");
    }
    assert_eq!(held.len() + second_assigned.len(), PARTITIONS as usize);

    // Both own: each commits for its own, neither for the other's.
    let (mine, theirs) =
        (*held.keys().next().expect("a share"), *second_assigned.keys().next().expect("a share"));
    must_commit(&first.committer(), commit_of(mine, held[&mine], Bookmark::default())).await;
    let generation = second_assigned[&theirs].generation;
    must_commit(&second.committer(), commit_of(theirs, generation, Bookmark::default())).await;
}

pub(crate) async fn a_zombies_commit_is_refused_whole<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 1, 0..5).await;
    let (owned, assigned, _, bookmark) = own_and_read(&journal, 1, 5).await;
    let zombie = owned.committer();
    drop(owned);
    let (owner, new, ..) = own_and_read(&journal, 1, 5).await;
    let bookmark = bookmark.expect("it read messages");
    let mut late = commit_of(1, assigned[&1].generation, bookmark);
    late.partitions[0].documents = vec![document("late", "x")];
    late.messages = vec![(Topic::Deliveries, fixed(1, "late"))];
    let refused = super::commit(&zombie, late).await;
    assert!(matches!(refused, Err(CommitError::Fenced(_))), "{refused:?}");
    let mut timely = commit_of(1, new[&1].generation, bookmark);
    timely.messages = vec![(Topic::Deliveries, fixed(1, "timely"))];
    must_commit(&owner.committer(), timely).await;
    until_holds(&journal, Topic::Deliveries, 1, &["timely"]).await;
    assert!(journal.documents(GROUP).await.expect("documents can be listed").is_empty());
}

pub(crate) async fn an_owner_that_leaves_is_clean_and_one_that_is_dropped_is_not<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 1, 0..1).await;
    let (owned, assigned, _, bookmark) = own_and_read(&journal, 1, 1).await;
    let bookmark = bookmark.expect("it read a message");
    must_commit(&owned.committer(), commit_of(1, assigned[&1].generation, bookmark)).await;
    tokio::time::timeout(PATIENCE, owned.leave()).await.expect("leaving ends");
    let (owned, assigned, ..) = own_and_read(&journal, 1, 0).await;
    assert!(assigned[&1].clean, "the last owner left");
    assert_eq!(assigned[&1].bookmark, Some(bookmark));
    drop(owned);
    let (_owned, assigned, ..) = own_and_read(&journal, 1, 0).await;
    assert!(!assigned[&1].clean, "the last owner was dropped");
}

pub(crate) async fn closing_lets_owners_commit_what_they_have_in_hand<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 1, 0..5).await;
    let (mut owned, assigned, _, bookmark) = own_and_read(&journal, 1, 5).await;
    let bookmark = bookmark.expect("it read messages");
    let closing = {
        let journal = journal.clone();
        tokio::spawn(async move { journal.close().await })
    };
    let mut revoked = 0;
    while let Some(event) = owned.next().await {
        if let OwnedEvent::Revoked { partition, done, .. } = event {
            if partition == 1 {
                must_commit(&owned.committer(), commit_of(1, assigned[&1].generation, bookmark)).await;
            }
            drop(done);
            revoked += 1;
        }
    }
    assert_eq!(revoked, PARTITIONS);
    tokio::time::timeout(PATIENCE, closing).await.expect("closing ends").expect("closing does not fail");
    drop((owned, journal));
    let journal = log.open().await;
    let (_owned, assigned, ..) = own_and_read(&journal, 1, 0).await;
    assert_eq!(assigned[&1].bookmark, Some(bookmark));
    assert!(assigned.values().all(|assigned| assigned.clean));
}

pub(crate) async fn groups_do_not_see_each_other<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 1, 0..2).await;
    let (owned, assigned, _, bookmark) = own_and_read(&journal, 1, 2).await;
    let mut commit = commit_of(1, assigned[&1].generation, bookmark.expect("it read messages"));
    commit.partitions[0].documents = vec![document("a", "1")];
    must_commit(&owned.committer(), commit).await;
    let mut other = journal.follow_owned("flagtrail-seal").await;
    let assigned = assignments(&mut other, PARTITIONS as usize).await;
    assert!(assigned.values().all(|assigned| assigned.documents.is_empty() && assigned.bookmark.is_none()));
    let letting_go = [tokio::spawn(let_go(owned)), tokio::spawn(let_go(other))];
    journal.close().await;
    for task in letting_go {
        tokio::time::timeout(PATIENCE, task).await.expect("the owner ends").expect("it does not fail");
    }
    until(|| async { !journal.is_writable() }).await;
}
