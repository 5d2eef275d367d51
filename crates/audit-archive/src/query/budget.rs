//! How much looking one page may cost.

use std::time::{Duration, Instant};

/// What a page may cost: four thousand records looked at, or many more numbers in indexes. Measured on a busy
/// machine, a record that lies far from the last one takes 5 µs to look at, so such a page takes about 20 ms.
/// Common questions need a hundredth of it; a rare conjunction that no index narrows gives a partial page, and its
/// cursor goes on.
const SCAN_BUDGET: u64 = 32_000;

/// How long one page may look, where the machine is slow or busy.
const PAGE_TIME_MAX: Duration = Duration::from_millis(500);

/// A record looked at.
const COST_ROW: u64 = 8;

/// An index asked for more numbers.
const COST_INDEX_FETCH: u64 = 16;

/// Full text asked for more numbers: it looks up every word anew, which took 400 µs where a record took 5.
const COST_TEXT_FETCH: u64 = 640;

/// What is left of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    left: u64,
    until: Instant,
}

impl Budget {
    /// A page's.
    pub(crate) fn of_a_page() -> Self {
        Self { left: SCAN_BUDGET, until: Instant::now() + PAGE_TIME_MAX }
    }

    pub(crate) fn is_spent(self) -> bool {
        self.left == 0 || Instant::now() >= self.until
    }

    pub(crate) fn row(&mut self) {
        self.left = self.left.saturating_sub(COST_ROW);
    }

    pub(crate) fn fetched_from_index(&mut self, numbers: usize) {
        self.left = self.left.saturating_sub(COST_INDEX_FETCH + numbers as u64);
    }

    pub(crate) fn fetched_from_text(&mut self, numbers: usize) {
        self.left = self.left.saturating_sub(COST_TEXT_FETCH + numbers as u64);
    }
}
