//! Following a topic as an owner: a group shares the partitions out, and what an owner settles is
//! committed in one transaction that only the present owner can make.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::DropGuard;

use crate::follow::{Batch, Stop};
use crate::message::NewMessage;
use crate::position::{Bookmark, Offset, Partition};
use crate::topic::Topic;

/// What owning brings.
#[derive(Debug)]
pub enum OwnedEvent {
    /// A partition is ours. Comes before its first message, after its documents were read.
    Assigned {
        /// The partition.
        partition: Partition,
        /// Rises with every assignment; a commit of an older one is refused.
        generation: u64,
        /// Where the last owner stood; `None` where nobody has been yet, and reading begins at the
        /// partition's first message.
        bookmark: Option<Bookmark>,
        /// Every document of this group in the partition's `progress`, by key; the watermark, which the
        /// journal keeps there too, is not among them.
        documents: Vec<(Bytes, Bytes)>,
        /// The end of the partition at the time.
        end: Offset,
        /// Whether the last owner gave the partition up itself (after [`OwnedEvent::Revoked`] or by
        /// [`Owned::leave`]), or there was none. If not, requests it started may still be on their way.
        clean: bool,
    },
    /// Messages, in order within their partition.
    Messages(Batch),
    /// Everything up to `next` was delivered (see [`crate::FollowEvent::Level`]).
    Level {
        /// The partition.
        partition: Partition,
        /// Where to go on.
        next: Offset,
    },
    /// A partition is to be given up. Settle and commit what is in hand, then drop `done`; the journal
    /// waits for that for a bounded time. When `lost`, it is somebody else's already: commit nothing.
    Revoked {
        /// The partition.
        partition: Partition,
        /// Whether it is gone already.
        lost: bool,
        /// To be dropped when the owner is through.
        done: oneshot::Sender<()>,
    },
    /// This partition goes no further; where it would have to begin at a place that the log does not bear out, this comes
    /// instead of [`OwnedEvent::Assigned`].
    Stopped(Stop),
}

/// The state of one partition in a commit.
#[derive(Clone, Debug)]
pub struct PartitionCommit {
    /// The partition.
    pub partition: Partition,
    /// The generation it was assigned with.
    pub generation: u64,
    /// The new watermark: everything before it is settled or written down in a document.
    pub bookmark: Bookmark,
    /// Documents to write; `None` deletes.
    pub documents: Vec<(Bytes, Option<Bytes>)>,
}

/// How soon what is appended comes to an owner. (The embedded journal brings everything at once.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// At once: an answer of the broker for whatever little there is.
    AtOnce,
    /// Gathered for up to half a second: for who is in no hurry, one answer in the place of many spares the broker, and
    /// itself, most of what a record costs.
    Gathered,
}

/// What one transaction is to have at most, in bytes, unless a single partition's part has more: many
/// partitions are better committed in several. (Nothing is refused for it; but on Kafka a transaction has
/// seconds to get through, and a partition's documents may have hundreds of KiB each.)
pub const COMMIT_BYTES_MAX: usize = 16 * 1024 * 1024;

impl PartitionCommit {
    /// What the documents weigh, in bytes.
    pub fn bytes(&self) -> usize {
        self.documents.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum()
    }
}

/// What is committed in one transaction.
#[derive(Clone, Debug, Default)]
pub struct OwnedCommit {
    /// Watermarks and documents.
    pub partitions: Vec<PartitionCommit>,
    /// Messages that become visible with them: attempts, and records that tell of them.
    pub messages: Vec<(Topic, NewMessage)>,
}

impl OwnedCommit {
    /// What its documents and messages weigh, in bytes.
    pub fn bytes(&self) -> usize {
        let documents: usize = self.partitions.iter().map(PartitionCommit::bytes).sum();
        documents + self.messages.iter().map(|(_, message)| message.bytes()).sum::<usize>()
    }
}

/// Why a commit did not happen. In either case nothing of it is visible to anybody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// These partitions are no longer ours (or not in that generation).
    #[error("partitions {0:?} are owned by another process by now")]
    Fenced(Vec<Partition>),
    /// Nothing was committed; the same commit may be tried again.
    #[error("not committed: {0}")]
    NotCommitted(String),
}

pub(crate) type CommitRequest = (OwnedCommit, oneshot::Sender<Result<(), CommitError>>);

/// Commits for an [`Owned`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Committer {
    pub(crate) requests: mpsc::Sender<CommitRequest>,
}

impl Committer {
    /// Commits all or nothing. When it returns `Ok`, watermark, documents and messages are durable and a
    /// later owner sees them. If the process dies before the answer, they are there whole or not at all.
    pub async fn commit(&self, commit: OwnedCommit) -> Result<(), CommitError> {
        let (answer, outcome) = oneshot::channel();
        let closed = |_| CommitError::NotCommitted("the journal is closed".to_owned());
        self.requests.send((commit, answer)).await.map_err(|_| closed(()))?;
        outcome.await.map_err(|_| closed(()))?
    }
}

/// A running owner. Dropping it leaves the group, but not in good order: whoever owns its partitions next
/// is told so, as after a crash. [`Owned::leave`] is the orderly way.
#[derive(Debug)]
pub struct Owned {
    pub(crate) events: mpsc::Receiver<OwnedEvent>,
    pub(crate) committer: Committer,
    /// Asks the backend to leave in good order; it answers when the partitions are marked as released.
    pub(crate) leave: oneshot::Sender<oneshot::Sender<()>>,
    pub(crate) _stop: DropGuard,
}

impl Owned {
    /// The next event; `None` after the journal was closed. An owner that is not asked waits; the group
    /// membership is kept alive meanwhile. Safe to cancel.
    pub async fn next(&mut self) -> Option<OwnedEvent> {
        self.events.recv().await
    }

    /// Leaves the group in good order, all partitions at once: to be called when everything in hand is
    /// settled and committed and nothing is under way any more. The next owner gets them as `clean`.
    /// Waits for that mark to be durable, for a bounded time.
    pub async fn leave(self) {
        let Self { events, leave, .. } = self;
        drop(events);
        let (answer, left) = oneshot::channel();
        if leave.send(answer).is_ok() {
            // An answer that never comes means the journal is closed, or the mark could not be written:
            // then the release counts as not clean, which is the safe side.
            let _ = left.await;
        }
    }

    /// The way to commit.
    pub fn committer(&self) -> Committer {
        self.committer.clone()
    }
}
