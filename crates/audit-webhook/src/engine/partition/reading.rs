//! What of the partition is read beside its tail, for lanes that are not level with it.

use std::pin::pin;
use std::sync::Arc;

use audit_journal::{Partition as PartitionIndex, Topic};
use tokio::time::Instant;

use super::{Partition, Shared};
use crate::engine::windows::{Read, WINDOW, WindowRead};

impl Partition {
    /// Reads what lanes that are not level wait for.
    pub(super) fn read_windows(&mut self) {
        while let Some(read) = self.windows.next_read(Instant::now()) {
            let reading = read_window(Arc::clone(&self.shared), self.index, read);
            self.under_way.windows.push(Box::pin(reading));
        }
    }

    /// What was read is there. Who waited for it goes through it at once, as far as it has room for what it finds.
    pub(super) fn take_window(&mut self, ended: WindowRead) {
        let WindowRead { read, range, turn } = ended;
        self.windows.set_bytes_max(self.shared.room.windows_bytes());
        match self.windows.arrived(read, range, Instant::now()) {
            Ok(waited) => {
                for id in waited {
                    self.go(&id);
                }
            }
            Err(error) => {
                let (partition, from) = (self.index, read.from);
                tracing::warn!(partition, from, %error, "endpoints that are behind can't read the log");
            }
        }
        // Nothing here waited for another turn: a lane that found something has asked for its own.
        drop(turn);
    }
}

/// Reads one window, after waiting for a turn where it is one of what is behind.
async fn read_window(shared: Arc<Shared>, partition: PartitionIndex, read: Read) -> WindowRead {
    let mut turn = if read.is_behind { shared.turns.take_to_read().await } else { None };
    let reading = pin!(shared.journal.read(Topic::Records, partition, read.from, WINDOW));
    let range = match &mut turn {
        Some(turn) => turn.during(reading).await,
        None => reading.await,
    };
    WindowRead { read, range, turn }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::{Read, read_window};
    use crate::engine::testing::Bench;

    #[tokio::test]
    async fn a_window_of_what_is_behind_is_read_in_its_turn_and_one_of_what_is_live_without() {
        let Bench { shared, .. } = &Bench::new().await;
        shared.turns.note_live();
        for is_behind in [true, false] {
            let held = shared.turns.try_take().expect("the only turn");
            let mut reading = pin!(read_window(Arc::clone(shared), 0, Read { from: 0, is_behind }));
            let ended = reading.as_mut().now_or_never();
            assert!(ended.is_none() || !is_behind, "the turn is somebody else's");
            drop(held);
            assert_eq!(shared.turns.try_take().is_none(), is_behind, "it is the next one's in the queue");
        }
    }
}
