//! Waiting between attempts to reach a broker: the only place that names `backoff`. librdkafka paces its
//! own connections; this is for what we repeat ourselves.

use std::thread;
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use tokio_util::sync::CancellationToken;

/// The first pause.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause: a broker that comes back is noticed within about this.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How often a pause looks whether it is to end.
const TICK: Duration = Duration::from_millis(20);

/// Growing pauses with jitter, without an end of their own.
#[derive(Debug)]
pub(super) struct Pace(ExponentialBackoff);

impl Pace {
    pub(super) fn new() -> Self {
        Self(ExponentialBackoff {
            initial_interval: PAUSE_MIN,
            current_interval: PAUSE_MIN,
            max_interval: PAUSE_MAX,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }

    /// Begins again with the shortest pause, after a success.
    pub(super) fn reset(&mut self) {
        self.0.reset();
    }

    /// The next pause.
    pub(super) fn next_pause(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(PAUSE_MAX)
    }

    /// Sleeps on a thread of ours. False when `stop` came first.
    pub(super) fn sleep(&mut self, stop: &CancellationToken) -> bool {
        let mut left = self.next_pause();
        while !stop.is_cancelled() && !left.is_zero() {
            let step = left.min(TICK);
            thread::sleep(step);
            left -= step;
        }
        !stop.is_cancelled()
    }
}
