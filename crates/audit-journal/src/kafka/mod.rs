//! The log on Apache Kafka.
//!
//! One idempotent producer appends; transactional ones append together ([`transaction`]) and commit for
//! owners; two consumers read old ranges ([`reader`]); every follower has one consumer of its own on a
//! thread of its own ([`follow`], [`owned`]).
//!
//! A process that does everything has so three producers (single appends, settings, owners' commits) and six
//! consumers (two readers; the settings, the archive's records, its attempts, the owned partitions), and one
//! more of each while its spool is emptied and while somebody follows the event stream. Each consumer holds some
//! 16 MiB of what it has fetched, with 12 partitions. That is more clients than one consumer for all followers would need: but
//! librdkafka bounds what it fetches ahead by consumer, so the slowest taker would hold up all the others, and
//! that a follower which does not ask delays nobody is what the journal promises.

mod ahead;
mod ask;
mod client;
mod commit;
mod ends;
mod feed;
mod follow;
mod group_offsets;
mod health;
mod open;
mod owned;
mod pace;
mod plan;
mod producer;
mod progress;
mod reader;
mod tail;
mod together;
mod topics;
mod track;
mod transaction;
mod unfinished;
mod window;
mod wire;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use audit_record::Timestamp;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::append::{AppendError, AppendOutcome};
use crate::config::KafkaConfig;
use crate::error::OpenError;
use crate::follow::{Follow, Wanted};
use crate::identity::LogIdentity;
use crate::message::NewMessage;
use crate::owned::{Committer, Fetch, Owned};
use crate::position::{Bounds, Offset, Partition, Position};
use crate::read::{Range, ReadError, ReadLimit};
use crate::topic::Topic;

pub use plan::kafka_plan;
pub(crate) use together::Together;
pub(crate) use unfinished::Unfinished;

use client::{Clients, blocking, partition_count, reason};
use commit::{CommitThread, Commits, Session};
use ends::STATISTICS_INTERVAL_MS;
use feed::Feed;
use follow::{GATHERED_BYTES, GATHERED_MS, Whole};
use owned::{GATHERED_FETCH_BYTES, GATHERED_FETCH_MS, IDLE_FETCH_MS, Owning};
use producer::Appender;
use progress::ProgressReader;
use reader::Readers;
use topics::Topics;
use transaction::Transactor;

/// After this without a heartbeat an owner's partitions go to another.
const SESSION_TIMEOUT_MS: &str = "10000";

/// How often an owner shows that it lives.
const HEARTBEAT_INTERVAL_MS: &str = "2000";

/// The log on Kafka.
pub(crate) struct Kafka {
    clients: Clients,
    identity: LogIdentity,
    appender: Arc<Appender>,
    readers: Arc<Readers>,
    together: Together,
    commits: Commits,
    /// Taken by the first `close`.
    commit_thread: Mutex<Option<CommitThread>>,
    progress: ProgressReader,
    /// Ends followers; cancelled by `close`.
    stop: CancellationToken,
    /// Counts the threads of followers, which `close` waits for.
    followers: TaskTracker,
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").field("clients", &self.clients).field("identity", &self.identity).finish()
    }
}

impl Kafka {
    pub(crate) async fn open(config: KafkaConfig) -> Result<Self, OpenError> {
        let refused = |error: rdkafka::error::KafkaError| OpenError::Refused(reason(&error));
        let clients = Clients::new(config)?;
        let topics = Topics::new(clients.clone())?;
        let appender = Appender::start(clients.clone()).map_err(refused)?;
        let readers = Readers::start(clients.clone()).map_err(refused)?;
        let identity = match open::open(&topics, &appender, &readers).await {
            Ok(identity) => identity,
            Err(error) => {
                open::give_up(appender, readers).await;
                return Err(error);
            }
        };
        let settings = Transactor::new(clients.clone(), "settings");
        let together = Together::start(settings, identity.partitions, Arc::clone(&readers));
        let (stop, followers) = (CancellationToken::new(), TaskTracker::new());
        let (commits, commit_thread) =
            Commits::start(clients.clone(), identity.partitions, Arc::clone(&readers), stop.clone());
        let commit_thread = Mutex::new(Some(commit_thread));
        let progress = ProgressReader::new(clients.clone(), Arc::clone(&readers));
        Ok(Self {
            clients,
            identity,
            appender,
            readers,
            together,
            commits,
            commit_thread,
            progress,
            stop,
            followers,
        })
    }

    pub(crate) fn identity(&self) -> &LogIdentity {
        &self.identity
    }

    pub(crate) async fn append(&self, topic: Topic, messages: Vec<NewMessage>) -> Vec<AppendOutcome> {
        self.appender.append(topic, self.identity.partitions, &messages).await
    }

    pub(crate) async fn append_together(
        &self,
        messages: Vec<(Topic, NewMessage)>,
    ) -> Result<Vec<Position>, AppendError> {
        self.together.append(messages).await
    }

    /// A transactional producer of its own, under an id that outlives the process.
    pub(crate) fn together_as(&self, name: &str) -> Together {
        let transactor = Transactor::with_id(self.clients.clone(), "spool", name);
        Together::start(transactor, self.identity.partitions, Arc::clone(&self.readers))
    }

