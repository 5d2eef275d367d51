//! The one task that commits for all partitions, beside the deliveries: a commit on Kafka takes tens of
//! milliseconds, in which deliveries go on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use audit_journal::{
    COMMIT_BYTES_MAX, CommitError, Committer, NewMessage, OwnedCommit, Partition, PartitionCommit, Topic,
};
use tokio::sync::oneshot;

use super::Shared;
use super::partition::{Command, Handle};
use super::shares::share_out;

/// Time between commits. A crash repeats what was in flight, and what was settled in one such time.
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);

/// The pauses after commits that were not taken: doubled from the first to the last.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// What one partition has to commit.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) commit: PartitionCommit,
    pub(crate) messages: Vec<(Topic, NewMessage)>,
}

impl Part {
    fn bytes(&self) -> usize {
        self.commit.bytes() + self.messages.iter().map(|(_, message)| message.bytes()).sum::<usize>()
    }
}

/// The partitions that are ours, by index.
pub(crate) type Handles = Arc<Mutex<BTreeMap<Partition, Handle>>>;

/// Commits until it is dropped. To drop it in the middle of a commit is what a crash is: all of it is
/// there, or nothing.
pub(crate) async fn commit_for_all(shared: Arc<Shared>, committer: Committer, handles: Handles) {
    loop {
        // Who wants a commit at once (a partition that is given up) does not wait for the interval.
        let _ = tokio::time::timeout(COMMIT_INTERVAL, shared.commit_now.notified()).await;
        let owned =
            handles.lock().unwrap_or_else(PoisonError::into_inner).values().filter(|h| h.is_open()).count();
        share_out(&shared, owned);
        let parts = collect(&handles).await;
        for together in in_transactions(parts, COMMIT_BYTES_MAX, |(_, part)| part.bytes()) {
            commit(&committer, together).await;
        }
    }
}

/// Shares parts out among transactions of at most so many bytes, or of one part; in order.
fn in_transactions<T>(parts: Vec<T>, bytes_max: usize, bytes_of: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut transactions: Vec<Vec<T>> = Vec::new();
    let mut bytes = 0;
    for part in parts {
        bytes += bytes_of(&part);
        match transactions.last_mut() {
            Some(last) if bytes <= bytes_max => last.push(part),
            _ => {
                bytes = bytes_of(&part);
                transactions.push(vec![part]);
            }
        }
    }
    transactions
}

/// A part, and whom to tell what became of it.
type Collected = (Handle, Part);

async fn collect(handles: &Handles) -> Vec<Collected> {
    let handles: Vec<Handle> =
        handles.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
    let mut asked = Vec::with_capacity(handles.len());
    for handle in handles {
        let (answer, part) = oneshot::channel();
        if handle.commands.send(Command::Collect(answer)).await.is_ok() {
            asked.push((handle, part));
        }
    }
    let mut parts = Vec::new();
    for (handle, part) in asked {
        if let Ok(Some(part)) = part.await {
            parts.push((handle, part));
        }
    }
    parts
}

/// Commits the parts in one transaction, as often as it takes. Not persisted: the same is tried again.
/// Persisted, but the answer lost: the same is written again, and changes nothing but that its attempts
/// are logged twice. Fenced: those partitions are somebody else's, and the others' parts are committed.
async fn commit(committer: &Committer, mut parts: Vec<Collected>) {
    let mut pause = RETRY_PAUSE_MIN;
    while !parts.is_empty() {
        let together = OwnedCommit {
            partitions: parts.iter().map(|(_, part)| part.commit.clone()).collect(),
            messages: parts.iter().flat_map(|(_, part)| part.messages.iter().cloned()).collect(),
        };
        match committer.commit(together).await {
            Ok(()) => {
                for (handle, _) in parts {
                    tell(&handle, Command::Committed).await;
                }
                return;
            }
            Err(CommitError::Fenced(partitions)) => {
                tracing::warn!(?partitions, "partitions are owned by another process by now");
                let (lost, kept) = (parts.into_iter())
                    .partition::<Vec<_>, _>(|(_, part)| partitions.contains(&part.commit.partition));
                for (handle, _) in &lost {
                    tell(handle, Command::Lost).await;
                }
                if lost.is_empty() {
                    // Fenced for a partition that is not among ours: nothing of this can be committed.
                    tracing::error!(?partitions, "a commit was fenced for partitions that it did not name");
                    tokio::time::sleep(pause).await;
                }
                parts = kept;
            }
            Err(CommitError::NotCommitted(reason)) => {
                tracing::warn!(reason, pause_ms = pause.as_millis() as u64, "a commit was not taken");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_PAUSE_MAX);
                // A partition whose task has ended meanwhile (lost) has nothing to commit any more.
                parts.retain(|(handle, _)| !handle.commands.is_closed());
            }
        }
    }
}

async fn tell(handle: &Handle, command: Command) {
    // A task that has ended needs no telling.
    let _ = handle.commands.send(command).await;
}

#[cfg(test)]
mod tests {
    use super::in_transactions;

    #[test]
    fn many_large_parts_are_committed_in_several_transactions_and_small_ones_in_one() {
        let grouped = |parts: &[usize]| in_transactions(parts.to_vec(), 10, |bytes| *bytes);
        assert_eq!(grouped(&[1, 2, 3]), [[1, 2, 3]]);
        assert_eq!(grouped(&[6, 4, 1, 9, 30, 1]), [vec![6, 4], vec![1, 9], vec![30], vec![1]]);
        assert!(grouped(&[]).is_empty());
    }
}
