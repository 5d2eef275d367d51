//! A cursor, and what before it is not settled. A lane has one that goes with the log, and one a replay.
//!
//! Deliveries go one of two ways. Without order, one is begun when the cursor passes its record. With an
//! order (or held back, to be collapsed) it is *held*: the cursor passes, and the delivery begins when it is
//! due and everything of its project before it is settled. What of a project waits behind such a delivery is
//! known by offset while that is little; beyond it is found again on the log, by a *walk* from where knowledge
//! ends to the cursor. So a project that is stuck costs a key and an offset, however much waits in it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use audit_journal::Offset;
use bytes::Bytes;

use crate::document::{Blocked, Pending};

/// Most deliveries of one track that were begun or failed and are not settled. At the bound the cursor waits.
pub(crate) const PENDING_MAX: usize = 10_000;

/// Most deliveries that are held and were not tried yet. At the bound the cursor waits.
pub(crate) const HELD_MAX: usize = 1_024;

/// Most projects with something that is not settled. At the bound the cursor waits.
pub(crate) const BLOCKED_MAX: usize = 1_000;

/// Most bytes of their keys, for all of them stand in the document, which is one message on the log. At the bound
/// the cursor waits.
const KEY_BYTES_MAX: usize = 256 * 1024;

/// Most deliveries of one project that are known to wait behind another, and of all projects of a track.
/// Beyond, they are found again on the log.
pub(crate) const QUEUED_MAX: usize = 64;
pub(crate) const QUEUED_OF_ALL_MAX: usize = 4_096;

/// How many walks go at a time.
const WALKS_AT_A_TIME: usize = 16;

/// A project: its records' routing key.
pub(crate) type Key = Bytes;

/// A burst: changes of one thing that are delivered as one.
pub(crate) type Burst = Arc<str>;

/// How a delivery is held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hold {
    /// Its project, where projects are kept in order.
    pub(crate) key: Option<Key>,
    /// Its burst, where bursts are collapsed.
    pub(crate) burst: Option<Burst>,
    /// When it may begin.
    pub(crate) due: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Track {
    /// The first offset not yet looked at.
    next: Offset,
    /// Deliveries before `next` that are not settled, as far as they are known one by one.
    open: BTreeMap<Offset, Open>,
    /// Those of them that wait for their time, by when.
    waiting: BTreeSet<(i64, Offset)>,
    /// How many of `waiting` were never tried.
    held: usize,
    /// How many of `open` wait behind another of their project.
    queued: usize,
    queues: BTreeMap<Key, Queue>,
    /// Bytes of the keys of `queues`.
    key_bytes: usize,
    /// Queues of which nothing is known but where to look.
    walks: BTreeSet<(Offset, Key)>,
    /// The newest delivery of each burst that has not begun.
    bursts: HashMap<Burst, Offset>,
}

#[derive(Clone, Debug)]
struct Open {
    /// Failed attempts.
    attempt: u32,
    /// When it is, or was, to be tried.
    due: i64,
    stage: Stage,
    key: Option<Key>,
    burst: Option<Burst>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    InFlight,
    /// For its time; at the head of its project, if it has one.
    Waiting,
    /// Behind another of its project.
    Queued,
}

/// What of one project is not settled.
#[derive(Clone, Debug, Default)]
struct Queue {
    /// In order; the first is at the head.
    known: VecDeque<Offset>,
    /// From here to the cursor its records must be looked for; `None` where all are known.
    walk: Option<Offset>,
}

impl Queue {
    fn from(&self) -> Option<Offset> {
        self.known.front().copied().or(self.walk)
    }

    fn walks_at(&self) -> Option<Offset> {
        self.walk.filter(|_| self.known.is_empty())
    }
}

impl Track {
    pub(crate) fn new(next: Offset) -> Self {
        Self {
            next,
            open: BTreeMap::new(),
            waiting: BTreeSet::new(),
            held: 0,
            queued: 0,
            queues: BTreeMap::new(),
            key_bytes: 0,
            walks: BTreeSet::new(),
            bursts: HashMap::new(),
        }
    }

    /// As it was written down. What was in flight then is due at its time, which has come.
    pub(crate) fn load(next: Offset, pending: &[Pending], blocked: &[Blocked]) -> Self {
        let mut track = Self::new(next);
        for &Pending { offset, attempt, due } in pending {
            let open = Open { attempt, due, stage: Stage::Queued, key: None, burst: None };
            track.open.insert(offset, open);
            track.queued += 1;
            track.wait(offset);
        }
        for Blocked { key, from, pending } in blocked {
            let key = Key::copy_from_slice(key.as_bytes());
            let head = track.open.get_mut(from).filter(|_| *pending);
            let is_head = head.is_some();
            if let Some(head) = head {
                head.key = Some(key.clone());
            }
            let walk = from + u64::from(is_head);
            track.with_queue(&key, |queue| {
                queue.known.extend(is_head.then_some(*from));
                queue.walk = (walk < next).then_some(walk);
            });
        }
        track
    }

