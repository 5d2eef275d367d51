//! What is read of the log beside the tail: by lanes that catch up, for retries, walks and replays. All cursors
//! of a partition are served as by an elevator; what was read is shared by those near each other, and kept for a
//! while. (The reads of all partitions share two readers, which the journal keeps.)
//!
//! There are two elevators: for lanes that are behind (see `Slot::reads_behind`), and for the others. A read that is
//! behind waits for a turn, and what is live must not wait behind it.

mod elevator;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use audit_journal::{Offset, Range, ReadError, ReadLimit};
use tokio::time::Instant;

use self::elevator::Elevator;
use super::turns::Turn;
use crate::endpoint::EndpointId;
use crate::entry::Entry;

/// What one read brings.
pub(super) const WINDOW: ReadLimit = ReadLimit { messages: 1_024, bytes: 512 * 1024 };

/// Windows that nobody looked at for so long are not kept.
const KEPT_UNUSED: Duration = Duration::from_secs(2);

/// What a lane keeps of a window while it waits for its turn: the first messages from where it is, at least one.
const RUN_MESSAGES_MAX: usize = 16;
const RUN_BYTES_MAX: usize = 32 * 1024;

/// How long to wait after a range could not be read.
const READ_PAUSE: Duration = Duration::from_secs(1);

/// A window on the log: every message there is from `from` to `next`.
#[derive(Debug)]
pub(super) struct Window {
    from: Offset,
    next: Offset,
    entries: Vec<Arc<Entry>>,
    bytes: usize,
}

impl Window {
    /// Up to where it reaches.
    pub(super) fn next(&self) -> Offset {
        self.next
    }

    /// What there is from `offset` on.
    pub(super) fn from(&self, offset: Offset) -> &[Arc<Entry>] {
        &self.entries[self.entries.partition_point(|entry| entry.offset() < offset)..]
    }

    pub(super) fn covers(&self, offset: Offset) -> bool {
        (self.from..self.next).contains(&offset)
    }

    /// The little of it that a lane keeps which is at `offset`.
    fn run(&self, offset: Offset) -> Self {
        let ahead = self.from(offset);
        let mut bytes = 0;
        let fitting = ahead.iter().take(RUN_MESSAGES_MAX).take_while(|entry| {
            bytes += entry.bytes();
            bytes <= RUN_BYTES_MAX
        });
        let (entries, rest) = ahead.split_at(fitting.count().max(1).min(ahead.len()));
        Self {
            from: offset,
            next: rest.first().map_or(self.next, |entry| entry.offset()),
            entries: entries.to_vec(),
            bytes: entries.iter().map(|entry| entry.bytes()).sum(),
        }
    }
}

/// A read that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) from: Offset,
    /// Whether only lanes that are behind wait for it.
    pub(super) is_behind: bool,
}

/// A read that ended.
#[derive(Debug)]
pub(super) struct WindowRead {
    pub(super) read: Read,
    pub(super) range: Result<Range, ReadError>,
    /// Kept until what was read is looked through.
    pub(super) turn: Option<Turn>,
}

/// The windows of one partition.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// The one used last is at the back.
    kept: VecDeque<Arc<Window>>,
    bytes: usize,
    /// Most bytes kept, envelopes included; those used last are kept.
    bytes_max: usize,
    /// Whether one was looked at since the last [`Windows::rest`], and when that was last so.
    is_used: bool,
    used_at: Option<Instant>,
    /// For what is live, and for what is behind.
    live: Elevator,
    behind: Elevator,
    /// The first offset that is still on the log, as far as we have been told.
    start: Offset,
    pause_until: Option<Instant>,
}

impl Windows {
    /// The first offset that is still on the log.
    pub(super) fn start(&self) -> Offset {
        self.start
    }

    /// Sets how many bytes it may keep.
    pub(super) fn set_bytes_max(&mut self, bytes: usize) {
        self.bytes_max = bytes;
    }

