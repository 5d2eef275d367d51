//! Following a topic whole: one consumer on a thread of its own, assigned statically.
//!
//! A broker that is down ends nothing: librdkafka connects again, and the thread asks again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset as KafkaOffset, Statistics, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use crate::follow::{Batch, FollowEvent, Stop};
use crate::position::{Bookmark, Bounds, Offset, Partition};

use super::ask::{bounds_of, is_passing};
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
            feed,
            pause_after,
            paused: false,
            behind_since: None,
            begins_anew: false,
            hindered_said: None,
        }
    }

    /// Lays the track of one partition, and tells where it ends. `None` where the broker can't be asked
    /// now. A bookmark that the log does not bear out gives a stop, and no track.
    pub(super) fn lay(
        &mut self,
        partition: Partition,
        bookmark: Option<Bookmark>,
        epoch: u32,
    ) -> Option<(Offset, Result<(), Stop>)> {
        let since = Instant::now();
        loop {
            let bounds = self.bounds(partition)?;
            match Track::lay(bookmark, bounds, epoch) {
                Ok(track) => {
                    self.tracks.insert(partition, track);
                    return Some((bounds.end, Ok(())));
                }
                Err(Stop::Truncated { .. }) if since.elapsed() < TRUNCATED_AFTER => {
                    std::thread::sleep(POLL_WAIT);
                }
                Err(stop) => {
                    tracing::error!(topic = self.topic, %stop, "a partition is not followed");
                    return Some((bounds.end, Err(stop)));
                }
            }
        }
    }

    /// The assignment of all tracks that go on, each from where it reads on.
    pub(super) fn assignment(&self) -> TopicPartitionList {
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
        for (partition, from) in from {
            let Some(bounds) = self.bounds_up_to(partition, from) else { continue };
            if (bounds.start..=bounds.end).contains(&from) {
                continue;
            }
            match self.tracks.get_mut(&partition).map(|track| track.out_of_range(bounds)) {
                None => {}
                Some(Taken::Restart(from)) => self.say_moved(partition, from),
                Some(taken) => self.act(partition, taken),
            }
        }
        let assigned = self.consumer.assign(&self.assignment());
        self.assigned_anew();
        if let Err(error) = assigned {
            tracing::error!(topic = self.topic, %error, "partitions can't be assigned anew; it is tried again");
            self.begins_anew = true;
        }
    }

    /// What a partition holds; where it looks shorter than what was read, it is asked again for a while.
    fn bounds_up_to(&self, partition: Partition, read: Offset) -> Option<Bounds> {
        let since = Instant::now();
        loop {
            let bounds = self.bounds(partition)?;
            if read <= bounds.end || since.elapsed() >= TRUNCATED_AFTER {
                return Some(bounds);
            }
            std::thread::sleep(POLL_WAIT);
        }
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

    fn bounds(&self, partition: Partition) -> Option<Bounds> {
        match bounds_of(&self.consumer, &self.topic, partition) {
            Ok(bounds) => Some(bounds),
            Err(error) => {
                tracing::debug!(topic = self.topic, partition, reason = reason(&error), "no answer yet");
                None
            }
        }
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
    for partition in 0..whole.partitions {
        let bookmark = whole.from.iter().find(|(of, _)| *of == partition).map(|(_, bookmark)| *bookmark);
        loop {
            match tail.lay(partition, bookmark, whole.epoch) {
                Some((_, Ok(()))) => break,
                Some((_, Err(stop))) => {
                    tail.feed.push(FollowEvent::Stopped(stop));
                    break;
                }
                None => {}
            }
            if !pace.sleep(stop) {
                return;
            }
        }
    }
    pace.reset();
    while let Err(error) = tail.consumer.assign(&tail.assignment()) {
        tracing::error!(topic = whole.topic, %error, "partitions can't be assigned");
        if !pace.sleep(stop) {
            return;
        }
    }
    while !stop.is_cancelled() && tail.turn() {
        tail.hear_ends();
    }
}
