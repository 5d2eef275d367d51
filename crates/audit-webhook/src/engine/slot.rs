//! A lane with what it needs to move: its endpoint, its window on the log, its place in the queue for
//! permits. Begins deliveries; what becomes of them is the partition's.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use audit_journal::{Offset, Partition, Range, ReadError, ReadLimit, Topic};
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::Shared;
use super::delivery::{Done, Permits, Subject, deliver};
use crate::document::Document;
use crate::endpoint::EndpointId;
use crate::entry::Entry;
use crate::lane::Lane;
use crate::live::Live;
use crate::tail::Tail;

/// What a lane that is behind the tail reads at a time.
const WINDOW: ReadLimit = ReadLimit { messages: 256, bytes: 256 * 1024 };

/// A lane that could not begin anything for so long gives its window back.
const STALLED: Duration = Duration::from_secs(1);

/// How long to wait after a range could not be read.
pub(super) const READ_PAUSE: Duration = Duration::from_secs(1);

type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What is under way for all lanes of a partition.
#[derive(Default)]
pub(super) struct UnderWay {
    pub(super) deliveries: FuturesUnordered<Task<Done>>,
    pub(super) permits: FuturesUnordered<Task<(EndpointId, u64, Option<Permits>)>>,
    pub(super) windows: FuturesUnordered<Task<WindowRead>>,
}

/// A window that was read, or not.
pub(super) struct WindowRead {
    pub(super) id: EndpointId,
    pub(super) life: u64,
    pub(super) from: Offset,
    pub(super) range: Result<Range, ReadError>,
}

/// What a slot may look at and add to while it moves.
pub(super) struct Surroundings<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) partition: Partition,
    pub(super) tail: &'a Tail,
    pub(super) under_way: &'a mut UnderWay,
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
    window: VecDeque<Arc<Entry>>,
    /// Up to where the window reaches.
    window_end: Offset,
    reading: bool,
    read_at: Option<Instant>,
    permits: Option<Permits>,
    /// Since when it waits for permits.
    asked: Option<Instant>,
    /// Whether a retry or a first attempt is next, when there are both: they take turns.
    retry_next: bool,
}

enum Work {
    First(Arc<Entry>),
    Again(Offset),
}

impl Slot {
    pub(super) fn new(id: EndpointId, lane: Lane, live: Option<Arc<Live>>) -> Self {
        Self {
            id,
            lane,
            live,
            life: 0,
            window: VecDeque::new(),
            window_end: 0,
            reading: false,
            read_at: None,
            permits: None,
            asked: None,
            retry_next: false,
        }
    }

    /// Takes up a changed endpoint. One that was moved begins anew.
    pub(super) fn update(&mut self, live: Arc<Live>, start: Offset) {
        let incarnation = live.endpoint.incarnation;
        if incarnation > self.lane.incarnation() {
            let lane = Lane::load(None::<Document>, incarnation, start, start);
            let life = self.life + 1;
            *self = Self { life, ..Self::new(self.id.clone(), lane, None) };
        }
        self.live = Some(live);
    }

    /// The endpoint, if deliveries may begin. When the document is of a later incarnation than the
    /// settings we have heard of, we wait to hear more.
    fn active(&self) -> Option<&Arc<Live>> {
        self.live.as_ref().filter(|live| live.is_on() && live.endpoint.incarnation == self.lane.incarnation())
    }

    /// Whether it moves with the tail, and so may keep the watermark back for a moment.
    pub(super) fn is_level(&self, tail: &Tail) -> bool {
        self.active().is_some() && self.lane.next() >= tail.start()
    }

    /// When something becomes due, by the wall clock.
    pub(super) fn earliest_due(&self) -> Option<i64> {
        self.active()?;
        self.lane.earliest_due()
    }

    /// When to read again after a read that failed.
    pub(super) fn read_again_at(&self) -> Option<Instant> {
        self.active()?;
        self.read_at
    }

