//! How many bytes of the log the partitions of a process hold at hand: bounds of the process, shared by as many
//! partitions as it owns, so that memory follows neither the backlog nor the number of partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes of the newest messages, of all partitions together; and what one may have in any case. A partition may have
/// what the others leave of theirs, and they their shares all the same: until it gives back what its lanes have settled,
/// all may hold twice as much.
const TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;
const TAIL_BYTES_MIN: usize = 1024 * 1024;

/// The same of what is read beside the tail: three windows at least, for two lanes that read ahead of themselves.
const WINDOWS_BYTES_MAX: usize = 12 * 1024 * 1024;
const WINDOWS_BYTES_MIN: usize = 3 * 1024 * 1024;

/// The bounds by which each partition goes.
#[derive(Debug)]
pub(crate) struct Room(Arc<Bounds>);

#[derive(Debug)]
struct Bounds {
    owned: AtomicUsize,
    /// Bytes that all tails hold.
    tails: AtomicUsize,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Bounds { owned: AtomicUsize::new(1), tails: AtomicUsize::new(0) }))
    }

    /// The process owns so many partitions.
    pub(super) fn set_owned(&self, partitions: usize) {
        self.0.owned.store(partitions.max(1), Ordering::Relaxed);
    }

    /// What a partition's tail may hold whatever the others do.
    pub(super) fn tail_share(&self) -> usize {
        self.0.tail_share()
    }

    /// The room of a partition's tail, which holds nothing yet.
    pub(super) fn of_a_tail(&self) -> TailRoom {
        TailRoom { bounds: Arc::clone(&self.0), held: 0 }
    }

    /// Most bytes of a partition's windows.
    pub(super) fn windows_bytes(&self) -> usize {
        self.0.share(WINDOWS_BYTES_MAX, WINDOWS_BYTES_MIN)
    }
}

impl Bounds {
    fn tail_share(&self) -> usize {
        self.share(TAIL_BYTES_MAX, TAIL_BYTES_MIN)
    }

    fn share(&self, all: usize, least: usize) -> usize {
        (all / self.owned.load(Ordering::Relaxed)).max(least)
    }
}

/// The room of one partition's tail. What it holds is given back when this is dropped.
#[derive(Debug)]
pub(super) struct TailRoom {
    bounds: Arc<Bounds>,
    held: usize,
}

impl TailRoom {
    /// The tail holds so many bytes. Returns how many it may: its share, and beyond it what all the others leave. That is
    /// less than it holds where they take their shares by now.
    pub(super) fn hold(&mut self, bytes: usize) -> usize {
        let tails = &self.bounds.tails;
        match bytes.checked_sub(self.held) {
            Some(more) => tails.fetch_add(more, Ordering::Relaxed),
            None => tails.fetch_sub(self.held - bytes, Ordering::Relaxed),
        };
        self.held = bytes;
        // What all hold above the bound comes off what this one may.
        let may = (bytes + TAIL_BYTES_MAX).saturating_sub(tails.load(Ordering::Relaxed));
        self.bounds.tail_share().max(may)
    }
}

impl Drop for TailRoom {
    fn drop(&mut self) {
        self.bounds.tails.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Room, TAIL_BYTES_MAX, TAIL_BYTES_MIN};

    #[test]
    fn partitions_share_what_a_process_holds_and_each_has_some() {
        let room = Room::new();
        let (mut busy, mut other) = (room.of_a_tail(), room.of_a_tail());
        assert_eq!(busy.hold(TAIL_BYTES_MAX), TAIL_BYTES_MAX);
        room.set_owned(4);
        assert_eq!(other.hold(0) * 4, TAIL_BYTES_MAX);
        room.set_owned(1_000);
        assert_eq!(other.hold(0), TAIL_BYTES_MIN);
    }

    #[test]
    fn a_busy_partition_has_what_the_others_leave_and_gives_it_back() {
        let room = Room::new();
        room.set_owned(12);
        let (mut busy, mut other) = (room.of_a_tail(), room.of_a_tail());
        assert_eq!((busy.hold(0), other.hold(0)), (TAIL_BYTES_MAX, TAIL_BYTES_MAX));
        other.hold(TAIL_BYTES_MAX / 4);
        assert_eq!(busy.hold(TAIL_BYTES_MAX / 2), TAIL_BYTES_MAX / 4 * 3);
        assert_eq!(busy.hold(TAIL_BYTES_MAX), TAIL_BYTES_MAX / 4 * 3, "the other has the rest");
        drop(other);
        assert_eq!(busy.hold(TAIL_BYTES_MAX / 2), TAIL_BYTES_MAX);
    }
}
