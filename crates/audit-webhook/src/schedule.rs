//! When a delivery is tried again: data, not a policy.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// The default pauses, in seconds: 1s, 5s, 30s, 2m, 10m, 30m, 2h, 5h, 10h, 14h, 20h, 24h.
const DEFAULT_SECONDS: [u64; 12] = [1, 5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// Jitter lengthens a pause by up to a tenth, never shortens it.
const JITTER_DIVISOR: u64 = 10;

/// Longest time that a receiver may put a delivery off by `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);

/// The pauses between attempts: after attempt *n* comes pause *n*, after the last pause one more attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    pauses: Vec<Duration>,
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self { pauses: DEFAULT_SECONDS.map(Duration::from_secs).to_vec() }
    }
}

impl RetrySchedule {
    /// A schedule of these pauses; without any, a delivery is tried once.
    pub fn new(pauses: Vec<Duration>) -> Self {
        Self { pauses }
    }

    /// How long to wait after `attempts` failed ones, at least; `None` at the end of the schedule.
    /// `retry_after` is what the receiver asked for: it lengthens, up to a bound, and never shortens.
    /// `spread` makes deliveries that failed together not come back together.
    pub(crate) fn pause(
        &self,
        attempts: u32,
        retry_after: Option<Duration>,
        spread: impl Hash,
    ) -> Option<Duration> {
        let pause = *self.pauses.get(usize::try_from(attempts).ok()?.checked_sub(1)?)?;
        let pause = pause.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        let mut hasher = DefaultHasher::new();
        (spread, attempts).hash(&mut hasher);
        let room = pause.as_millis() as u64 / JITTER_DIVISOR;
        Some(pause + Duration::from_millis(hasher.finish() % (room + 1)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{DEFAULT_SECONDS, RETRY_AFTER_MAX, RetrySchedule};

    proptest! {
        #[test]
        fn a_pause_is_never_shorter_than_the_schedule_nor_than_what_the_receiver_asked(
            attempts in 1u32..=12, asked in proptest::option::of(0u64..200_000), spread: u64
        ) {
            let asked = asked.map(Duration::from_secs);
            let pause = RetrySchedule::default().pause(attempts, asked, spread).expect("within the schedule");
            let planned = Duration::from_secs(DEFAULT_SECONDS[attempts as usize - 1]);
            let least = planned.max(asked.unwrap_or_default().min(RETRY_AFTER_MAX));
            prop_assert!(pause >= least);
            prop_assert!(pause <= least + least / 10);
        }
    }

    #[test]
    fn the_schedule_ends_after_its_last_pause() {
        let schedule = RetrySchedule::new(vec![Duration::from_millis(5)]);
        assert!(schedule.pause(1, None, 0).is_some());
        assert!(schedule.pause(2, None, 0).is_none());
    }
}
