//! Topics: made, checked, refused by name; and what others do to them behind our back.

use audit_journal::{
    Bookmark, FollowEvent, Journal, OpenError, OwnedCommit, OwnedEvent, PartitionCommit, ReadError,
    ReadLimit, Stop, Topic,
};
use flagtrail_testkit::kafka::{self, Cluster};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{KafkaLog, One, blocking, config, in_time, topic_name};
use crate::contract::{
    Harness, PARTITIONS, append_numbers, append_together, collect, commit, fixed, next, next_owned, until,
};
use crate::heard::listen;

const GROUP: &str = "flagtrail-seal";

type Log = KafkaLog<One>;

async fn refusal_of(config: audit_journal::KafkaConfig) -> String {
    let opened = in_time("opening", Journal::open(audit_journal::JournalConfig::Kafka(config))).await;
    match opened {
        Err(OpenError::Refused(refusal)) => refusal,
        Err(other) => panic!("refused otherwise: {other}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_record_topic_is_refused_by_name() {
    if !Log::is_available() {
        return;
    }
    let (cluster, prefix) = (blocking(Cluster::shared).await, kafka::unique("log"));
    let name = topic_name(&prefix, Topic::Records);
    let wrong = name.clone();
    blocking(move || cluster.create_topic(&wrong, PARTITIONS, &["cleanup.policy=compact"]))
        .await
        .expect("an administrator may do that");
    let refusal = refusal_of(config(&cluster.bootstrap(), &prefix)).await;
    assert!(refusal.contains(&format!("topic {name} has cleanup.policy=compact")), "{refusal}");
    assert!(refusal.contains("--add-config cleanup.policy=delete"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_topics_are_named_where_they_may_not_be_created() {
    if !Log::is_available() {
        return;
    }
    let (cluster, prefix) = (blocking(Cluster::shared).await, kafka::unique("log"));
    let mut config = config(&cluster.bootstrap(), &prefix);
    config.create_topics = false;
    let refusal = refusal_of(config).await;
    for topic in Topic::ALL {
        assert!(refusal.contains(&topic_name(&prefix, topic)), "{refusal}");
    }
    assert!(refusal.contains("flagtrail kafka plan"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_with_too_few_partitions_is_refused_before_anything_is_written() {
    if !Log::is_available() {
        return;
    }
    let (cluster, prefix) = (blocking(Cluster::shared).await, kafka::unique("log"));
    let settings = ["message.timestamp.type=LogAppendTime", "max.message.bytes=4194304", "retention.ms=-1"];
    let name = topic_name(&prefix, Topic::Records);
    let small = name.clone();
    blocking(move || cluster.create_topic(&small, PARTITIONS - 1, &settings)).await.expect("it is created");
    let refusal = refusal_of(config(&cluster.bootstrap(), &prefix)).await;
    assert!(refusal.contains(&format!("topic {name} has {} partitions", PARTITIONS - 1)), "{refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_on_which_the_log_rests_is_refused_by_name() {
    let mut config = config("127.0.0.1:1", "log");
    config.librdkafka.insert("acks".to_owned(), "1".to_owned());
    let refusal = refusal_of(config).await;
    assert!(refusal.contains("kafka.librdkafka.acks"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_secret_is_not_told() {
    let mut config = config("127.0.0.1:1", "log");
    config.librdkafka.insert("sasl.pasword".to_owned(), "hunter2".to_owned());
    assert!(!format!("{config:?}").contains("hunter2"));
    let refusal = refusal_of(config).await;
    assert!(refusal.contains("sasl.pasword") && !refusal.contains("hunter2"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_added_behind_our_back_change_nothing() {
    if !Log::is_available() {
        return;
    }
    let log = Log::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 0, 0..10).await;
    journal.close().await;
    let cluster = log.cluster;
    let name = topic_name(&log.prefix, Topic::Records);
    blocking(move || cluster.add_partitions(&name, PARTITIONS + 3)).await.expect("an administrator may");
    let journal = log.open().await;
    assert_eq!(journal.identity().partitions, PARTITIONS);
    let keyed: Vec<_> = (0..100).map(|n| crate::contract::keyed(&format!("key {n}"), "x")).collect();
    let positions = crate::contract::append_all(&journal, Topic::Records, keyed).await;
    assert!(positions.iter().all(|position| position.partition < PARTITIONS), "{positions:?}");
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    assert_eq!(collect(&mut follow, 110).await.len(), 110);
    let mut owned = journal.follow_owned("flagtrail-deliver").await;
    let mut held = std::collections::BTreeSet::new();
    while held.len() < PARTITIONS as usize {
        if let audit_journal::OwnedEvent::Assigned { partition, .. } =
            crate::contract::next_owned(&mut owned).await
        {
            held.insert(partition);
        }
    }
    assert_eq!(held.into_iter().collect::<Vec<_>>(), (0..PARTITIONS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_in_a_partition_that_is_not_the_logs_are_an_alarm_and_no_records() {
    if !Log::is_available() {
        return;
    }
    let heard = listen();
    let log = Log::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 0, 0..1).await;
    journal.close().await;
    let (cluster, name) = (log.cluster, topic_name(&log.prefix, Topic::Records));
    let added = name.clone();
    blocking(move || cluster.add_partitions(&added, PARTITIONS + 2)).await.expect("an administrator may");
    // Somebody's client that chooses among all partitions there are.
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().expect("a producer");
    // Partitions that were just added show a moment later; what is refused for that reason is not sent.
    until(|| async {
        let stray = FutureRecord::to(&name).partition(PARTITIONS as i32 + 1).key("key").payload("a stray");
        producer.send(stray, Timeout::Never).await.is_ok()
    })
    .await;
    let journal = log.open().await;
    let partition = format!("partition={}", PARTITIONS + 1);
    until(|| async { heard.has(&["ERROR", "is not the log's", &name, &partition, "records=1"]) }).await;
    assert_eq!(journal.bounds(Topic::Records).await.expect("they are known").len(), PARTITIONS as usize);
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    append_numbers(&journal, 0, 1..2).await;
    let messages = collect(&mut follow, 2).await;
    assert!(messages.iter().all(|message| message.partition < PARTITIONS));
}

/// What retention does: takes the messages of partition 0 before this offset away.
async fn remove_before(log: &Log, offset: i64) {
    let admin: AdminClient<_> = ClientConfig::new()
        .set("bootstrap.servers", log.cluster.bootstrap())
        .create()
        .expect("an administrator's client");
    let mut removed = TopicPartitionList::new();
    removed
        .add_partition_offset(&topic_name(&log.prefix, Topic::Records), 0, Offset::Offset(offset))
        .expect("an offset");
    admin.delete_records(&removed, &AdminOptions::new()).await.expect("an administrator may");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_retention_overtook_is_stopped_by_name_and_a_running_one_goes_on() {
    if !Log::is_available() {
        return;
    }
    let log = Log::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 0, 0..10).await;
    let mut running = journal.follow(Topic::Records, Vec::new()).await;
    assert_eq!(collect(&mut running, 10).await.len(), 10);

    remove_before(&log, 8).await;

    let behind = Bookmark { next: 5, ..Bookmark::default() };
    let mut follow = journal.follow(Topic::Records, vec![(0, behind)]).await;
    let stop = loop {
        match next(&mut follow).await {
            FollowEvent::Stopped(stop) => break stop,
            FollowEvent::Messages(batch) => assert_ne!(batch.partition, 0, "it must not be read"),
            FollowEvent::Level { partition, .. } => assert_ne!(partition, 0, "it must not be read"),
        }
    };
    assert_eq!(stop, Stop::Overtaken { partition: 0, start: 8, next: 5 });
    let read = journal.read(Topic::Records, 0, 5, ReadLimit { messages: 10, bytes: 1024 }).await;
    assert_eq!(read.unwrap_err(), ReadError::OutOfRange { from: 5, start: 8, end: 10 });
    append_numbers(&journal, 0, 10..11).await;
    assert_eq!(collect(&mut running, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_that_make_the_log_at_once_agree_on_it() {
    if !Log::is_available() {
        return;
    }
    let log = Log::fresh().await;
    let (first, second) = tokio::join!(log.open(), log.open());
    assert_eq!(first.identity(), second.identity());
    assert_eq!(log.open().await.identity(), first.identity());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_passed_a_transactions_marker_is_not_overtaken_where_nothing_is_left_before_it() {
    if !Log::is_available() {
        return;
    }
    let log = Log::fresh().await;
    let journal = log.open().await;
    append_together(&journal, vec![(Topic::Records, fixed(0, "0")), (Topic::Records, fixed(0, "1"))]).await;
    let mut owned = journal.follow_owned(GROUP).await;
    let (mut generation_of, mut read) = (None, None::<Bookmark>);
    let (generation, bookmark) = loop {
        match next_owned(&mut owned).await {
            OwnedEvent::Assigned { partition: 0, generation, .. } => generation_of = Some(generation),
            OwnedEvent::Messages(batch) if batch.partition == 0 => read = batch.bookmark(),
            OwnedEvent::Level { partition: 0, next } => {
                if let (Some(generation), Some(read)) = (generation_of, read)
                    && next > read.next
                {
                    break (generation, read.advanced_to(next));
                }
            }
            OwnedEvent::Stopped(stop) => panic!("{stop}"),
            _ => {}
        }
    };
    let end = bookmark.next;
    assert!(end > 2, "two messages, and the marker");
    let state = PartitionCommit { partition: 0, generation, bookmark, documents: Vec::new() };
    let position = OwnedCommit { partitions: vec![state], messages: Vec::new() };
    commit(&owned.committer(), position).await.expect("the owner may commit");
    owned.leave().await;
    remove_before(&log, end as i64).await;

    let mut owned = journal.follow_owned(GROUP).await;
    let mut is_level = false;
    while !is_level {
        match next_owned(&mut owned).await {
            OwnedEvent::Stopped(stop) => panic!("{stop}"),
            event => is_level = matches!(event, OwnedEvent::Level { partition: 0, next } if next >= end),
        }
    }
}
