//! Following a topic whole: one consumer on a thread of its own, assigned statically.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::BaseConsumer;
use tokio_util::sync::CancellationToken;

use crate::follow::{Batch, FollowEvent, Stop, Wanted};
use crate::position::{Offset, Partition};

use super::client::reason;
use super::ends::Ends;
use super::feed::Feed;
use super::pace::Pace;
use super::tail::{Tail, TailEvent};

/// How long a follower may be behind before its partitions are paused. It has no part in anything: its pause is for a taker
/// that has stopped, not for one that writes a large transaction. What librdkafka reports meanwhile, once a second, waits
/// too.
const PAUSE_AFTER: Duration = Duration::from_secs(10);

/// How long a broker gathers for a whole follower, in milliseconds, and how much is enough, in bytes. Those who follow
/// the whole log keep archives and show it to people: one answer for what comes in a twentieth of a second spares the
/// broker, and whoever writes what comes, one for each record.
pub(super) const GATHERED_MS: &str = "50";
pub(super) const GATHERED_BYTES: &str = "65536";

/// A consumer that is told the ends of its partitions once a second.
type TailConsumer = BaseConsumer<Ends>;

impl TailEvent for FollowEvent {
    fn messages(batch: Batch) -> Self {
        Self::Messages(batch)
    }

    fn level(partition: Partition, next: Offset) -> Self {
        Self::Level { partition, next }
    }

    fn stopped(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

/// What a whole follower is given.
pub(super) struct Whole {
    pub(super) topic: String,
    /// How many the topic has.
    pub(super) partitions: u32,
    pub(super) wanted: Wanted,
    pub(super) epoch: u32,
}

/// Runs a whole follower on the calling thread until it is stopped or nobody listens.
pub(super) fn run(
    config: &rdkafka::ClientConfig,
    whole: &Whole,
    feed: Feed<FollowEvent>,
    stop: &CancellationToken,
) {
    let mut pace = Pace::new();
    let consumer = loop {
        match TailConsumer::from_config_and_context(config, Ends::default()) {
            Ok(consumer) => break consumer,
            Err(error) => tracing::error!(reason = reason(&error), "a follower can't be made"),
        }
        if !pace.sleep(stop) {
            return;
        }
    };
    let mut tail = Tail::new(consumer, whole.topic.clone(), feed, PAUSE_AFTER);
    let followed = (0..whole.partitions).filter(|partition| whole.wanted.has(*partition));
    let followed = followed.map(|partition| (partition, whole.wanted.bookmark(partition))).collect();
    let mut laid = tail.lay(followed, whole.epoch);
    loop {
        if !laid.is_empty() {
            for stop in laid.into_iter().filter_map(|laid| laid.stop) {
                tail.feed.push(FollowEvent::Stopped(stop));
            }
            tail.assign();
        }
        if stop.is_cancelled() || !tail.turn() {
            return;
        }
        tail.hear_ends();
        laid = tail.lay_waiting(whole.epoch);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;

    use rdkafka::mocking::MockCluster;
    use tokio::sync::mpsc::error::TryRecvError;

    use super::super::client::Clients;
    use super::super::ends::STATISTICS_INTERVAL_MS;
    use super::*;
    use crate::config::KafkaConfig;

    /// How long anything here may take, on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(120);

    #[test]
    fn a_partition_without_a_leader_holds_up_no_other_and_is_followed_once_it_has_one() {
        let mock = MockCluster::new(1).expect("a cluster in this process");
        mock.create_topic("mock.records", 2, 1).expect("a topic");
        mock.partition_leader("mock.records", 0, None).expect("it loses its leader");
        let clients = Clients::new(KafkaConfig {
            brokers: mock.bootstrap_servers(),
            prefix: "mock".to_owned(),
            partitions: 2,
            create_topics: false,
            append_timeout: Duration::from_secs(2),
            librdkafka: BTreeMap::new(),
        });
        let config = clients
            .expect("the settings are good")
            .consumer("follow", &[("statistics.interval.ms", STATISTICS_INTERVAL_MS)]);
        let (feed, mut events) = Feed::new();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let following = std::thread::spawn(move || {
            let topic = "mock.records".to_owned();
            let wanted = Wanted { only: None, from: Vec::new() };
            let whole = Whole { topic, partitions: 2, wanted, epoch: 0 };
            run(&config, &whole, feed, &stopped);
        });
        // Which partition is level next.
        let mut level = || {
            let until = Instant::now() + PATIENCE;
            loop {
                match events.try_recv() {
                    Ok(FollowEvent::Level { partition, .. }) => return partition,
                    Ok(other) => panic!("there is nothing to follow: {other:?}"),
                    Err(TryRecvError::Disconnected) => panic!("it follows no more"),
                    Err(TryRecvError::Empty) => {}
                }
                assert!(Instant::now() < until, "no partition is level");
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        assert_eq!(level(), 1);
        mock.partition_leader("mock.records", 0, Some(1)).expect("it has a leader again");
        while level() != 0 {}
        stop.cancel();
        following.join().expect("it ends");
    }
}
