//! How endpoints stand, as the API and the command line show it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::clock::rfc3339;
use crate::endpoint::EndpointId;
use crate::engine::LaneReport;
use crate::live::{Live, LiveEndpoints};
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
    /// Replays that are under way.
    pub replays: u64,
    /// Offsets of them that are not yet looked at.
    pub replays_left: u64,
    /// What its deliveries added up to since the process began.
    pub totals: Totals,
}

/// What the lanes of one endpoint add up to.
#[derive(Clone, Debug, Default)]
struct Sum {
    partitions: u32,
    behind: u64,
    /// The longest; unknown where one is.
    behind_s: Option<u64>,
    pending: u64,
    in_flight: u64,
    blocked: u64,
    /// A replay is under way in several partitions.
    replays: BTreeSet<u64>,
    replays_left: u64,
}

impl Sum {
    fn add(&mut self, lane: &LaneReport) {
        self.behind_s = match self.partitions {
            0 => lane.behind_s,
            _ => self.behind_s.zip(lane.behind_s).map(|(a, b)| a.max(b)),
        };
        self.partitions += 1;
        self.behind += lane.behind;
        self.pending += lane.pending as u64;
        self.in_flight += lane.in_flight as u64;
        self.blocked += lane.blocked as u64;
        self.replays.extend(&lane.replays);
        self.replays_left += lane.replays_left;
    }
}

pub(crate) fn summary(live: &LiveEndpoints, lanes: &[LaneReport], now_ms: i64) -> Vec<EndpointStatus> {
    let mut sums: BTreeMap<&EndpointId, Sum> = BTreeMap::new();
    for lane in lanes {
        sums.entry(&lane.id).or_default().add(lane);
    }
    let status = |(id, live): (&EndpointId, &Arc<Live>)| {
        status(live, &sums.get(id).cloned().unwrap_or_default(), now_ms)
    };
    live.iter().map(status).collect()
}

fn status(live: &Live, sum: &Sum, now_ms: i64) -> EndpointStatus {
    let open_until = live.gate.open_until_ms().filter(|until| *until > now_ms);
    EndpointStatus {
        id: live.endpoint.id.clone(),
        state: match sum.behind {
            _ if !live.endpoint.enabled => EndpointState::Disabled,
            _ if live.endpoint.paused => EndpointState::Paused,
            _ if sum.partitions == 0 => EndpointState::Unknown,
            _ if open_until.is_some() => EndpointState::CircuitOpen,
            0 => EndpointState::CaughtUp,
            _ => EndpointState::CatchingUp,
        },
        partitions: sum.partitions,
        behind: sum.behind,
        behind_s: sum.behind_s,
        circuit_open_until: open_until.map(rfc3339),
        disabled_because: live.endpoint.disabled_because.clone(),
        failing_since: live.gate.failing_since_ms().map(rfc3339),
        blocked: sum.blocked,
        in_flight_share: u32::try_from(live.gate.window.size()).unwrap_or(u32::MAX),
        rate_share_per_second: live.gate.per_second(),
        pending: sum.pending,
        in_flight: sum.in_flight,
        replays: sum.replays.len() as u64,
        replays_left: sum.replays_left,
        totals: live.stats.totals(),
    }
}
