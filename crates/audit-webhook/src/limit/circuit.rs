//! The circuit of an endpoint: after some failures in a row nothing is attempted but one probe after each
//! pause, and the pauses grow. Pure; time comes in as milliseconds.

use std::time::Duration;

/// When an endpoint's circuit opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct CircuitConfig {
    /// Failures in a row that open it.
    pub failures: u32,
    /// The first pause. Each failed probe doubles it.
    pub pause_min: Duration,
    /// Where doubling ends.
    pub pause_max: Duration,
}

impl Default for CircuitConfig {
    fn default() -> Self {
        Self { failures: 5, pause_min: Duration::from_secs(1), pause_max: Duration::from_secs(24 * 3_600) }
    }
}

/// Longest time that an answer's `Retry-After` keeps the whole endpoint waiting. The delivery that was so
/// answered may wait longer.
const HOLD_MAX: Duration = Duration::from_secs(3_600);

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed,
    Open {
        until_ms: i64,
    },
    /// One delivery is under way to see.
    Probing,
}

/// What may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    Anything,
    Probe,
    /// Nothing before then.
    NotBefore(i64),
    /// Nothing until the probe has ended.
    NotYet,
}

#[derive(Clone, Debug)]
pub(super) struct Circuit {
    config: CircuitConfig,
    state: State,
    /// Failures since the last success.
    streak: u32,
    /// The pause last begun.
    pause: Duration,
}

impl Circuit {
    pub(super) fn new(config: CircuitConfig) -> Self {
        Self { config, state: State::Closed, streak: 0, pause: Duration::ZERO }
    }

    pub(super) fn permission(&self, now_ms: i64) -> Permission {
        match self.state {
            State::Closed => Permission::Anything,
            State::Open { until_ms } if now_ms >= until_ms => Permission::Probe,
            State::Open { until_ms } => Permission::NotBefore(until_ms),
            State::Probing => Permission::NotYet,
        }
    }

    /// Until when it is open.
    pub(super) fn open_until(&self) -> Option<i64> {
        match self.state {
            State::Open { until_ms } => Some(until_ms),
            State::Closed | State::Probing => None,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    pub(super) fn begin_probe(&mut self) {
        self.state = State::Probing;
    }

    /// The probe ended without an answer: another may begin at once.
    pub(super) fn probe_abandoned(&mut self, now_ms: i64) {
        if self.state == State::Probing {
            self.state = State::Open { until_ms: now_ms };
        }
    }

    pub(super) fn success(&mut self) {
        *self = Self::new(self.config);
    }

    /// An attempt that was no probe failed in a way that speaks of the receiver. `hold` is for how long it
    /// asked to be left alone.
    pub(super) fn failure(&mut self, now_ms: i64, hold: Option<Duration>) {
        // While a probe is under way its answer counts, not that of what was in flight when it opened.
        if self.state != State::Probing {
            self.failed(now_ms, hold);
        }
    }

    /// The same of the probe.
    pub(super) fn probe_failed(&mut self, now_ms: i64, hold: Option<Duration>) {
        self.failed(now_ms, hold);
    }

    fn failed(&mut self, now_ms: i64, hold: Option<Duration>) {
        self.streak = self.streak.saturating_add(1);
        let hold = hold.map(|hold| hold.min(HOLD_MAX));
        match self.state {
            State::Closed if self.streak >= self.config.failures => self.pause = self.config.pause_min,
            State::Closed => {
                // Asked to wait, it waits, but that is not yet a reason to doubt.
                if let Some(hold) = hold.filter(|hold| !hold.is_zero()) {
                    self.open(now_ms, hold);
                }
                return;
            }
            State::Probing => {
                self.pause = (self.pause * 2).clamp(self.config.pause_min, self.config.pause_max);
            }
            // What was in flight when it opened.
            State::Open { until_ms } => {
                if let Some(hold) = hold {
                    self.open(now_ms, hold);
                    self.state = State::Open { until_ms: until_ms.max(self.open_until().unwrap_or(0)) };
                }
                return;
            }
        }
        self.open(now_ms, self.pause.max(hold.unwrap_or_default()));
    }

    /// The probe was answered in a way that speaks of the record, not of the receiver.
    pub(super) fn answered(&mut self) {
        if self.state == State::Probing {
            self.state = State::Closed;
            self.streak = 0;
        }
    }

    fn open(&mut self, now_ms: i64, pause: Duration) {
        self.state = State::Open { until_ms: now_ms.saturating_add(pause.as_millis() as i64) };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Circuit, CircuitConfig, Permission};

    fn opened() -> Circuit {
        let mut circuit = Circuit::new(CircuitConfig::default());
        for _ in 0..5 {
            assert_eq!(circuit.permission(0), Permission::Anything);
            circuit.failure(0, None);
        }
        circuit
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_probe_through() {
        let mut circuit = opened();
        assert_eq!(circuit.permission(999), Permission::NotBefore(1_000));
        assert_eq!(circuit.permission(1_000), Permission::Probe);
        circuit.begin_probe();
        assert_eq!(circuit.permission(1_000), Permission::NotYet);
        circuit.success();
        assert_eq!(circuit.permission(1_000), Permission::Anything);
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let mut circuit = Circuit::new(CircuitConfig::default());
        for round in 0..20 {
            circuit.failure(0, None);
            if round % 4 == 3 {
                circuit.success();
            }
        }
        assert!(circuit.is_closed());
    }

    #[test]
    fn pauses_double_up_to_a_day() {
        let mut circuit = opened();
        let (mut now, mut pauses) = (0, Vec::new());
        for _ in 0..20 {
            let until = circuit.open_until().expect("open");
            pauses.push((until - now) / 1_000);
            now = until;
            assert_eq!(circuit.permission(now), Permission::Probe);
            circuit.begin_probe();
            circuit.probe_failed(now, None);
        }
        assert_eq!(pauses[..6], [1, 2, 4, 8, 16, 32]);
        assert_eq!(pauses[17..], [86_400; 3]);
    }

    #[test]
    fn what_was_in_flight_when_it_opened_does_not_lengthen_the_pause() {
        let mut circuit = opened();
        circuit.failure(900, None);
        assert_eq!(circuit.open_until(), Some(1_000));
        circuit.begin_probe();
        circuit.failure(1_100, None);
        assert_eq!(circuit.permission(1_100), Permission::NotYet, "the probe has not answered");
        circuit.probe_failed(1_200, None);
        assert_eq!(circuit.open_until(), Some(3_200));
    }

    #[test]
    fn a_receiver_that_asks_to_be_left_alone_is_but_not_for_ever() {
        let mut circuit = Circuit::new(CircuitConfig::default());
        circuit.failure(0, Some(Duration::from_secs(30)));
        assert_eq!(circuit.permission(0), Permission::NotBefore(30_000));
        circuit.begin_probe();
        circuit.probe_failed(30_000, Some(Duration::from_secs(1_000_000)));
        assert_eq!(circuit.open_until(), Some(30_000 + 3_600_000));
    }

    #[test]
    fn a_probe_that_ends_without_an_answer_makes_room_for_another() {
        let mut circuit = opened();
        circuit.begin_probe();
        circuit.probe_abandoned(1_234);
        assert_eq!(circuit.permission(1_234), Permission::Probe);
        circuit.begin_probe();
        circuit.answered();
        assert_eq!(circuit.permission(1_234), Permission::Anything);
    }
}
