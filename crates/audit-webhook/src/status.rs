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
    /// People have stopped it for a while.
    Paused,
    /// It failed so often that it is left alone but for probes, until `circuit_open_until`.
    CircuitOpen,
    /// It is switched off: by people, or by itself (`disabled_because`).
    Disabled,
    /// This process owns no partition, so it can't tell.
    Unknown,
}

/// One endpoint in this process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointStatus {
    /// Which one.
    pub id: EndpointId,
    /// What it is doing.
    pub state: EndpointState,
    /// How many partitions this process owns; what follows is about these.
    pub partitions: u32,
    /// Offsets between its cursors and the ends, holes and records that it does not want included.
    pub behind: u64,
    /// How long ago the oldest record was appended that it has not looked at; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_s: Option<u64>,
    /// Until when it is left alone, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_open_until: Option<String>,
    /// Why it was switched off, where it was not people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_because: Option<String>,
    /// Since when every attempt has failed, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<String>,
    /// Projects that wait behind a record that is not settled, of ordered endpoints.
    pub blocked: u64,
    /// This process's share of `max_in_flight`, as it is now.
    pub in_flight_share: u32,
    /// This process's share of `rate_limit_per_second`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_share_per_second: Option<f64>,
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
                _ if !live.endpoint.enabled => EndpointState::Disabled,
                _ if live.endpoint.paused => EndpointState::Paused,
                _ if partitions == 0 => EndpointState::Unknown,
                0 => EndpointState::CaughtUp,
                _ => EndpointState::CatchingUp,
            },
            partitions,
            behind,
            behind_s: None,
            circuit_open_until: None,
            disabled_because: live.endpoint.disabled_because.clone(),
            failing_since: None,
            blocked: 0,
            in_flight_share: live.endpoint.max_in_flight,
            rate_share_per_second: live.endpoint.rate_limit_per_second.map(f64::from),
            pending,
            in_flight,
            totals: live.stats.totals(),
        }
    };
    live.iter().map(status).collect()
}
