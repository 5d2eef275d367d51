//! What retention removes before an endpoint got it.

use std::path::Path;

use audit_journal::Topic;
use flagtrail_testkit::receiver::Receiver;
use flagtrail_testkit::wait;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::server::{SOON, Server, record};

/// Removes the records of every partition but the last, as retention would; for a server that is stopped. Returns
/// partition and first offset that is left, where any was removed.
fn remove_all_but_the_last(dir: &Path) -> Vec<(i64, i64)> {
    let log = Connection::open(dir.join("log.sqlite")).unwrap();
    let mut ends =
        log.prepare("SELECT partition, next_offset FROM partitions WHERE topic = 'records'").unwrap();
    let ends = ends.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).unwrap();
    let left: Vec<(i64, i64)> = ends
        .map(Result::unwrap)
        .map(|(partition, end)| (partition, end - 1))
        .filter(|(_, first)| *first > 0)
        .collect();
    for (partition, first) in &left {
        log.execute(&format!("DELETE FROM records_{partition} WHERE offset < ?"), [first]).unwrap();
        log.execute(
            "UPDATE partitions SET first_offset = ? WHERE topic = 'records' AND partition = ?",
            params![first, partition],
        )
        .unwrap();
    }
    left
}

/// The records on the log that tell of gaps.
async fn gaps(server: &Server) -> Vec<Value> {
    let messages = server.messages(Topic::Records).await;
    let records =
        messages.iter().map(|m| serde_json::from_slice::<Value>(m.value.as_ref().unwrap()).unwrap());
    records.filter(|record| record["action"] == "webhook.gap").collect()
}

#[tokio::test]
async fn what_retention_removed_before_it_was_delivered_is_told_as_a_gap_and_the_rest_arrives() {
    let server = Server::start_with(|wanted| wanted.deliver = true).await;
    let (late, prompt) = (Receiver::start().unwrap(), Receiver::start().unwrap());
    let make = async |name: &str, receiver: &Receiver, paused: bool| {
        let new = json!({
            "name": name, "url": receiver.url("/hook"), "events": ["flag.*"], "start": "earliest", "paused": paused,
        });
        let made = server.call("POST", "/v1/endpoints", Some(new)).await.expect(201);
        made["id"].as_str().unwrap().to_owned()
    };
    let id = make("late", &late, true).await;
    make("prompt", &prompt, false).await;
    let mut ids = Vec::new();
    for flag in ["a", "b", "c"] {
        let answer = server.append("application/json", record(flag).to_string()).await.expect(201);
        ids.push(answer["records"][0]["id"].as_str().unwrap().to_owned());
    }
    prompt.wait_for(3, SOON).await;
    let dir = server.stop().await;
    let left = remove_all_but_the_last(dir.path());

    let server = Server::start_in(dir, |wanted| wanted.deliver = true).await;
    server.call("POST", &format!("/v1/endpoints/{id}/resume"), None).await.expect(200);
    let received = late.wait_for(1, SOON).await;
    assert_eq!(received[0].header("webhook-id"), Some(ids[2].as_str()));
    let gaps = wait::some(SOON, "each gap is told of", || async {
        Some(gaps(&server).await).filter(|gaps| gaps.len() >= left.len())
    })
    .await;
    let told = |gap: &Value| {
        assert_eq!(gap["related_object"]["id"], id.as_str(), "{gap}");
        let of = &gap["attributes"];
        (of["partition"].as_i64().unwrap(), of["from"].as_i64().unwrap(), of["to"].as_i64().unwrap())
    };
    let mut told: Vec<(i64, i64, i64)> = gaps.iter().map(told).collect();
    told.sort_unstable();
    let removed: Vec<(i64, i64, i64)> =
        left.iter().map(|(partition, first)| (*partition, 0, *first)).collect();
    assert_eq!(told, removed);
    server.stop().await;
    assert_eq!((late.count(), prompt.count()), (1, 3));
}
