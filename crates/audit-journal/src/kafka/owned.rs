//! Following the records as an owner: a consumer group shares the partitions out, one consumer on a
//! thread of its own.
//!
//! Rebalances are eager: each takes everything away and gives it out again. What librdkafka calls back is
//! only noted; the thread acts on it between polls, so that it goes on polling while an owner settles
//! what it has in hand, or while documents are read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, Statistics, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio_util::sync::CancellationToken;

use crate::follow::{Batch, Stop};
use crate::owned::{CommitError, OwnedEvent};
use crate::position::{Offset, Partition};
use crate::read::ReadError;

use super::client::{log_error, log_line, reason};
use super::commit::{Commits, Held, Session};
use super::ends::{Ends, HearsEnds};
use super::feed::{Feed, Flow};
use super::pace::Pace;
use super::progress::{ProgressReader, State};
use super::tail::{Laid, Tail, TailEvent};

/// How long an owner may be behind before its partitions are paused. Pausing throws away what was fetched; but
/// without it there is no polling, and without polling no part in a rebalance.
const PAUSE_AFTER: Duration = Duration::from_millis(500);

/// How long an owner's idle fetch waits, in milliseconds. A record ends the wait; so this is only how soon an end of a
/// partition is told, and how long a new assignment may wait for the answer to the fetch before it.
pub(super) const IDLE_FETCH_MS: &str = "100";

/// How long a broker gathers for an owner that is in no hurry, in milliseconds, and how much is enough, in bytes.
pub(super) const GATHERED_FETCH_MS: &str = "500";
pub(super) const GATHERED_FETCH_BYTES: &str = "262144";

/// How long an owner may take to settle what it has in hand when partitions are taken away.
const REVOKE_WAIT_MAX: Duration = Duration::from_secs(20);

/// How long marking partitions as released may take.
const MARK_WAIT_MAX: Duration = Duration::from_secs(10);

/// A poll while something else is waited for.
const WAITING_POLL: Duration = Duration::from_millis(5);

/// What the group did.
#[derive(Debug)]
enum Change {
    Assigned(Vec<Partition>),
    /// Everything; `lost` where it is somebody else's already.
    Revoked {
        lost: bool,
    },
}

/// Notes what the group did. It is called back while the consumer is polled, on the same thread.
#[derive(Clone, Default)]
pub(super) struct Membership {
    changes: Arc<Mutex<VecDeque<Change>>>,
    /// The thread acts no more: the consumer is being closed.
    closing: Arc<AtomicBool>,
    ends: Ends,
}

impl HearsEnds for Membership {
    fn ends(&self) -> &Ends {
        &self.ends
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.ends.heard(&statistics);
    }
}

impl ConsumerContext for Membership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.closing.load(Ordering::Acquire) {
            // Closing waits for this.
            if let Err(error) = consumer.unassign() {
                tracing::warn!(%error, "partitions can't be given up");
            }
            return;
        }
        let change = if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            Change::Assigned(list.elements().iter().map(|element| element.partition() as Partition).collect())
        } else {
            Change::Revoked { lost: consumer.assignment_lost() }
        };
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }
}

