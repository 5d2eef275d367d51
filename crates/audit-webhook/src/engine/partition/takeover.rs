//! A partition becomes ours: the documents are read, and the lanes stand where these put them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use audit_journal::{Bookmark, Control, Journal, Offset, Partition as PartitionIndex};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Handle, Outbox, Partition, Shared, TailEvent};
use crate::document::{Document, DocumentError};
use crate::endpoint::{EndpointId, KIND};
use crate::engine::lease::Lease;
use crate::engine::slot::{Slot, UnderWay};
use crate::engine::windows::Windows;
use crate::lane::{Lane, Life};
use crate::live::LiveEndpoints;
use crate::tail::Tail;

/// Batches of the tail that wait for the task, and commands.
const BATCHES_MAX: usize = 2;
const COMMANDS_MAX: usize = 16;

/// How long to wait before it is tried again to read the settings.
const SETTINGS_PAUSE: Duration = Duration::from_secs(2);

/// A partition that became ours, as the journal tells.
#[derive(Debug)]
pub(crate) struct Takeover {
    pub(crate) partition: PartitionIndex,
    pub(crate) generation: u64,
    pub(crate) bookmark: Option<Bookmark>,
    pub(crate) documents: Vec<(Bytes, Bytes)>,
    pub(crate) end: Offset,
    pub(crate) clean: bool,
}

/// Reads the documents and makes the task; it runs when it is polled.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    takeover: Takeover,
) -> Result<(Handle, impl Future<Output = ()> + Send), (EndpointId, DocumentError)> {
    let (tail_events, tail_receiver) = mpsc::channel(BATCHES_MAX);
    let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
    let epoch = shared.journal.identity().epoch;
    let bookmark = takeover.bookmark.unwrap_or(Bookmark { epoch, ..Bookmark::default() });
    // The journal tells already that the log is another by now: it found no anchor for the bookmark.
    let is_moved = takeover.bookmark.is_some_and(|found| found.epoch == epoch && found.anchor.is_none());
    let mut found = BTreeMap::new();
    for (key, value) in &takeover.documents {
        let id = EndpointId::from(String::from_utf8_lossy(key).as_ref());
        let document = Document::read(value).map_err(|error| (id.clone(), error))?;
        found.insert(id, document);
    }
    let mut partition = Partition {
        index: takeover.partition,
        generation: takeover.generation,
        tail: Tail::new(bookmark),
        tail_room: shared.room.of_a_tail(),
        windows: Windows::default(),
        lease: Lease::new(takeover.clean, Instant::now()),
        end: takeover.end,
        watermark: bookmark.next,
        awaits_epoch: bookmark.epoch < epoch,
        log_since: if is_moved { epoch } else { 0 },
        endpoints: LiveEndpoints::default(),
        slots: BTreeMap::new(),
        busy: BTreeSet::new(),
        agenda: BTreeSet::new(),
        under_way: UnderWay::default(),
        gaps: Vec::new(),
        outbox: Outbox::default(),
        deleted: Vec::new(),
        committing: None,
        releasing: None,
        shared,
    };
    let live = partition.shared.live.borrow().clone();
    for (id, document) in found {
        let known = live.get(&id).map(Arc::clone);
        // An older incarnation's document is void, and so is one of an older epoch where the journal tells
        // already that the log is another by now (it found no anchor for the bookmark).
        let is_of_older_epoch = document.epoch < epoch;
        let is_void = is_of_older_epoch && bookmark.epoch == epoch && bookmark.anchor.is_none();
        let mut life =
            known.as_deref().map_or(Life { epoch, ..Life::default() }, |live| partition.life(live));
        if is_void {
            life.start = bookmark.next;
            life.incarnation = life.incarnation.max(document.incarnation);
        }
        let lane = Lane::load(Some(document).filter(|_| !is_void), life, bookmark.next);
        // One whose endpoint the settings do not (yet) know is kept, with its place.
        let mut slot = Slot::new(id.clone(), lane, None);
        slot.is_of_older_epoch = is_of_older_epoch && !is_void;
        partition.slots.insert(id, slot);
    }
    partition.take_endpoints(&live);
    let handle = Handle { tail: tail_events, commands };
    Ok((handle, partition.run(tail_receiver, command_receiver)))
}

/// The endpoints that there are by now, by the settings read anew from their beginning: ours may be behind.
pub(super) async fn endpoints_now(journal: Journal) -> BTreeSet<EndpointId> {
    loop {
        match Control::open(journal.clone()).await {
            Ok(control) => {
                return control.list(KIND).iter().map(|e| EndpointId::from(e.id.as_str())).collect();
            }
            Err(error) => tracing::debug!(%error, "the settings can't be read anew yet"),
        }
        tokio::time::sleep(SETTINGS_PAUSE).await;
    }
}

impl Partition {
    /// Whether there are documents whose endpoints are not known.
    pub(super) fn has_strangers(&self) -> bool {
        self.slots.values().any(|slot| slot.live.is_none())
    }

    /// Deletes documents whose endpoints were deleted while nobody owned the partition.
    pub(super) fn delete_strangers(&mut self, known: &BTreeSet<EndpointId>) {
        let strangers: Vec<EndpointId> = (self.slots.values())
            .filter(|slot| slot.live.is_none() && !known.contains(&slot.id))
            .map(|slot| slot.id.clone())
            .collect();
        for id in strangers {
            self.remove(&id);
        }
    }

    /// The first thing that the tail brings in a new epoch shows whether the log still is what it was. If it
    /// begins before where we were, it is another: what was known of places in it is void, and every endpoint
    /// begins at the first record there is.
    pub(super) fn learn_of_epoch(&mut self, event: &TailEvent) {
        self.awaits_epoch = false;
        let first = match event {
            TailEvent::Messages(batch) => batch.messages.first().map_or(0, |message| message.offset),
            TailEvent::Level(next) => *next,
        };
        let is_another_log = first < self.watermark;
        let epoch = self.shared.journal.identity().epoch;
        if is_another_log {
            self.log_since = epoch;
        }
        for slot in self.slots.values_mut() {
            if is_another_log && std::mem::take(&mut slot.is_of_older_epoch) {
                slot.restart(Life { incarnation: slot.lane.incarnation(), epoch, start: first });
            }
            slot.take_up_replays(self.index, self.log_since);
        }
        if is_another_log {
            tracing::warn!(
                partition = self.index,
                first,
                "the log is another than before: every endpoint begins at its first record"
            );
            self.watermark = first;
            self.tail = Tail::new(Bookmark { next: first, anchor: None, epoch });
        }
    }
}
