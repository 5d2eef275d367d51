//! How many deliveries of one endpoint are in flight at a time: a semaphore whose size follows the process's
//! share, and what the receiver bears.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The window. Shared by all partitions of the process.
#[derive(Debug)]
pub(crate) struct Window {
    semaphore: Arc<Semaphore>,
    size: Mutex<Size>,
}

#[derive(Debug)]
struct Size {
    /// What there should be.
    share: usize,
    /// What the receiver bears, while that is less: halved when it says that it is too much, one more with
    /// every delivery that arrives.
    borne: Option<usize>,
    /// Permits that exist: free, in use, or owed.
    made: usize,
    /// Permits in use that are too many: they are not given back.
    owed: usize,
}

/// The right to have one delivery in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    window: Arc<Window>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Window {
    pub(crate) fn new(share: usize) -> Arc<Self> {
        let share = share.max(1);
        let size = Size { share, borne: None, made: share, owed: 0 };
        Arc::new(Self { semaphore: Arc::new(Semaphore::new(share)), size: Mutex::new(size) })
    }

    /// The right, if it is free now.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<InFlight> {
        let permit = Arc::clone(&self.semaphore).try_acquire_owned().ok()?;
        Some(InFlight { window: Arc::clone(self), permit: Some(permit) })
    }

    /// The right, in the order of asking.
    pub(crate) async fn take(self: Arc<Self>) -> Option<InFlight> {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.semaphore).acquire_owned().await.ok()?;
        Some(InFlight { window: self, permit: Some(permit) })
    }

    /// How large it is now.
    pub(crate) fn size(&self) -> usize {
        self.locked().target()
    }

    /// Whether anything is in flight.
    pub(crate) fn is_used(&self) -> bool {
        let size = self.locked();
        self.semaphore.available_permits() < size.made - size.owed
    }

    /// Sets the process's share: at least one.
    pub(crate) fn set_share(&self, share: usize) {
        let mut size = self.locked();
        if size.share != share.max(1) {
            size.share = share.max(1);
            self.fit(&mut size);
        }
    }

    /// The receiver said that it is too much.
    pub(crate) fn narrow(&self) {
        let mut size = self.locked();
        size.borne = Some((size.target() / 2).max(1));
        self.fit(&mut size);
    }

    /// A delivery arrived.
    pub(crate) fn widen(&self) {
        let mut size = self.locked();
        if let Some(borne) = size.borne {
            size.borne = Some(borne + 1).filter(|borne| *borne < size.share);
            self.fit(&mut size);
        }
    }

    fn fit(&self, size: &mut Size) {
        let (target, now) = (size.target(), size.made - size.owed);
        if target > now {
            let mut more = target - now;
            let forgiven = more.min(size.owed);
            size.owed -= forgiven;
            more -= forgiven;
            size.made += more;
            self.semaphore.add_permits(more);
        } else {
            let fewer = now - target;
            let gone = self.semaphore.forget_permits(fewer);
            size.made -= gone;
            size.owed += fewer - gone;
        }
    }

    fn locked(&self) -> MutexGuard<'_, Size> {
        // The numbers are whole at every moment, whatever happened to who held them.
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Size {
    fn target(&self) -> usize {
        self.share.min(self.borne.unwrap_or(usize::MAX))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let mut size = self.window.locked();
        if size.owed > 0 {
            size.owed -= 1;
            size.made -= 1;
            permit.forget();
        } else {
            // Free again, while the numbers stand still.
            drop(permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{InFlight, Window};

    #[test]
    fn a_receiver_that_has_too_much_gets_half_and_then_one_more_with_every_success() {
        let window = Window::new(16);
        let held: Vec<InFlight> = (0..16).filter_map(|_| window.try_take()).collect();
        window.narrow();
        assert_eq!(window.size(), 8);
        drop(held);
        let held: Vec<InFlight> = (0..16).filter_map(|_| window.try_take()).collect();
        assert_eq!(held.len(), 8);
        for _ in 0..20 {
            window.widen();
        }
        assert_eq!(window.size(), 16);
    }

    proptest! {
        #[test]
        fn whatever_its_size_goes_through_never_more_is_given_and_none_is_lost(
            steps in proptest::collection::vec((0u8..5, 1usize..20), 1..200)
        ) {
            let window = Window::new(5);
            let mut held = Vec::new();
            for (what, number) in steps {
                match what {
                    0 => window.set_share(number),
                    1 => window.narrow(),
                    2 => window.widen(),
                    3 => held.truncate(held.len().saturating_sub(number)),
                    _ => {
                        if let Some(permit) = window.try_take() {
                            held.push(permit);
                            prop_assert!(held.len() <= window.size());
                        }
                    }
                }
            }
            held.clear();
            let all: Vec<InFlight> = std::iter::from_fn(|| window.try_take()).collect();
            prop_assert_eq!(all.len(), window.size());
            prop_assert!(window.is_used());
        }
    }
}
