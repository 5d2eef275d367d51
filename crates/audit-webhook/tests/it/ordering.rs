//! Endpoints that get each project's records in order.

use std::collections::BTreeMap;
use std::time::Duration;

use flagtrail_testkit::receiver::{Answer, Received, Receiver};
use flagtrail_testkit::wait;
use serde_json::json;

use crate::world::{LIMIT, World, ids, record, records};

/// Of each project the records as they came, by number.
fn by_project(received: &[Received]) -> BTreeMap<String, Vec<u64>> {
    let mut projects: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for id in ids(received) {
        let (project, number) = id.split_once('-').expect("project and number");
        projects.entry(project.to_owned()).or_default().push(number.parse().expect("a number"));
    }
    projects
}

/// Without what came again: each is the first that came after all before it.
fn in_order(numbers: &[u64]) -> Vec<u64> {
    let mut order: Vec<u64> = Vec::new();
    for number in numbers {
        assert!(order.last().is_none_or(|last| *number <= last + 1), "{number} came after {order:?}");
        if order.last().is_none_or(|last| number > last) {
            order.push(*number);
        }
    }
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn each_project_arrives_in_order_though_many_are_in_flight_and_each_names_its_predecessor() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "ordered": true, "events": ["flag.*"] })).await;
    let running = world.start();
    let mut positions = BTreeMap::new();
    for number in 0..60 {
        for project in ["alpha", "beta", "gamma"] {
            let position = world.append(&[record(project, number)]).await[0];
            positions.insert(
                format!("{project}-{number:05}"),
                format!("{}:{}", position.partition, position.offset),
            );
        }
    }
    let received = receiver.wait_for(180, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    for numbers in by_project(&received).values() {
        assert_eq!(*numbers, (0..60).collect::<Vec<_>>());
    }
    for (id, request) in ids(&received).iter().zip(&received) {
        assert_eq!(request.header("x-flagtrail-position"), Some(positions[id].as_str()));
        let (project, number) = id.split_once('-').expect("both");
        let before = number.parse::<u64>().expect("a number").checked_sub(1);
        let before = before.map(|number| positions[&format!("{project}-{number:05}")].as_str());
        assert_eq!(request.header("x-flagtrail-previous"), before, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_record_holds_up_its_own_project_and_no_other_and_the_rest_follows_in_order() {
    let world = World::new().await.pauses_ms(&[50; 400]);
    let receiver = Receiver::start().expect("a receiver");
    let alpha_fails = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let fails = std::sync::Arc::clone(&alpha_fails);
    receiver.answer_by(move |request| {
        let id = request.header("webhook-id").unwrap_or_default();
        // A record that is refused: the receiver works, so its circuit stays closed.
        let refused = id == "alpha-00003" && fails.load(std::sync::atomic::Ordering::Relaxed);
        Answer::status(if refused { 422 } else { 200 })
    });
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "ordered": true, "events": ["flag.*"] })).await;
    let running = world.start();
    // More of the project than is kept in mind behind a failing record: the rest is found again on the log.
    world.append(&records("alpha", 0..300)).await;
    world.append(&records("beta", 0..50)).await;
    world
        .documents_are(&endpoint.id, "the project is blocked", |documents| {
            documents
                .iter()
                .any(|d| d["blocked"][0]["key"].as_str().is_some_and(|key| key.ends_with("/alpha")))
        })
        .await;
    flagtrail_testkit::wait::until(LIMIT, "all of the other project", || async {
        by_project(&receiver.received()).get("beta").is_some_and(|numbers| numbers.len() == 50)
    })
    .await;
    assert!(by_project(&receiver.received())["alpha"].iter().all(|number| *number <= 3));
    alpha_fails.store(false, std::sync::atomic::Ordering::Relaxed);
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    let projects = by_project(&receiver.received());
    assert_eq!(in_order(&projects["alpha"]), (0..300).collect::<Vec<_>>());
    assert_eq!(projects["beta"], (0..50).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_each_project_goes_on_in_order_and_nothing_is_left_out() {
    const RECORDS: u64 = 240;
    let world = World::new().await.pauses_ms(&[20; 60]);
    let receiver = Receiver::start().expect("a receiver");
    let counter = std::sync::atomic::AtomicU64::new(0);
    receiver.answer_by(move |_| match counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 7 {
        0 => Answer::status(500),
        _ => Answer::status(204),
    });
    // After a kill the next owner waits for as long as the last request of the killed one may take.
    let more = json!({ "ordered": true, "events": ["flag.*"], "timeout": "100ms" });
    let endpoint = world.endpoint(&receiver.url("/"), more).await;
    let mut running = world.start();
    for round in 0..2 {
        for number in round * RECORDS / 2..(round + 1) * RECORDS / 2 {
            for project in ["alpha", "beta"] {
                world.append(&[record(project, number)]).await;
            }
        }
        let killed = std::time::Instant::now();
        running.kill().await;
        let before = receiver.count();
        running = world.start();
        // What was on its way when the owner was killed may still arrive, within its timeout.
        let on_its_way = Duration::from_secs(1);
        let next = wait::some(LIMIT, "the next owner delivers", || async {
            let received = receiver.received();
            received[before..].iter().map(|one| one.instant - killed).find(|after| *after > on_its_way)
        })
        .await;
        assert!(next >= Duration::from_secs(5), "an unclean takeover is waited out: {next:?}");
    }
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    for numbers in by_project(&receiver.received()).values() {
        assert_eq!(in_order(numbers), (0..RECORDS).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handed_over_in_good_order_nothing_is_waited_for_and_a_blocked_project_stays_blocked() {
    let world = World::new().await.pauses_ms(&[1_500, 10]);
    let receiver = Receiver::start().expect("a receiver");
    receiver.script([Answer::status(422)]);
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "ordered": true, "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&records("alpha", 0..5)).await;
    receiver.wait_for(1, LIMIT).await;
    world
        .documents_are(&endpoint.id, "the project is blocked", |documents| {
            documents.iter().any(|document| document["pending"][0]["attempt"] == 1)
        })
        .await;
    running.stop().await;
    let running = world.start();
    let received = receiver.wait_for(6, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    assert_eq!(by_project(&received)["alpha"], [0, 0, 1, 2, 3, 4]);
    assert!(
        received[1].instant - received[0].instant >= Duration::from_millis(1_500),
        "the retry was not early"
    );
}
