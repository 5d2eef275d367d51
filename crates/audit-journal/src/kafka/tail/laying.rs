//! Where partitions begin, and begin anew: what their leaders hold, against where their readers stand.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaResult;

use super::super::ask::{bounds_of, bounds_within, of_each};
use super::super::client::{REQUEST_WAIT, reason};
use super::super::track::{Taken, Track};
use super::{POLL_WAIT, Tail, TailEvent};
use crate::follow::Stop;
use crate::position::{Bookmark, Bounds, Offset, Partition};

/// How long a log must look shorter than the bookmark before it counts as truncated: right after an
/// election a broker may not know its end yet.
const TRUNCATED_AFTER: Duration = Duration::from_secs(3);

/// How long a partition's leader may take to answer while other partitions wait to be polled, and the pause after one
/// that did not.
const LEADER_WAIT: Duration = Duration::from_secs(1);

/// A partition whose leader told what it holds.
#[derive(Debug)]
pub(in crate::kafka) struct Laid {
    pub(in crate::kafka) partition: Partition,
    pub(in crate::kafka) end: Offset,
    /// A bookmark that the log does not bear out gives a stop, and no track.
    pub(in crate::kafka) stop: Option<Stop>,
}

impl<C: ConsumerContext, E: TailEvent> Tail<C, E> {
    /// Lays the tracks of partitions. One without a leader holds up none of the others: what does not answer now is
    /// asked again by [`Tail::lay_waiting`].
    pub(in crate::kafka) fn lay(
        &mut self,
        wanted: Vec<(Partition, Option<Bookmark>)>,
        epoch: u32,
    ) -> Vec<Laid> {
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
    pub(in crate::kafka) fn lay_waiting(&mut self, epoch: u32) -> Vec<Laid> {
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

    /// Some partition's offset was out of range; librdkafka does not say whose. It fetches no more of it, nor does
    /// it seek in what it does not fetch: so all are assigned anew, each from where it reads on. One whose leader
    /// does not answer now is refused again, if it was the one.
    pub(super) fn begin_anew(&mut self) {
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
