//! The one door to an endpoint: whether another delivery may begin now, and what the answers make of that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bucket::Bucket;
use super::circuit::{Circuit, CircuitConfig, Permission};
use super::window::Window;
use crate::clock::Clock;

/// After failing for so long, without a success between, an endpoint counts as failing: that is told of.
pub(crate) const FAILING_AFTER_MS: i64 = 60_000;

/// The door. Shared by all partitions of the process, and by all versions of the endpoint.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) window: Arc<Window>,
    clock: Clock,
    /// Something was to be sent since it was last asked.
    demand: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    circuit: Circuit,
    /// Absent: as many a second as there are.
    bucket: Option<Bucket>,
    /// Since when every attempt has failed.
    failing_since_ms: Option<i64>,
    /// Since when it was failing, where it was told that it is.
    told_since_ms: Option<i64>,
    succeeded_at_ms: Option<i64>,
}

/// Whether a delivery may begin.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It may. It is counted as begun.
    Go(Option<Probe>),
    /// Not before this time, milliseconds since 1970.
    NotBefore(i64),
    /// Not before the probe that is under way has ended; who waits is told.
    NotYet,
}

/// The one delivery that may be made while a circuit is open. Dropped without an answer, it makes room for
/// another.
#[derive(Debug)]
pub(crate) struct Probe(Arc<Gate>);

/// What an answer says of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It takes deliveries.
    Takes,
    /// Nothing: it was not asked.
    Nothing,
    /// It answered, but not this record: with the next it may go better.
    RefusesRecord,
    /// It does not work.
    Fails,
    /// It has too much to do, and wants to be left alone for so long.
    Overloaded(Option<Duration>),
}

/// What an answer changed that others must hear of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Who waits at the door should look again.
    pub(crate) opens: bool,
    /// It fails since this time, and that is to be told.
    pub(crate) failing_since_ms: Option<i64>,
    /// It works again, after it failed since this time, and that is to be told.
    pub(crate) recovered_since_ms: Option<i64>,
    /// Every attempt since this time has failed.
    pub(crate) failed_since_ms: Option<i64>,
}

impl Gate {
    pub(crate) fn new(share: usize, circuit: CircuitConfig, clock: Clock) -> Arc<Self> {
        let state = State {
            circuit: Circuit::new(circuit),
            bucket: None,
            failing_since_ms: None,
            told_since_ms: None,
            succeeded_at_ms: None,
        };
        Arc::new(Self {
            window: Window::new(share),
            clock,
            demand: AtomicBool::new(false),
            state: Mutex::new(state),
        })
    }

    /// Sets this process's share of deliveries a second.
    pub(crate) fn set_rate(&self, per_second: Option<f64>) {
        let now_ms = self.clock.now_ms();
        let mut state = self.locked();
        match (per_second, &mut state.bucket) {
            (None, bucket) => *bucket = None,
            (Some(rate), Some(bucket)) => bucket.set_rate(rate, now_ms),
            (Some(rate), bucket @ None) => *bucket = Some(Bucket::new(rate, now_ms)),
        }
    }

    /// Something is to be sent.
    pub(crate) fn wants(&self) {
        self.demand.store(true, Ordering::Relaxed);
    }

    /// Whether something was to be sent since the last such question, or is on its way.
    pub(crate) fn has_demand(&self) -> bool {
        self.demand.swap(false, Ordering::Relaxed) || self.window.is_used()
    }

    /// This process's share of deliveries a second.
    pub(crate) fn per_second(&self) -> Option<f64> {
        self.locked().bucket.as_ref().map(Bucket::per_second)
    }

    /// Whether a delivery could begin; nothing is counted.
    pub(crate) fn opens_at(&self, now_ms: i64) -> Admission {
        let mut state = self.locked();
        match state.circuit.permission(now_ms) {
            Permission::NotBefore(at) => return Admission::NotBefore(at),
            Permission::NotYet => return Admission::NotYet,
            Permission::Anything | Permission::Probe => {}
        }
        let ready = state.bucket.as_mut().map_or(now_ms, |bucket| bucket.ready_at(now_ms));
        if ready > now_ms { Admission::NotBefore(ready) } else { Admission::Go(None) }
    }

