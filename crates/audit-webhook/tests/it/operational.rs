//! Records that tell how deliveries go, and that they never go round in circles.

use std::time::Duration;

use flagtrail_testkit::receiver::{Answer, Receiver};
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::world::{LIMIT, World, ids, record, records};

fn of<'a>(records: &'a [Value], endpoint: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["related_object"]["id"] == endpoint).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_endpoints_that_fail_and_watch_each_other_make_no_endless_talk() {
    const RECORDS: usize = 9;
    let world = World::new().await.pauses_ms(&[20, 20]);
    let receivers = [(); 2].map(|()| Receiver::start().expect("a receiver"));
    let mut endpoints = Vec::new();
    for receiver in &receivers {
        receiver.answer(Answer::status(500));
        let more = json!({ "events": ["flag.*", "webhook.*"] });
        endpoints.push(world.endpoint(&receiver.url("/"), more).await);
    }
    let running = world.start();
    world.append(&records("alpha", 0..3)).await;
    receivers[0].wait_for(2, LIMIT).await;
    receivers[1].wait_for(2, LIMIT).await;
    // By now they count as failing, as soon as another delivery fails.
    world.put_clock_forward(Duration::from_secs(120));
    world.append(&records("beta", 0..3)).await;
    for endpoint in &endpoints {
        running.caught_up(&endpoint.id).await;
    }
    // It stays so however long it goes on.
    world.put_clock_forward(Duration::from_secs(3_600));
    world.append(&records("gamma", 0..3)).await;
    let all_dead = || async { world.records_of("webhook.dead_lettered").await.len() >= 2 * RECORDS };
    wait::until(LIMIT, "every record was given up by both", all_dead).await;
    // Three attempts at each of these, and at what each was told of the other: its dead letters, and that it fails.
    let attempts = 2 * 3 * (RECORDS + RECORDS + 1);
    wait::until(LIMIT, "both were told", || async { world.attempts().await.len() >= attempts }).await;
    for endpoint in &endpoints {
        running.caught_up(&endpoint.id).await;
    }
    running.stop().await;

    let dead = world.records_of("webhook.dead_lettered").await;
    let failing = world.records_of("webhook.failing").await;
    let attempts = world.attempts().await;
    for (endpoint, other) in endpoints.iter().zip(endpoints.iter().rev()) {
        // One for each record that both wanted, none for what they were told of each other.
        assert_eq!(of(&dead, &endpoint.id).len(), RECORDS);
        assert_eq!(of(&failing, &endpoint.id).len(), 1);
        // And each was told of the other, never of itself.
        for told in of(&dead, &endpoint.id).into_iter().chain(of(&failing, &endpoint.id)) {
            let tried = |id: &str| {
                attempts.iter().filter(|a| a.endpoint == id && told["id"] == a.record.as_str()).count()
            };
            assert_eq!((tried(&endpoint.id), tried(&other.id)), (0, 3), "the whole schedule, by the other");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_told_that_another_fails_and_that_it_recovered() {
    let world = World::new().await.pauses_ms(&[30; 10_000]);
    let (bad, watcher) = (Receiver::start().expect("one"), Receiver::start().expect("two"));
    bad.answer(Answer::status(500));
    let endpoint = world.endpoint(&bad.url("/"), json!({ "events": ["flag.*"] })).await;
    world.endpoint(&watcher.url("/"), json!({ "events": ["webhook.*"] })).await;
    let mut running = world.start();
    world.append(&[record("alpha", 1)]).await;
    bad.wait_for(2, LIMIT).await;
    world.put_clock_forward(Duration::from_secs(61));
    let told = watcher.wait_for(1, LIMIT).await;
    let body: Value = serde_json::from_slice(&told[0].body).expect("JSON");
    assert_eq!(
        (&body["type"], &body["data"]["related_object"]["id"]),
        (&json!("webhook.failing"), &json!(endpoint.id))
    );
    assert_eq!(body["data"]["attributes"]["status"], 500);
    // Whoever delivers next knows that it was told.
    running.kill().await;
    running = world.start();
    bad.answer(Answer::status(200));
    // What was on its way when the first was killed may come twice.
    wait::until(LIMIT, "it is told of the recovery", || async {
        watcher.received().iter().any(|request| {
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            body["type"] == "webhook.recovered"
        })
    })
    .await;
    running.stop().await;
    assert_eq!(world.records_of("webhook.failing").await.len(), 1);
    assert_eq!(world.records_of("webhook.recovered").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_takes_everything_is_not_sent_the_record_that_it_was_made() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let first = world.endpoint(&receiver.url("/first"), json!({})).await;
    let running = world.start();
    let other = Receiver::start().expect("a receiver");
    world.endpoint(&other.url("/"), json!({ "events": ["no.such"] })).await;
    world.append(&[record("alpha", 1)]).await;
    receiver.wait_for(2, LIMIT).await;
    running.caught_up(&first.id).await;
    running.stop().await;
    let created = world.records_of("flagtrail.endpoint.created").await;
    let came = ids(&receiver.received());
    let about = |record: &&Value| record["related_object"]["id"] == first.id.as_str();
    let own = created.iter().find(about).expect("its own")["id"].as_str().expect("an id");
    assert!(!came.iter().any(|id| id == own), "{came:?}");
    assert_eq!(came.len(), 2, "the other's creation, and the record");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_an_endpoint_that_was_deleted_while_nobody_delivered_go() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    receiver.wait_for(1, LIMIT).await;
    world.documents_are(&endpoint.id, "they are there", |documents| !documents.is_empty()).await;
    running.stop().await;
    let id = endpoint.id.as_str().into();
    let author = audit_record::Author::user("ada@example.com");
    world.endpoints.delete(&id, endpoint.version, author).await.expect("deleted");
    let running = world.start();
    world.documents_are(&endpoint.id, "they are gone", <[_]>::is_empty).await;
    wait::until(LIMIT, "the deliverer goes on", || async { running.deliverer.status().await.is_empty() })
        .await;
    running.stop().await;
}
