//! Owners' commits: one transactional producer a process, on a thread of its own beside the deliveries.
//!
//! A commit writes watermarks and documents to `progress`, the messages that go with them, and the
//! group's offsets under the membership that the partitions were assigned with (KIP-447). The broker
//! refuses a membership that is gone, and with it the whole transaction: that is the fence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::message::{NewMessage, Placement};
use crate::owned::{CommitError, CommitRequest, OwnedCommit};
use crate::position::{Bookmark, Offset, Partition, Position};
use crate::progress::{WATERMARK_KEY, WATERMARK_VERSION, Watermark, document_key};
use crate::topic::Topic;

use super::client::{Clients, blocking};
use super::group_offsets::GroupOffsets;
use super::reader::Readers;
use super::together::settle;
use super::transaction::{TransactionError, Transactor};

/// Most commits that wait.
const WAITING_MAX: usize = 64;

/// How long a commit whose answer is lost is asked for again before a new producer settles it.
const COMMIT_WAIT: Duration = Duration::from_secs(20);

/// A partition as its owner holds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) generation: u64,
    pub(super) bookmark: Option<Bookmark>,
}

/// What one owner holds now. Shared by its polling thread and the committing thread.
pub(super) struct Session {
    group: String,
    holding: Mutex<Holding>,
}

#[derive(Default)]
struct Holding {
    /// The membership under which all of `held` was assigned: not the present one, which may be of a
    /// later assignment.
    membership: Option<Arc<ConsumerGroupMetadata>>,
    held: BTreeMap<Partition, Held>,
}

impl Session {
    pub(super) fn new(group: &str) -> Arc<Self> {
        Arc::new(Self { group: group.to_owned(), holding: Mutex::default() })
    }

    pub(super) fn group(&self) -> &str {
        &self.group
    }

    /// Begins to hold partitions under a membership; replaces all that was held.
    pub(super) fn hold(&self, membership: Arc<ConsumerGroupMetadata>, held: BTreeMap<Partition, Held>) {
        *self.holding() = Holding { membership: Some(membership), held };
    }

    /// Holds nothing any more: from here on every commit is refused.
    pub(super) fn let_go(&self) {
        *self.holding() = Holding::default();
    }

    fn holding(&self) -> MutexGuard<'_, Holding> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the committing thread is asked.
enum Work {
    /// An owner's commit.
    Commit(OwnedCommit),
    /// The watermarks of these partitions, with only the mark of a clean release changed.
    Mark { partitions: Vec<Partition>, clean: bool },
    /// Nothing more: the thread ends.
    End,
}

struct Job {
    session: Arc<Session>,
    work: Work,
    answer: oneshot::Sender<Result<(), CommitError>>,
}

/// Commits for all owners of this process. Cheap to clone.
#[derive(Clone)]
pub(super) struct Commits {
    jobs: mpsc::Sender<Job>,
}

impl Commits {
    /// Starts the thread. It makes its producer with the first commit.
    pub(super) fn start(
        clients: Clients,
        partitions: u32,
        readers: Arc<Readers>,
        stop: CancellationToken,
    ) -> (Self, CommitThread) {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let records = clients.topic_name(Topic::Records);
        let transactor = Transactor::new(clients, "owned");
        let worker = Worker { transactor, records, partitions, readers, stop };
        let spawned =
            thread::Builder::new().name("journal-commit".to_owned()).spawn(move || worker.run(waiting));
        let thread = spawned.map_err(|error| tracing::error!(%error, "a thread can't be started")).ok();
        (Self { jobs }, CommitThread(thread))
    }

    /// The way in for one owner's committer.
    pub(super) fn requests_of(&self, session: &Arc<Session>) -> mpsc::Sender<CommitRequest> {
        let (requests, mut asked) = mpsc::channel::<CommitRequest>(1);
        let (jobs, session) = (self.jobs.clone(), Arc::clone(session));
        tokio::spawn(async move {
            while let Some((commit, answer)) = asked.recv().await {
                let job = Job { session: Arc::clone(&session), work: Work::Commit(commit), answer };
                if jobs.send(job).await.is_err() {
                    return;
                }
            }
        });
        requests
    }

