//! The state machine of one (endpoint, partition): a cursor that goes with the log, the cursors of replays,
//! and what before them is not settled.
//!
//! Pure: no I/O, no clock, no knowledge of the tail but its two ends. Time comes in as milliseconds.

mod last;
mod track;

use audit_journal::Offset;

pub(crate) use track::{Burst, Hold, Key, Track};

use self::last::LastSettled;
use crate::document::{Document, Replay, Tally, Through};

/// Most deliveries of one replay in one partition that are not settled. At the bound its cursor waits.
pub(crate) const REPLAY_PENDING_MAX: usize = 1_000;

/// Most bytes of the keys of one replay's projects that are not settled. At the bound its cursor waits: with the
/// sixteen replays that an endpoint may have, its document still is a message that the log takes.
pub(crate) const REPLAY_KEY_BYTES_MAX: usize = 64 * 1024;

/// Which cursor of a lane a delivery belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TrackId {
    /// The one that goes with the log.
    Log,
    /// A replay's, by the number of its order.
    Replay(u64),
}

/// The cursor of a replay, where it ends, and what came of it so far.
#[derive(Clone, Debug)]
pub(crate) struct ReplayTrack {
    pub(crate) number: u64,
    pub(crate) to: Offset,
    pub(crate) track: Track,
    tally: Tally,
}

/// Which life of an endpoint a lane lives, and where that begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) incarnation: u64,
    /// The log's epoch, which the offsets are of.
    pub(crate) epoch: u32,
    pub(crate) start: Offset,
}

/// One endpoint in one partition.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    log: Track,
    replays: Vec<ReplayTrack>,
    /// The last records settled, by project, of ordered endpoints.
    last: LastSettled,
    /// Nothing before it may come again: where the lane began, or where its document puts it.
    floor: Offset,
    /// What stands in the document besides.
    base: Document,
    /// The document as it was last committed.
    durable: Option<Document>,
}

impl Lane {
    /// A lane as its document tells, or at its start where there is none or one of an older life. `watermark`
    /// is where the partition goes on. What was in flight when the document was written is due at once: this
    /// is the one road for start, rebalance and crash.
    pub(crate) fn load(found: Option<Document>, life: Life, watermark: Offset) -> Self {
        match found {
            Some(document) if document.incarnation >= life.incarnation => {
                let next = document.cursor.unwrap_or(watermark);
                let replay = |replay: &Replay| ReplayTrack {
                    number: replay.number,
                    to: replay.to,
                    track: Track::load(replay.next, &replay.pending, &replay.blocked),
                    tally: replay.tally,
                };
                Self {
                    log: Track::load(next, &document.pending, &document.blocked),
                    replays: document.replays.iter().map(replay).collect(),
                    last: LastSettled::load(&document.last),
                    floor: next,
                    base: Document {
                        through: document.through.clone(),
                        replayed: document.replayed,
                        skipped: document.skipped,
                        first_failure_at: document.first_failure_at,
                        epoch: life.epoch,
                        ..Document::level(document.incarnation)
                    },
                    durable: Some(document),
                }
            }
            _ => Self {
                log: Track::new(life.start),
                replays: Vec::new(),
                last: LastSettled::default(),
                floor: life.start,
                base: Document { epoch: life.epoch, ..Document::level(life.incarnation) },
                durable: None,
            },
        }
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.base.incarnation
    }

    /// The cursor that goes with the log.
    pub(crate) fn log(&self) -> &Track {
        &self.log
    }

    pub(crate) fn log_mut(&mut self) -> &mut Track {
        &mut self.log
    }

    /// The replays under way, the oldest first.
    pub(crate) fn replays(&self) -> &[ReplayTrack] {
        &self.replays
    }

    pub(crate) fn track(&self, id: TrackId) -> Option<&Track> {
        match id {
            TrackId::Log => Some(&self.log),
            TrackId::Replay(number) => {
                self.replays.iter().find(|replay| replay.number == number).map(|replay| &replay.track)
            }
        }
    }

    pub(crate) fn track_mut(&mut self, id: TrackId) -> Option<&mut Track> {
        match id {
            TrackId::Log => Some(&mut self.log),
            TrackId::Replay(number) => {
                self.replays.iter_mut().find(|replay| replay.number == number).map(|replay| &mut replay.track)
            }
        }
    }

    /// Begins the replays that were ordered since the last one begun, and ends and forgets those that no longer
    /// stand among the orders. `ordered` are number, first and end offset in this partition, by number; `last` is
    /// the number of the last order that is known of: a later one is no business of whoever knows less.
    pub(crate) fn take_up(&mut self, ordered: &[(u64, Option<(Offset, Offset)>)], last: u64) {
        let stands = |which: u64| which > last || ordered.iter().any(|(number, _)| *number == which);
        self.replays.retain(|replay| stands(replay.number));
        self.base.through.retain(|through| stands(through.number));
        for &(number, span) in ordered {
            if number > self.base.replayed {
                self.base.replayed = number;
                let begin =
                    |(from, to)| ReplayTrack { number, to, track: Track::new(from), tally: Tally::default() };
                self.replays.extend(span.map(begin));
            }
        }
    }

    /// Ends the replays that are through. What came of them stays known.
    pub(crate) fn finish_replays(&mut self) {
        let is_through =
            |replay: &mut ReplayTrack| replay.track.next() >= replay.to && replay.track.is_settled();
        let through = self.replays.extract_if(.., is_through).filter(|replay| !replay.tally.is_empty());
        self.base
            .through
            .extend(through.map(|replay| Through { number: replay.number, tally: replay.tally }));
    }

    /// The record of the same project before the one at `offset` that was settled; `None` where none is known.
    pub(crate) fn previous(&self, key: &Key, offset: Offset) -> Option<Offset> {
        self.last.before(key, offset)
    }