    /// The window that `offset` lies in, if it is at hand. If not, it is fetched, and `who` is told.
    pub(super) fn look(&mut self, offset: Offset, who: &EndpointId, is_behind: bool) -> Option<Arc<Window>> {
        let found = self.kept.iter().rposition(|window| window.covers(offset));
        let Some(window) = found.and_then(|index| self.kept.remove(index)) else {
            self.elevator(is_behind).want(offset, who);
            return None;
        };
        self.kept.push_back(Arc::clone(&window));
        self.is_used = true;
        Some(window)
    }

    /// Whether the window that `offset` lies in is at hand.
    pub(super) fn has(&self, offset: Offset) -> bool {
        self.kept.iter().any(|window| window.covers(offset))
    }

    /// What a lane at `offset` is to keep until its turn comes. Without that, lanes at more places than there are
    /// windows could take each other's away for ever, each before the other's turn.
    pub(super) fn run_at(&self, offset: Offset) -> Option<Arc<Window>> {
        let window = self.kept.iter().rfind(|window| window.covers(offset))?;
        Some(Arc::new(window.run(offset)))
    }

    /// Fetches what follows a window before it is asked for, while nobody else waits.
    pub(super) fn read_ahead(&mut self, window: &Window, before: Offset, who: &EndpointId, is_behind: bool) {
        let next = window.next;
        if self.is_idle() && next < before && !self.has(next) {
            self.elevator(is_behind).want(next, who);
        }
    }

    /// What to read next, if anything is to be read now. The read is under way from here on. There may be one of what
    /// is live beside one of what is behind.
    pub(super) fn next_read(&mut self, now: Instant) -> Option<Read> {
        if self.pause_until.is_some_and(|until| until > now) {
            return None;
        }
        self.pause_until = None;
        [false, true].into_iter().find_map(|is_behind| {
            let from = self.elevator(is_behind).begin()?;
            Some(Read { from, is_behind })
        })
    }

    /// When to read again after a read that failed.
    pub(super) fn pause_until(&self) -> Option<Instant> {
        self.pause_until.filter(|_| self.live.is_wanted() || self.behind.is_wanted())
    }

    /// A read ended. Returns who waited for what it brought.
    pub(super) fn arrived(
        &mut self,
        read: Read,
        range: Result<Range, ReadError>,
        now: Instant,
    ) -> Result<BTreeSet<EndpointId>, ReadError> {
        let Read { from, is_behind } = read;
        let next = range.as_ref().ok().map(|range| range.next).filter(|next| *next > from);
        self.elevator(is_behind).end(next);
        match range {
            Ok(range) if range.next > from => {
                let entries: Vec<_> =
                    range.messages.into_iter().map(|message| Arc::new(Entry::new(message))).collect();
                let bytes = entries.iter().map(|entry| entry.bytes()).sum();
                self.keep(Window { from, next: range.next, entries, bytes });
                Ok(self.waited(&(from..range.next)))
            }
            Ok(_) => {
                self.pause_until = Some(now + READ_PAUSE);
                Ok(BTreeSet::new())
            }
            Err(ReadError::OutOfRange { start, .. }) if start > from => {
                self.start = self.start.max(start);
                Ok(self.waited(&(0..start)))
            }
            Err(error) => {
                self.pause_until = Some(now + READ_PAUSE);
                Err(error)
            }
        }
    }

    fn elevator(&mut self, is_behind: bool) -> &mut Elevator {
        if is_behind { &mut self.behind } else { &mut self.live }
    }

    /// Whether nothing is waited for or read.
    fn is_idle(&self) -> bool {
        self.live.is_idle() && self.behind.is_idle()
    }

    fn waited(&mut self, range: &std::ops::Range<Offset>) -> BTreeSet<EndpointId> {
        let mut waited = self.live.waited(range);
        waited.append(&mut self.behind.waited(range));
        waited
    }