    /// Writes the watermarks of partitions that are held, marked as cleanly released or not.
    pub(super) async fn mark(
        &self,
        session: &Arc<Session>,
        partitions: Vec<Partition>,
        clean: bool,
    ) -> Result<(), CommitError> {
        let closed = || CommitError::NotCommitted("the journal is closed".to_owned());
        let (answer, outcome) = oneshot::channel();
        let work = Work::Mark { partitions, clean };
        self.jobs.send(Job { session: Arc::clone(session), work, answer }).await.map_err(|_| closed())?;
        outcome.await.map_err(|_| closed())?
    }
}

/// The committing thread, to be waited for.
pub(super) struct CommitThread(Option<thread::JoinHandle<()>>);

impl CommitThread {
    /// Answers what was asked for before, and ends.
    pub(super) async fn close(self, commits: &Commits) {
        let (answer, _) = oneshot::channel();
        let last = Job { session: Session::new(""), work: Work::End, answer };
        if commits.jobs.send(last).await.is_err() {
            tracing::debug!("the committing thread had ended before");
        }
        blocking(move || {
            if self.0.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("the committing thread panicked");
            }
        })
        .await;
    }
}

/// A transaction made ready: what to write, and under which membership.
struct Prepared {
    messages: Vec<(Topic, NewMessage)>,
    bookmarks: Vec<(Partition, Option<Bookmark>)>,
    offsets: TopicPartitionList,
    membership: Option<Arc<ConsumerGroupMetadata>>,
}

struct Worker {
    transactor: Transactor,
    records: String,
    partitions: u32,
    readers: Arc<Readers>,
    /// Ends the search for what became of a commit that nobody can tell.
    stop: CancellationToken,
}

