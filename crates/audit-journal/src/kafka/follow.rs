//! Following a topic whole: one consumer on a thread of its own, assigned statically.
//!
//! A broker that is down ends nothing: librdkafka connects again, and the thread asks again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset as KafkaOffset, Statistics, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use crate::follow::{Batch, FollowEvent, Stop};
use crate::position::{Bookmark, Bounds, Offset, Partition};

use super::ask::{bounds_of, bounds_within, is_passing, of_each};
use super::client::{REQUEST_WAIT, log_error, log_line, reason};
use super::feed::{Feed, Flow};
use super::pace::Pace;
use super::track::{Taken, Track};
use super::wire::message_of;

/// How long a poll waits for the first message, and a turn for a taker that is behind; a stop is noticed within
/// this.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Most messages taken between two looks at everything else.
const TAKEN_AT_ONCE_MAX: usize = 4000;

/// How long an owner may be behind before its partitions are paused. Pausing throws away what was fetched; but
/// without it there is no polling, and without polling no part in a rebalance.
pub(super) const PAUSE_AFTER_OWNED: Duration = Duration::from_millis(500);

/// The same of a whole follower, who has no part in anything: its pause is for a taker that has stopped, not for
/// one that writes a large transaction. What librdkafka reports meanwhile, once a second, waits too.
const PAUSE_AFTER_WHOLE: Duration = Duration::from_secs(10);

/// How often it is said that a follower is hindered, while it is.
const HINDERED_INTERVAL: Duration = Duration::from_secs(60);

/// How long a log must look shorter than the bookmark before it counts as truncated: right after an
/// election a broker may not know its end yet.
const TRUNCATED_AFTER: Duration = Duration::from_secs(3);

/// A consumer that is told the ends of its partitions once a second.
pub(super) type TailConsumer = BaseConsumer<Ends>;

/// The ends of partitions by librdkafka's statistics: for lag, without a question to the broker.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends(Arc<Mutex<BTreeMap<Partition, Offset>>>);

/// How often librdkafka tells statistics; only the ends are taken from them.
pub(super) const STATISTICS_INTERVAL_MS: &str = "1000";

/// How long a broker gathers for a whole follower, in milliseconds, and how much is enough, in bytes. Those who follow
/// the whole log keep archives and show it to people: one answer for what comes in a twentieth of a second spares the
/// broker, and whoever writes what comes, one for each record.
pub(super) const GATHERED_MS: &str = "50";
pub(super) const GATHERED_BYTES: &str = "65536";

/// How long an owner's idle fetch waits, in milliseconds. A record ends the wait; so this is only how soon an end of a
/// partition is told, and how long a new assignment may wait for the answer to the fetch before it.
pub(super) const IDLE_FETCH_MS: &str = "100";

impl ClientContext for Ends {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.heard(&statistics);
    }
}

impl ConsumerContext for Ends {}

impl Ends {
    pub(super) fn heard(&self, statistics: &Statistics) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in statistics.topics.values().flat_map(|topic| topic.partitions.values()) {
            // Partitions of another owner keep stale figures; `desired` are ours.
            if partition.desired && partition.ls_offset >= 0 && partition.partition >= 0 {
                ends.insert(partition.partition as Partition, partition.ls_offset as Offset);
            }
        }
    }

    fn of(&self, partition: Partition) -> Option<Offset> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied()
    }
}

/// How long a partition's leader may take to answer while other partitions wait to be polled, and the pause after one
/// that did not.
const LEADER_WAIT: Duration = Duration::from_secs(1);

/// A partition whose leader told what it holds.
#[derive(Debug)]
pub(super) struct Laid {
    pub(super) partition: Partition,
    pub(super) end: Offset,
    /// A bookmark that the log does not bear out gives a stop, and no track.
    pub(super) stop: Option<Stop>,
}

/// What both kinds of following deliver.
pub(super) trait TailEvent {
    fn messages(batch: Batch) -> Self;
    fn level(partition: Partition, next: Offset) -> Self;
    fn stopped(stop: Stop) -> Self;
}

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

/// The followed partitions of one consumer, and the feed that their events go to.
pub(super) struct Tail<C: ConsumerContext, E> {
    pub(super) consumer: BaseConsumer<C>,
    pub(super) topic: String,
    pub(super) tracks: BTreeMap<Partition, Track>,
    /// Partitions whose leaders have not answered yet, and where their readers stand: asked in turn, while the others
    /// are followed.
    unlaid: VecDeque<(Partition, Option<Bookmark>)>,
    /// When one of them was asked last in vain.
    asked_in_vain: Option<Instant>,
    pub(super) feed: Feed<E>,
    /// How long the taker may be behind before the partitions are paused.
    pause_after: Duration,
    paused: bool,
    behind_since: Option<Instant>,
    /// All are to be assigned anew: librdkafka was refused an offset, or did not move a partition.
    begins_anew: bool,
    hindered_said: Option<Instant>,
}

