//! Killed at any moment, nothing is lost and no retry forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use audit_journal::{Anchor, Bookmark, MessageHash, OwnedCommit, OwnedEvent, PartitionCommit};
use audit_record::Author;
use audit_webhook::{GROUP, NewReplay, ReplayState};
use flagtrail_testkit::receiver::{Answer, Receiver};
use flagtrail_testkit::wait;
use serde_json::json;

use crate::world::{LIMIT, PARTITIONS, World, ids, record, records};

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_under_load_every_record_arrives_and_few_twice() {
    const RECORDS: u64 = 2_000;
    const KILLS: u64 = 8;
    let world = World::new().await.pauses_ms(&[30; 40]);
    let (steady, flaky) = (Receiver::start().expect("a receiver"), Receiver::start().expect("a receiver"));
    let counter = std::sync::atomic::AtomicU64::new(0);
    flaky.answer_by(move |_| match counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 5 {
        0 => Answer::status(500),
        1 => Answer::disconnect(),
        _ => Answer::status(204),
    });
    let events = json!({ "events": ["flag.*"], "max_in_flight": 8 });
    let endpoints = [
        world.endpoint(&steady.url("/"), events.clone()).await,
        world.endpoint(&flaky.url("/"), events).await,
    ];
    let mut running = world.start();
    for round in 0..KILLS {
        for number in round * RECORDS / KILLS..(round + 1) * RECORDS / KILLS {
            world.append(&[record(["alpha", "beta", "gamma"][number as usize % 3], number)]).await;
        }
        // At another place between two commits each time.
        tokio::time::sleep(Duration::from_millis(round * 37 % 250)).await;
        running.kill().await;
        running = world.start();
    }
    for endpoint in &endpoints {
        running.caught_up(&endpoint.id).await;
    }
    running.stop().await;
    for receiver in [&steady, &flaky] {
        let received = ids(&receiver.received());
        assert_eq!(received.iter().collect::<BTreeSet<_>>().len() as u64, RECORDS, "every record arrived");
    }
    // A record in a round may come again, but by far not every one of every round.
    let repeats = steady.count() as u64 - RECORDS;
    assert!(repeats < RECORDS, "{repeats} repeats");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_survives_the_crash_with_its_count_and_is_not_early() {
    let world = World::new().await.pauses_ms(&[10, 1_500, 10, 10]);
    let receiver = Receiver::start().expect("a receiver");
    receiver.script([Answer::status(500), Answer::status(500)]);
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    let before = receiver.wait_for(2, LIMIT).await;
    world
        .documents_are(&endpoint.id, "two attempts are durable", |documents| {
            documents.iter().any(|document| document["pending"][0]["attempt"] == 2)
        })
        .await;
    running.kill().await;
    let running = world.start();
    let received = receiver.wait_for(3, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    assert_eq!(ids(&received), ["alpha-00001"; 3]);
    assert!(received[2].instant - before[1].instant >= Duration::from_millis(1_500));
    assert_eq!(world.attempts().await.last().map(|attempt| attempt.attempt), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_flight_at_the_crash_comes_again() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer(Answer::hang());
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&records("alpha", 0..5)).await;
    receiver.wait_for(5, LIMIT).await;
    running.kill().await;
    receiver.answer(Answer::status(200));
    let running = world.start();
    receiver.wait_for(10, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    let mut times = BTreeMap::<String, u32>::new();
    for id in ids(&receiver.received()) {
        *times.entry(id).or_default() += 1;
    }
    assert!(times.len() == 5 && times.values().all(|times| *times == 2), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deliverers_share_the_partitions_and_hand_them_over() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let first = world.start();
    let mut number = 0;
    let mut append = async |count: u64| {
        for _ in 0..count {
            world.append(&[record(["alpha", "beta", "gamma"][number as usize % 3], number)]).await;
            number += 1;
        }
    };
    append(100).await;
    let second = world.start();
    append(100).await;
    first.stop().await;
    append(100).await;
    // Caught up is said of what the deliverer has heard of: first of all records.
    receiver.wait_for(300, LIMIT).await;
    second.caught_up(&endpoint.id).await;
    second.stop().await;
    let received = ids(&receiver.received());
    assert_eq!(received.iter().collect::<BTreeSet<_>>().len(), 300);
    assert_eq!(received.len(), 300, "handed over in good order, nothing comes twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_with_a_document_of_a_later_release_is_left_alone() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let newer = json!({ "v": 99, "incarnation": 1, "what_is_this": true }).to_string();
    commit_by_hand(&world, &endpoint.id, &[0], Bookmark::default(), &newer).await;

    let running = world.start();
    let mut positions = Vec::new();
    for project in ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"] {
        positions.extend(world.append(&records(project, 0..3)).await);
    }
    let readable = positions.iter().filter(|position| position.partition != 0).count();
    assert!(0 < readable && readable < positions.len(), "the projects fall into both partitions");
    receiver.wait_for(readable, LIMIT).await;
    wait::until(LIMIT, "the other partition is committed", || async {
        world.attempts().await.len() >= readable
    })
    .await;
    running.stop().await;
    assert_eq!(receiver.count(), readable);
    assert!(world.documents(&endpoint.id).await.iter().any(|document| document["v"] == 99), "not touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_new_epoch_of_another_log_every_endpoint_begins_at_its_first_record() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    world.append(&records("alpha", 0..3)).await;
    world.append(&records("beta", 0..3)).await;
    // How far somebody was in a log that is gone: past the end of this one, and with a retry there.
    let pending = json!([{ "offset": 4_000, "attempt": 1, "due": 0 }]);
    let document = json!({ "v": 2, "incarnation": 1, "cursor": 5_000, "pending": pending }).to_string();
    let anchor = Anchor { offset: 999, hash: MessageHash::from_bytes([7; 32]) };
    let bookmark = Bookmark { next: 1_000, anchor: Some(anchor), epoch: 0 };
    commit_by_hand(&world, &endpoint.id, &[0, 1], bookmark, &document).await;
    world.journal.new_epoch().await.expect("a new epoch");
    let world = world.reopened().await;

    let running = world.start();
    receiver.wait_for(6, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    // From here on the places are this log's, and are kept.
    let running = world.start();
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    assert_eq!(receiver.count(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_new_epoch_of_another_log_no_replay_of_the_log_before_is_made() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let (id, author) = (endpoint.id.as_str().into(), Author::user("ada@example.com"));
    world.append(&records("alpha", 0..3)).await;
    world.append(&records("beta", 0..3)).await;
    // One that its partitions have taken up, and one that nobody has heard of yet.
    for _ in 0..2 {
        world.endpoints.replay(&id, NewReplay::default(), author.clone()).await.expect("ordered");
    }
    let document = json!({ "v": 2, "incarnation": 1, "cursor": 5_000, "replayed": 1 }).to_string();
    let anchor = Anchor { offset: 999, hash: MessageHash::from_bytes([7; 32]) };
    let bookmark = Bookmark { next: 1_000, anchor: Some(anchor), epoch: 0 };
    commit_by_hand(&world, &endpoint.id, &[0, 1], bookmark, &document).await;
    world.journal.new_epoch().await.expect("a new epoch");
    let world = world.reopened().await;

    for _ in 0..2 {
        let running = world.start();
        receiver.wait_for(6, LIMIT).await;
        running.caught_up(&endpoint.id).await;
        wait::until(LIMIT, "no replay is taken for one that is under way", || async {
            let replays = world.endpoints.replays(&id).await.expect("replays");
            replays.len() == 2 && replays.iter().all(|replay| replay.state == ReplayState::Done)
        })
        .await;
        running.stop().await;
    }
    assert!(receiver.received().iter().all(|request| request.header("x-flagtrail-replay").is_none()));
    assert_eq!(receiver.count(), 6);
    // What is ordered from now on is of this log.
    let running = world.start();
    world.endpoints.replay(&id, NewReplay::default(), author).await.expect("ordered");
    receiver.wait_for(12, LIMIT).await;
    running.stop().await;
}

/// Commits a document of an endpoint, and a watermark, as an owner that then leaves.
async fn commit_by_hand(
    world: &World,
    endpoint: &str,
    partitions: &[u32],
    bookmark: Bookmark,
    document: &str,
) {
    let mut owner = world.journal.follow_owned(GROUP).await;
    let mut generations = BTreeMap::new();
    while generations.len() < PARTITIONS as usize {
        if let Some(OwnedEvent::Assigned { partition, generation, .. }) = owner.next().await {
            generations.insert(partition, generation);
        }
    }
    let commit = |partition: &u32| PartitionCommit {
        partition: *partition,
        generation: generations[partition],
        bookmark,
        documents: vec![(endpoint.to_owned().into(), Some(document.to_owned().into()))],
    };
    let commit = OwnedCommit { partitions: partitions.iter().map(commit).collect(), messages: Vec::new() };
    owner.committer().commit(commit).await.expect("committed");
    owner.leave().await;
}
