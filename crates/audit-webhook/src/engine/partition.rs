//! One partition that we own: its tail, its lanes, and what is under way for them, in one task.

mod committing;
mod endpoints;
mod outbox;
mod outcomes;
mod reading;
mod takeover;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use audit_journal::{Batch, Offset, Partition as PartitionIndex};
use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use self::outbox::{Load, Outbox};
use super::Shared;
use super::commits::Part;
use super::lease::Lease;
use super::room::TailRoom;
use super::slot::{Gap, Granted, Slot, Surroundings, UnderWay};
use super::windows::Windows;
use crate::document::Document;
use crate::endpoint::EndpointId;
use crate::entry::Entry;
use crate::live::LiveEndpoints;
use crate::tail::Tail;

pub(crate) use takeover::{Takeover, spawn};

/// How long what is in flight may take to end when the partition is given up. What has not ended by then
/// is written down as pending, and its request is broken off.
const RELEASE_WAIT: Duration = Duration::from_secs(3);

/// The wall clock may jump, so it is looked at as often as this.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(1);

/// What the tail brings.
#[derive(Debug)]
pub(crate) enum TailEvent {
    Messages(Batch),
    Level(Offset),
}

/// What others ask of the task.
#[derive(Debug)]
pub(crate) enum Command {
    /// What is to be committed. No further one is asked for before the outcome is told.
    Collect(oneshot::Sender<Option<Part>>),
    /// What was collected is committed.
    Committed,
    /// The partition is somebody else's, or its log is not what it was: everything here is void.
    Lost,
    /// The partition is to be given up; `done` is dropped when it is.
    Release(Option<oneshot::Sender<()>>),
    /// How far each endpoint is.
    Report(oneshot::Sender<Vec<LaneReport>>),
}

/// How far one endpoint is in the partition.
#[derive(Clone, Debug)]
pub(crate) struct LaneReport {
    pub(crate) id: EndpointId,
    /// Offsets between its cursor and the end, holes included.
    pub(crate) behind: u64,
    /// How long ago the first of them was appended, where that is known.
    pub(crate) behind_s: Option<u64>,
    pub(crate) pending: usize,
    pub(crate) in_flight: usize,
    /// Projects that wait behind a record that is not settled.
    pub(crate) blocked: usize,
    /// Its replays that are under way here, by number, and how many offsets of them are not yet looked at.
    pub(crate) replays: Vec<u64>,
    pub(crate) replays_left: u64,
}

/// The ways to a partition's task.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(crate) tail: mpsc::Sender<TailEvent>,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Whether the task is there: the partition is ours.
    pub(crate) fn is_open(&self) -> bool {
        !self.commands.is_closed()
    }
}

struct Partition {
    shared: Arc<Shared>,
    index: PartitionIndex,
    generation: u64,
    tail: Tail,
    tail_room: TailRoom,
    windows: Windows,
    lease: Lease,
    /// The end of the partition as last heard.
    end: Offset,
    /// The watermark as it was last committed.
    watermark: Offset,
    /// A new epoch began since the last owner: whether the log still is what it was shows with the first thing
    /// that the tail brings. Until then nothing begins.
    awaits_epoch: bool,
    /// Places that an earlier epoch told of are another log's; 0 while the log is the same as ever.
    log_since: u32,
    endpoints: LiveEndpoints,
    slots: BTreeMap<EndpointId, Slot>,
    /// Slots that have something to settle on the tail.
    busy: BTreeSet<EndpointId>,
    /// When to wake which slot, milliseconds since 1970.
    agenda: BTreeSet<(i64, EndpointId)>,
    under_way: UnderWay,
    gaps: Vec<Gap>,
    /// Attempts, and records that tell of them, since the last collection.
    outbox: Outbox,
    /// Endpoints whose documents are to be deleted.
    deleted: Vec<EndpointId>,
    /// What was collected and is being committed.
    committing: Option<Committing>,
    releasing: Option<Releasing>,
}

struct Committing {
    began: Instant,
    watermark: Offset,
    documents: Vec<(EndpointId, u64, Document)>,
    load: Load,
    last: bool,
}

struct Releasing {
    until: Instant,
    /// Dropped with us, when everything is committed.
    _done: Option<oneshot::Sender<()>>,
}

