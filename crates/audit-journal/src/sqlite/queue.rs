//! The bounded queue between many callers and one writing thread: what makes group commit.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

/// The queue's bound. Every job takes one unit and one more per KiB that it carries; a caller waits
/// while there is no room.
const QUEUE_UNITS_MAX: u32 = 64 * 1024;

/// What one taking takes at most, in the same units: it becomes one transaction, so the bound is on the
/// time that a caller waits behind others (and one larger job is still taken, alone).
const TAKE_UNITS_MAX: u32 = 8 * 1024;

/// The queue takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// Jobs in the order in which they were pushed.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    /// Tells the writing thread of a job, or of the end.
    filled: Condvar,
    room: Semaphore,
}

#[derive(Debug)]
struct State<T> {
    jobs: VecDeque<(T, u32)>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        let state = State { jobs: VecDeque::new(), closed: false };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
            room: Semaphore::new(QUEUE_UNITS_MAX as usize),
        }
    }

    /// Waits for room, then leaves the job for the writing thread, which will do it even if the caller
    /// does not wait for the answer.
    pub(crate) async fn push(&self, job: T, bytes: usize) -> Result<(), Closed> {
        let units = (bytes / 1024 + 1).min(QUEUE_UNITS_MAX as usize) as u32;
        self.room.acquire_many(units).await.map_err(|_| Closed)?.forget();
        let mut state = self.lock();
        if state.closed {
            return Err(Closed);
        }
        state.jobs.push_back((job, units));
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for jobs and takes all that make one transaction; none when there was nothing for `idle`,
    /// `None` when the queue is closed and empty. Blocks: for the writing thread.
    pub(crate) fn take(&self, idle: Duration) -> Option<Vec<T>> {
        let mut state = self.lock();
        if state.jobs.is_empty() && !state.closed {
            let waited =
                self.filled.wait_timeout_while(state, idle, |state| state.jobs.is_empty() && !state.closed);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.jobs.is_empty() && state.closed {
            return None;
        }
        let mut taken = Vec::with_capacity(state.jobs.len());
        let mut units_taken = 0;
        while let Some((job, units)) = state.jobs.pop_front() {
            if !taken.is_empty() && units_taken + units > TAKE_UNITS_MAX {
                state.jobs.push_front((job, units));
                break;
            }
            units_taken += units;
            taken.push(job);
        }
        drop(state);
        self.room.add_permits(units_taken as usize);
        Some(taken)
    }

    /// Takes no more; what is in the queue is still done.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No code of ours can panic while it holds the lock; a poisoned queue is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
