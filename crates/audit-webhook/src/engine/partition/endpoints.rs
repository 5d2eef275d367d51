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
        self.endpoints = live.clone();
        let gone: Vec<EndpointId> = (self.slots.iter())
            .filter(|(id, slot)| slot.live.is_some() && !live.contains(id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.remove(&id);
        }
        let now_ms = self.shared.clock.now_ms();
        for (id, endpoint) in live.iter() {
            let life = self.life(endpoint);
            match self.slots.get_mut(id) {
                Some(slot) if slot.live.as_ref().is_some_and(|known| known.version == endpoint.version) => {}
                Some(slot) => {
                    if let Some(since) = slot.lane.first_failure_at().filter(|_| slot.live.is_none()) {
                        endpoint.gate.remember_failures(since, now_ms);
                    }
                    slot.update(Arc::clone(endpoint), life, self.index, &self.tail);
                }
                None => {
                    // No document: it begins at its start vector, wherever the watermark is.
                    let lane = Lane::load(None, life, self.watermark);
                    let mut slot = Slot::new(id.clone(), lane, Some(Arc::clone(endpoint)));
                    slot.is_of_older_epoch = endpoint.endpoint.epoch < life.epoch;
                    slot.take_up_replays(self.index);
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
