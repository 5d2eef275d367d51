//! Erasing over HTTP, where one request does not read everything.

use std::collections::BTreeSet;
use std::time::Duration;

use audit_journal::{AppendOutcome, NewMessage, Placement, Topic};
use audit_proof::{Checkpoint, Frontier, Leaf, NodeHash, NoteSigner, Sealed, origin};
use bytes::Bytes;
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::server::{SOON, Server, record};

/// How many projects there are, in more than one partition.
const PROJECTS: u64 = 32;

/// A server that reads no more for one request than it must: one partition.
async fn archived() -> Server {
    let server = Server::start_with(|wanted| {
        wanted.archive = true;
        wanted.config.erasure_read_max = Duration::ZERO;
        wanted.config.record_reads = false;
    })
    .await;
    let by = |project: u64, email: &str| {
        let mut one = record("checkout");
        one["project"] = json!({"id": project.to_string()});
        one["author"]["email"] = json!(email);
        format!("{one}\n")
    };
    let lines: String =
        (0..PROJECTS).flat_map(|n| [by(n, "ada@example.com"), by(n, "bob@example.com")]).collect();
    server.append("application/x-ndjson", lines).await.expect(201);
    server
}

/// Asks for an erasure, once the archive has everything.
async fn ask(server: &Server, body: &Value) -> (u16, Value) {
    wait::some(SOON, "the archive has everything", || async {
        let answer = server.call("POST", "/v1/erasures", Some(body.clone())).await;
        (answer.status != 503).then(|| (answer.status, answer.json()))
    })
    .await
}

/// Waits until so many records of an author are shown.
async fn shown(server: &Server, author: &str, count: u64) {
    let path = format!("/v1/records?author={author}%40example.com&limit=100");
    wait::until(SOON, "what is left of the author's records", || async {
        let answer = server.call("GET", &path, None).await;
        answer.status == 200 && answer.json()["records"].as_array().map(Vec::len) == Some(count as usize)
    })
    .await;
}

