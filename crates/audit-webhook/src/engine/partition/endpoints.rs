//! The lanes as the settings have the endpoints now.

use std::sync::Arc;

use super::Partition;
use crate::endpoint::EndpointId;
use crate::engine::slot::Slot;
use crate::lane::{Lane, Life};
use crate::live::{Live, LiveEndpoints};

impl Partition {
    /// Takes up the endpoints.
    pub(super) fn take_endpoints(&mut self, live: &LiveEndpoints) {
        let before = std::mem::replace(&mut self.endpoints, live.clone());
        let gone: Vec<EndpointId> =
            self.slots.keys().filter(|id| before.contains(id) && !live.contains(id)).cloned().collect();
        for id in gone {
            self.remove(&id);
        }
        for (_, slot) in self.slots.iter_mut().filter(|(id, _)| live.get(id).is_none()) {
            slot.set_aside(&self.tail);
        }
        let now_ms = self.shared.clock.now_ms();
        for (id, endpoint) in live.iter() {
            let life = self.life(endpoint);
            match self.slots.get_mut(id) {
                Some(slot) if slot.live.as_ref().is_some_and(|known| Arc::ptr_eq(known, endpoint)) => {}
                Some(slot) => {
                    match (slot.live.as_deref(), slot.lane.first_failure_at()) {
                        (None, Some(since)) => {
                            let forgiven_at = endpoint.endpoint.forgiven_at_ms();
                            endpoint.gate.remember_failures(since, forgiven_at, now_ms);
                            // The next owner need not forgive it once more.
                            slot.lane.forget_failures_before(forgiven_at.unwrap_or(i64::MIN));
                        }
                        // The next owner must not remember what was forgiven.
                        (Some(known), Some(_)) if endpoint.forgives(known) => {
                            slot.lane.forget_failures_before(now_ms);
                        }
                        _ => {}
                    }
                    slot.update(Arc::clone(endpoint), life, &self.tail);
                    slot.take_up_replays(self.index, self.log_since);
                }
                None => {
                    // No document: it begins at its start vector, wherever the watermark is.
                    let lane = Lane::load(None, life, self.watermark);
                    let mut slot = Slot::new(id.clone(), lane, Some(Arc::clone(endpoint)));
                    slot.is_of_older_epoch = endpoint.endpoint.epoch < life.epoch;
                    slot.take_up_replays(self.index, self.log_since);
                    self.slots.insert(id.clone(), slot);
                }
            }
        }
    }

    /// The life that an endpoint lives by its settings. A start of an older epoch that lies past the end is no
    /// place in this log.
    pub(super) fn life(&self, live: &Live) -> Life {
        let epoch = self.shared.journal.identity().epoch;
        let start = live.endpoint.start_in(self.index);
        let is_nowhere = live.endpoint.epoch < epoch && start > self.end;
        Life { incarnation: live.endpoint.incarnation, epoch, start: if is_nowhere { 0 } else { start } }
    }

    /// An endpoint is gone, and its document goes.
    pub(super) fn remove(&mut self, id: &EndpointId) {
        if let Some(slot) = self.slots.remove(id) {
            self.busy.remove(id);
            if let Some(at) = slot.agenda_ms {
                self.agenda.remove(&(at, id.clone()));
            }
            self.deleted.push(id.clone());
        }
    }
}