impl<C: ConsumerContext, E: TailEvent> Tail<C, E> {
    pub(super) fn new(
        consumer: BaseConsumer<C>,
        topic: String,
        feed: Feed<E>,
        pause_after: Duration,
    ) -> Self {
        Self {
            consumer,
            topic,
            tracks: BTreeMap::new(),
            unlaid: VecDeque::new(),
            asked_in_vain: None,
            feed,
            pause_after,
            paused: false,
            behind_since: None,
            begins_anew: false,
            hindered_said: None,
        }
    }

    /// Lays the tracks of partitions. One without a leader holds up none of the others: what does not answer now is
    /// asked again by [`Tail::lay_waiting`].
    pub(super) fn lay(&mut self, wanted: Vec<(Partition, Option<Bookmark>)>, epoch: u32) -> Vec<Laid> {
        let until = Instant::now() + REQUEST_WAIT;
        let mut laid = Vec::with_capacity(wanted.len());
        for (partition, bookmark) in wanted {
            // Not all of it for one: those behind it may have leaders.
            let wait = until.saturating_duration_since(Instant::now()).min(LEADER_WAIT);
            let one = if wait.is_zero() { None } else { self.lay_one(partition, bookmark, epoch, wait) };
            match one {
                Some(one) => laid.push(one),
                None => self.unlaid.push_back((partition, bookmark)),
            }
        }
        laid
    }

    /// Asks those that did not answer before, until one does not again. What is laid is to be assigned.
    pub(super) fn lay_waiting(&mut self, epoch: u32) -> Vec<Laid> {
        let mut laid = Vec::new();
        if self.asked_in_vain.is_some_and(|at| at.elapsed() < LEADER_WAIT) {
            return laid;
        }
        while let Some((partition, bookmark)) = self.unlaid.pop_front() {
            match self.lay_one(partition, bookmark, epoch, LEADER_WAIT) {
                Some(one) => laid.push(one),
                None => {
                    // Behind the others, whose leaders may be there.
                    self.unlaid.push_back((partition, bookmark));
                    self.asked_in_vain = Some(Instant::now());
                    break;
                }
            }
        }
        laid
    }

    /// Forgets all partitions: they are somebody else's.
    pub(super) fn forget(&mut self) {
        self.tracks.clear();
        self.unlaid.clear();
        self.asked_in_vain = None;
    }

    /// Lays the track of one partition. `None` where its leader does not answer now.
    fn lay_one(
        &mut self,
        partition: Partition,
        bookmark: Option<Bookmark>,
        epoch: u32,
        wait: Duration,
    ) -> Option<Laid> {
        let since = Instant::now();
        loop {
            let answer = bounds_within(&self.consumer, &self.topic, partition, wait);
            let bounds = self.answer(partition, answer)?;
            let end = bounds.end;
            match Track::lay(bookmark, bounds, epoch) {
                Ok(track) => {
                    self.tracks.insert(partition, track);
                    return Some(Laid { partition, end, stop: None });
                }
                Err(Stop::Truncated { .. }) if since.elapsed() < TRUNCATED_AFTER => {
                    std::thread::sleep(POLL_WAIT);
                }
                Err(stop) => {
                    tracing::error!(topic = self.topic, %stop, "a partition is not followed");
                    return Some(Laid { partition, end, stop: Some(stop) });
                }
            }
        }
    }

    /// Fetches all tracks that go on, and nothing else. What was fetched before and not taken is fetched again.
    pub(super) fn assign(&mut self) {
        let assigned = self.consumer.assign(&self.assignment());
        self.assigned_anew();
        if let Err(error) = assigned {
            tracing::error!(topic = self.topic, %error, "partitions can't be assigned; it is tried again");
            self.begins_anew = true;
        }
    }

