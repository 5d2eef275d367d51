//! The archive of a log on real Kafka.

use std::collections::BTreeSet;
use std::time::Duration;

use audit_archive::{Query, Reader};
use audit_journal::{Journal, JournalConfig, KafkaConfig, OpenError};
use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::wait;

use crate::harness::{CAUGHT_UP_WITHIN, Place, Running, append, covered, id_of, records};

/// Partitions of the log.
const PARTITIONS: u32 = 4;

async fn open(cluster: &Cluster, prefix: &str) -> Result<Journal, OpenError> {
    let config = KafkaConfig {
        brokers: cluster.bootstrap(),
        prefix: prefix.to_owned(),
        partitions: PARTITIONS,
        create_topics: true,
        append_timeout: Duration::from_secs(30),
        librdkafka: Default::default(),
    };
    Journal::open(JournalConfig::Kafka(config)).await
}

fn ids(reader: &Reader) -> Vec<String> {
    let everything = reader.scan(&Query::default(), reader.ends().expect("ends"), None).expect("a scan");
    everything.map(|row| id_of(&row.expect("a row").json)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_on_kafka_are_archived_once_over_a_restart_and_a_topic_made_anew_stops_it_by_name() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await.expect("a broker");
    let prefix = kafka::unique("archive");
    let place = Place::new(PARTITIONS);
    let reader = place.reader();
    let journal = open(cluster, &prefix).await.expect("the log opens");
    append(&journal, &records(0..1_000)).await;
    let running = Running::start(place.config(), &journal);
    covered(&reader, &journal).await;
    running.stop().await;
    append(&journal, &records(1_000..1_500)).await;
    let running = Running::start(place.config(), &journal);
    covered(&reader, &journal).await;
    running.stop().await;
    let archived = ids(&reader);
    assert_eq!(archived.len(), 1_500);
    assert_eq!(archived.iter().collect::<BTreeSet<_>>().len(), 1_500);
    journal.close().await;

    // Somebody deletes the topic; the next start makes it anew, with other records.
    let topic = format!("{prefix}.records");
    tokio::task::spawn_blocking(move || cluster.delete_topic(&topic))
        .await
        .expect("no panic")
        .expect("deleted");
    let journal = wait::some(CAUGHT_UP_WITHIN, "the topic is there anew, and empty", || async {
        // While the topic is on its way out, it can be neither read nor made.
        let journal = open(cluster, &prefix).await.ok()?;
        let bounds = journal.bounds(audit_journal::Topic::Records).await;
        if bounds.is_ok_and(|bounds| bounds.iter().all(|partition| partition.end == 0)) {
            return Some(journal);
        }
        journal.close().await;
        None
    })
    .await;
    append(&journal, &records(2_000..4_000)).await;
    let running = Running::start(place.config(), &journal);
    wait::until(CAUGHT_UP_WITHIN, "every partition stops by name", || async {
        reader
            .status()
            .is_ok_and(|status| status.partitions.iter().all(|partition| partition.stopped.is_some()))
    })
    .await;
    running.stop().await;
    assert_eq!(ids(&reader), archived, "what was archived stays, and nothing of the other topic is mixed in");
    journal.close().await;
}
