//! A log that moves from a file to Kafka and back.

use std::process::{Command, Stdio};

use audit_journal::{
    Bookmark, Control, CopyError, EmbeddedConfig, FollowEvent, Journal, JournalConfig, Message, OpenError,
    OwnedCommit, OwnedEvent, PartitionCommit, ReadLimit, SettingsChange, Topic, copy_log,
};
use bytes::Bytes;
use flagtrail_testkit::kafka::{self, Cluster};
use serde_json::json;

use super::{blocking, config, in_time};
use crate::contract::control::write;
use crate::contract::kill::{child_arguments, kill_after, say};
use crate::contract::{
    PARTITIONS, append_all, append_numbers, append_together, collect, fixed, next, next_owned,
};

const GROUP: &str = "flagtrail-deliver";

/// Tells a child process what to copy to which brokers and prefix.
const FROM_VARIABLE: &str = "FLAGTRAIL_TEST_COPY_FROM";
const TO_VARIABLE: &str = "FLAGTRAIL_TEST_COPY_TO";

/// Topics whose offsets are kept.
const KEPT: [Topic; 5] =
    [Topic::Records, Topic::Control, Topic::Deliveries, Topic::Rejected, Topic::Checkpoints];

fn file(folder: &tempfile::TempDir, name: &str) -> JournalConfig {
    let path = folder.path().join(name);
    JournalConfig::Embedded(EmbeddedConfig { path, partitions: PARTITIONS })
}

async fn brokers(prefix: &str) -> JournalConfig {
    JournalConfig::Kafka(config(&blocking(Cluster::shared).await.bootstrap(), prefix))
}

async fn open(config: JournalConfig) -> Journal {
    in_time("opening", Journal::open(config)).await.expect("the log opens")
}

async fn copy(from: JournalConfig, to: JournalConfig) -> Result<audit_journal::CopyReport, CopyError> {
    in_time("copying", copy_log(from, to, |_| {})).await
}

/// Every message of the topics whose offsets are kept, but the times at which the log took them; where every
/// partition begins and ends; and the documents.
async fn everything(journal: &Journal) -> Vec<String> {
    let mut all = Vec::new();
    for topic in KEPT {
        for bounds in journal.bounds(topic).await.expect("the bounds are known") {
            all.push(format!("{topic:?} {bounds:?}"));
            let mut from = bounds.start;
            while from < bounds.end {
                let limit = ReadLimit { messages: 10_000, bytes: 16 * 1024 * 1024 };
                let range = journal.read(topic, bounds.partition, from, limit).await.expect("it can be read");
                from = range.next;
                for message in range.messages {
                    let Message { partition, offset, key, headers, value, .. } = message;
                    all.push(format!("{topic:?} {partition} {offset} {key:?} {headers:?} {value:?}"));
                }
            }
        }
    }
    let documents = journal.documents(GROUP).await.expect("documents can be listed");
    all.extend(documents.iter().map(|document| format!("{document:?}")));
    all
}

