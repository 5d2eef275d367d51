//! A lane's replays: beside its own deliveries, with what these leave of the endpoint's limits.

use audit_journal::{Offset, Partition};

use super::reading::Found;
use super::{Slot, Surroundings, Work};
use crate::endpoint::ReplayOrder;
use crate::lane::{Hold, REPLAY_KEY_BYTES_MAX, REPLAY_PENDING_MAX, TrackId};
use crate::live::Live;

/// After so long a replay looks again that reaches past what the tail has brought.
const LOOK_AGAIN_MS: i64 = 200;

impl Slot {
    /// Begins the replays that were ordered since, and ends those that were cancelled. What an order of an epoch
    /// before `log_since` names are places in another log: nothing of it is delivered.
    pub(in crate::engine) fn take_up_replays(&mut self, partition: Partition, log_since: u32) {
        let Some(live) = &self.live else { return };
        if live.endpoint.incarnation != self.lane.incarnation() {
            return;
        }
        let span = |order: &ReplayOrder| {
            if order.epoch < log_since {
                return None;
            }
            let runs = order.runs_in(partition);
            Some((runs.first()?.from, runs.last()?.to)).filter(|(from, to)| from < to)
        };
        let orders: Vec<_> = live.endpoint.replays.iter().map(|order| (order.number, span(order))).collect();
        self.lane.take_up(&orders, live.endpoint.last_replay);
    }

    /// What of its replays is not yet looked at, in offsets. (What lies between their runs is none of it.)
    pub(in crate::engine) fn replays_left(&self, partition: Partition) -> u64 {
        let orders = self.live.iter().flat_map(|live| &live.endpoint.replays);
        let left = orders.filter_map(|order| {
            let track = self.lane.track(TrackId::Replay(order.number))?;
            Some(order.offsets_from(partition, track.next()))
        });
        left.sum()
    }

    /// Whether the endpoint's events and filter decide what of a track is delivered.
    pub(super) fn goes_by_filter(&self, id: TrackId, live: &Live) -> bool {
        match id {
            TrackId::Log => true,
            TrackId::Replay(number) => {
                live.endpoint.replays.iter().any(|order| order.number == number && order.by_filter)
            }
        }
    }

    /// The next delivery of a replay, the oldest replay first. Replays have at most half of the endpoint's
    /// deliveries in flight, so that what is new need not wait for what is old.
    pub(super) fn replay(&mut self, live: &Live, around: &mut Surroundings<'_>) -> Option<Work> {
        if self.lane.replays().is_empty()
            || self.lane.replays_in_flight() >= (live.gate.window.size() / 2).max(1)
        {
            return None;
        }
        let numbers: Vec<u64> = self.lane.replays().iter().map(|replay| replay.number).collect();
        numbers.into_iter().find_map(|number| {
            let order = live.endpoint.replays.iter().find(|order| order.number == number)?;
            self.walk(TrackId::Replay(number), live, around);
            let due = self.due(TrackId::Replay(number), around);
            due.or_else(|| self.replay_next(order, live, around))
        })
    }

    fn replay_next(
        &mut self,
        order: &ReplayOrder,
        live: &Live,
        around: &mut Surroundings<'_>,
    ) -> Option<Work> {
        let id = TrackId::Replay(order.number);
        loop {
            let track = self.lane.track_mut(id)?;
            let is_full =
                track.unsettled() >= REPLAY_PENDING_MAX || track.key_bytes() >= REPLAY_KEY_BYTES_MAX;
            if !track.has_room() || is_full {
                return None;
            }
            let next = track.next();
            let runs = order.runs_in(around.partition);
            let Some(run) = runs.iter().find(|run| run.to > next) else {
                // Through with looking; it goes when everything is settled.
                track.pass_to(runs.last().map_or(Offset::MAX, |run| run.to));
                return None;
            };
            if next < run.from {
                track.pass_to(run.from);
                continue;
            }
            let entry = match self.find(id, next, around) {
                Found::Here(entry) => entry,
                Found::Nothing(to) => {
                    self.lane.track_mut(id)?.pass_to(to.min(run.to));
                    continue;
                }
                Found::Later => {
                    if next >= around.tail.start() {
                        self.look_at = Some(around.now_ms + LOOK_AGAIN_MS);
                    }
                    return None;
                }
            };
            let track = self.lane.track_mut(id)?;
            let is_wanted = if order.by_filter { live.wants(&entry) } else { entry.parcel().is_some() };
            if entry.offset() >= run.to || !is_wanted {
                track.pass_to((entry.offset() + 1).min(run.to));
                continue;
            }
            if !live.endpoint.ordered {
                return Some(Work::First(id, entry));
            }
            let hold = Hold { key: Some(entry.key().clone()), burst: None, due: around.now_ms };
            track.hold(entry.offset(), hold);
            if let Some(due) = self.due(id, around) {
                return Some(due);
            }
        }
    }
}