    /// The delivery is settled: it arrived, or its record is gone.
    pub(crate) fn settle(&mut self, id: TrackId, offset: Offset, delivered: bool) {
        if delivered {
            self.base.first_failure_at = None;
            self.count(id, |tally| tally.sent += 1);
        }
        let Some(track) = self.track_mut(id) else { return };
        let key = track.key_of(offset).cloned();
        track.settle(offset);
        if let Some(key) = key.filter(|_| id == TrackId::Log) {
            self.last.settled(key, offset);
        }
    }

    /// The delivery is settled: every attempt failed.
    pub(crate) fn give_up(&mut self, id: TrackId, offset: Offset) {
        self.count(id, |tally| tally.given_up += 1);
        self.settle(id, offset, false);
    }

    /// The endpoint's format has no word for the record: neither sent nor missed, so that the next one of its project
    /// does not name it.
    pub(crate) fn skip(&mut self, id: TrackId, offset: Offset) {
        self.base.skipped += 1;
        self.count(id, |tally| tally.skipped += 1);
        if let Some(track) = self.track_mut(id) {
            track.settle(offset);
        }
    }

    /// Counts what came of a delivery, of a replay's.
    fn count(&mut self, id: TrackId, one_more: impl FnOnce(&mut Tally)) {
        let replay = self.replays.iter_mut().find(|replay| TrackId::Replay(replay.number) == id);
        if let Some(replay) = replay {
            one_more(&mut replay.tally);
        }
    }

    /// The attempt failed; the next is due at `due`.
    pub(crate) fn fail(&mut self, id: TrackId, offset: Offset, due: i64, now_ms: i64) {
        self.base.first_failure_at.get_or_insert(now_ms);
        if let Some(track) = self.track_mut(id) {
            track.fail(offset, due);
        }
    }

    /// Since when every attempt has failed.
    pub(crate) fn first_failure_at(&self) -> Option<i64> {
        self.base.first_failure_at
    }

    /// What failed up to `at_ms` no longer counts: the endpoint took a delivery then, of another partition
    /// perhaps, or was changed.
    pub(crate) fn forget_failures_before(&mut self, at_ms: i64) {
        self.base.first_failure_at = self.base.first_failure_at.filter(|since| *since > at_ms);
    }

    /// When the next delivery is due.
    pub(crate) fn earliest_due(&self) -> Option<i64> {
        let replays = self.replays.iter().filter_map(|replay| replay.track.earliest_due());
        self.log.earliest_due().into_iter().chain(replays).min()
    }

    /// How many deliveries wait for their time, replays included.
    pub(crate) fn waiting(&self) -> usize {
        self.log.waiting() + self.replays.iter().map(|replay| replay.track.waiting()).sum::<usize>()
    }

    /// How many are in flight, replays included.
    pub(crate) fn in_flight(&self) -> usize {
        self.log.in_flight() + self.replays_in_flight()
    }

    /// How many of replays are in flight.
    pub(crate) fn replays_in_flight(&self) -> usize {
        self.replays.iter().map(|replay| replay.track.in_flight()).sum()
    }

    /// Whether a document holds what is not settled anyway, so that the watermark need not wait for it.
    pub(crate) fn speaks_for_itself(&self) -> bool {
        self.durable.as_ref().is_none_or(|durable| {
            durable.cursor.is_some() || !durable.pending.is_empty() || !durable.blocked.is_empty()
        })
    }

    /// The document that belongs to a watermark, where `tail` is the end of what the partition's tail has
    /// brought. If the process dies after it is committed, [`Lane::load`] goes on from exactly this:
    /// everything before the watermark that is not settled is pending, in a blocked project, or not before
    /// the cursor.
    pub(crate) fn document(&self, watermark: Offset, tail: Offset) -> Document {
        let end = self.end(watermark, tail);
        let (pending, blocked) = self.log.parts(end.unwrap_or(Offset::MAX));
        let replay = |replay: &ReplayTrack| {
            let (pending, blocked) = replay.track.parts(Offset::MAX);
            Replay {
                number: replay.number,
                next: replay.track.next(),
                to: replay.to,
                pending,
                blocked,
                tally: replay.tally,
            }
        };
        Document {
            cursor: end.is_none().then_some(self.log.next()),
            last: self.last.parts(end.unwrap_or(Offset::MAX)),
            pending,
            blocked,
            replays: self.replays.iter().map(replay).collect(),
            ..self.base.clone()
        }
    }

    /// The watermark, for a lane that rides the tail: what lies past it comes again from there. `None` for
    /// one that does not: nothing comes again.
    fn end(&self, watermark: Offset, tail: Offset) -> Option<Offset> {
        let rides_tail = (watermark..=tail).contains(&self.log.next()) && watermark >= self.floor;
        rides_tail.then_some(watermark)
    }

    /// Whether [`Lane::document`] is surely what is durable already, told without making it.
    pub(crate) fn is_plain(&self, watermark: Offset, tail: Offset) -> bool {
        self.log.is_settled()
            && self.replays.is_empty()
            && self.last.is_empty()
            && self.end(watermark, tail).is_some()
            && self.durable.as_ref() == Some(&self.base)
    }

    /// Whether `document` differs from what is durable.
    pub(crate) fn is_news(&self, document: &Document) -> bool {
        self.durable.as_ref() != Some(document)
    }

    /// `document` is durable now, with the watermark that it belongs to.
    pub(crate) fn committed(&mut self, document: Document, watermark: Offset) {
        self.floor = document.cursor.unwrap_or(self.floor);
        self.last.forget_before(document.cursor.unwrap_or(watermark));
        self.durable = Some(document);
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests;