    /// A delivery begins, if it may.
    pub(crate) fn admit(self: &Arc<Self>, now_ms: i64) -> Admission {
        let mut state = self.locked();
        let probes = match state.circuit.permission(now_ms) {
            Permission::NotBefore(at) => return Admission::NotBefore(at),
            Permission::NotYet => return Admission::NotYet,
            Permission::Probe => true,
            Permission::Anything => false,
        };
        if let Some(bucket) = &mut state.bucket
            && !bucket.take(now_ms)
        {
            return Admission::NotBefore(bucket.ready_at(now_ms));
        }
        if probes {
            state.circuit.begin_probe();
        }
        Admission::Go(probes.then(|| Probe(Arc::clone(self))))
    }

    /// Takes in an answer, the probe's or another. `tells`: whether what follows from it is told of on the
    /// log; what becomes of deliveries of records about deliveries is not, lest they go round in circles.
    pub(crate) fn answered(&self, verdict: Verdict, now_ms: i64, tells: bool, is_probe: bool) -> Change {
        let mut state = self.locked();
        let was_closed = state.circuit.is_closed();
        let mut change = Change::default();
        match verdict {
            Verdict::Takes => {
                state.circuit.success();
                state.failing_since_ms = None;
                state.succeeded_at_ms = Some(now_ms);
                self.window.widen();
                if tells {
                    change.recovered_since_ms = state.told_since_ms.take();
                }
            }
            Verdict::Nothing => {}
            Verdict::RefusesRecord => {
                state.circuit.answered();
                state.failing_since_ms.get_or_insert(now_ms);
            }
            Verdict::Fails => {
                state.fail(now_ms, None, is_probe);
            }
            Verdict::Overloaded(hold) => {
                state.fail(now_ms, hold, is_probe);
                self.window.narrow();
            }
        }
        change.failed_since_ms = state.failing_since_ms;
        let failing_since = state.failing_since_ms.filter(|since| now_ms - since >= FAILING_AFTER_MS);
        if let Some(since) = failing_since.filter(|_| tells && state.told_since_ms.is_none()) {
            state.told_since_ms = Some(since);
            change.failing_since_ms = Some(since);
        }
        change.opens = !was_closed && (state.circuit.is_closed() || state.circuit.open_until().is_some());
        change
    }

    /// What a document tells of failures before this process had to do with the endpoint. What failed up to
    /// `forgiven_at_ms` is no longer held against it.
    pub(crate) fn remember_failures(&self, since_ms: i64, forgiven_at_ms: Option<i64>, now_ms: i64) {
        let mut state = self.locked();
        if state.succeeded_at_ms.is_some() {
            return;
        }
        if forgiven_at_ms.is_none_or(|at| since_ms > at) {
            let since = state.failing_since_ms.map_or(since_ms, |known| known.min(since_ms));
            state.failing_since_ms = Some(since);
        }
        // Whoever had it before has told of it by then.
        if now_ms - since_ms >= FAILING_AFTER_MS {
            let since = state.told_since_ms.map_or(since_ms, |known| known.min(since_ms));
            state.told_since_ms = Some(since);
        }
    }

    /// Its settings were changed by people: what it did before is no longer held against it.
    pub(crate) fn forgive(&self) {
        let mut state = self.locked();
        state.circuit.success();
        state.failing_since_ms = None;
    }

    /// The last success in this process.
    pub(crate) fn succeeded_at_ms(&self) -> Option<i64> {
        self.locked().succeeded_at_ms
    }

    /// Since when every attempt has failed.
    pub(crate) fn failing_since_ms(&self) -> Option<i64> {
        self.locked().failing_since_ms
    }

