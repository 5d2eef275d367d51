//! What deliveries add up to, an endpoint in a process: plain numbers, which the server renders.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::send::FailureClass;

/// Upper bounds of the latency buckets, in milliseconds; the last bucket has none.
pub const LATENCY_BOUNDS_MS: [u64; 14] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000];

/// Counters of one endpoint since the process began.
#[derive(Debug, Default)]
pub(crate) struct EndpointStats {
    delivered: AtomicU64,
    failed: AtomicU64,
    dead_lettered: AtomicU64,
    replayed: AtomicU64,
    latency: [AtomicU64; LATENCY_BOUNDS_MS.len() + 1],
    last: Mutex<Last>,
    /// By the reason, of which a format has a few.
    skipped: Mutex<BTreeMap<&'static str, u64>>,
}

#[derive(Clone, Debug, Default)]
struct Last {
    error: Option<LastError>,
    success_at_ms: Option<i64>,
}

/// The last failure since the last success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// Its class.
    pub class: FailureClass,
    /// The status, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// A snapshot of an endpoint's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Deliveries given up.
    pub dead_lettered: u64,
    /// Deliveries of replays that arrived: a part of `delivered`.
    pub replayed: u64,
    /// Records that the endpoint's format has no word for, which were not sent, by the reason: `no_event` where the
    /// platform has no such event, `lacks` where its event needs what the record does not have.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Attempts by how long they took: one number a bucket of [`LATENCY_BOUNDS_MS`], and one for beyond.
    pub latency: Vec<u64>,
    /// The last failure; absent after a success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// The last success, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success_at_ms: Option<i64>,
}

impl EndpointStats {
    pub(crate) fn delivered(&self, took: Duration, now_ms: i64) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        self.observe(took);
        *locked(&self.last) = Last { error: None, success_at_ms: Some(now_ms) };
    }

    pub(crate) fn failed(&self, took: Duration, error: LastError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.observe(took);
        locked(&self.last).error = Some(error);
    }

    pub(crate) fn dead_lettered(&self) {
        self.dead_lettered.fetch_add(1, Ordering::Relaxed);
    }

    /// What was just delivered was a replay's.
    pub(crate) fn replayed(&self) {
        self.replayed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn skipped(&self, reason: &'static str) {
        *locked(&self.skipped).entry(reason).or_default() += 1;
    }

    pub(crate) fn totals(&self) -> Totals {
        let last = locked(&self.last).clone();
        Totals {
            delivered: self.delivered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            dead_lettered: self.dead_lettered.load(Ordering::Relaxed),
            replayed: self.replayed.load(Ordering::Relaxed),
            skipped: locked(&self.skipped).clone(),
            latency: self.latency.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
            last_error: last.error,
            last_success_at_ms: last.success_at_ms,
        }
    }

    fn observe(&self, took: Duration) {
        let millis = took.as_millis() as u64;
        let bucket = LATENCY_BOUNDS_MS.iter().position(|bound| millis <= *bound);
        self.latency[bucket.unwrap_or(LATENCY_BOUNDS_MS.len())].fetch_add(1, Ordering::Relaxed);
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind the locks is whole at every moment, whatever happened to who held them.
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
