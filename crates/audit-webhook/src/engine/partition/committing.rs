//! What of a partition is committed: everything that changed, and at the end everything that is left.

use std::ops::ControlFlow;

use audit_journal::PartitionCommit;
use bytes::Bytes;
use tokio::time::Instant;

use super::{Committing, Partition};
use crate::endpoint::EndpointId;
use crate::engine::commits::Part;
use crate::engine::slot::{Slot, UnderWay};

impl Partition {
    /// Whether everything in flight has ended, or has had its time to.
    pub(super) fn is_released(&self) -> bool {
        self.releasing.as_ref().is_some_and(|releasing| {
            self.under_way.deliveries.is_empty() || Instant::now() >= releasing.until
        })
    }

    /// Everything that has changed since the last commit. The last part of a partition that is given up
    /// breaks off what is still in flight: it is pending in its document.
    pub(super) fn collect(&mut self, last: bool) -> Option<Part> {
        let began = Instant::now();
        let mut watermark = self.candidate();
        if last {
            self.under_way = UnderWay::default();
            watermark = self.tail.next();
        }
        let mut documents = Vec::new();
        for slot in self.slots.values_mut() {
            slot.sync(&self.tail);
            if let Some(at) = slot.live.as_ref().and_then(|live| live.gate.succeeded_at_ms()) {
                slot.lane.forget_failures_before(at);
            }
            if !slot.lane.is_plain(watermark, self.tail.next()) {
                let document = slot.lane.document(watermark, self.tail.next());
                if slot.lane.is_news(&document) {
                    documents.push((slot.id.clone(), slot.life, document));
                }
            }
        }
        self.windows.rest(began);
        let deleted = std::mem::take(&mut self.deleted);
        let (messages, load) = self.outbox.take();
        let is_quiet =
            watermark == self.watermark && documents.is_empty() && deleted.is_empty() && messages.is_empty();
        // Where order is kept, what counts is also that the commit is taken at all.
        let renews = !last && self.lease.wants_renewal(began) && self.slots.values().any(Slot::is_ordered);
        if is_quiet && !renews {
            return None;
        }
        let key = |id: &EndpointId| Bytes::copy_from_slice(id.as_str().as_bytes());
        let written = documents.iter().map(|(id, _, document)| (key(id), Some(document.to_bytes())));
        let commit = PartitionCommit {
            partition: self.index,
            generation: self.generation,
            bookmark: self.tail.bookmark(watermark),
            documents: written.chain(deleted.iter().map(|id| (key(id), None))).collect(),
        };
        self.committing = Some(Committing { began, watermark, documents, load, last });
        Some(Part { commit, messages })
    }

    pub(super) fn committed(&mut self) -> ControlFlow<()> {
        let was_full = self.uncommitted().is_full();
        let Some(committing) = self.committing.take() else { return ControlFlow::Continue(()) };
        let Committing { began, watermark, documents, load: _, last } = committing;
        self.watermark = watermark;
        self.lease.renew(began);
        for (id, life, document) in documents {
            if let Some(slot) = self.slot(&id, life) {
                slot.lane.committed(document, watermark);
            }
        }
        if last {
            return ControlFlow::Break(());
        }
        self.go_those_that(|slot| was_full || slot.waits_for_lease);
        ControlFlow::Continue(())
    }
}
