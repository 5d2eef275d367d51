//! What an endpoint's attempts add up to over a stated window: rate of success, durations, the last error.
//!
//! Made from the attempt log, so it is the same whichever process made the attempts.

use serde::Serialize;

use crate::attempt_log::{AttemptEntry, AttemptOutcome};
use crate::send::FailureClass;

/// Collects attempts, in any order.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    attempts: u64,
    delivered: u64,
    durations_ms: Vec<u64>,
    last: Option<Last>,
    last_success_at: Option<String>,
}

/// The latest attempt.
#[derive(Clone, Debug)]
struct Last {
    at: String,
    circuit_open_until: Option<String>,
    failure: Option<AttemptFailure>,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptFailure {
    /// When it ended, RFC 3339.
    pub at: String,
    /// Why it failed.
    pub class: FailureClass,
    /// The status, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The record's id.
    pub record: String,
}

/// What the attempts of the window add up to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FiguresSummary {
    /// Attempts in the window.
    pub attempts: u64,
    /// Those that arrived.
    pub delivered: u64,
    /// Their share, from 0 to 1; absent where there was no attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<f64>,
    /// Half of the attempts took no longer; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<u64>,
    /// 95 of 100 took no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<u64>,
    /// 99 of 100 took no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<u64>,
}

impl Figures {
    /// Takes an attempt in. One from before the window counts for the last error only.
    pub fn add(&mut self, entry: &AttemptEntry, is_in_window: bool) {
        let delivered = entry.outcome == AttemptOutcome::Delivered;
        if is_in_window {
            self.attempts += 1;
            self.delivered += u64::from(delivered);
            self.durations_ms.push(entry.duration_ms);
        }
        // RFC 3339 with a fixed number of digits: text order is time order.
        if delivered && self.last_success_at.as_ref().is_none_or(|at| *at < entry.at) {
            self.last_success_at = Some(entry.at.clone());
        }
        if self.last.as_ref().is_none_or(|last| last.at < entry.at) {
            let failure = (!delivered).then(|| AttemptFailure {
                at: entry.at.clone(),
                class: entry.error.unwrap_or(FailureClass::Other),
                status: entry.status,
                record: entry.record.clone(),
            });
            let circuit_open_until = entry.circuit_open_until.clone();
            self.last = Some(Last { at: entry.at.clone(), circuit_open_until, failure });
        }
    }

    /// The last failure, if no success came after it.
    pub fn last_error(&self) -> Option<&AttemptFailure> {
        self.last.as_ref()?.failure.as_ref()
    }

    /// Until when the last attempt left the endpoint alone but for probes, RFC 3339. That may be past.
    pub fn circuit_open_until(&self) -> Option<&str> {
        self.last.as_ref()?.circuit_open_until.as_deref()
    }

    /// The last success among the attempts taken in, RFC 3339.
    pub fn last_success_at(&self) -> Option<&str> {
        self.last_success_at.as_deref()
    }

    /// What the window's attempts add up to.
    pub fn summary(mut self) -> FiguresSummary {
        self.durations_ms.sort_unstable();
        let percentile = |percent: usize| {
            // The nearest rank: the smallest duration that so many per cent do not exceed.
            let rank = (self.durations_ms.len() * percent).div_ceil(100).max(1);
            self.durations_ms.get(rank - 1).copied()
        };
        FiguresSummary {
            attempts: self.attempts,
            delivered: self.delivered,
            success_rate: (self.attempts > 0).then(|| self.delivered as f64 / self.attempts as f64),
            p50_ms: percentile(50),
            p95_ms: percentile(95),
            p99_ms: percentile(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Figures;
    use crate::attempt_log::{ATTEMPT_VERSION, AttemptEntry, AttemptOutcome};
    use crate::send::FailureClass;

    fn attempt(second: u32, duration_ms: u64, outcome: AttemptOutcome) -> AttemptEntry {
        let failed = outcome != AttemptOutcome::Delivered;
        AttemptEntry {
            v: ATTEMPT_VERSION,
            endpoint: "ep_1".to_owned(),
            record: format!("r{second}"),
            partition: 0,
            offset: u64::from(second),
            attempt: 1,
            at: format!("2026-11-21T12:00:{second:02}.000000Z"),
            duration_ms,
            outcome,
            status: failed.then_some(500),
            error: failed.then_some(FailureClass::Status),
            detail: None,
            request_headers: std::collections::BTreeMap::new(),
            excerpt: String::new(),
            circuit_open_until: None,
            next_due: None,
        }
    }

    #[test]
    fn percentiles_are_durations_that_occurred() {
        let mut figures = Figures::default();
        for n in 1..=100 {
            figures.add(&attempt(n % 60, u64::from(n), AttemptOutcome::Delivered), true);
        }
        let summary = figures.summary();
        assert_eq!((summary.p50_ms, summary.p95_ms, summary.p99_ms), (Some(50), Some(95), Some(99)));
        let mut one = Figures::default();
        one.add(&attempt(1, 7, AttemptOutcome::Delivered), true);
        let summary = one.summary();
        assert_eq!((summary.p50_ms, summary.p99_ms, summary.success_rate), (Some(7), Some(7), Some(1.0)));
        assert_eq!(Figures::default().summary().success_rate, None);
    }

    #[test]
    fn a_success_clears_the_last_error_and_an_older_success_does_not() {
        let mut figures = Figures::default();
        figures.add(&attempt(5, 1, AttemptOutcome::Retry), true);
        figures.add(&attempt(3, 1, AttemptOutcome::Delivered), true);
        assert_eq!(figures.last_error().map(|error| error.record.as_str()), Some("r5"));
        figures.add(&attempt(8, 1, AttemptOutcome::Delivered), true);
        assert_eq!(figures.last_error(), None);
        assert_eq!(figures.summary().success_rate, Some(2.0 / 3.0));
    }

    #[test]
    fn the_latest_attempt_tells_whether_the_endpoint_is_left_alone() {
        let until = "2026-11-21T12:01:00.000000Z";
        let open = |second| AttemptEntry {
            circuit_open_until: Some(until.to_owned()),
            ..attempt(second, 1, AttemptOutcome::Retry)
        };
        let mut figures = Figures::default();
        figures.add(&open(5), true);
        figures.add(&attempt(4, 1, AttemptOutcome::Delivered), true);
        assert_eq!(figures.circuit_open_until(), Some(until));
        figures.add(&attempt(6, 1, AttemptOutcome::Delivered), true);
        assert_eq!(figures.circuit_open_until(), None);
    }

    #[test]
    fn an_attempt_from_before_the_window_counts_for_the_last_error_only() {
        let mut figures = Figures::default();
        figures.add(&attempt(5, 1, AttemptOutcome::DeadLettered), false);
        assert!(figures.last_error().is_some());
        assert_eq!(figures.summary().attempts, 0);
    }
}
