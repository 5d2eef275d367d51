//! When receivers fail.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use audit_journal::Topic;
use audit_webhook::{AttemptOutcome, Egress, FailureClass};
use flagtrail_testkit::receiver::{Answer, Received, Receiver};
use flagtrail_testkit::wait;
use serde_json::json;
use tokio::net::TcpSocket;

use crate::world::{LIMIT, World, ids, record, records};

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delivery_comes_again_with_the_same_id_and_never_early() {
    let world = World::new().await.pauses_ms(&[300, 500, 10]);
    let receiver = Receiver::start().expect("a receiver");
    receiver.script([Answer::status(500).body("broken"), Answer::status(429), Answer::status(200)]);
    world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    let received = receiver.wait_for(3, LIMIT).await;
    running.stop().await;

    assert_eq!(ids(&received), ["alpha-00001"; 3]);
    for (pair, least) in received.windows(2).zip([300, 500]) {
        let pause = pair[1].instant - pair[0].instant;
        assert!(pause >= Duration::from_millis(least), "{pause:?} is early");
    }
    let attempts = world.attempts().await;
    let outcomes: Vec<_> = attempts.iter().map(|a| (a.attempt, a.outcome, a.status)).collect();
    assert_eq!(
        outcomes,
        [
            (1, AttemptOutcome::Retry, Some(500)),
            (2, AttemptOutcome::Retry, Some(429)),
            (3, AttemptOutcome::Delivered, Some(200)),
        ]
    );
    assert_eq!(attempts[0].error, Some(FailureClass::Status));
    assert_eq!(attempts[0].excerpt, "broken");
    assert!(attempts[0].next_due.is_some() && attempts[2].next_due.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_are_due_again_and_again_keep_no_first_attempt_waiting() {
    /// Records that are never taken, and their retries: more than are made within the test.
    const REFUSED: usize = 40;
    const RETRIES: usize = 10_000;
    const TAKEN: usize = 20;
    let world = World::new().await.pauses_ms(&[1; RETRIES]);
    let receiver = Receiver::start().expect("a receiver");
    // Held against the record: for what is wrong with the receiver it would be left alone.
    receiver.answer_by(|request| {
        let is_refused = request.header("webhook-id").is_some_and(|id| id < "alpha-00100");
        Answer::status(if is_refused { 422 } else { 200 })
    });
    let more = json!({ "events": ["flag.*"], "max_in_flight": 1 });
    world.endpoint(&receiver.url("/"), more).await;
    let running = world.start();
    world.append(&records("alpha", 0..REFUSED as u64)).await;
    receiver.wait_for(2 * REFUSED, LIMIT).await;
    world.append(&records("alpha", 100..100 + TAKEN as u64)).await;
    wait::until(LIMIT, "what is new comes", || async {
        let ids = ids(&receiver.received());
        ids.iter().filter(|id| id.as_str() >= "alpha-00100").count() == TAKEN
    })
    .await;
    let before = receiver.count();
    receiver.wait_for(before + REFUSED, LIMIT).await;
    running.stop().await;
    let mut settled: Vec<_> = world.attempts().await;
    settled.retain(|attempt| attempt.outcome != AttemptOutcome::Retry);
    assert_eq!(settled.len(), TAKEN, "the others are tried again and again");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_of_the_schedule_the_delivery_becomes_one_record_and_is_forgotten() {
    let world = World::new().await.pauses_ms(&[20, 20]);
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer(Answer::status(503));
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    wait::until(LIMIT, "a dead letter", || async {
        !world.records_of("webhook.dead_lettered").await.is_empty()
    })
    .await;
    running.stop().await;
    let dead = world.records_of("webhook.dead_lettered").await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0]["related_object"]["id"], endpoint.id.as_str());
    assert_eq!(dead[0]["attributes"]["record"], "alpha-00001");
    assert_eq!(dead[0]["attributes"]["attempts"], 3);
    assert_eq!(dead[0]["attributes"]["status"], 503);
    assert_eq!(receiver.count(), 3);
    assert!(world.documents(&endpoint.id).await.iter().all(|document| document.get("pending").is_none()));
    let again = world.start();
    again.caught_up(&endpoint.id).await;
    again.stop().await;
    assert_eq!(receiver.count(), 3, "nothing comes after the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_about_a_dead_letter_is_not_written() {
    let world = World::new().await.pauses_ms(&[]);
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer(Answer::status(422));
    world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let watcher = world.endpoint(&receiver.url("/watcher"), json!({ "events": ["webhook.*"] })).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    // The record is given up, and then the record that tells of it.
    wait::until(LIMIT, "the watcher's delivery was given up, too", || async {
        world
            .attempts()
            .await
            .iter()
            .any(|attempt| attempt.endpoint == watcher.id && attempt.outcome == AttemptOutcome::DeadLettered)
    })
    .await;
    running.caught_up(&watcher.id).await;
    running.stop().await;
    let dead = world.records_of("webhook.dead_lettered").await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0]["attributes"]["record"], "alpha-00001");
}

