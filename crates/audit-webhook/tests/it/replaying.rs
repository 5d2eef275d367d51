//! Deliveries made again.

use audit_record::Author;
use audit_webhook::{EndpointError, NewReplay, Redrive, ReplayState};
use flagtrail_testkit::receiver::{Answer, Received, Receiver};
use flagtrail_testkit::wait;
use serde_json::json;

use crate::world::{LIMIT, World, ids, record, record_of, records};

fn author() -> Author {
    Author::user("ada@example.com")
}

/// What came of a replay, and what came of itself.
fn split(received: &[Received]) -> (Vec<String>, Vec<String>) {
    let (replayed, own): (Vec<Received>, Vec<Received>) =
        received.iter().cloned().partition(|request| request.header("x-flagtrail-replay").is_some());
    (ids(&replayed), ids(&own))
}

async fn done(world: &World, endpoint: &str, replay: &str) {
    wait::until(LIMIT, "the replay is through", || async {
        let replays = world.endpoints.replays(&endpoint.into()).await.expect("replays");
        replays.iter().any(|view| view.id == replay && view.state == ReplayState::Done && view.left == 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_is_delivered_again_once_and_marked_while_new_records_go_on() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    world.append(&records("alpha", 0..200)).await;
    world.append(&records("beta", 0..200)).await;
    receiver.wait_for(400, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    let id = endpoint.id.as_str().into();
    let replay = world.endpoints.replay(&id, NewReplay::default(), author()).await.expect("ordered");
    assert_eq!(replay.state, ReplayState::Running);
    assert!(replay.total >= 400 && replay.left == replay.total, "{replay:?}");
    world.append(&records("alpha", 200..250)).await;
    done(&world, &endpoint.id, &replay.id).await;
    running.caught_up(&endpoint.id).await;
    let status = running.deliverer.status().await.into_iter().find(|status| status.id == id);
    let status = status.expect("it is known");
    assert_eq!((status.replays, status.replays_left, status.totals.replayed), (0, 0, 400));
    running.stop().await;
    // Started again, it is not made once more.
    let running = world.start();
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    let (mut replayed, own) = split(&receiver.received());
    replayed.sort();
    let expected: Vec<String> = ["alpha", "beta"]
        .iter()
        .flat_map(|project| (0..200).map(move |number| format!("{project}-{number:05}")))
        .collect();
    assert_eq!(replayed, expected);
    assert_eq!(own.len(), 450);
    assert!(world.documents(&endpoint.id).await.iter().all(|document| document.get("replays").is_none()));
    assert_eq!(world.records_of("flagtrail.endpoint.replayed").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_a_replay_goes_on_and_one_ordered_while_nobody_delivers_is_taken_up() {
    let world = World::new().await.pauses_ms(&[30; 60]);
    let receiver = Receiver::start().expect("a receiver");
    let endpoint =
        world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"], "max_in_flight": 4 })).await;
    let running = world.start();
    world.append(&records("alpha", 0..400)).await;
    receiver.wait_for(400, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    let id = endpoint.id.as_str().into();
    let replay = world.endpoints.replay(&id, NewReplay::default(), author()).await.expect("ordered");
    let counter = std::sync::atomic::AtomicU64::new(0);
    receiver.answer_by(move |_| {
        let number = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Answer::status(if number.is_multiple_of(5) { 500 } else { 200 })
    });
    let mut running = world.start();
    for count in [520, 640] {
        receiver.wait_for(count, LIMIT).await;
        running.kill().await;
        running = world.start();
    }
    done(&world, &endpoint.id, &replay.id).await;
    let told = world.endpoints.replays(&id).await.expect("replays");
    assert_eq!((told[0].sent, told[0].given_up), (400, 0), "each counts once");
    running.stop().await;
    let (mut replayed, own) = split(&receiver.received());
    replayed.sort();
    replayed.dedup();
    assert_eq!(replayed.len(), 400, "each at least once");
    assert_eq!(own.len(), 400, "nothing but the replay came again");
}

/// A receiver that refuses for good what has a number that ends in 1.
fn refusing_some() -> Receiver {
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer_by(|request| {
        let id = request.header("webhook-id").unwrap_or_default();
        Answer::status(if id.ends_with('1') { 422 } else { 200 })
    });
    receiver
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_redriven_and_what_arrived_is_not() {
    let world = World::new().await.pauses_ms(&[]);
    let receiver = refusing_some();
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let id = endpoint.id.as_str().into();
    let running = world.start();
    world.append(&records("alpha", 0..30)).await;
    world.append(&records("beta", 0..30)).await;
    wait::until(LIMIT, "all attempts are logged", || async { world.attempts().await.len() == 60 }).await;
    receiver.answer(Answer::status(200));
    // One by its position, the others by what the log of attempts says.
    let dead = world.records_of("webhook.dead_lettered").await;
    let one =
        dead.iter().find(|record| record["attributes"]["record"] == "beta-00011").expect("a dead letter");
    let position = audit_journal::Position {
        partition: one["attributes"]["partition"].as_u64().expect("a partition") as u32,
        offset: one["attributes"]["offset"].as_u64().expect("an offset"),
    };
    let redrive =
        world.endpoints.redrive(&id, Redrive::Records(vec![position]), author()).await.expect("ordered");
    done(&world, &endpoint.id, &redrive.id).await;
    assert_eq!(split(&receiver.received()).0, ["beta-00011"]);
    let redrive = world.endpoints.redrive(&id, Redrive::All, author()).await.expect("ordered");
    done(&world, &endpoint.id, &redrive.id).await;
    running.stop().await;
    let (mut replayed, _) = split(&receiver.received());
    replayed.sort();
    assert_eq!(
        replayed,
        ["alpha-00001", "alpha-00011", "alpha-00021", "beta-00001", "beta-00011", "beta-00021"]
    );
    let nothing = world.endpoints.redrive(&id, Redrive::All, author()).await;
    assert!(nothing.is_err(), "nothing is left: {nothing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_records_that_are_named_what_was_given_up_is_redriven_and_nothing_else() {
    let world = World::new().await.pauses_ms(&[]);
    let receiver = refusing_some();
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let id = endpoint.id.as_str().into();
    let running = world.start();
    let unwanted = world.append(&[record_of("user.created", "alpha", 90)]).await;
    let wanted = world.append(&records("alpha", 0..4)).await;
    wait::until(LIMIT, "all attempts are logged", || async { world.attempts().await.len() == 4 }).await;
    receiver.answer(Answer::status(200));
    let redrive = async |positions| world.endpoints.redrive(&id, Redrive::Records(positions), author()).await;

    let arrived = redrive(vec![wanted[0], wanted[2]]).await;
    assert!(matches!(arrived, Err(EndpointError::Replay(_))), "{arrived:?}");
    let ordered = redrive([unwanted, wanted.clone()].concat()).await.expect("one of them was given up");
    done(&world, &endpoint.id, &ordered.id).await;
    let delivered = redrive(wanted).await;
    assert!(matches!(delivered, Err(EndpointError::Replay(_))), "{delivered:?}");
    running.stop().await;
    assert_eq!(split(&receiver.received()).0, ["alpha-00001"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replay_sent_skipped_and_gave_up_is_told_of_all_partitions_whoever_made_it() {
    let world = World::new().await.pauses_ms(&[]);
    let receiver = refusing_some();
    let more = json!({ "format": "zenmanage", "events": ["user.*", "flag.*"], "max_in_flight": 4 });
    let endpoint = world.endpoint(&receiver.url("/"), more).await;
    let id = endpoint.id.as_str().into();
    let running = world.start();
    for project in ["alpha", "beta"] {
        let known: Vec<_> = (0..30).map(|number| record_of("flag.rule.created", project, number)).collect();
        world.append(&known).await;
        // Zenmanage has no word for this one.
        world.append(&[record_of("user.created", project, 90)]).await;
    }
    receiver.wait_for(60, LIMIT).await;
    running.caught_up(&endpoint.id).await;
    let replay = world.endpoints.replay(&id, NewReplay::default(), author()).await.expect("ordered");
    assert_eq!((replay.sent, replay.skipped, replay.given_up), (0, 0, 0));
    receiver.wait_for(80, LIMIT).await;
    running.kill().await;
    let running = world.start();
    done(&world, &endpoint.id, &replay.id).await;
    running.stop().await;
    let replays = world.endpoints.replays(&id).await.expect("replays");
    assert_eq!((replays[0].sent, replays[0].skipped, replays[0].given_up), (54, 2, 6), "{replays:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_for_twice_in_a_row_what_was_given_up_is_redriven_once() {
    let world = World::new().await.pauses_ms(&[]);
    let receiver = Receiver::start().expect("a receiver");
    receiver.answer(Answer::status(422));
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let id = endpoint.id.as_str().into();
    let running = world.start();
    let positions = world.append(&records("alpha", 0..4)).await;
    wait::until(LIMIT, "all attempts are logged", || async { world.attempts().await.len() == 4 }).await;
    // While nobody delivers, what is ordered is under way.
    running.stop().await;
    let redrive = async |what| world.endpoints.redrive(&id, what, author()).await;
    let two = redrive(Redrive::Records(positions[1..3].to_vec())).await.expect("ordered");
    let rest = redrive(Redrive::All).await.expect("ordered");
    assert_eq!((two.left, rest.left), (2, 2));
    for again in [Redrive::All, Redrive::Records(positions)] {
        let again = redrive(again).await;
        assert!(matches!(again, Err(EndpointError::Replay(_))), "{again:?}");
    }
    receiver.answer(Answer::status(200));
    let running = world.start();
    done(&world, &endpoint.id, &two.id).await;
    done(&world, &endpoint.id, &rest.id).await;
    running.stop().await;
    let mut replayed = split(&receiver.received()).0;
    replayed.sort();
    assert_eq!(replayed, ["alpha-00000", "alpha-00001", "alpha-00002", "alpha-00003"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_replay_ends_and_what_is_new_still_comes() {
    let world = World::new().await;
    let receiver = Receiver::start().expect("a receiver");
    let more = json!({ "events": ["flag.*"], "rate_limit_per_second": 20 });
    let endpoint = world.endpoint(&receiver.url("/"), more).await;
    let id = endpoint.id.as_str().into();
    let running = world.start();
    world.append(&records("alpha", 0..100)).await;
    receiver.wait_for(100, LIMIT).await;
    let replay = world.endpoints.replay(&id, NewReplay::default(), author()).await.expect("ordered");
    receiver.wait_for(110, LIMIT).await;
    world.endpoints.cancel_replay(&id, &replay.id, author()).await.expect("cancelled");
    world
        .documents_are(&endpoint.id, "no replay is left", |documents| {
            documents.iter().all(|document| document.get("replays").is_none())
        })
        .await;
    world.append(&[record("alpha", 100)]).await;
    wait::until(LIMIT, "what is new comes", || async {
        split(&receiver.received()).1.contains(&"alpha-00100".to_owned())
    })
    .await;
    running.caught_up(&endpoint.id).await;
    running.stop().await;
    let (replayed, own) = split(&receiver.received());
    assert!(replayed.len() < 100, "{}", replayed.len());
    assert_eq!(own.len(), 101);
    assert!(world.endpoints.replays(&id).await.expect("replays").is_empty());
}
