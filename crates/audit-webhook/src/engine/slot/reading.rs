//! Where a lane's records come from: the tail, while it is level with it; else the log, through the windows.

use std::sync::Arc;

use audit_journal::Offset;

use super::{Gap, Slot, Surroundings, Work, hold_of};
use crate::engine::windows::Window;
use crate::entry::Entry;
use crate::lane::{Hold, Key, TrackId};
use crate::live::Live;
use crate::tail::Tail;

/// How many of the deliveries that are due are looked at for one whose record is at hand, and for how many
/// records at a time the log is read.
const DUE_LOOKED_AT: usize = 32;
const DUE_READ_FOR: usize = 4;

/// What stands on the log at or after an offset.
pub(super) enum Found {
    /// A message.
    Here(Arc<Entry>),
    /// Nothing before this offset.
    Nothing(Offset),
    /// It is being read, or has not come yet.
    Later,
}

impl Slot {
    /// The window that `offset` lies in: one that was read, or else what the lane kept of one. If there is none, it is
    /// fetched, and the lane goes on when it is there.
    fn look(&self, id: TrackId, offset: Offset, around: &mut Surroundings<'_>) -> Option<Arc<Window>> {
        match self.asked.run.as_ref().filter(|run| run.covers(offset)) {
            Some(run) if !around.windows.has(offset) => Some(Arc::clone(run)),
            _ => around.windows.look(offset, &self.id, self.reads_behind(id, around.now_ms)),
        }
    }

    /// The first message at or after `offset`, as far as it is at hand, in what the lane kept too.
    pub(super) fn find(&self, id: TrackId, offset: Offset, around: &mut Surroundings<'_>) -> Found {
        if offset >= around.tail.start() {
            return match around.tail.from(offset) {
                Some(entry) => Found::Here(Arc::clone(entry)),
                None if around.tail.next() > offset => Found::Nothing(around.tail.next()),
                None => Found::Later,
            };
        }
        if offset < around.windows.start() {
            return Found::Nothing(around.windows.start());
        }
        let Some(window) = self.look(id, offset, around) else { return Found::Later };
        match window.from(offset).first() {
            Some(entry) => Found::Here(Arc::clone(entry)),
            None => Found::Nothing(window.next()),
        }
    }

    /// Takes up the place that the lane has by now, on the tail or behind it.
    pub(in crate::engine) fn sync(&mut self, tail: &Tail) {
        if !self.level {
            return;
        }
        self.drop_passed();
        match self.queue.front().map(|entry| entry.offset()) {
            None => {
                self.seen_ms = None;
                self.lane.log_mut().pass_to(tail.next());
            }
            Some(first) => {
                self.seen_ms = self.queue.front().map(|entry| entry.message().appended_at_ms);
                self.lane.log_mut().pass_to(first);
                if first < tail.start() {
                    self.leave_tail();
                }
            }
        }
    }

    /// The tail brought something that the endpoint wants.
    pub(in crate::engine) fn take(&mut self, entry: &Arc<Entry>) {
        if self.level && entry.offset() >= self.lane.log().next() {
            self.queue.push_back(Arc::clone(entry));
        }
    }

    /// From here on it reads for itself, until it comes near the tail again. To be called when the cursor is
    /// where it belongs.
    pub(super) fn leave_tail(&mut self) {
        self.level = false;
        self.queue = std::collections::VecDeque::new();
    }

    /// The cursor has passed what stands first in the queue.
    pub(super) fn drop_passed(&mut self) {
        let next = self.lane.log().next();
        while self.queue.front().is_some_and(|entry| entry.offset() < next) {
            self.queue.pop_front();
        }
    }