#[tokio::test(flavor = "multi_thread")]
async fn max_age_ends_the_schedule_earlier() {
    let world = World::new().await.pauses_ms(&[10, 5_000, 5_000]);
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer(Answer::status(500));
    world.endpoint(&receiver.url("/"), json!({ "max_age": "2s", "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    wait::until(LIMIT, "a dead letter", || async {
        !world.records_of("webhook.dead_lettered").await.is_empty()
    })
    .await;
    running.stop().await;
    assert_eq!(receiver.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_lengthens_the_pause() {
    let world = World::new().await.pauses_ms(&[10, 10]);
    let receiver = Receiver::start().expect("a receiver");
    receiver.script([Answer::status(429).header("retry-after", "2"), Answer::status(200)]);
    world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let _running = world.start();
    world.append(&[record("alpha", 1)]).await;
    let received = receiver.wait_for(2, LIMIT).await;
    assert!(received[1].instant - received[0].instant >= Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_a_failure_and_never_followed() {
    let world = World::new().await.pauses_ms(&[]);
    let (receiver, elsewhere) = (Receiver::start().expect("one"), Receiver::start().expect("two"));
    receiver.answer(Answer::status(307).header("location", &elsewhere.url("/")));
    world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    wait::until(LIMIT, "an attempt", || async { !world.attempts().await.is_empty() }).await;
    running.stop().await;
    let attempts = world.attempts().await;
    assert_eq!((attempts[0].status, attempts[0].error), (Some(307), Some(FailureClass::Status)));
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_fail_has_its_class() {
    let world = World::new().await.pauses_ms(&[]);
    let hangs = Receiver::start().expect("a receiver");
    hangs.answer(Answer::hang());
    let breaks = Receiver::start().expect("a receiver");
    breaks.answer(Answer::disconnect());
    let plain = Receiver::start().expect("a receiver");
    // Bound, so that nobody else listens there either.
    let bound = TcpSocket::new_v4().expect("a socket");
    bound.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let closed = format!("http://{}/", bound.local_addr().expect("its address"));
    let https = plain.url("/").replace("http://", "https://");
    let cases = [
        (hangs.url("/"), FailureClass::Timeout),
        (breaks.url("/"), FailureClass::Reset),
        (closed, FailureClass::Refused),
        (https, FailureClass::Tls),
        ("https://no-such-host.invalid/".to_owned(), FailureClass::Dns),
    ];
    let mut expected = Vec::new();
    for (url, class) in cases {
        let timeout = if class == FailureClass::Timeout { "2s" } else { "60s" };
        let endpoint = world.endpoint(&url, json!({ "events": ["flag.*"], "timeout": timeout })).await;
        expected.push((endpoint.id, url, class));
    }
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    wait::until(LIMIT, "all attempts", || async { world.attempts().await.len() >= expected.len() }).await;
    running.stop().await;
    let attempts = world.attempts().await;
    for (id, url, class) in expected {
        let attempt = attempts.iter().find(|attempt| attempt.endpoint == id).expect("an attempt");
        assert_eq!(attempt.error, Some(class), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_no_longer_allowed_is_not_connected_to_by_number_or_by_name() {
    let mut world = World::new().await.pauses_ms(&[]);
    world.config.egress = Egress::default();
    let receiver = Receiver::start().expect("a receiver");
    world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let by_name = format!("https://localhost:{}/", receiver.address().port());
    world.endpoint(&by_name, json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    wait::until(LIMIT, "both attempts", || async { world.attempts().await.len() >= 2 }).await;
    running.stop().await;
    assert!(world.attempts().await.iter().all(|attempt| attempt.error == Some(FailureClass::NotAllowed)));
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_cut_and_still_counts_by_its_status() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer(Answer::status(200).body("x".repeat(3 << 20)));
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&records("alpha", 0..3)).await;
    receiver.wait_for(3, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    let attempts = world.attempts().await;
    assert!(attempts.iter().all(|attempt| attempt.outcome == AttemptOutcome::Delivered));
    assert!(attempts.iter().all(|attempt| attempt.excerpt.len() <= 1_024));
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_disables_the_endpoint_and_enabled_again_it_resumes_where_it_was() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer(Answer::status(410));
    let endpoint =
        world.endpoint(&receiver.url("/"), json!({ "max_in_flight": 1, "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&records("alpha", 0..5)).await;
    let id = endpoint.id.as_str().into();
    wait::until(LIMIT, "the endpoint is disabled", || async {
        world.endpoints.get(&id).is_ok_and(|view| !view.enabled)
    })
    .await;
    assert!(world.endpoints.get(&id).expect("it").disabled_because.expect("why").contains("410"));
    assert_eq!(world.records_of("webhook.disabled").await.len(), 1);
    world.append(&records("alpha", 5..10)).await;
    running.stop().await;
    let tried = receiver.count();

    receiver.answer(Answer::status(200));
    let running = world.start();
    world.update(&endpoint.id, json!({ "enabled": true })).await;
    receiver.wait_for(tried + 10, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    let mut delivered = ids(&receiver.received()[tried..]);
    delivered.sort();
    assert_eq!(delivered, (0..10).map(|number| format!("alpha-{number:05}")).collect::<Vec<_>>());
    assert_eq!(world.endpoints.get(&id).expect("it").disabled_because, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_cap_of_pending_deliveries_the_cursor_waits_and_everything_arrives_in_the_end() {
    const CAP: u64 = 10_000;
    let mut world = World::new().await.pauses_ms(&[4_000; 60]);
    // With a circuit it would not come so far.
    world.config.circuit.failures = u32::MAX;
    let receiver = Receiver::start().expect("a receiver");
    let (takes, arrived) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
    receiver.answer_by({
        let (takes, arrived) = (Arc::clone(&takes), Arc::clone(&arrived));
        move |request: &Received| {
            if !takes.load(Ordering::Relaxed) {
                return Answer::status(500);
            }
            let id = request.header("webhook-id").expect("an id").to_owned();
            arrived.lock().expect("the ids").insert(id);
            Answer::status(200)
        }
    });
    let more = json!({ "max_in_flight": 64, "events": ["flag.*"] });
    let endpoint = world.endpoint(&receiver.url("/"), more).await;
    let running = world.start();
    for chunk in 0..21 {
        world.append(&records("alpha", chunk * 500..(chunk + 1) * 500)).await;
    }
    world
        .documents_are(&endpoint.id, "the cap is reached", |documents| {
            documents.iter().any(|document| {
                document["pending"].as_array().is_some_and(|pending| pending.len() as u64 == CAP)
                    && document["cursor"].is_u64()
            })
        })
        .await;
    running.kill().await;
    takes.store(true, Ordering::Relaxed);
    let running = world.start();
    let all = || async { arrived.lock().expect("the ids").len() as u64 == CAP + 500 };
    wait::until(LIMIT, "all of it", all).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_the_log_of_attempts_though_a_receiver_echoes_it() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer_by(|request| {
        Answer::status(400).body(format!("you sent {}", request.header("authorization").unwrap_or("none")))
    });
    let more = json!({ "headers": { "Authorization": "Bearer s3cr3t-token" }, "events": ["flag.*"] });
    let (_, secret) = world.endpoint_with_secret(&receiver.url("/"), more).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    wait::until(LIMIT, "an attempt", || async { !world.attempts().await.is_empty() }).await;
    running.stop().await;
    assert_eq!(world.attempts().await[0].excerpt, "you sent ***");
    for topic in [Topic::Deliveries, Topic::Records, Topic::Progress] {
        for message in world.all(topic).await {
            let text = String::from_utf8_lossy(message.value.as_deref().unwrap_or_default()).into_owned();
            assert!(!text.contains("s3cr3t") && !text.contains(&secret), "{topic:?}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_a_url_does_not_reach_the_log_of_attempts_though_a_receiver_echoes_it() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer_by(|request| {
        Answer::status(400).body(format!("you sent {}", request.header("authorization").unwrap_or("none")))
    });
    let url = receiver.url("/").replace("://", "://ada:s3cr3t-pass@");
    world.endpoint(&url, json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&[record("alpha", 1)]).await;
    wait::until(LIMIT, "an attempt", || async { !world.attempts().await.is_empty() }).await;
    running.stop().await;
    // ada:s3cr3t-pass, in base64
    let header = "Basic YWRhOnMzY3IzdC1wYXNz";
    assert_eq!(receiver.received()[0].header("authorization"), Some(header));
    assert_eq!(world.attempts().await[0].excerpt, "you sent ***");
}
