//! Waiting for a condition instead of for a time: polled often, given up at a bound, with words that say what never came.
//! [`next_moment`] tells by the clock what comes before from what comes after.

use std::{
    thread,
    time::{Duration, Instant},
};

use chrono::{SecondsFormat, Utc};

/// How long the clock may take to show another millisecond, on a machine that does something else.
const MILLISECOND_WITHIN: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not hold within `limit`, naming `what`.
#[track_caller]
pub fn until<F, C>(limit: Duration, what: &str, mut condition: F) -> impl Future<Output = ()>
where
    F: FnMut() -> C,
    C: Future<Output = bool>,
{
    some(limit, what, move || {
        let holds = condition();
        async move { holds.await.then_some(()) }
    })
}

/// Waits until `probe` finds something, and returns it.
///
/// # Panics
/// When it finds nothing within `limit`, naming `what`.
#[track_caller]
pub fn some<F, P, T>(limit: Duration, what: &str, mut probe: F) -> impl Future<Output = T>
where
    F: FnMut() -> P,
    P: Future<Output = Option<T>>,
{
    // Taken here because a future does not know who waits for it.
    let caller = std::panic::Location::caller();
    async move {
        let started = Instant::now();
        loop {
            // A probe that hangs is a condition that does not hold.
            let left = limit.saturating_sub(started.elapsed());
            if let Ok(Some(found)) = tokio::time::timeout(left.max(POLL), probe()).await {
                return found;
            }
            assert!(started.elapsed() < limit, "not within {limit:?}: {what} ({caller})");
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The next whole millisecond that the clock shows, in RFC 3339. Logs keep the times of what is appended in milliseconds: everything
/// that was acknowledged before is older, and what is appended afterwards is not.
pub async fn next_moment() -> String {
    let before_ms = Utc::now().timestamp_millis();
    let moment = some(MILLISECOND_WITHIN, "the clock shows another millisecond", || async {
        Some(Utc::now()).filter(|now| now.timestamp_millis() > before_ms)
    });
    moment.await.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Waits until `condition` holds, in a test without a runtime.
///
/// # Panics
/// When it does not hold within `limit`, naming `what`.
#[track_caller]
pub fn blocking(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(POLL);
    }
}
