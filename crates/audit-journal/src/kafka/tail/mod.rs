//! The partitions that one consumer reads on, whoever follows them: polled in turns, and delivered to one feed.
//!
//! A broker that is down ends nothing: librdkafka connects again, and the thread asks again.

mod laying;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::follow::{Batch, Stop};
use crate::position::{Bookmark, Offset, Partition};

use super::ask::is_passing;
use super::client::{REQUEST_WAIT, reason};
use super::feed::{Feed, Flow};
use super::track::{Taken, Track};
use super::wire::message_of;

pub(super) use self::laying::Laid;

/// How long a poll waits for the first message, and a turn for a taker that is behind; a stop is noticed within
/// this.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Most messages taken between two looks at everything else.
const TAKEN_AT_ONCE_MAX: usize = 4000;

/// How often it is said that a follower is hindered, while it is.
const HINDERED_INTERVAL: Duration = Duration::from_secs(60);

/// What both kinds of following deliver.
pub(super) trait TailEvent {
    fn messages(batch: Batch) -> Self;
    fn level(partition: Partition, next: Offset) -> Self;
    fn stopped(stop: Stop) -> Self;
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

    /// Forgets all partitions: they are somebody else's.
    pub(super) fn forget(&mut self) {
        self.tracks.clear();
        self.unlaid.clear();
        self.asked_in_vain = None;
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
}
