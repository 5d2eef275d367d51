//! Owners in groups: two processes, and one that wakes after it was taken over from.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use audit_journal::{Bookmark, CommitError, Journal, OwnedCommit, OwnedEvent, PartitionCommit, Topic};
use bytes::Bytes;

use super::{KafkaLog, One, blocking, in_time};
use crate::contract::{
    Harness, PARTITIONS, PATIENCE, append_numbers, fixed, next_owned, read_all, text, until,
};

const GROUP: &str = "flagtrail-deliver";

/// Tells a child that it is to be an owner.
const OWNER_VARIABLE: &str = "FLAGTRAIL_TEST_KAFKA_OWNER";

type Log = KafkaLog<One>;

/// The child's whole life: owns, commits what it reads, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_process_owns_until_it_is_told_otherwise() {
    if std::env::var_os(OWNER_VARIABLE).is_none() {
        return;
    }
    let config = Log::config_in_child().expect("the parent names the log");
    let journal = Journal::open(config).await.expect("the log opens");
    let mut owned = journal.follow_owned(GROUP).await;
    let mut generations = std::collections::BTreeMap::new();
    while let Some(event) = owned.next().await {
        match event {
            OwnedEvent::Assigned { partition, generation, .. } => {
                generations.insert(partition, generation);
                println!("\nassigned {partition}");
            }
            OwnedEvent::Messages(batch) => {
                let partition = batch.partition;
                let attempts = batch
                    .messages
                    .iter()
                    .map(|message| (Topic::Deliveries, fixed(partition, format!("child {}", text(message)))));
                let commit = OwnedCommit {
                    partitions: vec![PartitionCommit {
                        partition,
                        generation: generations.get(&partition).copied().unwrap_or_default(),
                        bookmark: batch.bookmark().expect("a batch has messages"),
                        documents: vec![(Bytes::from_static(b"by"), Some(Bytes::from_static(b"child")))],
                    }],
                    messages: attempts.collect(),
                };
                match crate::contract::commit(&owned.committer(), commit).await {
                    Ok(()) => println!("\ncommitted {partition}"),
                    Err(CommitError::Fenced(_)) => println!("\nfenced {partition}"),
                    Err(error) => println!("\nfailed {error}"),
                }
            }
            OwnedEvent::Revoked { partition, lost, done } => {
                generations.remove(&partition);
                println!("\nrevoked {partition} {lost}");
                drop(done);
            }
            OwnedEvent::Level { .. } => {}
            OwnedEvent::Stopped(stop) => panic!("{stop}"),
        }
    }
}

