//! Endpoints that get one delivery a burst.

use flagtrail_testkit::receiver::Receiver;
use serde_json::{Value, json};

use crate::world::{LIMIT, World, ids, record, record_of, records};

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_changes_to_a_flag_arrives_as_one_that_holds_the_newest() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let more = json!({ "collapse": { "window": "2s" }, "events": ["flag.*", "user.created"] });
    let endpoint = world.endpoint(&receiver.url("/"), more).await;
    let running = world.start();
    // Three flags, taking turns, and one record that is no change of a flag.
    world.append(&records("alpha", 0..30)).await;
    world.append(&[record_of("user.created", "alpha", 99)]).await;
    let received = receiver.wait_for(4, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    assert_eq!(receiver.count(), 4);
    let mut came = ids(&received);
    came.sort();
    assert_eq!(came, ["alpha-00027", "alpha-00028", "alpha-00029", "alpha-00099"]);
    for request in &received {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let is_flag = body["data"]["action"] == "flag.state.changed";
        assert_eq!(body["type"], if is_flag { "flag.changed" } else { "user.created" });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_burst_is_held_back_its_newest_record_still_arrives() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let more = json!({ "collapse": { "window": "5s" }, "events": ["flag.*"] });
    let endpoint = world.endpoint(&receiver.url("/"), more).await;
    let running = world.start();
    world.append(&[record("alpha", 0), record("alpha", 3)]).await;
    // The burst is written down before its window ends.
    world
        .documents_are(&endpoint.id, "the burst is held", |documents| {
            documents.iter().any(|document| document["pending"].as_array().is_some_and(|p| p.len() == 1))
        })
        .await;
    world.append(&[record("alpha", 6)]).await;
    running.kill().await;
    let running = world.start();
    receiver.wait_for(1, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    assert!(ids(&receiver.received()).contains(&"alpha-00006".to_owned()));
}
