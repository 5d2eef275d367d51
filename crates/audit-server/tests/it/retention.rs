//! What retention removes before an endpoint got it.

use std::path::Path;

use audit_journal::Topic;
use flagtrail_testkit::receiver::Receiver;
use flagtrail_testkit::wait;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::server::{SOON, Server, record};

/// Removes the records of a partition before `first`, as retention would; of a server that is stopped.
fn remove_before(dir: &Path, partition: u32, first: u64) {
    let log = Connection::open(dir.join("log.sqlite")).unwrap();
    log.execute(&format!("DELETE FROM records_{partition} WHERE offset < ?"), [first]).unwrap();
    let changed = log
        .execute(
            "UPDATE partitions SET first_offset = ? WHERE topic = 'records' AND partition = ?",
            params![first, partition],
        )
        .unwrap();
    assert_eq!(changed, 1);
}

/// The records on the log that tell of gaps.
async fn gaps(server: &Server) -> Vec<Value> {
    let messages = server.messages(Topic::Records).await;
    let read = |value: &[u8]| serde_json::from_slice::<Value>(value).unwrap();
    let records = messages.iter().filter_map(|message| message.value.as_deref().map(read));
    records.filter(|record| record["action"] == "webhook.gap").collect()
}

#[tokio::test]
async fn what_retention_removed_before_it_was_delivered_is_told_as_a_gap_and_the_rest_arrives() {
    let server = Server::start_with(|wanted| wanted.deliver = true).await;
    let (late, prompt) = (Receiver::start().unwrap(), Receiver::start().unwrap());
    let mut made = Vec::new();
    for (name, receiver, paused) in [("late", &late, true), ("prompt", &prompt, false)] {
        let new = json!({
            "name": name, "url": receiver.url("/hook"), "events": ["flag.*"], "start": "earliest", "paused": paused,
        });
        let answer = server.call("POST", "/v1/endpoints", Some(new)).await.expect(201);
        made.push(answer["id"].as_str().unwrap().to_owned());
    }
    let mut ids = Vec::new();
    for flag in ["a", "b", "c"] {
        let answer = server.append("application/json", record(flag).to_string()).await.expect(201);
        ids.push(answer["records"][0]["id"].as_str().unwrap().to_owned());
    }
    prompt.wait_for(3, SOON).await;
    let messages = server.messages(Topic::Records).await;
    let holds = |value: &[u8]| String::from_utf8_lossy(value).contains(&ids[2]);
    let kept = messages.iter().find(|message| message.value.as_deref().is_some_and(holds)).unwrap();
    let dir = server.stop().await;
    remove_before(dir.path(), kept.partition, kept.offset);

    let server = Server::start_in(dir, |wanted| wanted.deliver = true).await;
    server.call("POST", &format!("/v1/endpoints/{}/resume", made[0]), None).await.expect(200);
    let received = late.wait_for(1, SOON).await;
    assert_eq!(received[0].header("webhook-id"), Some(ids[2].as_str()));
    let told = wait::some(SOON, "the gap is told of", || async { gaps(&server).await.pop() }).await;
    assert_eq!(told["related_object"]["id"], made[0].as_str());
    let from_to = json!({ "partition": kept.partition, "from": 0, "to": kept.offset });
    assert_eq!(told["attributes"], from_to);
    assert_eq!(gaps(&server).await.len(), 1, "who had got it all has no gap");
    server.stop().await;
    assert_eq!((late.count(), prompt.count()), (1, 3));
}