/// A process that owns, and what it says.
struct Owner {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Owner {
    fn start(log: &Log) -> Self {
        let name = "kafka::owners::a_child_process_owns_until_it_is_told_otherwise";
        let mut child = Command::new(std::env::current_exe().expect("the test binary has a path"))
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .envs(log.child_environment())
            .env(OWNER_VARIABLE, "1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, said }
    }

    /// Waits until it says something that begins with one of these words.
    fn hears(mut self, words: &[&str]) -> (Self, String) {
        loop {
            let mut line = String::new();
            assert!(
                self.said.read_line(&mut line).expect("the child speaks") > 0,
                "it ended before {words:?}"
            );
            if words.iter().any(|word| line.starts_with(*word)) {
                return (self, line.trim().to_owned());
            }
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("kill runs");
        assert!(sent.success());
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn owner_that_committed(log: &Log) -> Owner {
    let owner = Owner::start(log);
    blocking(move || owner.hears(&["committed"]).0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_process_that_wakes_after_the_takeover_commits_nothing() {
    if !Log::is_available() {
        return;
    }
    let log = Log::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 1, 0..1).await;
    let zombie = in_time("the first commit", owner_that_committed(&log)).await;
    // It sleeps; the next messages come while it does, and go to whoever takes over.
    zombie.signal("-STOP");
    append_numbers(&journal, 1, 1..3).await;
    let mut heir = journal.follow_owned(GROUP).await;
    let mut read = Vec::new();
    let mut last = None;
    let mut generation = 0;
    while read.len() < 2 {
        match next_owned(&mut heir).await {
            OwnedEvent::Assigned {
                partition: 1, generation: assigned, bookmark, documents, clean, ..
            } => {
                assert!(!clean, "the last owner sleeps");
                assert_eq!(bookmark.expect("it committed").next, 1);
                assert_eq!(documents, [(Bytes::from_static(b"by"), Bytes::from_static(b"child"))]);
                generation = assigned;
            }
            OwnedEvent::Messages(batch) => {
                last = batch.bookmark();
                read.extend(batch.messages.iter().map(text));
            }
            OwnedEvent::Stopped(stop) => panic!("{stop}"),
            _ => {}
        }
    }
    assert_eq!(read, ["1", "2"]);
    let state = PartitionCommit {
        partition: 1,
        generation,
        bookmark: last.expect("it read"),
        documents: vec![(Bytes::from_static(b"by"), Some(Bytes::from_static(b"heir")))],
    };
    let commit = OwnedCommit { partitions: vec![state], messages: Vec::new() };
    crate::contract::commit(&heir.committer(), commit).await.expect("the owner may commit");

    // It wakes with its old assignment: what it tries is refused, until it has joined anew.
    zombie.signal("-CONT");
    append_numbers(&journal, 1, 3..4).await;
    let (tell, mut woken) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || tell.send(zombie.hears(&["fenced", "revoked"])));
    // Until it is through with what it woke with; the group waits for the heir meanwhile.
    let heard = in_time("the zombie is told", async {
        loop {
            tokio::select! {
                heard = &mut woken => break heard,
                event = heir.next() => match event.expect("the heir goes on") {
                    OwnedEvent::Revoked { done, .. } => drop(done),
                    OwnedEvent::Stopped(stop) => panic!("{stop}"),
                    _ => {}
                },
            }
        }
    });
    let (_zombie, _) = heard.await.expect("it was heard");
    let attempts: Vec<String> = read_all(&journal, Topic::Deliveries, 1).await.iter().map(text).collect();
    let doubled = attempts.iter().filter(|attempt| *attempt == "child 1" || *attempt == "child 2").count();
    assert_eq!(doubled, 0, "what the heir settled was committed again: {attempts:?}");
}

/// A document of an endpoint with 10,000 deliveries pending has some 530 KB; here are as many of them as an
/// owner of one partition and a hundred such endpoints commits at once, more than the producer's queue holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_a_hundred_full_documents_is_one_transaction() {
    const PENDING: u64 = 10_000;
    if !Log::is_available() {
        return;
    }
    let log = Log::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 1, 0..1).await;
    let mut owned = journal.follow_owned(GROUP).await;
    let generation = loop {
        if let OwnedEvent::Assigned { partition: 1, generation, .. } = next_owned(&mut owned).await {
            break generation;
        }
    };
    let pending: Vec<String> = (0..PENDING)
        .map(|n| {
            format!(r#"{{"offset":{},"attempt":7,"due":{}}}"#, 123_456_789 + n, 1_763_730_000_000 + n * 7)
        })
        .collect();
    let document = Bytes::from(format!(r#"{{"v":1,"incarnation":1,"pending":[{}]}}"#, pending.join(",")));
    assert!((500_000..600_000).contains(&document.len()), "{}", document.len());
    let documents =
        (0..100).map(|n| (Bytes::from(format!("endpoint-{n}")), Some(document.clone()))).collect();
    let state = PartitionCommit { partition: 1, generation, bookmark: Bookmark::default(), documents };
    assert!(state.bytes() > 3 * audit_journal::COMMIT_BYTES_MAX);
    let commit = OwnedCommit { partitions: vec![state], messages: Vec::new() };
    let committer = owned.committer();
    // On a busy machine it may take longer than a transaction has; then it is tried again, as the deliverer does.
    until(|| async { committer.commit(commit.clone()).await.is_ok() }).await;
    until(|| async { journal.documents(GROUP).await.is_ok_and(|documents| !documents.is_empty()) }).await;
    let documents = journal.documents(GROUP).await.expect("documents can be listed");
    assert_eq!(documents.len(), 100);
    assert!(documents.iter().all(|(_, _, value)| *value == document));
    in_time("leaving", owned.leave()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_the_partitions_and_the_survivor_gets_them_all() {
    if !Log::is_available() {
        return;
    }
    let log = Log::fresh().await;
    let journal = log.open().await;
    let mut mine = journal.follow_owned(GROUP).await;
    let mut held = std::collections::BTreeSet::new();
    while held.len() < PARTITIONS as usize {
        if let OwnedEvent::Assigned { partition, .. } = next_owned(&mut mine).await {
            held.insert(partition);
        }
    }
    let other = Owner::start(&log);
    let mut other = Some(std::thread::spawn(move || other.hears(&["assigned"])));
    // The other process gets its half, is killed, and the rest comes back.
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut killed = false;
    let mut was_emptied = false;
    while !(killed && held.len() == PARTITIONS as usize) {
        assert!(tokio::time::Instant::now() < until, "killed: {killed}, and this one holds {held:?}");
        // Not what is passed through while everything is taken away: that comes before the other has anything.
        let is_halved = was_emptied && held.len() == PARTITIONS as usize / 2;
        if let Some(joining) = other.take_if(|joining| is_halved && joining.is_finished()) {
            let (mut owner, _) = joining.join().expect("it was heard");
            owner.child.kill().expect("it can be killed");
            killed = true;
        }
        let Ok(event) = tokio::time::timeout(Duration::from_millis(200), mine.next()).await else {
            continue;
        };
        match event.expect("the owner goes on") {
            OwnedEvent::Revoked { partition, done, .. } => {
                held.remove(&partition);
                was_emptied |= held.is_empty();
                drop(done);
            }
            OwnedEvent::Assigned { partition, .. } => {
                held.insert(partition);
            }
            _ => {}
        }
    }
    in_time("leaving", mine.leave()).await;
    in_time("closing", journal.close()).await;
}