    /// The next record that the endpoint wants, passing those that it does not.
    pub(super) fn peek(&mut self, live: &Live, around: &mut Surroundings<'_>) -> Option<Arc<Entry>> {
        loop {
            let next = self.lane.log().next();
            if next >= around.tail.start() {
                if !self.level {
                    let wanted = around.tail.all_from(next).filter(|entry| live.wants(entry));
                    self.queue = wanted.map(Arc::clone).collect();
                    self.level = true;
                }
                self.sync(around.tail);
                return self.queue.front().map(Arc::clone);
            }
            self.level = false;
            let start = around.windows.start();
            if next < start {
                around.gaps.push(Gap { id: self.id.clone(), from: next, to: start });
                self.lane.log_mut().pass_to(start);
                continue;
            }
            let window = self.look(TrackId::Log, next, around)?;
            let entries = window.from(next);
            self.seen_ms = entries.first().map(|entry| entry.message().appended_at_ms).or(self.seen_ms);
            let is_behind = self.reads_behind(TrackId::Log, around.now_ms);
            around.windows.read_ahead(&window, around.tail.start(), &self.id, is_behind);
            match entries.iter().find(|entry| live.wants(entry)) {
                Some(entry) => {
                    self.lane.log_mut().pass_to(entry.offset());
                    return Some(Arc::clone(entry));
                }
                None => self.lane.log_mut().pass_to(window.next()),
            }
        }
    }

    /// A delivery of a track that is due, and whose record is at hand.
    pub(super) fn due(&mut self, id: TrackId, around: &mut Surroundings<'_>) -> Option<Work> {
        let track = self.lane.track(id)?;
        let due: Vec<Offset> = track.all_due(around.now_ms).take(DUE_LOOKED_AT).collect();
        // In turn with retries, those that were never tried: both are in one queue where order is kept.
        let untried = if self.retry_next {
            None
        } else {
            due.iter().position(|offset| track.attempts(*offset) == Some(0)).filter(|index| *index > 0)
        };
        let mut read_for = 0;
        for offset in untried.map(|index| due[index]).into_iter().chain(due) {
            match self.find(id, offset, around) {
                Found::Here(entry) if entry.offset() == offset && entry.parcel().is_some() => {
                    return Some(Work::Due(id, entry));
                }
                Found::Here(_) | Found::Nothing(_) => {
                    // Retention removed it before it was delivered.
                    around.gaps.push(Gap { id: self.id.clone(), from: offset, to: offset + 1 });
                    self.lane.settle(id, offset, false);
                }
                Found::Later => {
                    read_for += 1;
                    if read_for >= DUE_READ_FOR {
                        break;
                    }
                }
            }
        }
        None
    }

    /// Looks for more of the projects of which nothing is known but where to look.
    pub(super) fn walk(&mut self, id: TrackId, live: &Live, around: &mut Surroundings<'_>) {
        let by_filter = self.goes_by_filter(id, live);
        for (_, key) in self.lane.track(id).map(|track| track.walks()).unwrap_or_default() {
            while let Some((at, end)) = self.lane.track(id).and_then(|t| Some((t.walk_of(&key)?, t.next()))) {
                if at >= end {
                    self.track_walked(id, &key, end);
                    break;
                }
                match self.find(id, at, around) {
                    Found::Later => break,
                    Found::Nothing(to) => {
                        if at < around.windows.start() {
                            around.gaps.push(Gap { id: self.id.clone(), from: at, to: to.min(end) });
                        }
                        self.track_walked(id, &key, to);
                    }
                    Found::Here(entry) if entry.offset() >= end => self.track_walked(id, &key, end),
                    Found::Here(entry) => {
                        let is_wanted = *entry.key() == key
                            && if by_filter { live.wants(&entry) } else { entry.parcel().is_some() };
                        if !is_wanted {
                            self.track_walked(id, &key, entry.offset() + 1);
                            continue;
                        }
                        let mut hold = match id {
                            TrackId::Log => hold_of(&entry, live, around.now_ms),
                            TrackId::Replay(_) => Hold { due: around.now_ms, ..Hold::default() },
                        };
                        // Behind the others of its project also where projects are no longer kept in order.
                        hold.key = Some(key.clone());
                        let track = self.lane.track_mut(id);
                        if !track.is_some_and(|track| track.found(entry.offset(), hold)) {
                            break;
                        }
                    }
                }
            }
        }
    }

    fn track_walked(&mut self, id: TrackId, key: &Key, to: Offset) {
        if let Some(track) = self.lane.track_mut(id) {
            track.walked(key, to);
        }
    }
}
