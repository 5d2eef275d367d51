//! A lane with what it needs to move: its endpoint, its place on the tail, its place in the queue for permits.
//! Begins deliveries; what becomes of them is the partition's.

mod asking;
mod reading;
mod replaying;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use audit_journal::{Offset, Partition};
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use self::asking::Asked;
pub(super) use self::asking::Granted;
use super::Shared;
use super::delivery::{Delivery, Done, Of, Permits};
use super::lease::Lease;
use super::windows::{WindowRead, Windows};
use crate::endpoint::EndpointId;
use crate::entry::Entry;
use crate::lane::{Hold, Lane, Life, TrackId};
use crate::limit::Admission;
use crate::live::Live;
use crate::tail::Tail;

/// How often a lane looks again that waits for something whose end it may not hear of.
const LOOK_AGAIN_MS: i64 = 1_000;

type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What is under way for all lanes of a partition.
#[derive(Default)]
pub(super) struct UnderWay {
    pub(super) deliveries: FuturesUnordered<Task<Done>>,
    pub(super) permits: FuturesUnordered<Task<Granted>>,
    pub(super) windows: FuturesUnordered<Task<WindowRead>>,
}

/// Records that retention removed before they were delivered: from (inclusive), to (exclusive).
#[derive(Clone, Debug)]
pub(super) struct Gap {
    pub(super) id: EndpointId,
    pub(super) from: Offset,
    pub(super) to: Offset,
}

/// What a slot may look at and add to while it moves.
pub(super) struct Surroundings<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) partition: Partition,
    pub(super) tail: &'a Tail,
    pub(super) windows: &'a mut Windows,
    pub(super) under_way: &'a mut UnderWay,
    pub(super) gaps: &'a mut Vec<Gap>,
    pub(super) lease: &'a Lease,
    pub(super) now_ms: i64,
}

/// A lane, equipped.
pub(super) struct Slot {
    pub(super) id: EndpointId,
    pub(super) lane: Lane,
    /// The endpoint; absent while the settings do not (yet) know it.
    pub(super) live: Option<Arc<Live>>,
    /// Rises when the lane begins anew: what was under way before does not count any more.
    pub(super) life: u64,
    /// Whether the lane's place is an older epoch's.
    pub(super) is_of_older_epoch: bool,
    /// Whether it goes with the tail: then its cursor is at the first of `queue`, or else at the tail's end.
    level: bool,
    /// What of the tail it wants and has not begun.
    queue: VecDeque<Arc<Entry>>,
    /// What came of asking, until the lane goes.
    permits: Option<Permits>,
    asked: Asked,
    /// When to look again whether anything may begin, milliseconds since 1970.
    look_at: Option<i64>,
    /// It waits until the partition is surely ours.
    pub(super) waits_for_lease: bool,
    /// Whether a retry or a first attempt is next, when there are both: they take turns.
    retry_next: bool,
    /// When the first record was appended that it has not looked at, as far as it has seen.
    seen_ms: Option<i64>,
    /// When the partition is to wake it; kept by the partition.
    pub(super) agenda_ms: Option<i64>,
}

/// What to begin.
enum Work {
    /// A record that the cursor is at.
    First(TrackId, Arc<Entry>),
    /// One that is due.
    Due(TrackId, Arc<Entry>),
}

impl Slot {
    pub(super) fn new(id: EndpointId, lane: Lane, live: Option<Arc<Live>>) -> Self {
        Self {
            id,
            lane,
            live,
            life: 0,
            is_of_older_epoch: false,
            level: false,
            queue: VecDeque::new(),
            permits: None,
            asked: Asked::default(),
            look_at: None,
            waits_for_lease: false,
            retry_next: false,
            seen_ms: None,
            agenda_ms: None,
        }
    }

    /// Takes up a changed endpoint, but not its replays. One that was moved begins anew.
    pub(super) fn update(&mut self, live: Arc<Live>, life: Life, tail: &Tail) {
        self.sync(tail);
        if life.incarnation > self.lane.incarnation() {
            self.restart(life);
        }
        // What it wants of the tail may be something else now.
        self.leave_tail();
        self.live = Some(live);
    }

