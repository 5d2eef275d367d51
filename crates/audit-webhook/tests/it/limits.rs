//! What keeps one endpoint from asking too much of its receiver, or of the others.

use std::time::Duration;

use audit_webhook::{AttemptOutcome, EndpointId, EndpointState};
use flagtrail_testkit::receiver::{Answer, Receiver};
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::world::{LIMIT, World, ids, record, records};

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_sent_in_a_time_than_the_rate_allows_and_it_does_not_begin_with_a_burst() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let more = json!({ "rate_limit_per_second": 20, "events": ["flag.*"] });
    world.endpoint(&receiver.url("/"), more).await;
    let began = std::time::Instant::now();
    let running = world.start();
    world.append(&records("alpha", 0..30)).await;
    let received = receiver.wait_for(30, LIMIT).await;
    running.stop().await;
    for (index, request) in received.iter().enumerate() {
        let least = Duration::from_millis(50 * (index as u64 + 1));
        // The bucket's clock has milliseconds.
        assert!(request.instant - began + Duration::from_millis(5) >= least, "number {index} is early");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_is_left_alone_but_for_probes_and_costs_no_list_of_deliveries() {
    let mut world = World::new().await;
    world.config.circuit.pause_min = Duration::from_secs(3_600);
    world.config.circuit.pause_max = Duration::from_secs(7_200);
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer(Answer::status(500));
    let endpoint =
        world.endpoint(&receiver.url("/"), json!({ "max_in_flight": 1, "events": ["flag.*"] })).await;
    let id = EndpointId::from(endpoint.id.as_str());
    let running = world.start();
    world.append(&records("alpha", 0..500)).await;
    let is_open = || async {
        let status = running.deliverer.status().await;
        status.iter().any(|s| s.id == id && s.state == EndpointState::CircuitOpen)
    };
    wait::until(LIMIT, "the circuit is open", is_open).await;
    world
        .documents_are(&endpoint.id, "its place is written down", |documents| {
            documents.iter().any(|document| document["cursor"].is_u64())
        })
        .await;
    let tried = receiver.count();
    assert!(tried < 50, "{tried} attempts");
    let is_told =
        || async { world.attempts().await.iter().any(|attempt| attempt.circuit_open_until.is_some()) };
    wait::until(LIMIT, "the log of attempts tells every process", is_told).await;
    for document in world.documents(&endpoint.id).await {
        assert!(document["pending"].as_array().is_none_or(|pending| pending.len() < 50), "{document}");
    }
    // One probe finds it alive again, and everything follows.
    receiver.answer(Answer::status(200));
    world.put_clock_forward(Duration::from_secs(3_700));
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    let mut arrived = ids(&receiver.received()[tried..]);
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived.len(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_five_days_of_failure_an_endpoint_is_disabled_and_enabled_again_it_resumes() {
    let world = World::new().await.pauses_ms(&[20; 10_000]);
    let receivers = [(); 2].map(|()| Receiver::start().expect("a receiver"));
    for receiver in &receivers {
        receiver.answer(Answer::status(500));
    }
    let endpoint = world.endpoint(&receivers[0].url("/"), json!({ "events": ["flag.*"] })).await;
    let audit =
        world.endpoint(&receivers[1].url("/"), json!({ "events": ["flag.*"], "preset": "audit" })).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    for receiver in &receivers {
        receiver.wait_for(2, LIMIT).await;
    }
    let id = endpoint.id.as_str().into();
    world.put_clock_forward(4 * DAY);
    let tried = receivers[0].count();
    receivers[0].wait_for(tried + 2, LIMIT).await;
    assert!(world.endpoints.get(&id).expect("it").enabled, "not yet");
    world.put_clock_forward(DAY);
    wait::until(LIMIT, "the endpoint is disabled", || async {
        world.endpoints.get(&id).is_ok_and(|view| !view.enabled)
    })
    .await;
    let because = world.endpoints.get(&id).expect("it").disabled_because.expect("why");
    assert!(because.starts_with("every delivery has failed since "), "{because}");
    assert_eq!(world.records_of("webhook.disabled").await.len(), 1);
    // The one that must get everything goes on trying.
    let tried = receivers[1].count();
    receivers[1].wait_for(tried + 3, LIMIT).await;
    assert!(world.endpoints.get(&audit.id.as_str().into()).expect("it").enabled);

    receivers[0].answer(Answer::status(200));
    world.update(&endpoint.id, json!({ "enabled": true })).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    assert_eq!(ids(&receivers[0].received()).last().map(String::as_str), Some("alpha-00001"));
}

#[tokio::test(flavor = "multi_thread")]
async fn enabled_again_an_endpoint_has_its_five_days_anew_whoever_delivers_to_it() {
    let world = World::new().await.pauses_ms(&[20; 10_000]);
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer(Answer::status(500));
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let id = endpoint.id.as_str().into();
    let mut running = world.start();
    world.append(&[record("alpha", 1)]).await;
    receiver.wait_for(2, LIMIT).await;
    world.put_clock_forward(5 * DAY);
    wait::until(LIMIT, "the endpoint is disabled", || async {
        world.endpoints.get(&id).is_ok_and(|view| !view.enabled)
    })
    .await;
    running.hears_that_it_is(&endpoint.id, EndpointState::Disabled).await;
    let tried = receiver.count();
    world.update(&endpoint.id, json!({ "enabled": true })).await;
    receiver.wait_for(tried + 2, LIMIT).await;
    running.stop().await;
    let tried = receiver.count();
    running = world.start();
    receiver.wait_for(tried + 3, LIMIT).await;
    running.stop().await;
    assert!(world.endpoints.get(&id).expect("it").enabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn enabled_again_while_nobody_delivers_an_endpoint_has_its_five_days_anew() {
    let world = World::new().await.pauses_ms(&[20; 10_000]);
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer(Answer::status(500));
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let id = endpoint.id.as_str().into();
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    receiver.wait_for(2, LIMIT).await;
    world.put_clock_forward(5 * DAY);
    wait::until(LIMIT, "the endpoint is disabled", || async {
        world.endpoints.get(&id).is_ok_and(|view| !view.enabled)
    })
    .await;
    running.stop().await;
    let is_remembered =
        |documents: &[Value]| documents.iter().any(|document| document["first_failure_at"].is_i64());
    world.documents_are(&endpoint.id, "its failures are written down", is_remembered).await;
    world.update(&endpoint.id, json!({ "enabled": true })).await;
    let tried = receiver.count();
    let running = world.start();
    receiver.wait_for(tried + 3, LIMIT).await;
    running.stop().await;
    assert!(world.endpoints.get(&id).expect("it").enabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_does_not_disable_an_endpoint_that_must_get_everything() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    receiver.script([Answer::status(410)]);
    let more = json!({ "preset": "audit", "events": ["flag.*"] });
    let endpoint = world.endpoint(&receiver.url("/"), more).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    receiver.wait_for(2, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    let outcomes: Vec<_> = world.attempts().await.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Retry, AttemptOutcome::Delivered]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_to_be_left_alone_gets_nothing_at_all_meanwhile() {
    let world = World::new().await.pauses_ms(&[10, 10]);
    let receiver = Receiver::start().expect("a receiver");
    receiver.script([Answer::status(429).header("retry-after", "2")]);
    let more = json!({ "events": ["flag.*"], "max_in_flight": 1 });
    let endpoint = world.endpoint(&receiver.url("/"), more).await;
    // One project, so one partition: the next delivery begins where the answer is known.
    world.append(&records("alpha", 0..5)).await;
    let running = world.start();
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    let received = receiver.received();
    assert_eq!(received.len(), 6);
    assert!(received[1].instant - received[0].instant >= Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_hang_do_not_take_what_all_share_from_those_that_work() {
    let mut world = World::new().await;
    world.config.max_in_flight = 8;
    let hanging = Receiver::start().expect("a receiver");
    hanging.answer(Answer::hang());
    let healthy = Receiver::start().expect("a receiver");
    for _ in 0..3 {
        let more = json!({ "events": ["flag.*"], "max_in_flight": 64, "timeout": "2m" });
        world.endpoint(&hanging.url("/"), more).await;
    }
    let endpoint = world.endpoint(&healthy.url("/"), json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    for number in 0..300 {
        world.append(&[record(["alpha", "beta", "gamma"][number as usize % 3], number)]).await;
    }
    healthy.wait_for(300, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.kill().await;
    assert!(hanging.count() <= 8, "{} at a time", hanging.count());
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_nothing_is_sent_and_resumed_it_goes_on_where_it_was() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&records("alpha", 0..3)).await;
    receiver.wait_for(3, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    world.update(&endpoint.id, json!({ "paused": true })).await;
    running.hears_that_it_is(&endpoint.id, EndpointState::Paused).await;
    world.append(&records("alpha", 3..6)).await;
    world
        .documents_are(&endpoint.id, "its place is written down", |documents| {
            documents.iter().any(|document| document["cursor"].is_u64())
        })
        .await;
    assert_eq!(receiver.count(), 3);
    world.update(&endpoint.id, json!({ "paused": false })).await;
    let received = receiver.wait_for(6, LIMIT).await;
    running.stop().await;
    let mut arrived = ids(&received);
    arrived.sort();
    assert_eq!(arrived, (0..6).map(|number| format!("alpha-{number:05}")).collect::<Vec<_>>());
}
