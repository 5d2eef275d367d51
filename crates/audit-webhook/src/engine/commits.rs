//! The one task that commits for all partitions, beside the deliveries: a commit on Kafka takes tens of
//! milliseconds, in which deliveries go on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use audit_journal::{
    COMMIT_BYTES_MAX, CommitError, Committer, NewMessage, OwnedCommit, Partition, PartitionCommit, Topic,
};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::Shared;
use super::partition::{Command, Handle};
use super::shares::share_out;

/// Time between commits. A crash repeats what was in flight, and what was settled in one such time.
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);

/// The pauses after commits that were not taken: doubled from the first to the last.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// The longest message that the log takes, of which a document or an attempt is one. Their own bounds keep both far
/// below it.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What one partition has to commit.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) commit: PartitionCommit,
    pub(crate) messages: Vec<(Topic, NewMessage)>,
}

/// Why a commit may never be taken, however often it is tried: something of one endpoint is longer than a message, or
/// what comes of a single partition more than a transaction is to have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{bytes} bytes may be too many for the log, most of them ({most}) of the endpoint {endpoint}: if the log is well, delete that endpoint or move it to a later start, and start this process again"
)]
struct TooLarge {
    endpoint: String,
    /// What the endpoint has of it.
    most: usize,
    /// All of it.
    bytes: usize,
}

impl Part {
    fn bytes(&self) -> usize {
        self.commit.bytes() + self.messages.iter().map(|(_, message)| message.bytes()).sum::<usize>()
    }

    /// What each endpoint has of it: its document, and its attempts. Their key is its id; that of a record is not.
    fn of_endpoints(&self) -> impl Iterator<Item = (&[u8], usize)> {
        let documents = self.commit.documents.iter();
        let documents =
            documents.map(|(key, value)| (&key[..], key.len() + value.as_ref().map_or(0, Bytes::len)));
        let attempts = self.messages.iter().filter(|(topic, _)| *topic == Topic::Deliveries);
        documents.chain(attempts.map(|(_, message)| (&message.key[..], message.bytes())))
    }

    /// Whether it is too large for the log, and by whom.
    fn too_large(&self) -> Option<TooLarge> {
        let mut by_endpoint: BTreeMap<&[u8], usize> = BTreeMap::new();
        let mut longest = 0;
        for (endpoint, bytes) in self.of_endpoints() {
            *by_endpoint.entry(endpoint).or_default() += bytes;
            longest = longest.max(bytes);
        }
        let bytes = self.bytes();
        let (endpoint, most) = by_endpoint.into_iter().max_by_key(|(_, bytes)| *bytes)?;
        (longest > MESSAGE_BYTES_MAX || bytes > COMMIT_BYTES_MAX).then(|| TooLarge {
            endpoint: String::from_utf8_lossy(endpoint).into_owned(),
            most,
            bytes,
        })
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
        shared.room.set_owned(owned);
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
                let pause_ms = pause.as_millis() as u64;
                match parts.iter().find_map(|(_, part)| part.too_large()) {
                    Some(error) => {
                        let endpoint = error.endpoint.as_str();
                        tracing::error!(endpoint, %error, reason, pause_ms, "a commit was not taken");
                    }
                    None => tracing::warn!(reason, pause_ms, "a commit was not taken"),
                }
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
    use audit_journal::{Bookmark, NewMessage, PartitionCommit, Placement, Topic};
    use bytes::Bytes;

    use super::{COMMIT_BYTES_MAX, MESSAGE_BYTES_MAX, Part, in_transactions};

    fn part(documents: &[(&'static str, usize)], attempts: &[(&'static str, usize)]) -> Part {
        let value = |bytes: usize| Some(Bytes::from(vec![b'x'; bytes]));
        let document =
            |(key, bytes): &(&'static str, usize)| (Bytes::from_static(key.as_bytes()), value(*bytes));
        let attempt = |(key, bytes): &(&'static str, usize)| {
            let (key, placement) = (Bytes::from_static(key.as_bytes()), Placement::Fixed(0));
            (Topic::Deliveries, NewMessage { key, headers: Vec::new(), value: value(*bytes), placement })
        };
        let commit = PartitionCommit {
            partition: 0,
            generation: 1,
            bookmark: Bookmark::default(),
            documents: documents.iter().map(document).collect(),
        };
        Part { commit, messages: attempts.iter().map(attempt).collect() }
    }

    #[test]
    fn a_commit_that_is_too_large_names_the_endpoint_that_makes_it_so() {
        let half = MESSAGE_BYTES_MAX / 2;
        assert_eq!(part(&[("ep_a", half), ("ep_b", half)], &[("ep_b", half)]).too_large(), None);
        assert_eq!(part(&[], &[]).too_large(), None);
        let long = part(&[("ep_a", 10), ("ep_b", MESSAGE_BYTES_MAX)], &[("ep_a", 10)]);
        assert_eq!(long.too_large().expect("too large").endpoint, "ep_b");
        let many = vec![("ep_a", half); COMMIT_BYTES_MAX / half];
        let many = part(&[("ep_b", half)], &many).too_large().expect("too large");
        assert_eq!(many.endpoint, "ep_a");
        assert!(many.to_string().contains("of the endpoint ep_a: if the log is well"), "{many}");
    }

    #[test]
    fn many_large_parts_are_committed_in_several_transactions_and_small_ones_in_one() {
        let grouped = |parts: &[usize]| in_transactions(parts.to_vec(), 10, |bytes| *bytes);
        assert_eq!(grouped(&[1, 2, 3]), [[1, 2, 3]]);
        assert_eq!(grouped(&[6, 4, 1, 9, 30, 1]), [vec![6, 4], vec![1, 9], vec![30], vec![1]]);
        assert!(grouped(&[]).is_empty());
    }
}