impl Worker {
    fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        while let Some(Job { session, work, answer }) = waiting.blocking_recv() {
            if matches!(work, Work::End) {
                return;
            }
            // An owner that is gone needs no answer.
            let _ = answer.send(self.work(&session, work));
        }
    }

    fn work(&mut self, session: &Session, work: Work) -> Result<(), CommitError> {
        let prepared = match work {
            Work::Commit(commit) => self.prepare_commit(session, commit)?,
            Work::Mark { partitions, clean } => self.prepare_mark(session, &partitions, clean)?,
            Work::End => return Ok(()),
        };
        let Prepared { messages, bookmarks, offsets, membership } = prepared;
        if messages.is_empty() {
            return Ok(());
        }
        let group = membership.map(|membership| GroupOffsets { offsets, membership });
        let outcome = self.transactor.run(&messages, self.partitions, group.as_ref(), COMMIT_WAIT);
        self.known(outcome, &messages, &bookmarks)?;
        let mut holding = session.holding();
        for (partition, bookmark) in bookmarks {
            if let Some(held) = holding.held.get_mut(&partition) {
                held.bookmark = bookmark;
            }
        }
        Ok(())
    }

    /// Turns an outcome into an answer; one that is in doubt is settled first, however long it takes.
    fn known(
        &mut self,
        outcome: Result<Vec<Position>, TransactionError>,
        messages: &[(Topic, NewMessage)],
        bookmarks: &[(Partition, Option<Bookmark>)],
    ) -> Result<(), CommitError> {
        let (reason, positions) = match outcome {
            Ok(_) => return Ok(()),
            Err(TransactionError::Fenced(reason)) => {
                tracing::warn!(reason, "a commit was refused: the partitions have another owner");
                return Err(CommitError::Fenced(bookmarks.iter().map(|(partition, _)| *partition).collect()));
            }
            Err(TransactionError::Aborted(reason)) => return Err(CommitError::NotCommitted(reason)),
            Err(TransactionError::Unknown(reason, positions)) => (reason, positions),
        };
        tracing::warn!(reason, "the answer to a commit was lost; it is looked for");
        loop {
            let is_closing = || self.stop.is_cancelled();
            match settle(&mut self.transactor, &self.readers, &positions, messages, is_closing) {
                Some(true) => return Ok(()),
                Some(false) => return Err(CommitError::NotCommitted(reason)),
                None if self.stop.is_cancelled() => {
                    let text = format!("{reason}; whether it was committed shows when it is read again");
                    return Err(CommitError::NotCommitted(text));
                }
                None => {}
            }
        }
    }

    fn prepare_commit(&self, session: &Session, commit: OwnedCommit) -> Result<Prepared, CommitError> {
        let holding = session.holding();
        let foreign: Vec<Partition> = commit
            .partitions
            .iter()
            .filter(|state| {
                holding.held.get(&state.partition).map(|held| held.generation) != Some(state.generation)
            })
            .map(|state| state.partition)
            .collect();
        if !foreign.is_empty() {
            return Err(CommitError::Fenced(foreign));
        }
        let mut prepared = self.begin(&holding);
        // The watermarks come first: by the first message a commit in doubt is settled.
        for state in &commit.partitions {
            self.add_watermark(
                &mut prepared,
                session,
                state.partition,
                Watermark {
                    v: WATERMARK_VERSION,
                    generation: state.generation,
                    clean: false,
                    bookmark: Some(state.bookmark),
                },
            )?;
        }
        for state in commit.partitions {
            for (key, value) in state.documents {
                prepared.messages.push(progress(session.group(), state.partition, &key, value));
            }
        }
        prepared.messages.extend(commit.messages);
        if prepared.bookmarks.is_empty() {
            prepared.membership = None;
        }
        Ok(prepared)
    }

    fn prepare_mark(
        &self,
        session: &Session,
        partitions: &[Partition],
        clean: bool,
    ) -> Result<Prepared, CommitError> {
        let holding = session.holding();
        let mut prepared = self.begin(&holding);
        for partition in partitions {
            let Some(held) = holding.held.get(partition) else {
                return Err(CommitError::Fenced(vec![*partition]));
            };
            self.add_watermark(
                &mut prepared,
                session,
                *partition,
                Watermark {
                    v: WATERMARK_VERSION,
                    generation: held.generation,
                    clean,
                    bookmark: held.bookmark,
                },
            )?;
        }
        Ok(prepared)
    }

    fn begin(&self, holding: &Holding) -> Prepared {
        Prepared {
            messages: Vec::new(),
            bookmarks: Vec::new(),
            offsets: TopicPartitionList::new(),
            membership: holding.membership.clone(),
        }
    }

    fn add_watermark(
        &self,
        prepared: &mut Prepared,
        session: &Session,
        partition: Partition,
        watermark: Watermark,
    ) -> Result<(), CommitError> {
        let next: Offset = watermark.bookmark.map_or(0, |bookmark| bookmark.next);
        // The group's offset is a copy for tools; sending it is what the broker checks the membership by.
        prepared
            .offsets
            .add_partition_offset(&self.records, partition as i32, KafkaOffset::Offset(next as i64))
            .map_err(|error| CommitError::NotCommitted(error.to_string()))?;
        prepared.bookmarks.push((partition, watermark.bookmark));
        prepared.messages.push(progress(session.group(), partition, WATERMARK_KEY, Some(watermark.bytes())));
        Ok(())
    }
}

/// A message of `progress`.
fn progress(group: &str, partition: Partition, key: &[u8], value: Option<Bytes>) -> (Topic, NewMessage) {
    let key = document_key(group, key);
    let message = NewMessage { key, headers: Vec::new(), value, placement: Placement::Fixed(partition) };
    (Topic::Progress, message)
}