    /// The assignment of all tracks that go on, each from where it reads on.
    fn assignment(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, track) in self.tracks.iter().filter(|(_, track)| !track.is_stopped()) {
            let from = KafkaOffset::Offset(track.read_from() as i64);
            if let Err(error) = list.add_partition_offset(&self.topic, *partition as i32, from) {
                tracing::error!(partition, reason = reason(&error), "an offset can't be represented");
            }
        }
        list
    }

    /// After another assignment: it is fetched, whatever was paused before.
    pub(super) fn assigned_anew(&mut self) {
        self.begins_anew = false;
        self.paused = true;
        self.resume();
    }

    /// One turn: polls, delivers what came. False when the taker is gone.
    pub(super) fn turn(&mut self) -> bool {
        match self.feed.flow(POLL_WAIT) {
            Flow::Closed => return false,
            Flow::Full => {
                let behind = self.behind_since.get_or_insert_with(Instant::now).elapsed();
                if behind >= self.pause_after {
                    // Polled on while paused: the membership of a group lives by it.
                    self.pause(behind);
                    self.poll(Duration::ZERO);
                }
                return true;
            }
            Flow::Free => self.resume(),
        }
        if std::mem::take(&mut self.begins_anew) && !self.tracks.is_empty() {
            self.begin_anew();
        }
        let mut wait = POLL_WAIT;
        for _ in 0..TAKEN_AT_ONCE_MAX {
            if !self.poll(wait) || self.feed.is_behind() || self.begins_anew {
                break;
            }
            wait = Duration::ZERO;
        }
        self.deliver();
        true
    }

    /// Sends every batch that was gathered.
    fn deliver(&mut self) {
        for track in self.tracks.values_mut() {
            if let Some(batch) = track.batch() {
                self.feed.push(E::messages(batch));
            }
        }
    }

    /// Whether something came.
    fn poll(&mut self, wait: Duration) -> bool {
        let event = match self.consumer.poll(wait) {
            None => return false,
            Some(Ok(message)) => {
                let partition = message.partition() as Partition;
                let Some(track) = self.tracks.get_mut(&partition) else { return true };
                let taken = track.take(message_of(&message));
                drop(message);
                self.act(partition, taken);
                return true;
            }
            Some(Err(error)) => error,
        };
        match event {
            KafkaError::PartitionEOF(partition) => self.at_end(partition as Partition),
            error if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                // Seen to in the next turn: a rebalance that came before it goes first.
                self.begins_anew = true;
            }
            error if is_passing(&error) => {
                tracing::debug!(topic = self.topic, reason = reason(&error), "following was interrupted");
            }
            error => self.say_hindered(&error),
        }
        true
    }

    /// What librdkafka does not get over by itself somebody must mend: a right that was taken away, a password.
    fn say_hindered(&mut self, error: &KafkaError) {
        if self.hindered_said.is_none_or(|said| said.elapsed() >= HINDERED_INTERVAL) {
            self.hindered_said = Some(Instant::now());
            tracing::warn!(
                topic = self.topic,
                reason = reason(error),
                "a topic can't be followed; it is tried again"
            );
        }
    }

    fn act(&mut self, partition: Partition, taken: Taken) {
        match taken {
            Taken::Gathered => {}
            Taken::Full => {
                if let Some(batch) = self.tracks.get_mut(&partition).and_then(Track::batch) {
                    self.feed.push(E::messages(batch));
                }
            }
            Taken::Stop(stop) => {
                tracing::error!(topic = self.topic, %stop, "a partition goes no further");
                self.feed.push(E::stopped(stop));
                self.with_partition(partition, "paused", |consumer, list| consumer.pause(list));
            }
            Taken::Restart(from) => {
                self.say_moved(partition, from);
                let from = KafkaOffset::Offset(from as i64);
                let sought = self.consumer.seek(&self.topic, partition as i32, from, REQUEST_WAIT);
                if let Err(error) = sought {
                    // What comes until then is of another place, and not taken.
                    tracing::warn!(topic = self.topic, partition, %error, "a partition can't be moved: it is assigned anew");
                    self.begins_anew = true;
                }
            }
        }
    }

    fn at_end(&mut self, partition: Partition) {
        let position = self.position(partition);
        let Some(track) = self.tracks.get_mut(&partition) else { return };
        if let Some(batch) = track.batch() {
            self.feed.push(E::messages(batch));
        }
        match track.at_end(position) {
            Ok(Some(next)) => self.feed.push(E::level(partition, next)),
            Ok(None) => {}
            Err(taken) => self.act(partition, taken),
        }
    }

    fn say_moved(&self, partition: Partition, from: Offset) {
        tracing::warn!(topic = self.topic, partition, from, "a partition is read from another offset");
    }

    /// Some partition's offset was out of range; librdkafka does not say whose. It fetches no more of it, nor does
    /// it seek in what it does not fetch: so all are assigned anew, each from where it reads on. One whose leader
    /// does not answer now is refused again, if it was the one.
    fn begin_anew(&mut self) {
        // A broker that goes on to refuse what it says it has is not asked faster than this.
        std::thread::sleep(POLL_WAIT);
        let from: Vec<(Partition, Offset)> = (self.tracks.iter())
            .filter(|(_, track)| !track.is_stopped())
            .map(|(partition, track)| (*partition, track.read_from()))
            .collect();
        let (consumer, topic) = (&self.consumer, self.topic.as_str());
        let answers = of_each(&from, |(partition, read)| bounds_up_to(consumer, topic, *partition, *read));
        for ((partition, from), answer) in from.into_iter().zip(answers) {
            let Some(bounds) = self.answer(partition, answer) else { continue };
            if (bounds.start..=bounds.end).contains(&from) {
                continue;
            }
            match self.tracks.get_mut(&partition).map(|track| track.out_of_range(bounds)) {
                None => {}
                Some(Taken::Restart(from)) => self.say_moved(partition, from),
                Some(taken) => self.act(partition, taken),
            }
        }
        self.assign();
    }

    fn pause(&mut self, behind: Duration) {
        if !self.paused {
            self.paused = true;
            let list = self.assignment();
            tracing::debug!(topic = self.topic, ?behind, "the taker is behind: paused");
            if let Err(error) = self.consumer.pause(&list) {
                tracing::warn!(%error, "partitions can't be paused");
            }
        }
    }

    fn resume(&mut self) {
        self.behind_since = None;
        if std::mem::take(&mut self.paused) {
            let mut list = TopicPartitionList::new();
            for (partition, _) in self.tracks.iter().filter(|(_, track)| !track.is_stopped()) {
                list.add_partition(&self.topic, *partition as i32);
            }
            if let Err(error) = self.consumer.resume(&list) {
                tracing::warn!(%error, "partitions can't be resumed");
            }
        }
    }

    fn with_partition(
        &self,
        partition: Partition,
        done: &str,
        change: impl FnOnce(&BaseConsumer<C>, &TopicPartitionList) -> Result<(), KafkaError>,
    ) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition as i32);
        if let Err(error) = change(&self.consumer, &list) {
            tracing::warn!(topic = self.topic, partition, %error, "a partition can't be {done}");
        }
    }

    /// Where the consumer stands, past what is not messages.
    fn position(&self, partition: Partition) -> Option<Offset> {
        let positions = self.consumer.position().ok()?;
        match positions.find_partition(&self.topic, partition as i32)?.offset() {
            KafkaOffset::Offset(offset) if offset >= 0 => Some(offset as Offset),
            _ => None,
        }
    }

    fn answer(&self, partition: Partition, answer: KafkaResult<Bounds>) -> Option<Bounds> {
        match answer {
            Ok(bounds) => Some(bounds),
            Err(error) => {
                tracing::debug!(topic = self.topic, partition, reason = reason(&error), "no answer yet");
                None
            }
        }
    }
}