    /// What the settings say of the endpoint can't be read now: it waits at its place until it can be.
    pub(super) fn set_aside(&mut self, tail: &Tail) {
        self.sync(tail);
        self.leave_tail();
        self.live = None;
    }

    /// Begins anew.
    pub(super) fn restart(&mut self, life: Life) {
        let (lane, lives, agenda_ms) = (Lane::load(None, life, life.start), self.life + 1, self.agenda_ms);
        let live = self.live.take();
        *self = Self { life: lives, agenda_ms, ..Self::new(self.id.clone(), lane, live) };
    }

    /// The endpoint, if deliveries may begin. When the document is of a later incarnation than the settings
    /// we have heard of, we wait to hear more.
    fn active(&self) -> Option<&Arc<Live>> {
        self.live.as_ref().filter(|live| live.is_on() && live.endpoint.incarnation == self.lane.incarnation())
    }

    /// Whether it is an ordered endpoint that deliveries may begin to.
    pub(super) fn is_ordered(&self) -> bool {
        self.active().is_some_and(|live| live.endpoint.ordered)
    }

    /// Whether it has something to settle on the tail.
    pub(super) fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.lane.log().is_settled()
    }

    /// Whether it moves with the tail, and so may keep the watermark and the tail back for a moment: not while
    /// it stands still itself.
    pub(super) fn holds_tail(&self) -> bool {
        self.level && self.look_at.is_none() && !self.asked.is_stalled()
    }

    /// Up to where everything on the tail is settled, for a lane that moves with it.
    pub(super) fn unsettled_from(&self, watermark: Offset, tail: &Tail) -> Offset {
        let next = self.queue.front().map_or(tail.next(), |entry| entry.offset());
        self.lane.log().unsettled_from(watermark).map_or(next, |open| open.min(next))
    }

    /// When to wake it, milliseconds since 1970.
    pub(super) fn wake_at(&self) -> Option<i64> {
        self.active()?;
        match self.look_at {
            // Until then nothing can begin, whatever is due.
            Some(at) => Some(at),
            // Permits wake it. While it waits only for those of a replay, what is live may come to be due.
            None if self.asked.has_asked(false) || (self.asked.has_asked(true) && !self.level) => None,
            None => self.lane.earliest_due(),
        }
    }

    /// Whether it waits at its endpoint's door.
    pub(super) fn waits(&self) -> bool {
        self.look_at.is_some()
    }

    /// How long ago the first record was appended that it has not looked at, as far as is known.
    pub(super) fn behind_s(&self, now_ms: i64) -> Option<u64> {
        self.seen_ms.map(|seen| now_ms.saturating_sub(seen).max(0) as u64 / 1_000)
    }

    /// Begins everything that may begin now.
    pub(super) fn go(&mut self, around: &mut Surroundings<'_>) {
        (self.look_at, self.waits_for_lease) = (None, false);
        self.sync(around.tail);
        let Some(live) = self.active().map(Arc::clone) else {
            self.let_go();
            self.leave_tail();
            return;
        };
        if live.endpoint.ordered && !self.has_lease(&live, around) {
            return;
        }
        match live.gate.opens_at(around.now_ms) {
            Admission::Go(_) => {}
            Admission::NotBefore(at) => return self.stand_still(at),
            Admission::NotYet => return self.stand_still(around.now_ms + LOOK_AGAIN_MS),
        }
        while let Some(work) = self.work(&live, around) {
            live.gate.wants();
            let is_behind = self.is_behind(&work, around.now_ms);
            let Some(permits) = self.permits_for(is_behind, &live, around) else {
                self.ask_for_permits(&work, is_behind, &live, around);
                return;
            };
            let probe = match live.gate.admit(around.now_ms) {
                Admission::Go(probe) => probe,
                Admission::NotBefore(at) => return self.stand_still(at),
                Admission::NotYet => return self.stand_still(around.now_ms + LOOK_AGAIN_MS),
            };
            if !is_behind {
                around.shared.turns.note_live();
            }
            let delivery = self.begin(work, &live, permits, around);
            let delivery = Delivery { probe, ..delivery };
            around.under_way.deliveries.push(Box::pin(delivery.make(Arc::clone(around.shared))));
        }
        self.let_go();
        self.lane.finish_replays();
    }

    /// Nothing can begin before `at`.
    fn stand_still(&mut self, at: i64) {
        self.let_go();
        self.look_at = Some(at);
    }

    /// Whether requests to an ordered endpoint may start.
    fn has_lease(&mut self, live: &Live, around: &Surroundings<'_>) -> bool {
        let now = Instant::now();
        if let Some(from) = around.lease.from(live.endpoint.timeout).filter(|from| *from > now) {
            self.stand_still(around.now_ms + (from - now).as_millis() as i64 + 1);
            return false;
        }
        let is_ours = around.lease.until().is_some_and(|until| now < until);
        if !is_ours {
            self.waits_for_lease = true;
            self.stand_still(around.now_ms + LOOK_AGAIN_MS);
            around.shared.commit_now.notify_one();
        }
        is_ours
    }

    fn begin(
        &mut self,
        work: Work,
        live: &Arc<Live>,
        permits: Permits,
        around: &Surroundings<'_>,
    ) -> Delivery {
        let (track, entry) = match work {
            Work::First(id, entry) => {
                if let Some(track) = self.lane.track_mut(id) {
                    track.begin(entry.offset(), around.now_ms);
                }
                (id, entry)
            }
            Work::Due(id, entry) => {
                if let Some(track) = self.lane.track_mut(id) {
                    track.begin_again(entry.offset());
                }
                (id, entry)
            }
        };
        self.drop_passed();
        self.retry_next = !self.retry_next;
        let mut marks = Delivery::marks(around.partition, entry.offset());
        match track {
            TrackId::Log => {
                marks.collapsed = live.endpoint.collapse.is_some() && entry.burst().is_some();
                if live.endpoint.ordered {
                    marks.previous = self.lane.previous(entry.key(), entry.offset());
                }
            }
            TrackId::Replay(number) => {
                let order = live.endpoint.replays.iter().find(|order| order.number == number);
                marks.replay = order.map(|order| order.id.clone());
            }
        }
        Delivery {
            of: Of { id: self.id.clone(), life: self.life, track, offset: entry.offset() },
            live: Arc::clone(live),
            entry,
            marks,
            permits,
            probe: None,
            starts_before: if live.endpoint.ordered { around.lease.until() } else { None },
        }
    }

    /// What to begin next: first attempts and retries take turns, and a replay has what they leave.
    fn work(&mut self, live: &Live, around: &mut Surroundings<'_>) -> Option<Work> {
        let holds = live.endpoint.ordered || live.endpoint.collapse.is_some();
        if holds {
            self.hold_what_comes(live, around);
        }
        self.walk(TrackId::Log, live, around);
        let due = self.due(TrackId::Log, around);
        if due.is_some() && (holds || self.retry_next) {
            return due;
        }
        let first = if holds { None } else { self.first(live, around) };
        first.or(due).or_else(|| self.replay(live, around))
    }

    /// The next record that the endpoint wants, where its deliveries begin as the cursor passes.
    fn first(&mut self, live: &Live, around: &mut Surroundings<'_>) -> Option<Work> {
        let entry = if self.lane.log().has_room() { self.peek(live, around) } else { None };
        entry.map(|entry| Work::First(TrackId::Log, entry))
    }

    /// Passes the cursor over what comes, where deliveries are held.
    fn hold_what_comes(&mut self, live: &Live, around: &mut Surroundings<'_>) {
        while self.lane.log().has_room()
            && let Some(entry) = self.peek(live, around)
        {
            let hold = hold_of(&entry, live, around.now_ms);
            self.lane.log_mut().hold(entry.offset(), hold);
            self.drop_passed();
        }
    }
}

/// How a record's delivery is held.
fn hold_of(entry: &Entry, live: &Live, now_ms: i64) -> Hold {
    let collapse = live.endpoint.collapse;
    let burst = collapse.and_then(|_| entry.burst().cloned());
    let window_ms = collapse.filter(|_| burst.is_some()).map_or(0, |collapse| collapse.window.as_millis());
    Hold { key: live.endpoint.ordered.then(|| entry.key().clone()), burst, due: now_ms + window_ms }
}
