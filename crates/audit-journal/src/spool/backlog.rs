//! What waits in the spool, by source: known without asking the file.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SpoolError;

#[derive(Debug)]
pub(super) struct Backlog {
    bytes_max: u64,
    waiting: Mutex<Waiting>,
}

/// Counted from the moment in which a place is reserved.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// How many requests of each source; none is zero.
    by_source: HashMap<String, u64>,
    requests: u64,
    bytes: u64,
}

impl Waiting {
    pub(super) fn add(&mut self, source: &str, bytes: u64) {
        *self.by_source.entry(source.to_owned()).or_default() += 1;
        self.requests += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, source: &str, bytes: u64) {
        if let Some(count) = self.by_source.get_mut(source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(source);
            }
        }
        self.requests = self.requests.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Backlog {
    pub(super) fn new(bytes_max: u64, waiting: Waiting) -> Self {
        Self { bytes_max, waiting: Mutex::new(waiting) }
    }

    /// Counts a request that is about to be written, if it fits.
    pub(super) fn reserve(backlog: &Arc<Self>, source: &str, bytes: u64) -> Result<Place, SpoolError> {
        let mut waiting = backlog.lock();
        if waiting.bytes + bytes > backlog.bytes_max {
            return Err(SpoolError::Full { bytes: waiting.bytes, bytes_max: backlog.bytes_max });
        }
        waiting.add(source, bytes);
        drop(waiting);
        Ok(Place { backlog: Arc::clone(backlog), source: source.to_owned(), bytes, is_written: false })
    }

    /// Counts a request as gone.
    pub(super) fn forget(&self, source: &str, bytes: u64) {
        self.lock().take(source, bytes);
    }

    pub(super) fn holds(&self, source: &str) -> bool {
        self.lock().by_source.contains_key(source)
    }

    pub(super) fn total(&self) -> (u64, u64) {
        let waiting = self.lock();
        (waiting.requests, waiting.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's place in the count; given back when it is dropped without having been written.
#[derive(Debug)]
pub(super) struct Place {
    backlog: Arc<Backlog>,
    pub(super) source: String,
    bytes: u64,
    is_written: bool,
}

impl Place {
    /// The request is in the file.
    pub(super) fn keep(mut self) {
        self.is_written = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_written {
            self.backlog.forget(&self.source, self.bytes);
        }
    }
}