/// Uses a log as the product does: records, settings with their records, an owner's commits, the rest.
async fn live(journal: &Journal, name: &str) -> Bookmark {
    for partition in 0..PARTITIONS {
        append_numbers(journal, partition, 0..20).await;
    }
    let control = in_time("reading", Control::open(journal.clone())).await.expect("the settings open");
    for number in 0..3 {
        let id = format!("{name}-{number}");
        let change =
            SettingsChange { kind: "source".to_owned(), id, base_version: 0, value: Some(json!({})) };
        write(&control, change).await.expect("it is written");
        // With a record beside it, as the server writes it.
        let both = vec![(Topic::Records, fixed(1, "of the settings")), (Topic::Rejected, fixed(0, "other"))];
        append_together(journal, both).await;
    }
    append_all(journal, Topic::Checkpoints, vec![fixed(2, "a checkpoint")]).await;
    let mut owned = journal.follow_owned(GROUP).await;
    let (mut generation, mut bookmark) = (0, Bookmark::default());
    while bookmark.next < 20 {
        match next_owned(&mut owned).await {
            OwnedEvent::Assigned { partition: 0, generation: assigned, bookmark: left, .. } => {
                generation = assigned;
                bookmark = left.unwrap_or_default();
                // What an earlier owner read does not come again.
                append_numbers(journal, 0, 20..21).await;
            }
            OwnedEvent::Messages(batch) if batch.partition == 0 => {
                bookmark = batch.bookmark().expect("it has messages");
                let state = PartitionCommit {
                    partition: 0,
                    generation,
                    bookmark,
                    documents: vec![(Bytes::from(name.to_owned()), Some(Bytes::from_static(b"{}")))],
                };
                let messages = (0..4).map(|_| (Topic::Deliveries, fixed(0, "an attempt"))).collect();
                let commit = OwnedCommit { partitions: vec![state], messages };
                crate::contract::commit(&owned.committer(), commit).await.expect("the owner may commit");
            }
            OwnedEvent::Stopped(stop) => panic!("{stop}"),
            _ => {}
        }
    }
    in_time("leaving", owned.leave()).await;
    append_all(journal, Topic::Records, vec![fixed(1, "last")]).await;
    bookmark
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_moves_from_a_file_to_kafka_and_back_and_every_offset_stays() {
    if kafka::available().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(file(&folder, "first.sqlite")).await;
    let identity = journal.identity().clone();
    let bookmark = live(&journal, "first").await;
    journal.close().await;
    drop(journal);
    // As if retention had removed the first attempts.
    let JournalConfig::Embedded(at) = file(&folder, "first.sqlite") else { unreachable!("it is a file") };
    let connection = rusqlite::Connection::open(at.path).expect("the file opens");
    connection
        .execute_batch(
            "DELETE FROM deliveries_0 WHERE offset < 3;
             UPDATE partitions SET first_offset = 3 WHERE topic = 'deliveries' AND partition = 0",
        )
        .expect("it can be written");
    drop(connection);
    let journal = open(file(&folder, "first.sqlite")).await;
    let first = everything(&journal).await;
    journal.close().await;
    drop(journal);

    let prefix = kafka::unique("copy");
    let report = copy(file(&folder, "first.sqlite"), brokers(&prefix).await).await.expect("it is copied");
    assert_eq!(report.identity, identity);
    let journal = open(brokers(&prefix).await).await;
    assert_eq!(*journal.identity(), identity, "it is the same log");
    assert_eq!(everything(&journal).await, first);
    // Whoever followed the one goes on with the other.
    let mut follow = journal.follow(Topic::Records, vec![(0, bookmark)]).await;
    append_numbers(&journal, 0, 100..101).await;
    loop {
        match next(&mut follow).await {
            FollowEvent::Messages(batch) if batch.partition == 0 => {
                assert!(batch.messages[0].offset >= bookmark.next);
                break;
            }
            FollowEvent::Stopped(stop) => panic!("{stop}"),
            _ => {}
        }
    }
    drop(follow);

    // It lives on there, where transactions leave gaps; and comes back with them, and goes there again.
    live(&journal, "second").await;
    in_time("closing", journal.close()).await;
    loop {
        match copy(brokers(&prefix).await, file(&folder, "second.sqlite")).await {
            Ok(_) => break,
            // The mark of the last transaction's end came meanwhile.
            Err(CopyError::Moved) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let journal = open(brokers(&prefix).await).await;
    let second = everything(&journal).await;
    in_time("closing", journal.close()).await;
    let journal = open(file(&folder, "second.sqlite")).await;
    assert_eq!(everything(&journal).await, second);
    journal.close().await;
    drop(journal);
    let third = kafka::unique("copy");
    for _ in 0..2 {
        // The second time there is nothing left to do.
        copy(file(&folder, "second.sqlite"), brokers(&third).await).await.expect("it is copied");
    }
    let journal = open(brokers(&third).await).await;
    assert_eq!(everything(&journal).await, second);
    append_numbers(&journal, 1, 200..201).await;
    in_time("closing", journal.close()).await;

    // By now it is another log: neither is the beginning of the other.
    let journal = open(file(&folder, "second.sqlite")).await;
    append_numbers(&journal, 1, 300..302).await;
    journal.close().await;
    drop(journal);
    let refused = copy(file(&folder, "second.sqlite"), brokers(&third).await).await;
    assert!(matches!(refused, Err(CopyError::NotEmpty { topic: "records", partition: 1 })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_empty_is_refused_before_anything_is_written() {
    if kafka::available().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(file(&folder, "from.sqlite")).await;
    append_numbers(&journal, 0, 0..5).await;
    journal.close().await;
    drop(journal);
    let prefix = kafka::unique("copy");
    let other = open(brokers(&prefix).await).await;
    let refused = copy(file(&folder, "from.sqlite"), brokers(&prefix).await).await;
    assert!(matches!(refused, Err(CopyError::NotEmpty { topic: "control", .. })), "{refused:?}");
    let bounds = other.bounds(Topic::Records).await.expect("the bounds are known");
    assert!(bounds.iter().all(|bounds| bounds.end == 0), "{bounds:?}");
    in_time("closing", other.close()).await;
}

/// The child's whole life: it copies until it is killed, and says how far it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_process_copies_until_it_is_killed() {
    let (Ok(from), Ok(to)) = (std::env::var(FROM_VARIABLE), std::env::var(TO_VARIABLE)) else { return };
    let from = EmbeddedConfig { path: from.into(), partitions: PARTITIONS };
    let (brokers, prefix) = to.split_once(' ').expect("brokers and prefix");
    let to = JournalConfig::Kafka(config(brokers, prefix));
    let copied = copy_log(JournalConfig::Embedded(from), to, |progress| {
        say(&format!("copied {}", progress.done));
    });
    copied.await.expect("it is copied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_killed_is_no_log_and_is_finished_by_the_next_run() {
    const COUNT: u32 = 40_000;
    if kafka::available().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(file(&folder, "from.sqlite")).await;
    for partition in 0..2 {
        let many = (0..COUNT).map(|number| fixed(partition, format!("{number}"))).collect();
        append_all(&journal, Topic::Records, many).await;
    }
    journal.close().await;
    drop(journal);
    let (prefix, brokers_at) = (kafka::unique("copy"), blocking(Cluster::shared).await.bootstrap());
    let mut child = Command::new(std::env::current_exe().expect("the test binary has a path"));
    child.args(child_arguments("kafka::copy::a_child_process_copies_until_it_is_killed"));
    child.env(FROM_VARIABLE, folder.path().join("from.sqlite"));
    child.env(TO_VARIABLE, format!("{brokers_at} {prefix}")).stdout(Stdio::piped());
    let child = child.spawn().expect("the child starts");
    let said = tokio::task::spawn_blocking(|| kill_after(child, "copied ", 3)).await;
    said.expect("the child was heard");
    let report = copy(file(&folder, "from.sqlite"), brokers(&prefix).await).await.expect("it is finished");
    let records = report.messages.iter().find(|(topic, _)| *topic == Topic::Records).expect("it is told");
    assert_eq!(records.1, 2 * u64::from(COUNT));

    // The other way round: a file that is not finished can't be opened.
    let giving_up = copy_log(brokers(&prefix).await, file(&folder, "back.sqlite"), |_| {});
    let mut giving_up = Box::pin(giving_up);
    let JournalConfig::Embedded(back) = file(&folder, "back.sqlite") else { unreachable!("it is a file") };
    let begun = tokio::select! {
        done = &mut giving_up => { done.expect("it is copied"); false }
        () = crate::contract::until(|| async { std::fs::metadata(&back.path).is_ok_and(|m| m.len() > 0) }) => true,
    };
    drop(giving_up);
    if begun {
        let refused = in_time("opening", Journal::open(file(&folder, "back.sqlite"))).await;
        let Err(OpenError::Refused(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains("not finished"), "{why}");
    }
    copy(brokers(&prefix).await, file(&folder, "back.sqlite")).await.expect("it is finished");
    let journal = open(file(&folder, "back.sqlite")).await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    assert_eq!(collect(&mut follow, 2 * COUNT as usize).await.len(), 2 * COUNT as usize);
    journal.close().await;
}