#[tokio::test]
async fn what_one_request_can_not_read_is_erased_by_those_that_go_on() {
    let server = archived().await;
    let mut body = json!({"subject": ["Ada@example.com"], "reason": "request 12"});
    let mut answers = Vec::new();
    loop {
        let (status, answer) = ask(&server, &body).await;
        let next = answer["next"].clone();
        assert_eq!(status, if next.is_null() { 200 } else { 202 }, "{answer}");
        answers.push(answer);
        if next.is_null() {
            break;
        }
        assert_ne!(next, body["cursor"], "it gets on");
        body["cursor"] = next;
    }
    assert!(answers.len() > 1, "{answers:?}");
    let erased: u64 = answers.iter().filter_map(|answer| answer["erased"].as_u64()).sum();
    assert_eq!(erased, PROJECTS);
    shown(&server, "ada", 0).await;
    shown(&server, "bob", PROJECTS).await;

    // It is one erasure, and the last of its records says how many there are.
    let ids: BTreeSet<&str> = answers.iter().filter_map(|answer| answer["id"].as_str()).collect();
    assert_eq!(ids.len(), 1, "{answers:?}");
    let messages = server.messages(Topic::Records).await;
    let orders: Vec<Value> = messages
        .iter()
        .map(|message| serde_json::from_slice::<Value>(message.value.as_deref().unwrap()).unwrap())
        .filter(|record| record["action"] == "flagtrail.erased")
        .collect();
    let attributes = |name: &str| -> BTreeSet<u64> {
        orders.iter().filter_map(|order| order["attributes"][name].as_u64()).collect()
    };
    let count = orders.len() as u64;
    assert!(count > 1);
    assert_eq!(attributes("part"), BTreeSet::from_iter(1..=count));
    assert_eq!(attributes("parts"), BTreeSet::from([count]));

    // Asked again, it finds nothing.
    let mut again = json!({"subject": ["ada@example.com"], "reason": "request 13"});
    loop {
        let (_, answer) = ask(&server, &again).await;
        assert_eq!((&answer["erased"], &answer["id"]), (&json!(0), &Value::Null), "{answer}");
        if answer["next"].is_null() {
            break;
        }
        again["cursor"] = answer["next"].clone();
    }
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_leads_on_with_its_own_request_on_its_own_log_alone() {
    let server = archived().await;
    let mut body = json!({"subject": ["ada@example.com"], "reason": "request 12", "dry_run": true});
    let (status, answer) = ask(&server, &body).await;
    assert_eq!((status, &answer["id"]), (202, &Value::Null), "{answer}");
    body["cursor"] = answer["next"].clone();
    // What a dry run has passed over is not erased.
    let mut erase = body.clone();
    erase["dry_run"] = json!(false);
    let problem = server.call("POST", "/v1/erasures", Some(erase)).await.problem(400);
    assert_eq!(problem["errors"][0]["field"], "cursor");
    let elsewhere = archived().await;
    let (status, problem) = ask(&elsewhere, &body).await;
    assert_eq!(status, 409, "{problem}");
    assert!(ask(&server, &body).await.0 < 300, "at home it does");
    shown(&server, "ada", PROJECTS).await;
    elsewhere.stop().await;
    server.stop().await;
}

/// Puts a head of partition `partition` beside its records, as a sealer does: over all of its leaves, or, where it is `forged`,
/// over as many that nobody ever appended.
async fn seal(server: &Server, partition: u32, is_forged: bool) {
    let messages = server.messages(Topic::Records).await;
    let mut frontier = Frontier::new();
    let mut next = 0;
    for message in messages.iter().filter(|message| message.partition == partition) {
        let header = |name| message.header(name).map(|value: &Bytes| &value[..]);
        let leaf = Leaf::of(frontier.size(), header("salt"), header("tags"), message.value.as_deref());
        let hash = if is_forged { NodeHash::from_bytes([9; 32]) } else { leaf.hash(&mut Vec::new()) };
        frontier.append(hash, |_, _| {});
        next = message.offset + 1;
    }
    let origin = origin(&server.journal.identity().deployment, partition, 0);
    let checkpoint = Checkpoint { origin: origin.clone(), size: frontier.size(), root: frontier.root() };
    let mut note = checkpoint.to_note().unwrap();
    note.sign(&NoteSigner::new(&origin, &[7; 32]).unwrap());
    let sealed = Sealed { v: 1, epoch: 0, next, peaks: frontier.peaks().to_vec(), note: note.to_string() };
    let message = NewMessage {
        key: Bytes::from_static(b"checkpoint"),
        headers: Vec::new(),
        value: Some(sealed.to_json().into()),
        placement: Placement::Fixed(partition),
    };
    let outcomes = server.journal.append(Topic::Checkpoints, vec![message]).await;
    assert!(matches!(outcomes[..], [AppendOutcome::Appended(_)]), "{outcomes:?}");
}

/// The partition of the record that says this address.
async fn partition_of(server: &Server, email: &str) -> u32 {
    let says = |value: &Bytes| String::from_utf8_lossy(value).contains(email);
    let messages = server.messages(Topic::Records).await;
    messages.iter().find(|message| message.value.as_ref().is_some_and(says)).unwrap().partition
}

/// A server with a record of Ada and, in another partition, one of Bob; and the partitions of the two.
async fn ada_and_bob() -> (Server, [u32; 2]) {
    let server = Server::start_with(|wanted| {
        wanted.archive = true;
        wanted.config.record_reads = false;
    })
    .await;
    let by = |email: &str, project: u32| {
        let mut one = record("checkout");
        one["project"] = json!({"id": project.to_string()});
        one["author"]["email"] = json!(email);
        one
    };
    server.append("application/json", by("ada@example.com", 0).to_string()).await.expect(201);
    let adas = partition_of(&server, "ada@example.com").await;
    for project in 1..100 {
        let email = format!("bob{project}@example.com");
        server.append("application/json", by(&email, project).to_string()).await.expect(201);
        let bobs = partition_of(&server, &email).await;
        if bobs != adas {
            server.append("application/json", by("bob@example.com", project).to_string()).await.expect(201);
            return (server, [adas, bobs]);
        }
    }
    panic!("no project is in another partition")
}

/// Waits until the archive has an alarm about a partition.
async fn alarmed(server: &Server, partition: u32) {
    wait::until(SOON, "the archive has seen the checkpoint", || async {
        let status = audit_archive::Reader::open(server.dir.path().join("archive")).status();
        status.is_ok_and(|status| {
            status.partitions.iter().any(|one| one.end.partition == partition && one.alarm.is_some())
        })
    })
    .await;
}

#[tokio::test]
async fn nothing_is_erased_by_the_numbers_of_leaves_that_are_not_the_signed_ones() {
    let (server, [adas, bobs]) = ada_and_bob().await;
    shown(&server, "ada", 1).await;
    seal(&server, adas, true).await;
    alarmed(&server, adas).await;
    for dry_run in [true, false] {
        let body = json!({"subject": ["ada@example.com"], "reason": "request 12", "dry_run": dry_run});
        let (status, problem) = ask(&server, &body).await;
        assert_eq!(status, 409, "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("erased nothing") && detail.contains(&format!("partition {adas} ")),
            "{detail}"
        );
        assert!(problem["hint"].as_str().unwrap().contains("flagtrail archive rebuild"), "{problem}");
    }
    shown(&server, "ada", 1).await;
    // Who is in another partition is not concerned.
    assert_ne!(adas, bobs);
    let (status, answer) =
        ask(&server, &json!({"subject": ["bob@example.com"], "reason": "request 13"})).await;
    assert_eq!((status, &answer["erased"]), (200, &json!(1)), "{answer}");

    // What is signed later of all leaves shows that they are the signed ones; the alarm stays.
    seal(&server, adas, false).await;
    let body = json!({"subject": ["ada@example.com"], "reason": "request 14"});
    let (status, answer) = wait::some(SOON, "the honest checkpoint counts", || async {
        let (status, answer) = ask(&server, &body).await;
        (status != 409).then_some((status, answer))
    })
    .await;
    assert_eq!((status, &answer["erased"]), (200, &json!(1)), "{answer}");
    shown(&server, "ada", 0).await;
    alarmed(&server, adas).await;
    server.stop().await;
}
