//! The queues in which work waits for the partitions' writers, and the room in memory that all of them share.
//!
//! There is one bound for all, in bytes: a partition whose writer is busy holds up the others only when what waits for
//! it fills the room alone.

use std::sync::Arc;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::partition::Work;

/// Most bytes of messages that wait for all writers together, of all topics.
const WAITING_BYTES_MAX: u32 = 8 * 1024 * 1024;

/// What any work takes at least, however little it holds: so their number is bounded too.
const WORK_BYTES_MIN: u32 = 1024;

/// Most work that waits in one queue: as much as has room, so that the room alone is what is waited for.
const WAITING_MAX: usize = (WAITING_BYTES_MAX / WORK_BYTES_MIN) as usize;

/// The room that queues share. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

impl Room {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(WAITING_BYTES_MAX as usize)))
    }

    /// A queue in this room.
    pub(crate) fn queue(&self) -> (WorkSender, WorkQueue) {
        let (waiting, taken) = mpsc::channel(WAITING_MAX);
        (WorkSender { room: self.0.clone(), waiting }, WorkQueue(taken))
    }
}

/// Work, and the room that it takes up until it is taken.
#[derive(Debug)]
struct Waiting {
    work: Work,
    _room: OwnedSemaphorePermit,
}

/// Where work for one partition's writer is put. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct WorkSender {
    room: Arc<Semaphore>,
    waiting: mpsc::Sender<Waiting>,
}

impl WorkSender {
    /// Puts work in the queue, once there is room for it. A writer that ended has said why; its messages stay on the log.
    pub(crate) async fn send(&self, work: Work) {
        let bytes = u32::try_from(work.bytes()).unwrap_or(u32::MAX);
        let bytes = bytes.clamp(WORK_BYTES_MIN, WAITING_BYTES_MAX);
        // Nobody closes the room.
        if let Ok(room) = self.room.clone().acquire_many_owned(bytes).await {
            let _ = self.waiting.send(Waiting { work, _room: room }).await;
        }
    }
}

/// Where one partition's writer takes its work from.
#[derive(Debug)]
pub(crate) struct WorkQueue(mpsc::Receiver<Waiting>);

impl WorkQueue {
    /// What waits, if anything does.
    pub(crate) fn try_next(&mut self) -> Result<Work, TryRecvError> {
        self.0.try_recv().map(|waiting| waiting.work)
    }

    /// Waits for work; `None` when there will be no more.
    pub(crate) fn next_blocking(&mut self) -> Option<Work> {
        self.0.blocking_recv().map(|waiting| waiting.work)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use audit_journal::{Batch, Message};
    use bytes::Bytes;

    use super::*;

    const BATCH_BYTES: u32 = 512 * 1024;

    fn batch(bytes: u32) -> Work {
        let message = Message {
            partition: 0,
            offset: 0,
            appended_at_ms: 0,
            key: Bytes::new(),
            headers: Vec::new(),
            value: Some(Bytes::from(vec![0; bytes as usize])),
        };
        Work::Messages(Batch { partition: 0, messages: vec![message], end: 1, epoch: 0 })
    }

    /// Whether it is sent at once.
    async fn is_sent(queue: &WorkSender, work: Work) -> bool {
        tokio::time::timeout(Duration::ZERO, queue.send(work)).await.is_ok()
    }

    #[tokio::test]
    async fn a_busy_writer_holds_up_others_only_when_its_work_fills_the_room() {
        let room = Room::new();
        let (busy, mut of_busy) = room.queue();
        let (idle, mut of_idle) = room.queue();
        let fitting = WAITING_BYTES_MAX / BATCH_BYTES;
        for _ in 1..fitting {
            assert!(is_sent(&busy, batch(BATCH_BYTES)).await);
        }
        for _ in 0..20 {
            assert!(is_sent(&idle, batch(BATCH_BYTES)).await, "another queue is long");
            assert!(of_idle.try_next().is_ok());
        }
        assert!(is_sent(&busy, batch(BATCH_BYTES)).await);
        assert!(!is_sent(&idle, Work::Level(1)).await, "the room is full");
        assert!(of_busy.try_next().is_ok());
        assert!(is_sent(&idle, Work::Level(1)).await);
        assert!(matches!(of_idle.try_next(), Ok(Work::Level(1))));
    }

    #[tokio::test]
    async fn work_larger_than_the_room_waits_for_all_of_it_and_a_writer_that_ended_leaves_its_own() {
        let room = Room::new();
        let (ended, of_ended) = room.queue();
        let (other, mut of_other) = room.queue();
        assert!(is_sent(&ended, batch(BATCH_BYTES)).await);
        assert!(!is_sent(&other, batch(WAITING_BYTES_MAX + 1)).await);
        drop(of_ended);
        assert!(is_sent(&other, batch(WAITING_BYTES_MAX + 1)).await);
        assert!(!is_sent(&ended, Work::Level(1)).await, "the room is full");
        assert!(of_other.try_next().is_ok());
        assert!(is_sent(&ended, Work::Level(1)).await, "nobody takes it, and it takes no room");
        assert!(is_sent(&other, batch(WAITING_BYTES_MAX)).await);
    }
}
