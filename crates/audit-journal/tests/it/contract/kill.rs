//! A process that is killed: a child runs this same test binary, and is sent SIGKILL.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use audit_journal::{AppendOutcome, Bookmark, Journal, OwnedCommit, OwnedEvent, PartitionCommit, Topic};

use super::{Harness, append_numbers, collect, fixed, next_owned, text};

const GROUP: &str = "flagtrail-deliver";

/// Tells a child what to do with its life.
const ROLE_VARIABLE: &str = "FLAGTRAIL_TEST_ROLE";

/// How many appends the parent waits for before it kills.
const ANSWERED_MIN: usize = 200;

/// The child's whole life; a test of that name does nothing in any other process.
pub(crate) async fn child<H: Harness>() {
    let Some(config) = H::config_in_child() else { return };
    let journal = Journal::open(config).await.expect("the log opens");
    match std::env::var(ROLE_VARIABLE).as_deref() {
        Ok("append") => append_for_ever(&journal).await,
        Ok("own") => own_for_ever(&journal).await,
        other => panic!("no such role: {other:?}"),
    }
}

/// Eight writers; every answer is printed before the next append.
async fn append_for_ever(journal: &Journal) {
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let journal = journal.clone();
            tokio::spawn(async move {
                for number in 0.. {
                    let value = format!("{writer}-{number}");
                    let outcomes =
                        journal.append(Topic::Records, vec![fixed(writer % 4, value.clone())]).await;
                    if matches!(outcomes[0], AppendOutcome::Appended(_)) {
                        say(&format!("appended {value}"));
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer does not fail");
    }
}

/// Commits after every second message of partition 0, with a document that says how many there were.
async fn own_for_ever(journal: &Journal) {
    let mut owned = journal.follow_owned(GROUP).await;
    let mut generation = 0;
    loop {
        match next_owned(&mut owned).await {
            OwnedEvent::Assigned { partition: 0, generation: assigned, .. } => generation = assigned,
            OwnedEvent::Messages(batch) if batch.partition == 0 => {
                for end in (2..=batch.messages.len()).step_by(2) {
                    let mut half = batch.clone();
                    half.messages.truncate(end);
                    let bookmark = half.bookmark().expect("it has messages");
                    let count = bytes::Bytes::from(bookmark.next.to_string());
                    let documents = vec![(bytes::Bytes::from_static(b"count"), Some(count))];
                    let state = PartitionCommit { partition: 0, generation, bookmark, documents };
                    let commit = OwnedCommit { partitions: vec![state], messages: Vec::new() };
                    super::commit(&owned.committer(), commit).await.expect("the owner may commit");
                    say(&format!("committed {}", bookmark.next));
                }
            }
            _ => {}
        }
    }
}

/// One line, written at once: the harness does not capture it.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the parent reads");
}

/// Starts a child with a role.
fn start<H: Harness>(log: &H, role: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("the test binary has a path"));
    child.args(child_arguments(H::child_test())).envs(log.child_environment()).env(ROLE_VARIABLE, role);
    child.stdout(Stdio::piped()).spawn().expect("the child starts")
}

/// What makes this test binary run one test, whose full name is given, and nothing else.
pub(crate) fn child_arguments(test: &str) -> [&str; 4] {
    ["--exact", test, "--nocapture", "--test-threads=1"]
}

/// Reads what a child says with this word until there are `count`, kills it, and reads the rest.
pub(crate) fn kill_after(mut child: Child, word: &str, count: usize) -> Vec<String> {
    let out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut said = Vec::new();
    for line in out.lines() {
        // A line that the kill cut short was no answer.
        let Ok(line) = line else { break };
        // The test harness may have begun the line with the test's name.
        if let Some((_, rest)) = line.split_once(word) {
            said.push(rest.trim().to_owned());
        }
        if said.len() == count {
            child.kill().expect("the child can be killed");
        }
    }
    child.wait().expect("the child is gone");
    assert!(said.len() >= count, "the child ended by itself after {} answers", said.len());
    said
}

pub(crate) async fn every_answered_append_survives_a_killed_process<H: Harness>() {
    let log = H::fresh().await;
    log.open().await.close().await;
    let mut answered = BTreeSet::new();
    for _ in 0..2 {
        let child = start(&log, "append");
        let said = tokio::task::spawn_blocking(|| kill_after(child, "appended ", ANSWERED_MIN)).await;
        let mut said = said.expect("the child was heard");
        // The last line may have been cut in the middle of its number.
        said.pop();
        answered.extend(said);
        let journal = log.open().await;
        let ends = journal.bounds(Topic::Records).await.expect("the bounds are known");
        let count: u64 = ends.iter().map(|bounds| bounds.end - bounds.start).sum();
        let mut follow = journal.follow(Topic::Records, Vec::new()).await;
        let there: BTreeSet<String> = collect(&mut follow, count as usize).await.iter().map(text).collect();
        let lost: Vec<&String> = answered.difference(&there).collect();
        assert!(lost.is_empty(), "answered, but lost: {lost:?}");
        journal.close().await;
    }
}

pub(crate) async fn an_owner_killed_in_the_middle_of_a_batch_is_resumed_exactly<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 0, 0..2000).await;
    journal.close().await;
    drop(journal);
    let child = start(&log, "own");
    let said = tokio::task::spawn_blocking(|| kill_after(child, "committed ", 20)).await;
    let said = said.expect("the child was heard");
    let answered: u64 = said[said.len() - 2].parse().expect("a number");

    let journal = log.open().await;
    let mut owned = journal.follow_owned(GROUP).await;
    let mut resumed: Option<Bookmark> = None;
    loop {
        match next_owned(&mut owned).await {
            OwnedEvent::Assigned { partition: 0, bookmark, documents, clean, .. } => {
                assert!(!clean, "the last owner was killed");
                let bookmark = bookmark.expect("it committed");
                // Watermark and document are of one commit, the last answered one or one after it.
                assert!(bookmark.next >= answered, "{} < {answered}", bookmark.next);
                assert_eq!(documents[0].1, bookmark.next.to_string());
                resumed = Some(bookmark);
            }
            OwnedEvent::Messages(batch) if batch.partition == 0 => {
                let resumed = resumed.expect("the assignment comes first");
                assert_eq!(text(&batch.messages[0]), resumed.next.to_string());
                break;
            }
            OwnedEvent::Stopped(stop) => panic!("{stop}"),
            _ => {}
        }
    }
}
