//! Who gets how much: limits are for an endpoint as a whole, and each process that delivers to it has the
//! share of them that it has of the partitions. And what all endpoints together may have in flight is shared
//! among those that have something to send: so one whose receiver hangs never holds what is the others'.

use audit_journal::Partition;

use super::Shared;
use crate::live::Live;

/// Sets every endpoint's shares anew, by how many partitions this process owns now.
pub(super) fn share_out(shared: &Shared, owned: usize) {
    let live = shared.live.borrow().clone();
    let active = live.iter().filter(|(_, live)| live.gate.has_demand()).count();
    let fair = (shared.in_flight_max / active.max(1)).max(1);
    for (_, live) in live.iter() {
        let (in_flight, per_second) = share_of(live, owned, shared.journal.identity().partitions);
        live.gate.window.set_share(in_flight.min(fair));
        live.gate.set_rate(per_second);
    }
}

/// This process's share of what an endpoint may be sent.
fn share_of(live: &Live, owned: usize, partitions: Partition) -> (usize, Option<f64>) {
    let (owned, all) = (owned.max(1) as f64, f64::from(partitions.max(1)));
    let part = (owned / all).min(1.0);
    let in_flight = (f64::from(live.endpoint.max_in_flight) * part).floor().max(1.0) as usize;
    (in_flight, live.endpoint.rate_limit_per_second.map(|rate| f64::from(rate) * part))
}
