//! How endpoints stand, as the API and the command line show it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::endpoint::EndpointId;
use crate::engine::LaneReport;
use crate::live::LiveEndpoints;
use crate::stats::Totals;

/// What an endpoint is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// Nothing lies between its cursors and the ends of the partitions that this process owns.
    CaughtUp,
    /// Something does.
    CatchingUp,
    /// Nothing is delivered, by its settings.
    Disabled,
    /// This process owns no partition, so it can't tell.
    Unknown,
}

/// One endpoint in this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointStatus {
    /// Which one.
    pub id: EndpointId,
    /// What it is doing.
    pub state: EndpointState,
    /// How many partitions this process owns; what follows is about these.
    pub partitions: u32,
    /// Offsets between its cursors and the ends, holes and records that it does not want included.
    pub behind: u64,
    /// Deliveries that wait to be tried again.
    pub pending: u64,
    /// Deliveries in flight.
    pub in_flight: u64,
    /// What its deliveries added up to since the process began.
    pub totals: Totals,
}

pub(crate) fn summary(live: &LiveEndpoints, lanes: &[LaneReport]) -> Vec<EndpointStatus> {
    let mut sums: BTreeMap<&EndpointId, (u32, u64, u64, u64)> = BTreeMap::new();
    for lane in lanes {
        let (partitions, behind, pending, in_flight) = sums.entry(&lane.id).or_default();
        *partitions += 1;
        *behind += lane.behind;
        *pending += lane.pending as u64;
        *in_flight += lane.in_flight as u64;
    }
    let status = |(id, live): (&EndpointId, &std::sync::Arc<crate::live::Live>)| {
        let (partitions, behind, pending, in_flight) = sums.get(id).copied().unwrap_or_default();
        EndpointStatus {
            id: id.clone(),
            state: match behind {
                _ if !live.is_on() => EndpointState::Disabled,
                _ if partitions == 0 => EndpointState::Unknown,
                0 => EndpointState::CaughtUp,
                _ => EndpointState::CatchingUp,
            },
            partitions,
            behind,
            pending,
            in_flight,
            totals: live.stats.totals(),
        }
    };
    live.iter().map(status).collect()
}
