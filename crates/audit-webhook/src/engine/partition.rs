//! One partition that we own: its tail, its lanes, and what is under way for them, in one task.

mod committing;
mod outcomes;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use audit_journal::{Batch, Bookmark, NewMessage, Offset, Partition as PartitionIndex, ReadError, Topic};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Shared;
use super::commits::Part;
use super::slot::{READ_PAUSE, Slot, Surroundings, UnderWay, WindowRead};
use crate::document::{Document, DocumentError};
use crate::endpoint::EndpointId;
use crate::entry::Entry;
use crate::lane::Lane;
use crate::live::LiveEndpoints;
use crate::operational;
use crate::tail::Tail;

/// Most messages (attempts, records) that wait to be committed. At the bound nothing more begins until
/// the log takes commits again.
const UNCOMMITTED_MAX: usize = 16_384;

/// How long what is in flight may take to end when the partition is given up. What has not ended by then
/// is written down as pending, and its request is broken off.
const RELEASE_WAIT: Duration = Duration::from_secs(3);

/// Batches of the tail that wait for the task, and commands.
const BATCHES_MAX: usize = 2;
const COMMANDS_MAX: usize = 16;

/// A partition that became ours, as the journal tells.
#[derive(Debug)]
pub(crate) struct Takeover {
    pub(crate) partition: PartitionIndex,
    pub(crate) generation: u64,
    pub(crate) bookmark: Bookmark,
    pub(crate) documents: Vec<(Bytes, Bytes)>,
    pub(crate) end: Offset,
}

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
    /// The partition is somebody else's: everything here is void.
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
    pub(crate) pending: usize,
    pub(crate) in_flight: usize,
}

/// The ways to a partition's task.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(crate) tail: mpsc::Sender<TailEvent>,
    pub(crate) commands: mpsc::Sender<Command>,
}

/// Reads the documents and makes the task; it runs when it is polled.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    takeover: Takeover,
) -> Result<(Handle, impl Future<Output = ()> + Send), (EndpointId, DocumentError)> {
    let (tail_events, tail_receiver) = mpsc::channel(BATCHES_MAX);
    let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
    let watermark = takeover.bookmark.next;
    let mut found = BTreeMap::new();
    for (key, value) in &takeover.documents {
        let id = EndpointId::from(String::from_utf8_lossy(key).as_ref());
        let document = Document::read(value).map_err(|error| (id.clone(), error))?;
        found.insert(id, document);
    }
    let mut partition = Partition {
        index: takeover.partition,
        generation: takeover.generation,
        tail: Tail::new(takeover.bookmark),
        end: takeover.end,
        watermark,
        slots: BTreeMap::new(),
        under_way: UnderWay::default(),
        outbox: Vec::new(),
        deleted: Vec::new(),
        committing: None,
        releasing: None,
        shared,
    };
    let live = partition.shared.live.borrow().clone();
    // A document whose endpoint the settings do not (yet) know is kept, with its place.
    for (id, document) in found {
        let known = live.get(&id).map(Arc::clone);
        let (incarnation, start) = known
            .as_ref()
            .map_or((0, watermark), |l| (l.endpoint.incarnation, l.endpoint.start_in(takeover.partition)));
        let lane = Lane::load(Some(document), incarnation, start, watermark);
        partition.slots.insert(id.clone(), Slot::new(id, lane, known));
    }
    partition.take_endpoints(&live);
    let handle = Handle { tail: tail_events, commands };
    Ok((handle, partition.run(tail_receiver, command_receiver)))
}

struct Partition {
    shared: Arc<Shared>,
    index: PartitionIndex,
    generation: u64,
    tail: Tail,
    /// The end of the partition as last heard.
    end: Offset,
    /// The watermark as it was last committed.
    watermark: Offset,
    slots: BTreeMap<EndpointId, Slot>,
    under_way: UnderWay,
    /// Attempts, and records that tell of them, since the last collection.
    outbox: Vec<(Topic, NewMessage)>,
    /// Endpoints whose documents are to be deleted.
    deleted: Vec<EndpointId>,
    /// What was collected and is being committed.
    committing: Option<Committing>,
    releasing: Option<Releasing>,
}

