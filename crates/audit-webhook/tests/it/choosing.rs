//! Which records an endpoint gets: by action, by filter, by where it begins.

use audit_webhook::EndpointState;
use flagtrail_testkit::receiver::Receiver;
use flagtrail_testkit::wait;
use serde_json::json;

use crate::world::{LIMIT, World, ids, record, record_of, records};

#[tokio::test(flavor = "multi_thread")]
async fn actions_and_filter_choose_what_comes() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let more = json!({ "events": ["flag.*", "user.created"], "filter": { "project": ["alpha"], "flag": ["flag-1"] } });
    let endpoint = world.endpoint(&receiver.url("/"), more).await;
    let running = world.start();
    world.append(&records("alpha", 0..6)).await;
    world.append(&records("beta", 0..6)).await;
    world.append(&[record_of("user.created", "alpha", 7), record_of("user.deleted", "alpha", 10)]).await;
    receiver.wait_for(3, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    let mut received = ids(&receiver.received());
    received.sort();
    assert_eq!(received, ["alpha-00001", "alpha-00004", "alpha-00007"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_begins_now_at_the_earliest_record_or_at_a_time() {
    let world = World::new().await;
    let receivers = [(); 3].map(|()| Receiver::start().expect("a receiver"));
    world.append(&records("alpha", 0..3)).await;
    let time = wait::next_moment().await;
    world.append(&records("alpha", 3..6)).await;
    for (receiver, start) in receivers.iter().zip(["now", "earliest", time.as_str()]) {
        world
            .endpoint(&receiver.url("/"), json!({ "start": start, "events": ["flag.*"], "max_in_flight": 1 }))
            .await;
    }
    // Created before anybody delivers: they begin where they were told all the same.
    world.append(&records("alpha", 6..9)).await;
    let running = world.start();
    for (receiver, from) in receivers.iter().zip([6, 0, 3]) {
        let received = receiver.wait_for(9 - from, LIMIT).await;
        let expected: Vec<String> = (from..9).map(|number| format!("alpha-{number:05}")).collect();
        assert_eq!(ids(&received), expected);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_endpoint_begins_anew_there_and_a_disabled_one_keeps_its_place() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let endpoint =
        world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"], "max_in_flight": 1 })).await;
    let running = world.start();
    world.append(&records("alpha", 0..3)).await;
    receiver.wait_for(3, LIMIT).await;
    running.caught_up(&endpoint.id).await;

    world.update(&endpoint.id, json!({ "enabled": false })).await;
    running.hears_that_it_is(&endpoint.id, EndpointState::Disabled).await;
    world.append(&records("alpha", 3..5)).await;
    running.stop().await;
    let running = world.start();
    world.append(&[record("alpha", 5)]).await;
    assert_eq!(receiver.count(), 3);
    world.update(&endpoint.id, json!({ "enabled": true })).await;
    let received = receiver.wait_for(6, LIMIT).await;
    assert_eq!(ids(&received), (0..6).map(|number| format!("alpha-{number:05}")).collect::<Vec<_>>());

    world.update(&endpoint.id, json!({ "start": "earliest" })).await;
    let received = receiver.wait_for(12, LIMIT).await;
    assert_eq!(ids(&received[6..]), (0..6).map(|number| format!("alpha-{number:05}")).collect::<Vec<_>>());
    running.caught_up(&endpoint.id).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_endpoint_gets_nothing_more_and_leaves_no_document() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&[record("alpha", 0)]).await;
    receiver.wait_for(1, LIMIT).await;
    world.documents_are(&endpoint.id, "its documents are there", |documents| !documents.is_empty()).await;
    let id = endpoint.id.as_str().into();
    let author = audit_record::Author::user("ada@example.com");
    world.endpoints.delete(&id, endpoint.version, author).await.expect("deleted");
    world.documents_are(&endpoint.id, "its documents are gone", <[_]>::is_empty).await;
    world.append(&[record("alpha", 1)]).await;
    running.stop().await;
    assert_eq!(receiver.count(), 1);
}