    fn keep(&mut self, window: Window) {
        self.bytes += window.bytes;
        self.is_used = true;
        self.kept.push_back(Arc::new(window));
        while self.bytes > self.bytes_max && self.kept.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Keeps nothing that nobody waits near or has looked at lately. To be called now and then.
    pub(super) fn rest(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_used) {
            self.used_at = Some(now);
        }
        let is_quiet = self.used_at.is_none_or(|at| now >= at + KEPT_UNUSED);
        if is_quiet && self.is_idle() {
            while !self.kept.is_empty() {
                self.drop_oldest();
            }
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.bytes -= oldest.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use audit_journal::{Message, Range, ReadError};
    use bytes::Bytes;
    use tokio::time::Instant;

    use super::{KEPT_UNUSED, RUN_BYTES_MAX, RUN_MESSAGES_MAX, Read, Windows};
    use crate::endpoint::EndpointId;

    /// Of most of what is shown here it does not matter.
    const BEHIND: bool = true;

    fn read(from: u64) -> Read {
        Read { from, is_behind: BEHIND }
    }

    fn range(offsets: std::ops::Range<u64>, bytes: usize) -> Range {
        let message = |offset| Message {
            partition: 0,
            offset,
            appended_at_ms: 0,
            key: Bytes::new(),
            headers: Vec::new(),
            value: Some(Bytes::from(vec![b' '; bytes])),
        };
        Range { next: offsets.end, end: 1_000, messages: offsets.map(message).collect() }
    }

    fn who(name: &str) -> EndpointId {
        EndpointId::from(name)
    }

    #[test]
    fn reads_go_up_the_log_and_begin_again_at_the_bottom_and_neighbours_share_one() {
        let mut windows = Windows::default();
        let now = Instant::now();
        for (offset, name) in [(50, "a"), (10, "b"), (52, "c")] {
            assert!(windows.look(offset, &who(name), BEHIND).is_none());
        }
        assert_eq!(windows.next_read(now), Some(read(10)));
        assert_eq!(windows.next_read(now), None, "one at a time");
        assert_eq!(windows.arrived(read(10), Ok(range(10..20, 1)), now), Ok([who("b")].into()));
        assert!(windows.look(5, &who("d"), BEHIND).is_none());
        assert_eq!(windows.next_read(now), Some(read(50)));
        assert_eq!(windows.arrived(read(50), Ok(range(50..60, 1)), now), Ok([who("a"), who("c")].into()));
        assert_eq!(windows.next_read(now), Some(read(5)));
        assert_eq!(windows.look(52, &who("c"), BEHIND).expect("at hand").from(55).len(), 5);
    }

    #[test]
    fn what_is_live_is_read_beside_what_is_behind_and_whoever_waits_for_what_came_is_told() {
        let mut windows = Windows::default();
        let now = Instant::now();
        assert!(windows.look(10, &who("catches up"), BEHIND).is_none());
        assert_eq!(windows.next_read(now), Some(read(10)));
        assert!(windows.look(12, &who("catches up, too"), BEHIND).is_none());
        assert_eq!(windows.next_read(now), None, "one at a time, which may be waiting for its turn");
        assert!(windows.look(11, &who("retries"), !BEHIND).is_none());
        let live = Read { from: 11, is_behind: !BEHIND };
        assert_eq!(windows.next_read(now), Some(live));
        assert_eq!(windows.next_read(now), None);
        let told = [who("retries"), who("catches up, too")];
        assert_eq!(windows.arrived(live, Ok(range(11..20, 1)), now), Ok(told.into()));
        assert_eq!(windows.next_read(now), None, "the other is still under way");
        assert_eq!(windows.arrived(read(10), Ok(range(10..20, 1)), now), Ok([who("catches up")].into()));
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_was_used_last_stays() {
        const KEPT_BYTES_MAX: usize = 3 * 1024 * 1024;
        let mut windows = Windows::default();
        windows.set_bytes_max(KEPT_BYTES_MAX);
        let now = Instant::now();
        for index in 0..6u64 {
            let from = index * 10;
            assert!(windows.look(from, &who("a"), BEHIND).is_none());
            assert_eq!(windows.next_read(now), Some(read(from)));
            windows.arrived(read(from), Ok(range(from..from + 10, KEPT_BYTES_MAX / 80)), now).expect("read");
            assert!(windows.look(0, &who("a"), BEHIND).is_some(), "in use");
        }
        assert!(windows.bytes <= KEPT_BYTES_MAX);
        assert!(windows.look(10, &who("a"), BEHIND).is_none(), "the one not used is gone");
    }

    #[test]
    fn what_a_lane_keeps_until_its_turn_is_a_few_messages_and_at_least_one() {
        let mut windows = Windows::default();
        windows.set_bytes_max(usize::MAX);
        let now = Instant::now();
        for (from, bytes) in [(0u64, 1), (100, RUN_BYTES_MAX / 6), (200, RUN_BYTES_MAX)] {
            assert!(windows.look(from, &who("a"), BEHIND).is_none());
            assert_eq!(windows.next_read(now), Some(read(from)));
            windows.arrived(read(from), Ok(range(from..from + 50, bytes)), now).expect("read");
        }
        let run = |offset| {
            let run = windows.run_at(offset).expect("at hand");
            (run.from(offset).len(), run.next())
        };
        assert_eq!(run(10), (RUN_MESSAGES_MAX, 10 + RUN_MESSAGES_MAX as u64));
        assert_eq!(run(110), (3, 113), "each with its envelope to come");
        assert_eq!(run(210), (1, 211));
        assert_eq!(run(48), (2, 50), "no further than the window");
        assert!(windows.run_at(60).is_none());
    }

    #[test]
    fn a_window_in_use_is_kept_for_who_comes_back_to_it_and_an_unused_one_goes() {
        let mut windows = Windows::default();
        let now = Instant::now();
        assert!(windows.look(3, &who("a"), BEHIND).is_none());
        assert_eq!(windows.next_read(now), Some(read(3)));
        windows.arrived(read(3), Ok(range(3..9, 1)), now).expect("read");
        windows.rest(now);
        windows.rest(now + KEPT_UNUSED / 2);
        assert!(windows.look(4, &who("a"), BEHIND).is_some(), "a slow one reads it once");
        windows.rest(now + KEPT_UNUSED);
        windows.rest(now + KEPT_UNUSED * 2);
        assert!(windows.look(5, &who("a"), BEHIND).is_none());
        assert_eq!(windows.bytes, 0);
    }

    #[test]
    fn the_envelope_that_a_record_comes_to_have_is_counted_before_it_is_made() {
        let mut windows = Windows::default();
        assert!(windows.look(0, &who("a"), BEHIND).is_none());
        assert_eq!(windows.next_read(Instant::now()), Some(read(0)));
        windows.arrived(read(0), Ok(range(0..3, 1_000)), Instant::now()).expect("read");
        assert_eq!(windows.bytes, 6_000);
    }

    #[test]
    fn what_retention_removed_wakes_who_waited_and_a_log_that_is_away_is_asked_again_later() {
        let mut windows = Windows::default();
        let now = Instant::now();
        assert!(windows.look(3, &who("a"), BEHIND).is_none());
        assert_eq!(windows.next_read(now), Some(read(3)));
        let gone = ReadError::OutOfRange { from: 3, start: 7, end: 9 };
        assert_eq!(windows.arrived(read(3), Err(gone), now), Ok([who("a")].into()));
        assert_eq!(windows.start(), 7);
        assert!(windows.look(8, &who("a"), BEHIND).is_none());
        assert_eq!(windows.next_read(now), Some(read(8)));
        assert!(windows.arrived(read(8), Err(ReadError::Unavailable("away".into())), now).is_err());
        assert_eq!(windows.next_read(now), None);
        assert_eq!(windows.next_read(windows.pause_until().expect("a pause")), Some(read(8)));
    }
}