impl Membership {
    fn next_change(&self) -> Option<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn has_changes(&self) -> bool {
        !self.changes.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl TailEvent for OwnedEvent {
    fn messages(batch: Batch) -> Self {
        Self::Messages(batch)
    }

    fn level(partition: Partition, next: Offset) -> Self {
        Self::Level { partition, next }
    }

    fn stopped(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

/// What an owning thread is given.
pub(super) struct Owning {
    pub(super) config: ClientConfig,
    pub(super) topic: String,
    pub(super) partitions: u32,
    pub(super) epoch: u32,
    pub(super) session: Arc<Session>,
    pub(super) commits: Commits,
    pub(super) progress: ProgressReader,
    pub(super) runtime: Handle,
    /// The owner was dropped, or the journal is closing.
    pub(super) stop: CancellationToken,
    /// The journal is closing: partitions are given up in good order.
    pub(super) closing: CancellationToken,
    /// The owner leaves in good order.
    pub(super) leave: oneshot::Receiver<oneshot::Sender<()>>,
}

/// Partitions as their predecessors left them, claimed.
type TakenOver = Vec<(Partition, u64, State)>;

/// Why partitions could not be taken over.
#[derive(Debug, thiserror::Error)]
enum TakeOverError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Claim(#[from] CommitError),
}

/// Runs an owner on the calling thread until it is dropped, leaves, or the journal closes.
pub(super) fn run(mut owning: Owning, feed: Feed<OwnedEvent>) {
    let mut pace = Pace::new();
    let membership = Membership::default();
    let consumer = loop {
        let made = BaseConsumer::from_config_and_context(&owning.config, membership.clone());
        match made.and_then(|consumer: BaseConsumer<Membership>| {
            consumer.subscribe(&[&owning.topic])?;
            Ok(consumer)
        }) {
            Ok(consumer) => break consumer,
            Err(error) => tracing::error!(reason = reason(&error), "an owner can't be made"),
        }
        if !pace.sleep(&owning.stop) {
            return;
        }
    };
    let tail = Tail::new(consumer, owning.topic.clone(), feed, PAUSE_AFTER);
    let mut owner = Owner { tail, membership, unlaid: BTreeMap::new(), held: BTreeMap::new() };
    owner.run(&mut owning);

    // Whatever is still held is given up without a mark; then nothing can be committed any more.
    owning.session.let_go();
    let Owner { tail, membership, .. } = owner;
    membership.closing.store(true, Ordering::Release);
    tail.consumer.unsubscribe();
    // Closes: leaves the group, polling until it is through.
    drop(tail);
}

struct Owner {
    tail: Tail<Membership, OwnedEvent>,
    membership: Membership,
    /// What was claimed and not told of yet, because the partition's leader has not answered.
    unlaid: BTreeMap<Partition, (u64, State)>,
    /// What the taker of events was told that it has.
    held: BTreeMap<Partition, u64>,
}

impl Owner {
    fn run(&mut self, owning: &mut Owning) {
        loop {
            if let Ok(answer) = owning.leave.try_recv() {
                let through: Vec<Partition> = self.held.keys().copied().collect();
                self.mark_released(owning, through);
                // Whoever left may not wait any more.
                let _ = answer.send(());
                return;
            }
            if owning.closing.is_cancelled() {
                self.give_up(owning);
                return;
            }
            if owning.stop.is_cancelled() {
                return;
            }
            match self.membership.next_change() {
                Some(Change::Assigned(partitions)) => self.assigned(owning, partitions),
                Some(Change::Revoked { lost: true }) => self.lost(owning),
                Some(Change::Revoked { lost: false }) => {
                    self.give_up(owning);
                    self.unassign();
                }
                None => {
                    // Whoever leaves drops its events first, and says what it wants next.
                    if self.tail.turn() {
                        self.lay_waiting(owning);
                    } else {
                        self.poll_aside();
                    }
                    self.tail.hear_ends();
                }
            }
        }
    }

    /// Takes over what was assigned; only then are offsets known and fetching begins.
    fn assigned(&mut self, owning: &Owning, assigned: Vec<Partition>) {
        // What lies past N is no part of the log; other partitions were added behind our back.
        let mine: Vec<Partition> =
            assigned.into_iter().filter(|partition| *partition < owning.partitions).collect();
        let Some(membership) = self.tail.consumer.group_metadata().map(Arc::new) else {
            tracing::error!("the group told no membership");
            return self.rejoin(owning);
        };
        let mut pace = Pace::new();
        let taken = loop {
            match self.take_over(owning, &mine, &membership) {
                None => return self.abandon(owning),
                Some(Ok(taken)) => break taken,
                Some(Err(TakeOverError::Claim(CommitError::Fenced(_)))) => {
                    tracing::info!(group = owning.session.group(), "the assignment was gone before it began");
                    return self.rejoin(owning);
                }
                Some(Err(error)) => {
                    tracing::warn!(group = owning.session.group(), %error, "partitions can't be taken over yet");
                }
            }
            if !self.wait_aside(owning, pace.next_pause()) {
                return self.abandon(owning);
            }
        };
        self.begin(owning, taken);
    }

    /// Reads what predecessors left and writes down that somebody owns it now. `None` when interrupted.
    fn take_over(
        &mut self,
        owning: &Owning,
        mine: &[Partition],
        membership: &Arc<ConsumerGroupMetadata>,
    ) -> Option<Result<TakenOver, TakeOverError>> {
        let (session, commits, progress) =
            (Arc::clone(&owning.session), owning.commits.clone(), owning.progress.clone());
        let (membership, mine) = (Arc::clone(membership), mine.to_vec());
        let (answer, mut outcome) = oneshot::channel();
        let task = owning.runtime.spawn(async move {
            // Nobody listens when the take-over was abandoned.
            let _ = answer.send(take_over(&session, &commits, &progress, membership, &mine).await);
        });
        loop {
            match outcome.try_recv() {
                Ok(outcome) => return Some(outcome),
                Err(TryRecvError::Closed) => return None,
                Err(TryRecvError::Empty) => {}
            }
            if self.is_interrupted(owning) {
                task.abort();
                return None;
            }
            self.poll_aside();
        }
    }

    /// Tells what was taken over, and begins to fetch.
    fn begin(&mut self, owning: &Owning, taken: TakenOver) {
        self.tail.forget();
        let wanted =
            taken.iter().map(|(partition, _, state)| (*partition, state.watermark.bookmark)).collect();
        let claimed =
            taken.into_iter().map(|(partition, generation, state)| (partition, (generation, state)));
        self.unlaid = claimed.collect();
        let laid = self.tail.lay(wanted, owning.epoch);
        self.tell(laid);
        // An answer to the group even where there is none yet.
        self.tail.assign();
    }

    /// Tells of partitions whose leaders have answered by now, and fetches them too.
    fn lay_waiting(&mut self, owning: &Owning) {
        // A change of the group goes first: it may take them away. And to assign anything would make librdkafka forget
        // that all is lost.
        let is_lost = self.tail.consumer.assignment_lost();
        if self.unlaid.is_empty() || self.membership.has_changes() || is_lost {
            return;
        }
        let laid = self.tail.lay_waiting(owning.epoch);
        if !laid.is_empty() {
            self.tell(laid);
            self.tail.assign();
        }
    }

    fn tell(&mut self, laid: Vec<Laid>) {
        for Laid { partition, end, stop } in laid {
            let Some((generation, State { watermark, documents })) = self.unlaid.remove(&partition) else {
                continue;
            };
            self.held.insert(partition, generation);
            self.tail.feed.push(match stop {
                // And nothing else: an owner begins with what it is told is its own before it hears more.
                Some(stop) => OwnedEvent::Stopped(stop),
                None => OwnedEvent::Assigned {
                    partition,
                    generation,
                    bookmark: watermark.bookmark,
                    documents,
                    end,
                    clean: watermark.clean,
                },
            });
        }
    }

    /// Nothing of an assignment is used, because another change follows it.
    fn abandon(&mut self, owning: &Owning) {
        owning.session.let_go();
        self.revoke_all(true);
        // librdkafka waits for an answer to an assignment, and "nothing" is one; `unassign` is not.
        if let Err(error) = self.tail.consumer.assign(&TopicPartitionList::new()) {
            tracing::warn!(%error, "an assignment can't be declined");
        }
    }

    /// The same, and asks the group for another.
    fn rejoin(&mut self, owning: &Owning) {
        self.abandon(owning);
        self.tail.consumer.unsubscribe();
        if let Err(error) = self.tail.consumer.subscribe(&[&owning.topic]) {
            tracing::error!(%error, "the group can't be joined again");
        }
    }

    /// Partitions that are somebody else's already.
    fn lost(&mut self, owning: &Owning) {
        tracing::warn!(group = owning.session.group(), "the partitions were lost to another owner");
        owning.session.let_go();
        self.revoke_all(true);
        self.unassign();
    }

    /// Gives everything up in good order: the owner settles and commits, what is settled in time is
    /// marked as cleanly released.
    fn give_up(&mut self, owning: &mut Owning) {
        let told = self.revoke_all(false);
        let until = Instant::now() + REVOKE_WAIT_MAX;
        let mut waiting = told;
        let mut through = Vec::new();
        let mut dropped = false;
        while !waiting.is_empty() && Instant::now() < until {
            dropped |= self.tail.feed.flow(Duration::ZERO) == Flow::Closed;
            waiting.retain_mut(|(partition, done)| match done.try_recv() {
                Err(TryRecvError::Empty) => true,
                // Done, said or dropped.
                Ok(()) | Err(TryRecvError::Closed) => {
                    through.push(*partition);
                    false
                }
            });
            if dropped {
                break;
            }
            self.poll_aside();
        }
        if !waiting.is_empty() {
            tracing::warn!(partitions = waiting.len(), "an owner did not let go of its partitions in time");
        }
        // A taker that was dropped with the events in its hands is not through.
        dropped |= self.tail.feed.flow(Duration::ZERO) == Flow::Closed;
        let gone = dropped || (owning.stop.is_cancelled() && !owning.closing.is_cancelled());
        if !gone {
            self.mark_released(owning, through);
        }
        owning.session.let_go();
    }

    fn mark_released(&mut self, owning: &Owning, partitions: Vec<Partition>) {
        if partitions.is_empty() {
            return;
        }
        let (session, commits) = (Arc::clone(&owning.session), owning.commits.clone());
        let (answer, mut outcome) = oneshot::channel();
        owning.runtime.spawn(async move {
            // The thread may have given up waiting.
            let _ = answer.send(commits.mark(&session, partitions, true).await);
        });
        let until = Instant::now() + MARK_WAIT_MAX;
        while Instant::now() < until {
            match outcome.try_recv() {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    // The next owner is told that the release was not clean, which is the safe side.
                    tracing::warn!(%error, "partitions can't be marked as released");
                    return;
                }
                Err(TryRecvError::Closed) => return,
                Err(TryRecvError::Empty) => self.poll_aside(),
            }
        }
    }

    /// Tells the taker that everything is taken away; what it has not got yet, it does not get.
    fn revoke_all(&mut self, lost: bool) -> Vec<(Partition, oneshot::Receiver<()>)> {
        self.tail.forget();
        // Nobody was told of these, so nothing was begun; they stay claimed, which the next owner takes for unclean.
        self.unlaid.clear();
        let held = std::mem::take(&mut self.held);
        self.tail.feed.retain(|event| {
            !matches!(event, OwnedEvent::Messages(_) | OwnedEvent::Level { .. } | OwnedEvent::Stopped(_))
        });
        held.into_keys()
            .map(|partition| {
                let (done, through) = oneshot::channel();
                self.tail.feed.push(OwnedEvent::Revoked { partition, lost, done });
                (partition, through)
            })
            .collect()
    }

    fn unassign(&mut self) {
        self.tail.forget();
        if let Err(error) = self.tail.consumer.unassign() {
            tracing::warn!(%error, "partitions can't be given up");
        }
        self.tail.assigned_anew();
    }

    /// Keeps the membership alive; what comes of partitions that are not ours any more is dropped.
    fn poll_aside(&mut self) {
        if let Some(Err(error)) = self.tail.consumer.poll(WAITING_POLL) {
            tracing::debug!(reason = reason(&error), "the group was interrupted");
        }
    }

    /// Waits, polling. False when something came in between.
    fn wait_aside(&mut self, owning: &Owning, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        while Instant::now() < until {
            if self.is_interrupted(owning) {
                return false;
            }
            self.poll_aside();
        }
        true
    }

    /// Whether an assignment is to be used no more: it is gone, or whoever would take its events is leaving.
    fn is_interrupted(&self, owning: &Owning) -> bool {
        owning.stop.is_cancelled() || self.membership.has_changes() || self.tail.feed.is_closed()
    }
}

/// Reads what predecessors left, then claims it: until a release is marked, a death leaves it unclean.
async fn take_over(
    session: &Arc<Session>,
    commits: &Commits,
    progress: &ProgressReader,
    membership: Arc<ConsumerGroupMetadata>,
    partitions: &[Partition],
) -> Result<TakenOver, TakeOverError> {
    let mut taken = Vec::with_capacity(partitions.len());
    let mut held = BTreeMap::new();
    for (partition, state) in progress.states(session.group(), partitions).await? {
        match state {
            Ok(state) => {
                let generation = state.watermark.generation + 1;
                held.insert(partition, Held { generation, bookmark: state.watermark.bookmark });
                taken.push((partition, generation, state));
            }
            // Not touched; the others go on.
            Err(error) => tracing::error!(%error, "a partition is not owned"),
        }
    }
    session.hold(membership, held);
    // Crash before this: the mark is as the predecessor left it, and nothing was begun since.
    let claimed = taken.iter().map(|(partition, ..)| *partition).collect();
    commits.mark(session, claimed, false).await?;
    Ok(taken)
}