    /// The first offset not yet looked at.
    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    /// How many deliveries are known not to be settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.open.len()
    }

    /// How many deliveries wait for their time.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.open.len() - self.waiting.len() - self.queued
    }

    /// How many projects wait behind a delivery that has failed or was found waiting.
    pub(crate) fn blocked(&self) -> usize {
        let stuck = |queue: &&Queue| {
            queue.known.front().and_then(|head| self.open.get(head)).is_none_or(|head| head.attempt > 0)
        };
        self.queues.values().filter(stuck).count()
    }

    /// Whether everything before `next` is settled.
    pub(crate) fn is_settled(&self) -> bool {
        self.open.is_empty() && self.queues.is_empty()
    }

    /// Whether the cursor may pass another record that is wanted.
    pub(crate) fn has_room(&self) -> bool {
        self.open.len() - self.queued < PENDING_MAX
            && self.held < HELD_MAX
            && self.queues.len() < BLOCKED_MAX
            && self.key_bytes < KEY_BYTES_MAX
    }

    /// Bytes of the keys of projects with something that is not settled.
    pub(crate) fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    /// Everything before `next` is looked at: what was passed is not wanted, or is not there.
    pub(crate) fn pass_to(&mut self, next: Offset) {
        self.next = self.next.max(next);
    }

    /// The record at `offset` is wanted, and its first attempt begins.
    pub(crate) fn begin(&mut self, offset: Offset, now_ms: i64) {
        debug_assert!(offset >= self.next, "a record is begun once");
        let open = Open { attempt: 0, due: now_ms, stage: Stage::InFlight, key: None, burst: None };
        self.open.insert(offset, open);
        self.next = offset + 1;
    }

    /// The record at `offset` is wanted, when its time comes and its project's turn.
    pub(crate) fn hold(&mut self, offset: Offset, hold: Hold) {
        debug_assert!(offset >= self.next, "a record is held once");
        self.next = offset + 1;
        if let Some(key) = &hold.key {
            let queue = self.queues.get(key);
            if queue.is_some_and(|queue| queue.walk.is_some()) {
                return; // The walk comes by.
            }
            if queue.is_some_and(|queue| queue.known.len() >= QUEUED_MAX)
                || (queue.is_some() && self.queued >= QUEUED_OF_ALL_MAX)
            {
                self.with_queue(&key.clone(), |queue| queue.walk = Some(offset));
                return;
            }
        }
        self.enqueue(offset, hold);
    }

    /// Where to look for more of which project: the first of them on the log.
    pub(crate) fn walks(&self) -> Vec<(Offset, Key)> {
        self.walks.iter().take(WALKS_AT_A_TIME).cloned().collect()
    }

    /// Where the walk of a project is; `None` where it needs none for now.
    pub(crate) fn walk_of(&self, key: &Key) -> Option<Offset> {
        self.queues.get(key)?.walk
    }

    /// A walk found a record of its project that is wanted. False when enough is known for now: it is looked
    /// for again later.
    pub(crate) fn found(&mut self, offset: Offset, hold: Hold) -> bool {
        let Some(key) = hold.key.clone() else { return false };
        let known = self.queues.get(&key).map_or(0, |queue| queue.known.len());
        if known >= QUEUED_MAX || (known > 0 && self.queued >= QUEUED_OF_ALL_MAX) {
            return false;
        }
        self.enqueue(offset, hold);
        self.walked(&key, offset + 1);
        true
    }

    /// A walk has passed everything before `to`.
    pub(crate) fn walked(&mut self, key: &Key, to: Offset) {
        let next = self.next;
        if self.queues.contains_key(key) {
            self.with_queue(key, |queue| queue.walk = Some(to).filter(|to| *to < next));
        }
    }

    fn enqueue(&mut self, offset: Offset, Hold { key, burst, mut due }: Hold) {
        if let Some(burst) = &burst
            && let Some(earlier) = self.bursts.insert(Arc::clone(burst), offset)
        {
            // The newer record stands for both, at the time of the earlier one.
            due = self.open.get(&earlier).map_or(due, |open| open.due.min(due));
            self.take_out(earlier);
        }
        self.open.insert(offset, Open { attempt: 0, due, stage: Stage::Queued, key: key.clone(), burst });
        self.queued += 1;
        match key {
            None => self.wait(offset),
            Some(key) => {
                self.with_queue(&key, |queue| queue.known.push_back(offset));
                self.wait_for_head(&key);
            }
        }
    }

    /// The delivery that is due longest, if one is.
    #[cfg(test)]
    pub(crate) fn due(&self, now_ms: i64) -> Option<Offset> {
        self.waiting.first().filter(|(due, _)| *due <= now_ms).map(|(_, offset)| *offset)
    }

    /// Those that are due, the longest first.
    pub(crate) fn all_due(&self, now_ms: i64) -> impl Iterator<Item = Offset> {
        self.waiting.iter().take_while(move |(due, _)| *due <= now_ms).map(|(_, offset)| *offset)
    }

    /// When the next delivery is due.
    pub(crate) fn earliest_due(&self) -> Option<i64> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// An attempt at what is due begins. Returns how many have failed.
    pub(crate) fn begin_again(&mut self, offset: Offset) -> u32 {
        self.leave_stage(offset, Stage::InFlight);
        let Some(open) = self.open.get_mut(&offset) else { return 0 };
        if let Some(burst) = open.burst.take() {
            self.bursts.remove(&burst);
        }
        open.attempt
    }

    /// How many attempts at `offset` have failed; `None` where it is settled.
    pub(crate) fn attempts(&self, offset: Offset) -> Option<u32> {
        self.open.get(&offset).map(|open| open.attempt)
    }

    /// The project of what is open at `offset`.
    pub(crate) fn key_of(&self, offset: Offset) -> Option<&Key> {
        self.open.get(&offset)?.key.as_ref()
    }

    /// The delivery is settled: it arrived, or was given up.
    pub(crate) fn settle(&mut self, offset: Offset) {
        if let Some(key) = self.take_out(offset) {
            self.wait_for_head(&key);
        }
    }

    /// The attempt failed; the next is due at `due`.
    pub(crate) fn fail(&mut self, offset: Offset, due: i64) {
        if let Some(open) = self.open.get_mut(&offset) {
            open.attempt += 1;
        }
        self.postpone(offset, due);
    }

    /// No attempt was made after all; the delivery is due at `due`.
    pub(crate) fn postpone(&mut self, offset: Offset, due: i64) {
        self.leave_stage(offset, Stage::InFlight);
        if let Some(open) = self.open.get_mut(&offset) {
            open.due = due;
            open.stage = Stage::Queued;
            self.queued += 1;
            self.wait(offset);
        }
    }

    /// The first delivery that keeps a watermark back: one that is not settled and stands in no document.
    /// Deliveries before `watermark` stand in the document already.
    pub(crate) fn unsettled_from(&self, watermark: Offset) -> Option<Offset> {
        self.open.range(watermark..).next().map(|(offset, _)| *offset)
    }

    /// What of everything before `end` is not settled: deliveries, and projects. What waits in a project
    /// behind its head is told by the project.
    pub(crate) fn parts(&self, end: Offset) -> (Vec<Pending>, Vec<Blocked>) {
        let pending = (self.open.range(..end))
            .filter(|(_, open)| open.stage != Stage::Queued)
            .map(|(&offset, open)| Pending { offset, attempt: open.attempt, due: open.due });
        let blocked = self.queues.iter().filter_map(|(key, queue)| {
            let from = queue.from().filter(|from| *from < end)?;
            let pending = !queue.known.is_empty();
            Some(Blocked { key: String::from_utf8_lossy(key).into_owned(), from, pending })
        });
        (pending.collect(), blocked.collect())
    }

    /// Forgets a delivery. Returns its project, whose next one may go ahead.
    fn take_out(&mut self, offset: Offset) -> Option<Key> {
        self.leave_stage(offset, Stage::InFlight);
        let open = self.open.remove(&offset)?;
        if let Some(burst) = open.burst
            && self.bursts.get(&burst) == Some(&offset)
        {
            self.bursts.remove(&burst);
        }
        let key = open.key?;
        self.with_queue(&key, |queue| queue.known.retain(|known| *known != offset));
        Some(key)
    }

    /// The head of a project waits for its time, if it does not already.
    fn wait_for_head(&mut self, key: &Key) {
        let head = self.queues.get(key).and_then(|queue| queue.known.front().copied());
        if let Some(head) = head
            && self.open.get(&head).is_some_and(|open| open.stage == Stage::Queued)
        {
            self.wait(head);
        }
    }

    /// From `Queued` to `Waiting`.
    fn wait(&mut self, offset: Offset) {
        self.leave_stage(offset, Stage::Waiting);
        if let Some(open) = self.open.get(&offset) {
            self.waiting.insert((open.due, offset));
            self.held += usize::from(open.attempt == 0);
        }
    }

    fn leave_stage(&mut self, offset: Offset, for_stage: Stage) {
        let Some(open) = self.open.get_mut(&offset) else { return };
        match std::mem::replace(&mut open.stage, for_stage) {
            Stage::InFlight => {}
            Stage::Queued => self.queued -= 1,
            Stage::Waiting => {
                self.waiting.remove(&(open.due, offset));
                self.held -= usize::from(open.attempt == 0);
            }
        }
    }

    /// Changes a queue, which is made if it is not there, and goes when nothing is left of it.
    fn with_queue(&mut self, key: &Key, change: impl FnOnce(&mut Queue)) {
        let queue = match self.queues.entry(key.clone()) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => {
                self.key_bytes += key.len();
                place.insert(Queue::default())
            }
        };
        let before = queue.walks_at();
        change(queue);
        let (after, is_over) = (queue.walks_at(), queue.from().is_none());
        if is_over {
            self.queues.remove(key);
            self.key_bytes -= key.len();
        }
        if before != after {
            if let Some(at) = before {
                self.walks.remove(&(at, key.clone()));
            }
            if let Some(at) = after {
                self.walks.insert((at, key.clone()));
            }
        }
    }
}