/// What a partition holds; where it looks shorter than what was read, it is asked again for a while.
fn bounds_up_to<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: Partition,
    read: Offset,
) -> KafkaResult<Bounds> {
    let since = Instant::now();
    loop {
        let bounds = bounds_of(consumer, topic, partition)?;
        if read <= bounds.end || since.elapsed() >= TRUNCATED_AFTER {
            return Ok(bounds);
        }
        std::thread::sleep(POLL_WAIT);
    }
}

/// A context that is told the ends.
pub(super) trait HearsEnds {
    fn ends(&self) -> &Ends;
}

impl HearsEnds for Ends {
    fn ends(&self) -> &Ends {
        self
    }
}

impl<C: ConsumerContext + HearsEnds, E: TailEvent> Tail<C, E> {
    /// Takes over what the statistics say of the ends.
    pub(super) fn hear_ends(&mut self) {
        let ends = self.consumer.context().ends().clone();
        for (partition, track) in &mut self.tracks {
            if let Some(end) = ends.of(*partition) {
                track.heard_end(end);
            }
        }
    }
}

/// What a whole follower is given.
pub(super) struct Whole {
    pub(super) topic: String,
    pub(super) partitions: u32,
    pub(super) from: Vec<(Partition, Bookmark)>,
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
    let mut tail = Tail::new(consumer, whole.topic.clone(), feed, PAUSE_AFTER_WHOLE);
    let from = |partition: Partition| {
        whole.from.iter().find(|(of, _)| *of == partition).map(|(_, bookmark)| *bookmark)
    };
    let wanted = (0..whole.partitions).map(|partition| (partition, from(partition))).collect();
    let mut laid = tail.lay(wanted, whole.epoch);
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
    use rdkafka::mocking::MockCluster;
    use tokio::sync::mpsc::error::TryRecvError;

    use super::super::client::Clients;
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
            let whole = Whole { topic, partitions: 2, from: Vec::new(), epoch: 0 };
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