    /// Until when the circuit is open.
    pub(crate) fn open_until_ms(&self) -> Option<i64> {
        self.locked().circuit.open_until()
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        // What is behind the lock is whole at every moment, whatever happened to who held it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fail(&mut self, now_ms: i64, hold: Option<Duration>, is_probe: bool) {
        if is_probe {
            self.circuit.probe_failed(now_ms, hold);
        } else {
            self.circuit.failure(now_ms, hold);
        }
        self.failing_since_ms.get_or_insert(now_ms);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let now_ms = self.0.clock.now_ms();
        self.0.locked().circuit.probe_abandoned(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Admission, FAILING_AFTER_MS, Gate, Verdict};
    use crate::clock::Clock;
    use crate::limit::CircuitConfig;

    fn gate() -> Arc<Gate> {
        Gate::new(4, CircuitConfig::default(), Clock::from_fn(|| 0))
    }

    #[test]
    fn while_one_probe_is_under_way_no_other_begins_and_its_answer_opens_the_door() {
        let gate = gate();
        for _ in 0..5 {
            gate.answered(Verdict::Fails, 0, true, false);
        }
        assert!(matches!(gate.admit(999), Admission::NotBefore(1_000)));
        let Admission::Go(Some(probe)) = gate.admit(1_000) else { panic!("a probe") };
        assert!(matches!(gate.admit(1_000), Admission::NotYet));
        assert!(gate.answered(Verdict::Takes, 1_001, true, true).opens);
        drop(probe);
        assert!(matches!(gate.admit(1_001), Admission::Go(None)));
    }

    #[test]
    fn a_record_that_is_refused_keeps_nothing_else_away() {
        let gate = gate();
        for _ in 0..50 {
            gate.answered(Verdict::RefusesRecord, 0, true, false);
        }
        assert!(matches!(gate.admit(0), Admission::Go(None)));
    }

    #[test]
    fn failing_is_told_once_after_a_minute_and_so_is_the_recovery() {
        let gate = gate();
        assert_eq!(gate.answered(Verdict::Fails, 0, true, false).failing_since_ms, None);
        assert_eq!(gate.answered(Verdict::Fails, FAILING_AFTER_MS, true, false).failing_since_ms, Some(0));
        assert_eq!(gate.answered(Verdict::Fails, FAILING_AFTER_MS + 1, true, false).failing_since_ms, None);
        let well = |now_ms| gate.answered(Verdict::Takes, now_ms, true, false).recovered_since_ms;
        assert_eq!((well(FAILING_AFTER_MS + 2), well(FAILING_AFTER_MS + 3)), (Some(0), None));
    }

    #[test]
    fn what_becomes_of_records_about_deliveries_is_told_by_none() {
        let gate = gate();
        for now in [0, FAILING_AFTER_MS, 2 * FAILING_AFTER_MS] {
            assert_eq!(gate.answered(Verdict::Fails, now, false, false).failing_since_ms, None);
        }
        let well = gate.answered(Verdict::Takes, 3 * FAILING_AFTER_MS, false, false);
        assert_eq!(well.recovered_since_ms, None);
    }

    #[test]
    fn what_failed_before_a_restart_counts_and_is_not_told_again() {
        let gate = gate();
        gate.remember_failures(0, None, FAILING_AFTER_MS);
        let change = gate.answered(Verdict::Fails, FAILING_AFTER_MS + 5, true, false);
        assert_eq!((change.failed_since_ms, change.failing_since_ms), (Some(0), None));
        let well = gate.answered(Verdict::Takes, FAILING_AFTER_MS + 6, true, false);
        assert_eq!(well.recovered_since_ms, Some(0));
    }

    #[test]
    fn what_failed_before_it_was_switched_on_again_does_not_count_but_was_told() {
        let gate = gate();
        gate.remember_failures(0, Some(FAILING_AFTER_MS), 2 * FAILING_AFTER_MS);
        gate.remember_failures(2 * FAILING_AFTER_MS, Some(FAILING_AFTER_MS), 2 * FAILING_AFTER_MS);
        let change = gate.answered(Verdict::Fails, 3 * FAILING_AFTER_MS, true, false);
        assert_eq!((change.failed_since_ms, change.failing_since_ms), (Some(2 * FAILING_AFTER_MS), None));
        let well = gate.answered(Verdict::Takes, 4 * FAILING_AFTER_MS, true, false);
        assert_eq!(well.recovered_since_ms, Some(0));
    }
}
