//! What is behind beside what is live: it yields, and gets on all the same.

use std::time::Duration;

use audit_record::{AuditRecord, Author};
use audit_webhook::NewReplay;
use flagtrail_testkit::receiver::{Answer, Receiver};
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::world::{LIMIT, World, ids, record, record_of, records};

/// Endpoints that are behind, each at a place of its own: more than there are windows.
const PLACES: u64 = 9;

/// Records from place to place, more than one window holds.
const APART: u64 = 10;

/// Bytes of each.
const LARGE: usize = 60_000;

/// What was appended so long ago is behind, for who does not go with the tail.
const OLD: Duration = Duration::from_secs(60);

/// Pause between live records.
const LIVE_PAUSE: Duration = Duration::from_millis(5);

fn large(number: u64) -> AuditRecord {
    let mut json: Value = serde_json::from_slice(record("alpha", number).canonical()).expect("JSON");
    json["attributes"]["padding"] = "x".repeat(LARGE).into();
    AuditRecord::from_json(json.to_string().as_bytes()).expect("a valid record")
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_behind_at_more_places_than_are_kept_at_hand_all_get_on_beside_live_traffic() {
    let world = World::new().await;
    let live = Receiver::start().expect("a receiver");
    let live_endpoint = world.endpoint(&live.url("/"), json!({ "events": ["user.created"] })).await;
    let mut starts = Vec::new();
    for place in 0..PLACES {
        starts.push(wait::next_moment().await);
        let chunk: Vec<AuditRecord> = (place * APART..(place + 1) * APART).map(large).collect();
        world.append(&chunk).await;
    }
    // The tail goes past all of it.
    let running = world.start();
    running.caught_up(&live_endpoint.id).await;
    running.stop().await;

    let late: Vec<Receiver> = starts.iter().map(|_| Receiver::start().expect("a receiver")).collect();
    for (receiver, start) in late.iter().zip(&starts) {
        world.endpoint(&receiver.url("/"), json!({ "start": start, "events": ["flag.*"] })).await;
    }
    world.put_clock_forward(OLD);
    let first_live = record_of("user.created", "alpha", 10_000);
    world.append(std::slice::from_ref(&first_live)).await;
    let running = world.start();
    let live_traffic = async {
        for number in 10_001.. {
            world.append(&[record_of("user.created", "alpha", number)]).await;
            tokio::time::sleep(LIVE_PAUSE).await;
        }
    };
    let all_have_come = async {
        for (receiver, place) in late.iter().zip(0..) {
            receiver.wait_for(((PLACES - place) * APART) as usize, LIMIT).await;
        }
    };
    tokio::select! {
        () = all_have_come => {}
        () = live_traffic => unreachable!("it goes on for as long as it is waited for"),
    }
    running.caught_up(&live_endpoint.id).await;
    running.stop().await;
    for (receiver, place) in late.iter().zip(0..) {
        let mut received = ids(&receiver.received());
        received.sort();
        let expected: Vec<String> =
            (place * APART..PLACES * APART).map(|number| format!("alpha-{number:05}")).collect();
        assert_eq!(received, expected, "from place {place}");
    }
    assert!(live.count() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_wants_next_to_nothing_of_its_backlog_gets_through_it_beside_live_traffic() {
    let world = World::new().await;
    let live = Receiver::start().expect("a receiver");
    let live_endpoint = world.endpoint(&live.url("/"), json!({ "events": ["user.created"] })).await;
    let start = wait::next_moment().await;
    let nothing: Vec<AuditRecord> = (0..PLACES * APART).map(large).collect();
    world.append(&nothing).await;
    world.append(&[record_of("segment.updated", "alpha", 9_999)]).await;
    // The tail goes past all of it.
    let running = world.start();
    running.caught_up(&live_endpoint.id).await;
    running.stop().await;

    let late = Receiver::start().expect("a receiver");
    let fields = json!({ "start": start, "events": ["segment.updated"] });
    let late_endpoint = world.endpoint(&late.url("/"), fields).await;
    world.put_clock_forward(OLD);
    world.append(&[record_of("user.created", "alpha", 10_000)]).await;
    let running = world.start();
    let live_traffic = async {
        for number in 10_001.. {
            world.append(&[record_of("user.created", "alpha", number)]).await;
            tokio::time::sleep(LIVE_PAUSE).await;
        }
    };
    let it_comes_and_comes_again = async {
        late.wait_for(1, LIMIT).await;
        let (id, author) = (late_endpoint.id.as_str().into(), Author::user("ada@example.com"));
        world.endpoints.replay(&id, NewReplay::default(), author).await.expect("ordered");
        late.wait_for(2, LIMIT).await;
    };
    tokio::select! {
        () = it_comes_and_comes_again => {}
        () = live_traffic => unreachable!("it goes on for as long as it is waited for"),
    }
    running.stop().await;
    assert_eq!(ids(&late.received()), ["alpha-09999", "alpha-09999"]);
    assert!(live.count() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_record_does_not_wait_behind_a_replay_of_its_own_endpoint() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let id = endpoint.id.as_str().into();
    let running = world.start();
    world.append(&records("alpha", 0..100)).await;
    receiver.wait_for(100, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    let is_replay = "x-flagtrail-replay";
    receiver.answer_by(move |request| match request.header(is_replay) {
        Some(_) => Answer::hang(),
        None => Answer::status(200),
    });
    let author = Author::user("ada@example.com");
    world.endpoints.replay(&id, NewReplay::default(), author).await.expect("ordered");
    receiver.wait_for(101, LIMIT).await;
    for number in 100..120 {
        world.append(&[record("alpha", number)]).await;
        let wanted = format!("alpha-{number:05}");
        wait::until(LIMIT, "the live record comes", || async { ids(&receiver.received()).contains(&wanted) })
            .await;
    }
    running.stop().await;
}