struct Committing {
    watermark: Offset,
    documents: Vec<(EndpointId, u64, Document)>,
    messages: usize,
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
        loop {
            let wake_at = self.wake_at();
            let reads_tail = self.reads_tail();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => if self.obey(command).is_break() { return },
                    None => return,
                },
                event = tail_events.recv(), if reads_tail => match event {
                    Some(event) => self.take_tail(event),
                    None => return,
                },
                Some(done) = self.under_way.deliveries.next() => self.finish(done),
                Some((id, life, permits)) = self.under_way.permits.next() => self.granted(&id, life, permits),
                Some(window) = self.under_way.windows.next() => self.take_window(window),
                changed = live.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let current = live.borrow_and_update().clone();
                    self.take_endpoints(&current);
                    self.go_all();
                }
                () = tokio::time::sleep_until(wake_at) => self.go_all(),
            }
        }
    }

    /// When there is something to do though nothing happens: a retry that is due, a message that ceases to
    /// be young, the end of a release. The wall clock may jump, so we look at it every second.
    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let now_ms = self.shared.clock.now_ms();
        let mut wake_at = now + Duration::from_secs(1);
        if self.may_begin() {
            let due = self.slots.values().filter_map(Slot::earliest_due).min();
            if let Some(due) = due.filter(|due| *due > now_ms) {
                wake_at = wake_at.min(now + Duration::from_millis((due - now_ms) as u64));
            }
            let read = self.slots.values().filter_map(Slot::read_again_at).min();
            wake_at = read.map_or(wake_at, |at| wake_at.min(at.max(now)));
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
        self.releasing.is_none() && self.uncommitted() < UNCOMMITTED_MAX
    }

    fn uncommitted(&self) -> usize {
        self.outbox.len() + self.committing.as_ref().map_or(0, |committing| committing.messages)
    }

    /// Whether more of the tail is taken in. When it is full, what may be dropped is dropped; else it
    /// waits for its lanes, until its oldest message is no longer young.
    fn reads_tail(&mut self) -> bool {
        if self.releasing.is_some() {
            return false;
        }
        if self.tail.is_full() {
            // Every level lane is waited for, so that it need not read for itself what just came by.
            self.tail.make_room(self.settled_to(|_| true));
        }
        !self.tail.is_full()
    }

    /// The watermark that could be committed now. It waits for what healthy lanes have in flight, which
    /// saves their documents; not for lanes whose documents are written anyway, so that a crash does not
    /// repeat to everybody what one of them holds up.
    fn candidate(&self) -> Offset {
        self.settled_to(|slot| !slot.lane.speaks_for_itself())
    }

    /// Up to where level lanes have settled everything, of those that count; what is no longer young counts
    /// as settled, for it will be written down.
    fn settled_to(&self, counts: impl Fn(&Slot) -> bool) -> Offset {
        let level = self.slots.values().filter(|slot| slot.is_level(&self.tail) && counts(slot));
        let unsettled = level.map(|slot| slot.lane.unsettled_from(self.watermark)).min();
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
        match event {
            TailEvent::Messages(batch) => {
                self.end = batch.end;
                let entries = batch.messages.into_iter().map(|message| Arc::new(Entry::new(message)));
                self.tail.push(entries, batch.epoch);
            }
            TailEvent::Level(next) => {
                self.end = self.end.max(next);
                self.tail.level(next);
            }
        }
        self.go_all();
    }

    /// Takes up the endpoints as the settings have them now.
    fn take_endpoints(&mut self, live: &LiveEndpoints) {
        let gone: Vec<EndpointId> = (self.slots.iter())
            .filter(|(id, slot)| slot.live.is_some() && !live.contains(id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.slots.remove(&id);
            self.deleted.push(id);
        }
        for (id, endpoint) in live.iter() {
            let start = endpoint.endpoint.start_in(self.index);
            match self.slots.get_mut(id) {
                Some(slot) => {
                    if slot.live.as_ref().is_none_or(|known| known.version != endpoint.version) {
                        slot.update(Arc::clone(endpoint), start);
                    }
                }
                None => {
                    // No document: it begins at its start vector, wherever the watermark is.
                    let lane = Lane::load(None, endpoint.endpoint.incarnation, start, self.watermark);
                    self.slots.insert(id.clone(), Slot::new(id.clone(), lane, Some(Arc::clone(endpoint))));
                }
            }
        }
    }

    fn go_all(&mut self) {
        if !self.may_begin() {
            return;
        }
        let mut around = Surroundings {
            shared: &self.shared,
            partition: self.index,
            tail: &self.tail,
            under_way: &mut self.under_way,
            now_ms: self.shared.clock.now_ms(),
        };
        for slot in self.slots.values_mut() {
            slot.go(&mut around);
        }
    }

    fn go(&mut self, id: &EndpointId) {
        if !self.may_begin() {
            return;
        }
        if let Some(slot) = self.slots.get_mut(id) {
            slot.go(&mut Surroundings {
                shared: &self.shared,
                partition: self.index,
                tail: &self.tail,
                under_way: &mut self.under_way,
                now_ms: self.shared.clock.now_ms(),
            });
        }
    }

    fn slot(&mut self, id: &EndpointId, life: u64) -> Option<&mut Slot> {
        self.slots.get_mut(id).filter(|slot| slot.life == life)
    }

    fn granted(&mut self, id: &EndpointId, life: u64, permits: Option<super::delivery::Permits>) {
        if let Some(slot) = self.slot(id, life) {
            slot.granted(permits);
            self.go(id);
        }
    }

    fn take_window(&mut self, window: WindowRead) {
        let (index, namespace) = (self.index, self.shared.journal.identity().namespace);
        let WindowRead { id, life, from, range } = window;
        let Some(slot) = self.slot(&id, life) else { return };
        match range {
            Ok(range) if range.next > from => slot.take_window(range),
            Ok(_) => slot.read_failed(READ_PAUSE),
            Err(ReadError::OutOfRange { start, .. }) if start > from => {
                slot.read_failed(Duration::ZERO);
                slot.lane.pass_to(start);
                if let Some(live) = slot.live.clone() {
                    let name = format!("{id}/{}/{index}/{from}", live.endpoint.incarnation);
                    let detail = json!({ "partition": index, "from": from, "to": start });
                    let record = operational::gap(namespace, &name, &live.endpoint, detail);
                    self.outbox.push((Topic::Records, self.shared.journal.record_message(&record)));
                    tracing::warn!(endpoint = %id, partition = index, from, to = start, "retention removed records before they were delivered");
                }
            }
            Err(error) => {
                tracing::warn!(endpoint = %id, partition = index, from, %error, "an endpoint that is behind can't read the log");
                slot.read_failed(READ_PAUSE);
            }
        }
        self.go(&id);
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

    fn report(&self) -> Vec<LaneReport> {
        let report = |slot: &Slot| LaneReport {
            id: slot.id.clone(),
            behind: self.end.max(self.tail.next()).saturating_sub(slot.lane.next()),
            pending: slot.lane.waiting(),
            in_flight: slot.lane.unsettled() - slot.lane.waiting(),
        };
        self.slots.values().map(report).collect()
    }
}
