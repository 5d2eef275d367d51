//! Who gets how much: limits are for an endpoint as a whole, and each process that delivers to it has the
//! share of them that it has of the partitions. And what all endpoints together may have in flight is shared
//! among those that have something to send; one share more is there for the rest of them, until they are
//! counted anew. So one whose receiver hangs never holds what is the others'. (Each may always have one: of
//! more endpoints than that is enough for, some wait for others.)

use audit_journal::Partition;

use super::Shared;
use crate::live::Live;

/// Sets every endpoint's shares anew, by how many partitions this process owns now.
pub(super) fn share_out(shared: &Shared, owned: usize) {
    let live = shared.live.borrow().clone();
    let active: Vec<bool> = live.iter().map(|(_, live)| live.gate.has_demand()).collect();
    let most = in_flight_each(shared.in_flight_max, &active);
    for ((_, live), is_active) in live.iter().zip(active) {
        let (in_flight, per_second) = share_of(live, owned, shared.journal.identity().partitions);
        live.gate.window.set_share(in_flight.min(if is_active { most.active } else { most.idle }));
        live.gate.set_rate(per_second);
    }
}

/// What an endpoint may have in flight of what there is for all.
#[derive(Debug, PartialEq, Eq)]
struct Most {
    /// One that has something to send.
    active: usize,
    /// One that may have something at any moment.
    idle: usize,
}

/// Those that are active have a share each, and the others one among them: together no more than `all`, but
/// for the one that each may have in any case.
fn in_flight_each(all: usize, active: &[bool]) -> Most {
    let actives = active.iter().filter(|is_active| **is_active).count();
    let idle = active.len() - actives;
    let share = all / (actives + usize::from(idle > 0)).max(1);
    Most { active: share.max(1), idle: (share / idle.max(1)).max(1) }
}

/// This process's share of what an endpoint may be sent.
fn share_of(live: &Live, owned: usize, partitions: Partition) -> (usize, Option<f64>) {
    let (owned, all) = (owned.max(1) as f64, f64::from(partitions.max(1)));
    let part = (owned / all).min(1.0);
    let in_flight = (f64::from(live.endpoint.max_in_flight) * part).floor().max(1.0) as usize;
    (in_flight, live.endpoint.rate_limit_per_second.map(|rate| f64::from(rate) * part))
}

#[cfg(test)]
mod tests {
    use super::{Most, in_flight_each};

    #[test]
    fn all_endpoints_together_never_get_more_than_there_is_whoever_begins_to_send() {
        for all in [1, 8, 1_000] {
            for (active, idle) in [(0, 0), (1, 0), (0, 4), (3, 1), (2, 40), (40, 2)] {
                let wants = [vec![true; active], vec![false; idle]].concat();
                let most = in_flight_each(all, &wants);
                let together = most.active * active + most.idle * idle;
                // Where there is less than one for each of them, each may have one all the same.
                let is_enough = most.active > 1 && most.idle > 1;
                assert!(together <= all || !is_enough, "{together} of {all}: {active} and {idle}");
            }
        }
        assert_eq!(in_flight_each(8, &[true, true, true, false]), Most { active: 2, idle: 2 });
        assert_eq!(in_flight_each(8, &[true, true]).active, 4);
    }
}
