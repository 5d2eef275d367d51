//! For how long an owner may be sure that it is one, for endpoints that are sent to in order.
//!
//! A commit that was taken proves that the partition was ours when it was begun. A request to an ordered
//! endpoint starts only within [`LEASE`] of that; and who takes over from an owner that did not let go itself
//! waits for as long, and for as long as that owner's last request may take. So no two requests of one project
//! are under way at a time, whoever sent them: unless this process stands still between the look at the clock
//! and the first byte.

use std::time::Duration;

use tokio::time::Instant;

/// For how long after the beginning of a commit that was taken a request may start.
const LEASE: Duration = Duration::from_secs(5);

/// After this without one a commit is made though nothing changed.
const RENEWED_AFTER: Duration = Duration::from_secs(2);

/// What an owner knows of its ownership.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    /// When the last commit that was taken was begun.
    committed_at: Option<Instant>,
    /// When we took over from an owner that did not let go itself.
    unclean_since: Option<Instant>,
}

impl Lease {
    pub(super) fn new(clean: bool, now: Instant) -> Self {
        Self { committed_at: None, unclean_since: (!clean).then_some(now) }
    }

    /// A commit that was begun at `began` was taken.
    pub(super) fn renew(&mut self, began: Instant) {
        self.committed_at = Some(began);
    }

    /// Until when requests may start; `None` when no commit was taken yet.
    pub(super) fn until(&self) -> Option<Instant> {
        self.committed_at.map(|at| at + LEASE)
    }

    /// Whether it is time for a commit for its own sake.
    pub(super) fn wants_renewal(&self, now: Instant) -> bool {
        self.committed_at.is_none_or(|at| now >= at + RENEWED_AFTER)
    }

    /// From when on requests that may take so long may start, after a takeover.
    pub(super) fn from(&self, timeout: Duration) -> Option<Instant> {
        self.unclean_since.map(|since| since + LEASE + timeout)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{LEASE, Lease};

    #[test]
    fn the_last_request_of_the_old_owner_has_ended_when_the_first_of_the_new_one_begins() {
        let now = Instant::now();
        let timeout = Duration::from_secs(30);
        let mut old = Lease::new(true, now);
        assert_eq!(old.until(), None);
        old.renew(now);
        let last_request_ends = old.until().expect("a commit was taken") + timeout;
        // The new owner can't be assigned before the old one's commit was begun.
        let new = Lease::new(false, now);
        assert!(new.from(timeout).expect("unclean") >= last_request_ends);
        assert_eq!(Lease::new(true, now).from(timeout), None);
        assert!(old.wants_renewal(now + LEASE / 2) && !old.wants_renewal(now));
    }
}