    pub(crate) async fn follow(&self, topic: Topic, wanted: Wanted) -> Follow {
        let (feed, events) = Feed::new();
        let stop = self.stop.child_token();
        let config = self.clients.consumer(
            "follow",
            &[
                ("statistics.interval.ms", STATISTICS_INTERVAL_MS),
                ("fetch.wait.max.ms", GATHERED_MS),
                ("fetch.min.bytes", GATHERED_BYTES),
            ],
        );
        let whole = Whole {
            topic: self.clients.topic_name(topic),
            partitions: partition_count(topic, self.identity.partitions),
            wanted,
            epoch: self.identity.epoch,
        };
        let stopped = stop.clone();
        self.spawn("journal-follow", move || follow::run(&config, &whole, feed, &stopped));
        Follow { events, _stop: stop.drop_guard() }
    }

    pub(crate) async fn follow_owned(&self, group: &str, fetch: Fetch) -> Owned {
        let (feed, events) = Feed::new();
        let (stop, session) = (self.stop.child_token(), Session::new(group));
        let (leave, leaving) = oneshot::channel();
        let group_id = format!("{}.{group}", self.clients.config().prefix);
        let (fetch_ms, fetch_bytes) = match fetch {
            Fetch::AtOnce => (IDLE_FETCH_MS, "1"),
            Fetch::Gathered => (GATHERED_FETCH_MS, GATHERED_FETCH_BYTES),
        };
        let config = self.clients.consumer(
            "own",
            &[
                ("group.id", &group_id),
                // Eager: every rebalance takes all away before it gives out again, so that one
                // membership is that of everything held.
                ("partition.assignment.strategy", "range"),
                ("session.timeout.ms", SESSION_TIMEOUT_MS),
                ("heartbeat.interval.ms", HEARTBEAT_INTERVAL_MS),
                ("fetch.wait.max.ms", fetch_ms),
                ("fetch.min.bytes", fetch_bytes),
                ("statistics.interval.ms", STATISTICS_INTERVAL_MS),
            ],
        );
        let committer = Committer { requests: self.commits.requests_of(&session) };
        let owning = Owning {
            config,
            topic: self.clients.topic_name(Topic::Records),
            partitions: self.identity.partitions,
            epoch: self.identity.epoch,
            session,
            commits: self.commits.clone(),
            progress: self.progress.clone(),
            runtime: Handle::current(),
            stop: stop.clone(),
            closing: self.stop.clone(),
            leave: leaving,
        };
        self.spawn("journal-own", move || owned::run(owning, feed));
        Owned { events, committer, leave, _stop: stop.drop_guard() }
    }

    pub(crate) async fn bounds_of(&self, topic: Topic, partition: Partition) -> Result<Bounds, ReadError> {
        let readers = Arc::clone(&self.readers);
        blocking(move || readers.bounds_at(topic, partition)).await
    }

    pub(crate) async fn bounds(&self, topic: Topic) -> Result<Vec<Bounds>, ReadError> {
        let (readers, partitions) = (Arc::clone(&self.readers), self.identity.partitions);
        blocking(move || readers.bounds(topic, partitions)).await
    }

    pub(crate) async fn offsets_at(&self, topic: Topic, at: Timestamp) -> Result<Vec<Position>, ReadError> {
        let (readers, partitions) = (Arc::clone(&self.readers), self.identity.partitions);
        // Rounded up: a message of the same millisecond may be earlier than `at`.
        let at_ms = at.micros().div_euclid(1000) + i64::from(at.micros().rem_euclid(1000) > 0);
        blocking(move || readers.offsets_at(topic, partitions, at_ms)).await
    }

    pub(crate) async fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Range, ReadError> {
        self.readers.read(topic, partition, from, limit).await
    }

    pub(crate) async fn documents(&self, group: &str) -> Result<Vec<(Partition, Bytes, Bytes)>, ReadError> {
        let mut all = Vec::new();
        for Bounds { partition, start, end } in self.bounds(Topic::Progress).await? {
            let documents = self.progress.documents(group, partition, start, end).await?;
            all.extend(documents.into_iter().map(|(key, value)| (partition, key, value)));
        }
        Ok(all)
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.appender.is_writable()
    }

    /// Whether nothing more is taken.
    pub(crate) fn is_closed(&self) -> bool {
        self.stop.is_cancelled()
    }

    pub(crate) async fn close(&self) {
        // Followers end first: what an owner still commits needs the producers.
        self.stop.cancel();
        self.followers.close();
        self.followers.wait().await;
        let commit_thread = self.commit_thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = commit_thread {
            thread.close(&self.commits).await;
        }
        self.together.close().await;
        let appender = Arc::clone(&self.appender);
        blocking(move || appender.close()).await;
        self.readers.close();
    }

    /// A thread for a client that is polled. Clients are dropped on their threads: that may block.
    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) {
        let token = self.followers.token();
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _running = token;
            work();
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "a thread can't be started");
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // Without `close` nothing is flushed, but no thread outlives the journal either.
        self.stop.cancel();
        self.appender.abandon();
        self.readers.close();
    }
}
