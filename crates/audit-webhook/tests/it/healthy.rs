//! When everything goes well.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use audit_journal::{NewMessage, OwnedCommit, OwnedEvent, PartitionCommit, Placement, Topic};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flagtrail_testkit::receiver::{Answer, Receiver};
use flagtrail_testkit::wait;
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::world::{LIMIT, PARTITIONS, World, ids, record, records};

#[tokio::test(flavor = "multi_thread")]
async fn every_record_arrives_once_and_one_at_a_time_they_arrive_in_order() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    world.append(&records("alpha", 0..150)).await;
    let endpoint = world
        .endpoint(
            &receiver.url("/hook"),
            json!({ "start": "earliest", "max_in_flight": 1, "events": ["flag.*"] }),
        )
        .await;
    let running = world.start();
    world.append(&records("alpha", 150..300)).await;
    receiver.wait_for(300, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    let expected: Vec<String> = (0..300).map(|number| format!("alpha-{number:05}")).collect();
    assert_eq!(ids(&receiver.received()), expected);
    assert_eq!(world.attempts().await.len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_carries_the_records_own_bytes_and_a_signature_that_others_verify() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let more = json!({ "headers": { "authorization": "Bearer s3cr3t-token" }, "events": ["flag.*"] });
    let (_, secret) = world.endpoint_with_secret(&receiver.url("/hook?a=b"), more).await;
    let record = record("alpha", 1);
    let _running = world.start();
    world.append(std::slice::from_ref(&record)).await;
    let received = receiver.wait_for(1, LIMIT).await.remove(0);

    assert_eq!(received.path, "/hook?a=b");
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(received.header("authorization"), Some("Bearer s3cr3t-token"));
    assert!(received.header("user-agent").is_some_and(|agent| agent.starts_with("flagtrail/")));
    assert!(received.body.windows(record.canonical().len()).any(|bytes| bytes == record.canonical()));
    let body: Value = serde_json::from_slice(&received.body).expect("JSON");
    assert_eq!(body["type"], "flag.state.changed");
    assert_eq!(body["timestamp"], "2026-08-21T17:30:57.006318Z");
    assert_eq!(body["data"]["id"], "alpha-00001");
    standardwebhooks::Webhook::new(&secret)
        .expect("a secret")
        .verify(&received.body, &received.headers)
        .expect("the published library verifies it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_carries_the_latest_checkpoint_of_its_partition_once_there_is_one() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&[record("alpha", 0)]).await;
    let received = receiver.wait_for(1, LIMIT).await.remove(0);
    assert_eq!(received.header("x-flagtrail-checkpoint"), None);
    running.stop().await;

    // As a sealer publishes them.
    let mut owner = world.journal.follow_owned("sealer").await;
    for _ in 0..PARTITIONS {
        let (partition, generation, bookmark) = loop {
            let event = owner.next().await.expect("partitions");
            if let OwnedEvent::Assigned { partition, generation, bookmark, .. } = event {
                break (partition, generation, bookmark.unwrap_or_default());
            }
        };
        let head = |number: u32| NewMessage {
            key: Bytes::new(),
            headers: Vec::new(),
            value: Some(
                json!({ "v": 1, "note": format!("head {number} of {partition}") }).to_string().into(),
            ),
            placement: Placement::Fixed(partition),
        };
        let commit = OwnedCommit {
            partitions: vec![PartitionCommit { partition, generation, bookmark, documents: Vec::new() }],
            messages: vec![(Topic::Checkpoints, head(1)), (Topic::Checkpoints, head(2))],
        };
        owner.committer().commit(commit).await.expect("published");
    }
    owner.leave().await;

    let running = world.start();
    let began = Instant::now();
    let mut number = 0;
    let received = loop {
        number += 1;
        world.append(&[record("alpha", number)]).await;
        let received = receiver.wait_for(number as usize + 1, LIMIT).await.pop().expect("one");
        if received.header("x-flagtrail-checkpoint").is_some() {
            break received;
        }
        assert!(began.elapsed() < LIMIT, "no delivery carries a checkpoint");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let header = received.header("x-flagtrail-checkpoint").expect("a checkpoint");
    let position = received.header("x-flagtrail-position").expect("a position");
    let (partition, _) = position.split_once(':').expect("partition and offset");
    let note = STANDARD.decode(header).expect("base64");
    assert_eq!(String::from_utf8(note).expect("text"), format!("head 2 of {partition}"));
    // Which one it was is not repeated in each attempt.
    running.stop().await;
    let attempts = world.attempts().await;
    let shown = attempts.iter().filter_map(|attempt| attempt.request_headers.get("x-flagtrail-checkpoint"));
    let shown: Vec<&str> = shown.map(String::as_str).collect();
    assert!(!shown.is_empty() && !shown.contains(&header), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_rotation_each_secret_gives_a_signature() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let secrets =
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];
    world.endpoint(&receiver.url("/"), json!({ "secrets": secrets, "events": ["flag.*"] })).await;
    let _running = world.start();
    world.append(&[record("alpha", 1)]).await;
    let received = receiver.wait_for(1, LIMIT).await.remove(0);
    for secret in secrets {
        let webhook = standardwebhooks::Webhook::new(secret).expect("a secret");
        webhook.verify(&received.body, &received.headers).expect(secret);
    }
    assert_eq!(received.header("webhook-signature").expect("a signature").split(' ').count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_in_good_order_and_started_again_nothing_is_repeated() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let endpoint =
        world.endpoint(&receiver.url("/"), json!({ "start": "earliest", "events": ["flag.*"] })).await;
    for round in 0..4 {
        let running = world.start();
        world.append(&records("alpha", round * 50..(round + 1) * 50)).await;
        world.append(&records("beta", round * 50..(round + 1) * 50)).await;
        if round % 2 == 0 {
            running.caught_up(&endpoint.id).await;
        }
        running.stop().await;
    }
    let running = world.start();
    running.caught_up(&endpoint.id).await;
    receiver.wait_for(400, LIMIT).await;
    running.stop().await;
    let ids = ids(&receiver.received());
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 400);
    assert_eq!(ids.len(), 400, "nothing came twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_far_behind_catches_up_beside_live_traffic_and_joins_it() {
    let world = World::new().await;
    let (live, late) = (Receiver::start().expect("a receiver"), Receiver::start().expect("a receiver"));
    let running = world.start();
    world.endpoint(&live.url("/"), json!({ "events": ["flag.*"] })).await;
    for chunk in 0..10 {
        // More than the tail keeps: what is late must read the log.
        world.append(&records("alpha", chunk * 600..(chunk + 1) * 600)).await;
    }
    live.wait_for(6_000, LIMIT).await;
    let endpoint = world.endpoint(&late.url("/"), json!({ "start": "earliest", "events": ["flag.*"] })).await;
    for number in 6_000..6_200 {
        world.append(&[record("alpha", number)]).await;
    }
    live.wait_for(6_200, LIMIT).await;
    late.wait_for(6_200, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    for receiver in [live, late] {
        let received = ids(&receiver.received());
        assert_eq!(received.len(), 6_200, "each once");
        assert_eq!(received.iter().collect::<BTreeSet<_>>().len(), 6_200);
    }
    // Riding the tail again, its documents hold no cursor of their own.
    assert!(world.documents(&endpoint.id).await.iter().all(|document| document.get("cursor").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_hang_or_refuse_slow_no_other_and_do_not_hold_the_watermark() {
    let world = World::new().await;
    let (good, bad) = (Receiver::start().expect("a receiver"), Receiver::start().expect("a receiver"));
    bad.answer(Answer::hang());
    // Bound, so that nobody else listens there either.
    let bound = TcpSocket::new_v4().expect("a socket");
    bound.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let closed_url = format!("http://{}/", bound.local_addr().expect("its address"));
    let events = json!({ "events": ["flag.*"] });
    world.endpoint(&good.url("/"), events.clone()).await;
    let hanging = world.endpoint(&bad.url("/"), json!({ "max_in_flight": 2, "events": ["flag.*"] })).await;
    world.endpoint(&closed_url, events).await;
    let running = world.start();
    bad_is_hanging(&world, &bad).await;
    let slowest = {
        let mut slowest = Duration::ZERO;
        for number in 10..60 {
            let before = std::time::Instant::now();
            let count = good.count();
            world.append(&[record("alpha", number)]).await;
            wait::until(LIMIT, "the healthy endpoint has it", || async { good.count() > count }).await;
            slowest = slowest.max(before.elapsed());
        }
        slowest
    };
    assert!(slowest < Duration::from_secs(5), "waited {slowest:?} although the hanging one hangs for 30 s");
    world
        .documents_are(&hanging.id, "what hangs is written down", |documents| {
            documents.iter().any(|document| {
                document["pending"].as_array().is_some_and(|pending| pending.len() == 2)
                    && document["cursor"].is_u64()
            })
        })
        .await;
    // A crash now repeats for the healthy one at most what the last moments brought.
    wait::until(LIMIT, "the last commit", || async {
        world.attempts().await.iter().filter(|a| a.status == Some(200)).count() >= 60
    })
    .await;
    running.kill().await;
    let before = good.count();
    let again = world.start();
    world.append(&[record("alpha", 1_000)]).await;
    wait::until(LIMIT, "the new record", || async {
        ids(&good.received()).iter().any(|id| id == "alpha-01000")
    })
    .await;
    assert!(good.count() - before <= 5, "{} came again", good.count() - before - 1);
    again.stop().await;
}

async fn bad_is_hanging(world: &World, bad: &Receiver) {
    world.append(&records("alpha", 0..10)).await;
    bad.wait_for(2, LIMIT).await;
}
