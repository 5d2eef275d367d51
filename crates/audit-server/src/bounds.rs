//! Bounds on work under way. Memory is bounded in bytes, not in requests: a body may be 16 MiB or 300 bytes.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::declared_length;
use crate::config::{HOOK_BODY_BYTES_MAX, INGEST_BODY_BYTES_MAX, ServerConfig};
use crate::problem::{Kind, Problem};

/// What one permit stands for.
const UNIT_BYTES: usize = 4096;

/// How long a hook waits for room before it is refused: platforms hardly retry, so waiting beats refusing.
const HOOK_ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

/// Most tests of endpoints at a time: each waits for a receiver, perhaps for many seconds.
const TESTS_IN_FLIGHT_MAX: usize = 8;

/// The bounds that requests share.
#[derive(Debug)]
pub(crate) struct Bounds {
    ingest: Arc<Semaphore>,
    hooks: Arc<Semaphore>,
    queries: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    tests: Arc<Semaphore>,
}

impl Bounds {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        let units = |bytes: usize, one: usize| Arc::new(Semaphore::new(bytes.max(one).div_ceil(UNIT_BYTES)));
        Self {
            ingest: units(config.ingest_bytes_in_flight_max, INGEST_BODY_BYTES_MAX),
            hooks: units(config.hook_bytes_in_flight_max, HOOK_BODY_BYTES_MAX),
            queries: Arc::new(Semaphore::new(config.queries_in_flight_max)),
            streams: Arc::new(Semaphore::new(config.streams_max)),
            tests: Arc::new(Semaphore::new(TESTS_IN_FLIGHT_MAX)),
        }
    }

    /// Room for the body of a `POST /v1/records`, or 429.
    pub(crate) fn hold_ingest(&self, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, Problem> {
        let units = units_of(headers, INGEST_BODY_BYTES_MAX);
        self.ingest.clone().try_acquire_many_owned(units).map_err(|_| busy("appends"))
    }

    /// Room for the body of a hook, or 503 after a while.
    pub(crate) async fn hold_hook(&self, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, Problem> {
        let units = units_of(headers, HOOK_BODY_BYTES_MAX);
        match tokio::time::timeout(HOOK_ROOM_WAIT_MAX, self.hooks.clone().acquire_many_owned(units)).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Problem::new(Kind::Unavailable, "too many webhooks at a time").retry_after_s(1)),
        }
    }

    /// Room for a query, or 429.
    pub(crate) fn hold_query(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.queries.clone().try_acquire_owned().map_err(|_| busy("queries"))
    }

    /// Room for a test of an endpoint, or 429.
    pub(crate) fn hold_test(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.tests.clone().try_acquire_owned().map_err(|_| busy("tests"))
    }

    /// Room for an event stream, or 429.
    pub(crate) fn hold_stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.streams.clone().try_acquire_owned().map_err(|_| busy("streams"))
    }
}

/// Permits for a body: by its declared length, or by the most that it may be.
fn units_of(headers: &HeaderMap, bytes_max: usize) -> u32 {
    let length = declared_length(headers).map_or(bytes_max, |length| length.min(bytes_max as u64) as usize);
    length.div_ceil(UNIT_BYTES).max(1) as u32
}

fn busy(what: &str) -> Problem {
    Problem::new(Kind::Busy, format!("too many {what} at a time")).retry_after_s(1)
}