impl Partition {
    async fn run(
        mut self,
        mut tail_events: mpsc::Receiver<TailEvent>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let mut live = self.shared.live.clone();
        live.mark_changed();
        let mut doors = self.shared.doors.subscribe();
        let mut endpoints = Box::pin(takeover::endpoints_now(self.shared.journal.clone()));
        let mut has_strangers = self.has_strangers();
        loop {
            self.read_windows();
            let wake_at = self.wake_at();
            let reads_tail = self.reads_tail();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => if self.obey(command).is_break() { return },
                    None => return,
                },
                event = tail_events.recv(), if reads_tail => match event {
                    Some(event) => {
                        // What was known of the endpoints before it came counts for it.
                        if live.has_changed().unwrap_or(false) {
                            self.take_settings(&mut live);
                        }
                        self.take_tail(event);
                    }
                    None => return,
                },
                Some(done) = self.under_way.deliveries.next() => self.finish(done),
                Some(granted) = self.under_way.permits.next() => self.granted(granted),
                Some(ended) = self.under_way.windows.next() => self.take_window(ended),
                changed = live.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.take_settings(&mut live);
                }
                changed = doors.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.go_those_that(Slot::waits);
                }
                known = &mut endpoints, if has_strangers => {
                    has_strangers = false;
                    self.delete_strangers(&known);
                }
                () = tokio::time::sleep_until(wake_at) => self.go_those_due(),
            }
            self.tell_of_gaps();
        }
    }

    fn take_settings(&mut self, live: &mut watch::Receiver<LiveEndpoints>) {
        let current = live.borrow_and_update().clone();
        self.take_endpoints(&current);
        self.go_all();
    }

    /// When there is something to do though nothing happens: a retry that is due, a message that ceases to
    /// be young, the end of a release.
    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let mut wake_at = now + LOOK_AT_CLOCK;
        if self.may_begin()
            && let Some((at, _)) = self.agenda.first()
        {
            let wait_ms = at.saturating_sub(self.shared.clock.now_ms()).max(0);
            wake_at = wake_at.min(now + Duration::from_millis(wait_ms as u64));
        }
        if let Some(until) = self.windows.pause_until() {
            wake_at = wake_at.min(until.max(now));
        }
        if self.tail.is_full() {
            wake_at = self.tail.aged_at().map_or(wake_at, |at| wake_at.min(at.max(now)));
        }
        if let Some(releasing) = &self.releasing {
            wake_at = wake_at.min(releasing.until.max(now));
        }
        wake_at
    }

    fn may_begin(&self) -> bool {
        self.releasing.is_none() && !self.awaits_epoch && !self.uncommitted().is_full()
    }

    /// What waits to be committed, and what is being committed.
    fn uncommitted(&self) -> Load {
        let committing = self.committing.as_ref().map(|committing| committing.load);
        self.outbox.load().and(committing.unwrap_or_default())
    }

    /// Whether more of the tail is taken in. When it is full, what may be dropped is dropped; else it
    /// waits for its lanes, until its oldest message is no longer young.
    fn reads_tail(&mut self) -> bool {
        if self.releasing.is_some() {
            return false;
        }
        let (share, now) = (self.shared.room.tail_share(), Instant::now());
        if self.tail.overstays(share, now) {
            let watermark = self.settled_to(Slot::holds_tail);
            self.tail.give_back(share, watermark, now);
        }
        let bytes_max = self.tail_room.hold(self.tail.bytes());
        self.tail.set_bytes_max(bytes_max);
        if self.tail.is_full() {
            // Every lane that moves with it is waited for, so that it need not read for itself what just
            // came by.
            let watermark = self.settled_to(Slot::holds_tail);
            self.tail.make_room(watermark);
        }
        !self.tail.is_full()
    }

    /// The watermark that could be committed now. It waits for what healthy lanes have in flight, which
    /// saves their documents; not for lanes whose documents are written anyway, so that a crash does not
    /// repeat to everybody what one of them holds up.
    fn candidate(&self) -> Offset {
        self.settled_to(|slot| slot.holds_tail() && !slot.lane.speaks_for_itself())
    }

    /// Up to where the lanes that count have settled everything; what is no longer young counts as settled,
    /// for it will be written down.
    fn settled_to(&self, counts: impl Fn(&Slot) -> bool) -> Offset {
        let busy = self.busy.iter().filter_map(|id| self.slots.get(id)).filter(|slot| counts(slot));
        let unsettled = busy.map(|slot| slot.unsettled_from(self.watermark, &self.tail)).min();
        unsettled
            .unwrap_or(Offset::MAX)
            .min(self.tail.next())
            .max(self.tail.young_from(Instant::now()))
            // A lane may have come back to the tail with deliveries in flight from before it: those are
            // written down, for the anchor must still be in hand.
            .max(self.tail.start())
            .max(self.watermark)
    }

    fn take_tail(&mut self, event: TailEvent) {
        if self.awaits_epoch {
            self.learn_of_epoch(&event);
        }
        let mut wanting = BTreeSet::new();
        match event {
            TailEvent::Messages(batch) => {
                self.end = batch.end;
                for message in batch.messages {
                    let entry = Arc::new(Entry::new(message));
                    self.tail.push(Arc::clone(&entry), batch.epoch);
                    for id in self.endpoints.audience(&entry) {
                        if let Some(slot) = self.slots.get_mut(&id) {
                            slot.take(&entry);
                            wanting.insert(id);
                        }
                    }
                }
            }
            TailEvent::Level(next) => {
                self.end = self.end.max(next);
                self.tail.level(next);
            }
        }
        for id in wanting {
            self.go(&id);
        }
    }

    fn go_all(&mut self) {
        self.go_those_that(|_| true);
    }

    fn go_those_that(&mut self, want: impl Fn(&Slot) -> bool) {
        let ids: Vec<EndpointId> =
            self.slots.values().filter(|slot| want(slot)).map(|slot| slot.id.clone()).collect();
        for id in ids {
            self.go(&id);
        }
    }

    fn go_those_due(&mut self) {
        let now_ms = self.shared.clock.now_ms();
        let due: Vec<EndpointId> =
            self.agenda.iter().take_while(|(at, _)| *at <= now_ms).map(|(_, id)| id.clone()).collect();
        for id in due {
            self.go(&id);
        }
    }

    /// Lets a slot begin what it may.
    fn go(&mut self, id: &EndpointId) {
        let may_begin = self.may_begin();
        let Some(slot) = self.slots.get_mut(id) else { return };
        let now_ms = self.shared.clock.now_ms();
        if may_begin {
            slot.go(&mut Surroundings {
                shared: &self.shared,
                partition: self.index,
                tail: &self.tail,
                windows: &mut self.windows,
                under_way: &mut self.under_way,
                gaps: &mut self.gaps,
                lease: &self.lease,
                now_ms,
            });
        }
        if slot.is_busy() {
            if !self.busy.contains(id) {
                self.busy.insert(id.clone());
            }
        } else {
            self.busy.remove(id);
        }
        // What is due and did not begin waits for something that will wake it; if not, it looks again.
        let look_again = now_ms + LOOK_AT_CLOCK.as_millis() as i64;
        let at = slot.wake_at().map(|at| if at <= now_ms { look_again } else { at });
        if slot.agenda_ms != at {
            if let Some(before) = std::mem::replace(&mut slot.agenda_ms, at) {
                self.agenda.remove(&(before, id.clone()));
            }
            self.agenda.extend(at.map(|at| (at, id.clone())));
        }
    }

    fn slot(&mut self, id: &EndpointId, life: u64) -> Option<&mut Slot> {
        self.slots.get_mut(id).filter(|slot| slot.life == life)
    }

    fn granted(&mut self, granted: Granted) {
        let may_begin = self.may_begin();
        let id = granted.id.clone();
        let Some(slot) = self.slot(&id, granted.life) else { return };
        if may_begin {
            slot.granted(granted);
            self.go(&id);
        } else {
            // With the commit that makes room every lane goes again. Meanwhile a partition whose commits are not
            // taken holds nothing that others could use.
            slot.declined(granted);
        }
    }

    fn obey(&mut self, command: Command) -> ControlFlow<()> {
        match command {
            Command::Collect(answer) => {
                let last = self.is_released();
                let part = self.collect(last);
                let nothing_left = part.is_none() && last;
                // Nobody there to answer means the process is ending: what was collected is not
                // committed, and comes again.
                let _ = answer.send(part);
                if nothing_left { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            Command::Committed => self.committed(),
            Command::Lost => ControlFlow::Break(()),
            Command::Release(done) => {
                if self.releasing.is_none() {
                    self.releasing = Some(Releasing { until: Instant::now() + RELEASE_WAIT, _done: done });
                }
                self.shared.commit_now.notify_one();
                ControlFlow::Continue(())
            }
            Command::Report(answer) => {
                let _ = answer.send(self.report());
                ControlFlow::Continue(())
            }
        }
    }

    fn report(&mut self) -> Vec<LaneReport> {
        let (end, now_ms) = (self.end.max(self.tail.next()), self.shared.clock.now_ms());
        let mut reports = Vec::with_capacity(self.slots.len());
        for slot in self.slots.values_mut() {
            slot.sync(&self.tail);
            let behind = end.saturating_sub(slot.lane.log().next());
            reports.push(LaneReport {
                id: slot.id.clone(),
                behind,
                behind_s: if behind == 0 { Some(0) } else { slot.behind_s(now_ms) },
                pending: slot.lane.waiting(),
                in_flight: slot.lane.in_flight(),
                blocked: slot.lane.log().blocked(),
                replays: slot.lane.replays().iter().map(|replay| replay.number).collect(),
                replays_left: slot.replays_left(self.index),
            });
        }
        reports
    }
}
