//! Appending under a name that outlives the process: what a killed predecessor left open, and one that lives.

use std::time::Duration;

use audit_journal::{AppendError, Journal, Topic};
use flagtrail_testkit::kafka;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::{KafkaLog, One, blocking, in_time, topic_name};
use crate::contract::{Harness, fixed, read_all, text, until, until_holds};

type Log = KafkaLog<One>;

const STEP: Duration = Duration::from_secs(120);

/// What a process that was killed in the middle of a transaction leaves behind: its messages are on the brokers,
/// and no commit was sent. The process itself is given back, for one that was not killed but only slow.
async fn predecessor(log: &Log, name: &str) -> BaseProducer {
    let (id, brokers) = (format!("{}-spool-{name}", log.prefix), log.cluster.bootstrap());
    let topic = topic_name(&log.prefix, Topic::Records);
    blocking(move || {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("transactional.id", id)
            // Nothing but a successor ends it while the test runs.
            .set("transaction.timeout.ms", "600000")
            .create()
            .expect("a producer");
        producer.init_transactions(STEP).expect("it is let in");
        producer.begin_transaction().expect("it begins");
        let message = BaseRecord::to(&topic).partition(1).key("key").payload("of the dead");
        producer.send(message).expect("there is room");
        producer.flush(STEP).expect("the broker takes it");
        producer
    })
    .await
}

async fn records(journal: &Journal) -> Vec<String> {
    read_all(journal, Topic::Records, 1).await.iter().map(text).collect()
}

async fn end(journal: &Journal) -> u64 {
    let bounds = in_time("asking", journal.bounds(Topic::Records)).await.expect("they are known");
    bounds[1].end
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_predecessor_left_open_is_ended_before_its_successor_looks() {
    if !Log::is_available() {
        return;
    }
    let log = Log::fresh().await;
    let journal = log.open().await;
    let name = kafka::unique("spool");
    let dead = predecessor(&log, &name).await;
    assert_eq!(end(&journal).await, 0, "readers wait before an open transaction");
    let successor = journal.named_appender(&name);
    until(|| async { successor.settle().await.is_ok() }).await;
    // Two offsets: the message that nobody sees, and the mark that it was aborted.
    assert_eq!(end(&journal).await, 2, "nothing is open any more");
    assert!(records(&journal).await.is_empty(), "the dead had not committed");
    let appended = successor.append_together(vec![(Topic::Records, fixed(1, "of the heir"))]).await;
    appended.expect("it is appended");
    until_holds(&journal, Topic::Records, 1, &["of the heir"]).await;
    // And should it not be dead but slow: nothing that it still sends is taken.
    blocking(move || {
        dead.commit_transaction(STEP).expect_err("it is fenced");
    })
    .await;
    assert_eq!(records(&journal).await, ["of the heir"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_predecessor_committed_is_seen_by_its_successor() {
    if !Log::is_available() {
        return;
    }
    let log = Log::fresh().await;
    let journal = log.open().await;
    let name = kafka::unique("spool");
    let dead = predecessor(&log, &name).await;
    blocking(move || {
        // Sent; whether it was answered before the process died does not matter.
        let _ = dead.commit_transaction(STEP);
        drop(dead);
    })
    .await;
    let successor = journal.named_appender(&name);
    until(|| async { successor.settle().await.is_ok() }).await;
    assert_eq!(records(&journal).await, ["of the dead"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_live_the_later_one_appends_and_the_earlier_one_must_settle_anew() {
    if !Log::is_available() {
        return;
    }
    let log = Log::fresh().await;
    let (journal, name) = (log.open().await, kafka::unique("spool"));
    let (first, second) = (journal.named_appender(&name), journal.named_appender(&name));
    until(|| async { first.settle().await.is_ok() }).await;
    until(|| async { second.settle().await.is_ok() }).await;
    let refused = in_time("appending", first.append_together(vec![(Topic::Records, fixed(1, "late"))])).await;
    assert!(matches!(refused, Err(AppendError::NotAppended(_))), "{refused:?}");
    in_time("appending", second.append_together(vec![(Topic::Records, fixed(1, "second"))]))
        .await
        .expect("it is appended");
    until(|| async { first.settle().await.is_ok() }).await;
    in_time("appending", first.append_together(vec![(Topic::Records, fixed(1, "first"))]))
        .await
        .expect("it is appended");
    until_holds(&journal, Topic::Records, 1, &["second", "first"]).await;
}