    /// Begins everything that may begin now.
    pub(super) fn go(&mut self, around: &mut Surroundings<'_>) {
        let Some(live) = self.active().map(Arc::clone) else { return };
        while let Some(work) = self.work(&live, around) {
            let permits = self.permits.take().or_else(|| {
                // Who asked waits its turn.
                if self.asked.is_some() { None } else { Permits::try_take(around.shared, &live) }
            });
            let Some(permits) = permits else {
                self.ask_for_permits(&live, around);
                return;
            };
            let subject = match work {
                Work::First(entry) => {
                    self.lane.begin(entry.offset(), around.now_ms);
                    Subject::Entry(entry)
                }
                Work::Again(offset) => {
                    self.lane.begin_again(offset);
                    around.tail.at(offset).map_or(Subject::At(offset), |e| Subject::Entry(Arc::clone(e)))
                }
            };
            self.retry_next = !self.retry_next;
            around.under_way.deliveries.push(Box::pin(deliver(
                Arc::clone(around.shared),
                around.partition,
                (self.id.clone(), self.life),
                Arc::clone(&live),
                subject,
                permits,
            )));
        }
        // Nothing to do: what was got for it is of use to others.
        self.permits = None;
    }

    fn ask_for_permits(&mut self, live: &Arc<Live>, around: &mut Surroundings<'_>) {
        if self.asked.is_none() {
            self.asked = Some(Instant::now());
            let (id, life) = (self.id.clone(), self.life);
            let taking = Permits::take(Arc::clone(around.shared), Arc::clone(live));
            around.under_way.permits.push(Box::pin(async move { (id, life, taking.await) }));
        }
    }

    /// Permits came.
    pub(super) fn granted(&mut self, permits: Option<Permits>) {
        self.asked = None;
        self.permits = permits;
    }

    fn work(&mut self, live: &Live, around: &mut Surroundings<'_>) -> Option<Work> {
        let again = self.lane.due(around.now_ms).map(Work::Again);
        if again.is_some() && self.retry_next {
            return again;
        }
        self.first(live, around).map(Work::First).or(again)
    }

    /// The next record that the endpoint wants, passing those that it does not.
    fn first(&mut self, live: &Live, around: &mut Surroundings<'_>) -> Option<Arc<Entry>> {
        if !self.lane.has_room() {
            return None;
        }
        loop {
            let next = self.lane.next();
            if next >= around.tail.start() {
                self.window.clear();
                let Some(entry) = around.tail.from(next) else {
                    self.lane.pass_to(around.tail.next());
                    return None;
                };
                if entry.is_for(&live.endpoint, live.filters) {
                    return Some(Arc::clone(entry));
                }
                self.lane.pass_to(entry.offset() + 1);
                continue;
            }
            while self.window.front().is_some_and(|entry| entry.offset() < next) {
                self.window.pop_front();
            }
            match self.window.front() {
                Some(entry) => {
                    if entry.is_for(&live.endpoint, live.filters) {
                        return Some(Arc::clone(entry));
                    }
                    let passed = entry.offset() + 1;
                    self.lane.pass_to(passed);
                }
                None if self.window_end > next => self.lane.pass_to(self.window_end),
                None => {
                    self.read_window(next, around);
                    return None;
                }
            }
        }
    }

    fn read_window(&mut self, from: Offset, around: &mut Surroundings<'_>) {
        if self.reading || self.read_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        self.reading = true;
        self.read_at = None;
        let (id, life) = (self.id.clone(), self.life);
        let (journal, partition) = (around.shared.journal.clone(), around.partition);
        around.under_way.windows.push(Box::pin(async move {
            let range = journal.read(Topic::Records, partition, from, WINDOW).await;
            WindowRead { id, life, from, range }
        }));
    }

    /// A window came.
    pub(super) fn take_window(&mut self, range: Range) {
        self.reading = false;
        // What arrived before we had it is not young: it never keeps the watermark back.
        self.window = range.messages.into_iter().map(|message| Arc::new(Entry::new(message))).collect();
        self.window_end = range.next;
    }

    /// No window came.
    pub(super) fn read_failed(&mut self, pause: Duration) {
        self.reading = false;
        self.read_at = Some(Instant::now() + pause);
    }

    /// Gives the window back when it is of no use for a while.
    pub(super) fn rest(&mut self) {
        let stalled = self.asked.is_some_and(|since| since.elapsed() > STALLED);
        if stalled || !self.lane.has_room() || self.active().is_none() {
            self.window = VecDeque::new();
            self.window_end = 0;
        }
    }
}
