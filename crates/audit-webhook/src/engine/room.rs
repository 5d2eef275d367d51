//! How many bytes of the log the partitions of a process hold at hand: bounds of the process, shared by as many
//! partitions as it owns, so that memory follows neither the backlog nor the number of partitions.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes of the newest messages, of all partitions together; and what one may have in any case.
const TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;
const TAIL_BYTES_MIN: usize = 1024 * 1024;

/// The same of what is read beside the tail: three windows at least, for two lanes that read ahead of themselves.
const WINDOWS_BYTES_MAX: usize = 12 * 1024 * 1024;
const WINDOWS_BYTES_MIN: usize = 3 * 1024 * 1024;

/// The bounds by which each partition goes.
#[derive(Debug)]
pub(crate) struct Room {
    owned: AtomicUsize,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self { owned: AtomicUsize::new(1) }
    }

    /// The process owns so many partitions.
    pub(super) fn set_owned(&self, partitions: usize) {
        self.owned.store(partitions.max(1), Ordering::Relaxed);
    }

    /// Most bytes of a partition's tail.
    pub(super) fn tail_bytes(&self) -> usize {
        self.share(TAIL_BYTES_MAX, TAIL_BYTES_MIN)
    }

    /// Most bytes of a partition's windows.
    pub(super) fn windows_bytes(&self) -> usize {
        self.share(WINDOWS_BYTES_MAX, WINDOWS_BYTES_MIN)
    }

    fn share(&self, all: usize, least: usize) -> usize {
        (all / self.owned.load(Ordering::Relaxed)).max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::{Room, TAIL_BYTES_MAX, TAIL_BYTES_MIN};

    #[test]
    fn partitions_share_what_a_process_holds_and_each_has_some() {
        let room = Room::new();
        assert_eq!(room.tail_bytes(), TAIL_BYTES_MAX);
        room.set_owned(4);
        assert_eq!(room.tail_bytes() * 4, TAIL_BYTES_MAX);
        room.set_owned(1_000);
        assert_eq!(room.tail_bytes(), TAIL_BYTES_MIN);
    }
}
