//! A partition that the journal stops by name: it is told and left alone until the log is accepted as it stands.

use std::time::Duration;

use audit_journal::Partition;
use audit_webhook::{Deliverer, GROUP};
use flagtrail_testkit::receiver::{Answer, Receiver};
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::world::{LIMIT, PARTITIONS, World, ids, record};

/// So many that both partitions have some.
const PROJECTS: usize = 16;

/// Between attempts, by the deliverers' clock.
const PAUSE: Duration = Duration::from_secs(3_600);

/// Attempts that come due while the partition is stopped.
const ROUNDS: usize = 2;

fn project(number: usize) -> String {
    format!("project-{number}")
}

/// Waits until it is told of a partition, and of no other, that retention was there first.
async fn is_told(deliverer: &Deliverer, stopped: Partition) {
    let standing = deliverer.standing();
    wait::until(LIMIT, "the partition's stop is told", || async {
        let partitions = standing.partitions();
        partitions.len() == PARTITIONS as usize
            && partitions.iter().all(|(partition, why)| match why {
                Some(why) => *partition == stopped && why.contains("removed by retention before"),
                None => *partition != stopped,
            })
    })
    .await;
}

/// How many attempts failed of each delivery of a partition that waits for another one.
async fn pending(world: &World, endpoint: &str, of: Partition) -> Vec<Value> {
    let documents = world.journal.documents(GROUP).await.expect("documents");
    let document = documents
        .iter()
        .find(|(partition, key, _)| *partition == of && key == endpoint.as_bytes())
        .map(|(_, _, value)| serde_json::from_slice::<Value>(value).expect("a document"));
    let pending = document.and_then(|document| document["pending"].as_array().cloned());
    pending.unwrap_or_default().into_iter().map(|pending| pending["attempt"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_stopped_by_name_is_told_and_left_alone_until_the_log_is_accepted() {
    let world = World::new().await.pauses_ms(&[PAUSE.as_millis() as u64; 8]);
    let receiver = Receiver::start().expect("a receiver");
    // Held against the record: for what is wrong with the receiver it would be left alone.
    receiver.answer_by(|request| {
        let is_first = request.header("webhook-id").is_some_and(|id| id.ends_with("-00000"));
        Answer::status(if is_first { 422 } else { 200 })
    });
    let endpoint = world.endpoint(&receiver.url("/"), json!({ "events": ["flag.*"] })).await;
    let running = world.start();
    let firsts: Vec<_> = (0..PROJECTS).map(|number| record(&project(number), 0)).collect();
    let partitions: Vec<Partition> =
        world.append(&firsts).await.into_iter().map(|position| position.partition).collect();
    let stopped = partitions[0];
    let other = (0..PROJECTS).find(|number| partitions[*number] != stopped).expect("both have some");
    let in_stopped: Vec<usize> = (0..PROJECTS).filter(|number| partitions[*number] == stopped).collect();
    let failed_once = vec![json!(1); in_stopped.len()];
    receiver.wait_for(PROJECTS, LIMIT).await;
    wait::until(LIMIT, "what is to be tried again is written down", || async {
        pending(&world, &endpoint.id, stopped).await == failed_once
    })
    .await;

    world.remove_unread(stopped);
    world.append(&[record(&project(0), 1)]).await;
    is_told(&running.deliverer, stopped).await;
    let times = |id: &str| ids(&receiver.received()).iter().filter(|received| *received == id).count();
    let first_of = |number: usize| format!("{}-00000", project(number));
    for round in 1..=ROUNDS {
        world.put_clock_forward(PAUSE * 2);
        wait::until(LIMIT, "the other partition's is tried again", || async {
            times(&first_of(other)) > round
        })
        .await;
    }
    world.append(&[record(&project(other), 1)]).await;
    let new = format!("{}-00001", project(other));
    wait::until(LIMIT, "the other partition is delivered from", || async { times(&new) == 1 }).await;
    is_told(&running.deliverer, stopped).await;
    running.stop().await;
    for number in in_stopped {
        assert_eq!(times(&first_of(number)), 1, "nothing of the partition is tried again");
    }
    assert_eq!(pending(&world, &endpoint.id, stopped).await, failed_once, "nor committed");

    // A restart does not mend it.
    let running = world.start();
    is_told(&running.deliverer, stopped).await;
    running.stop().await;
    world.keep_again();
    world.journal.new_epoch().await.expect("a new epoch");
    let world = world.reopened().await;
    let running = world.start();
    world.append(&[record(&project(0), 2)]).await;
    let accepted = format!("{}-00002", project(0));
    wait::until(LIMIT, "the partition is delivered from", || async { times(&accepted) == 1 }).await;
    let standing = running.deliverer.standing();
    wait::until(LIMIT, "nothing is told any more", || async {
        let partitions = standing.partitions();
        partitions.len() == PARTITIONS as usize && partitions.values().all(Option::is_none)
    })
    .await;
    running.stop().await;
}
