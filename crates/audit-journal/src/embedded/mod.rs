//! The log in one SQLite file, for one process. Other processes may read the file.
//!
//! One thread writes ([`writer`]); everybody else reads over a bounded pool of connections.
//! Followers are fed by a task each ([`feed`]); owners share partitions out within the process
//! ([`group`]).

mod feed;
mod group;
mod log;
mod owner;
mod owning;
mod retention;
mod schema;
mod shared;
mod unfinished;
mod writer;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use audit_record::Timestamp;
use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::group::{Change, Group, Member};
use self::log::{PartitionState, Tables};
use self::owner::Feeder;
use self::shared::Shared;
pub(crate) use self::unfinished::Unfinished;
use self::writer::{Job, Writer};
use crate::append::{AppendError, AppendOutcome};
use crate::config::EmbeddedConfig;
use crate::error::OpenError;
use crate::follow::{Follow, Wanted};
use crate::identity::LogIdentity;
use crate::message::NewMessage;
use crate::owned::{Committer, Owned};
use crate::position::{Bounds, Offset, Partition, Position};
use crate::read::{Range, ReadError, ReadLimit};
use crate::sqlite::backfill::Backfill;
use crate::sqlite::file::WriteLock;
use crate::sqlite::readers::Readers;
use crate::topic::Topic;

/// Commits that wait for the writing thread, for each owner.
const COMMITS_MAX: usize = 16;

/// Most partitions of an embedded log.
const PARTITIONS_MAX: u32 = 256;

#[derive(Debug)]
pub(crate) struct Embedded {
    identity: LogIdentity,
    shared: Arc<Shared>,
    /// The task of every group that anybody joined.
    groups: Mutex<HashMap<String, mpsc::Sender<Change>>>,
    member_ids: AtomicU64,
    /// The writing thread, until it is waited for.
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Embedded {
    pub(crate) async fn open(config: EmbeddedConfig) -> Result<Self, OpenError> {
        let opening = tokio::task::spawn_blocking(move || Self::open_blocking(&config));
        opening.await.unwrap_or_else(|e| Err(OpenError::Refused(format!("the log can't be opened: {e}"))))
    }

    fn open_blocking(config: &EmbeddedConfig) -> Result<Self, OpenError> {
        let path = config.path.as_path();
        let lock = WriteLock::take(path)?;
        let mut connection = schema::open(path)?;
        let identity = match read_identity(&connection, path)? {
            Some(identity) => identity,
            None => create(&mut connection, path, config.partitions)?,
        };
        let tables = Tables::new(identity.partitions);
        let states = tables.all().iter().map(|table| PartitionState::load(&connection, table));
        let states: Vec<PartitionState> =
            states.collect::<rusqlite::Result<_>>().map_err(|e| unreadable(path, &e))?;
        let readers = Readers::new(path.to_owned());
        let shared = Arc::new(Shared::new(tables, identity.epoch, readers, &states));
        let backfill = Backfill::start(path, &mut connection)?;
        let writer = Writer { connection, backfill, shared: Arc::clone(&shared), states, _lock: lock };
        let thread = std::thread::Builder::new().name("journal-writer".to_owned());
        let thread = thread
            .spawn(move || writer.run())
            .map_err(|e| OpenError::Unavailable(format!("no thread can be started: {e}")))?;
        Ok(Self {
            identity,
            shared,
            groups: Mutex::default(),
            member_ids: AtomicU64::new(0),
            writer: Mutex::new(Some(thread)),
        })
    }

    pub(crate) fn identity(&self) -> &LogIdentity {
        &self.identity
    }

    pub(crate) async fn append(&self, topic: Topic, messages: Vec<NewMessage>) -> Vec<AppendOutcome> {
        let places: Vec<Result<Partition, String>> =
            messages.iter().map(|message| self.shared.tables.place(topic, message)).collect();
        let taken: Vec<(Topic, NewMessage)> = (messages.into_iter().zip(&places))
            .filter(|(_, place)| place.is_ok())
            .map(|(message, _)| (topic, message))
            .collect();
        let appended = self.append_placed(taken).await;
        let mut positions = appended.as_ref().map(|positions| positions.iter()).ok();
        places
            .into_iter()
            .map(|place| match (place, &appended) {
                (Err(refused), _) => AppendOutcome::NotAppended(refused),
                (Ok(_), Ok(_)) => {
                    let position = positions.as_mut().and_then(Iterator::next);
                    AppendOutcome::Appended(*position.expect("every message taken has a position"))
                }
                (Ok(_), Err(AppendError::NotAppended(why))) => AppendOutcome::NotAppended(why.clone()),
                (Ok(_), Err(AppendError::Unknown(why))) => AppendOutcome::Unknown(why.clone()),
            })
            .collect()
    }

    pub(crate) async fn append_together(
        &self,
        messages: Vec<(Topic, NewMessage)>,
    ) -> Result<Vec<Position>, AppendError> {
        for (topic, message) in &messages {
            self.shared.tables.place(*topic, message).map_err(AppendError::NotAppended)?;
        }
        self.append_placed(messages).await
    }

    async fn append_placed(&self, messages: Vec<(Topic, NewMessage)>) -> Result<Vec<Position>, AppendError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = messages.iter().map(|(_, message)| message.bytes()).sum();
        let (answer, outcome) = oneshot::channel();
        self.shared
            .queue
            .push(Job::Append { messages, answer }, bytes)
            .await
            .map_err(|_| AppendError::NotAppended("the journal is closed".to_owned()))?;
        outcome.await.unwrap_or_else(|_| Err(AppendError::Unknown("the writing thread ended".to_owned())))
    }

    pub(crate) async fn follow(&self, topic: Topic, wanted: Wanted) -> Follow {
        let (sender, events) = mpsc::channel(feed::EVENTS_MAX);
        let stop = CancellationToken::new();
        tokio::spawn(feed::feed_whole(Arc::clone(&self.shared), topic, wanted, sender, stop.clone()));
        Follow { events, _stop: stop.drop_guard() }
    }

    pub(crate) async fn follow_owned(&self, group: &str) -> Owned {
        let (event_sender, events) = mpsc::channel(feed::EVENTS_MAX);
        let (requests, request_receiver) = mpsc::channel(COMMITS_MAX);
        let (order_sender, orders) = mpsc::channel(group::ORDERS_MAX);
        let (leave, leave_receiver) = oneshot::channel();
        let dropped = CancellationToken::new();
        let changes = self.group(group);
        let id = self.member_ids.fetch_add(1, Ordering::Relaxed);
        let feeder = Feeder {
            id,
            shared: Arc::clone(&self.shared),
            events: event_sender,
            orders,
            leave: leave_receiver,
            dropped: dropped.clone(),
            group: changes.clone(),
        };
        let member = Member { id, orders: order_sender, dropped: dropped.clone() };
        tokio::spawn(owner::take_commits(group.to_owned(), Arc::clone(&self.shared), request_receiver));
        // A group that is gone means a closed log: then the owner ends with the feeder.
        let _ = changes.send(Change::Joined(member)).await;
        tokio::spawn(feeder.run());
        Owned { events, committer: Committer { requests }, leave, _stop: dropped.drop_guard() }
    }

    /// The way to a group's task, started when somebody joins it for the first time.
    fn group(&self, name: &str) -> mpsc::Sender<Change> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            let (sender, changes) = mpsc::channel(group::CHANGES_MAX);
            tokio::spawn(Group::new(name.to_owned(), Arc::clone(&self.shared), changes).run());
            sender
        };
        groups.entry(name.to_owned()).or_insert_with(start).clone()
    }

    pub(crate) async fn bounds_of(&self, topic: Topic, partition: Partition) -> Result<Bounds, ReadError> {
        let all = self.bounds(topic).await?;
        all.into_iter()
            .find(|bounds| bounds.partition == partition)
            .ok_or_else(|| ReadError::Unavailable(format!("{topic:?} has no partition {partition}")))
    }

    pub(crate) async fn bounds(&self, topic: Topic) -> Result<Vec<Bounds>, ReadError> {
        self.of_every_table(topic, |table, snapshot| table.bounds(snapshot)).await
    }

    pub(crate) async fn offsets_at(&self, topic: Topic, at: Timestamp) -> Result<Vec<Position>, ReadError> {
        // Append times are whole milliseconds: the first at or after `at`, which may lie within one.
        let micros = at.micros();
        let at_ms = micros.div_euclid(1000) + i64::from(micros.rem_euclid(1000) != 0);
        self.of_every_table(topic, move |table, snapshot| {
            table.first_since(snapshot, at_ms).map(|offset| log::position(table, offset))
        })
        .await
    }

    async fn of_every_table<T: Send + 'static>(
        &self,
        topic: Topic,
        ask: impl Fn(&log::Table, &Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Vec<T>, ReadError> {
        let shared = Arc::clone(&self.shared);
        let reading = self.shared.readers.read(move |connection| {
            let broken = |e: rusqlite::Error| ReadError::Unavailable(e.to_string());
            let snapshot = connection.unchecked_transaction().map_err(broken)?;
            shared.tables.of(topic).iter().map(|table| ask(table, &snapshot).map_err(broken)).collect()
        });
        reading.await
    }

    pub(crate) async fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Range, ReadError> {
        let shared = Arc::clone(&self.shared);
        let reading = self.shared.readers.read(move |connection| {
            let table = shared.tables.get(topic, partition);
            let table = table.ok_or(ReadError::OutOfRange { from, start: 0, end: 0 })?;
            table.read(connection, from, limit)
        });
        reading.await
    }

    pub(crate) async fn documents(&self, group: &str) -> Result<Vec<(Partition, Bytes, Bytes)>, ReadError> {
        let (shared, group) = (Arc::clone(&self.shared), group.to_owned());
        let reading = self.shared.readers.read(move |connection| {
            let broken = |e: rusqlite::Error| ReadError::Unavailable(e.to_string());
            let snapshot = connection.unchecked_transaction().map_err(broken)?;
            let mut all = Vec::new();
            for table in shared.tables.of(Topic::Progress) {
                let documents = owning::documents(&snapshot, &shared.tables, &group, table.partition);
                all.extend(
                    documents.map_err(broken)?.into_iter().map(|(key, value)| (table.partition, key, value)),
                );
            }
            Ok(all)
        });
        reading.await
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.shared.is_writable() && !self.shared.closed.is_cancelled()
    }

    pub(crate) async fn close(&self) {
        let groups: Vec<mpsc::Sender<Change>> = {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            groups.drain().map(|(_, changes)| changes).collect()
        };
        let mut leaving = Vec::new();
        for changes in groups {
            let (waiting, gone) = oneshot::channel();
            if changes.send(Change::Close { waiting }).await.is_ok() {
                leaving.push(gone);
            }
        }
        for gone in leaving {
            let _ = gone.await;
        }
        let writer = self.end();
        // What is in the queue is still written; the thread ends after that.
        let _ = tokio::task::spawn_blocking(move || writer.map(JoinHandle::join)).await;
    }

    /// Takes no more, ends the followers; the writing thread ends when its queue is empty.
    fn end(&self) -> Option<JoinHandle<()>> {
        self.shared.queue.close();
        self.shared.closed.cancel();
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Embedded {
    /// Waits for the writing thread, so that the file can be opened again at once. What it still has to
    /// write is bounded by the queue.
    fn drop(&mut self) {
        if let Some(writer) = self.end() {
            let _ = writer.join();
        }
    }
}

/// The log's identity; `None` where the file holds no log yet.
fn read_identity(connection: &Connection, path: &Path) -> Result<Option<LogIdentity>, OpenError> {
    let read = || -> rusqlite::Result<_> {
        let exists: bool = connection.query_row(
            "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'control_0'",
            [],
            |row| row.get(0),
        )?;
        if exists { Tables::new(1).identity_messages(connection).map(Some) } else { Ok(None) }
    };
    match read().map_err(|e| unreadable(path, &e))? {
        None => Ok(None),
        Some(messages) => match LogIdentity::fold(&messages)? {
            Some(identity) => Ok(Some(identity)),
            None => Err(OpenError::Refused(format!(
                "{} holds a log without identity: a copy that is not finished; run `flagtrail journal copy` again",
                path.display()
            ))),
        },
    }
}

/// Makes the log: its tables, and its identity as the first message. All in one transaction: if we crash
/// in here, there is no log, and the next opening makes one.
fn create(connection: &mut Connection, path: &Path, partitions: u32) -> Result<LogIdentity, OpenError> {
    check_partitions(partitions)?;
    let identity = LogIdentity::new(partitions);
    let mut create = || -> rusqlite::Result<()> {
        let transaction = connection.transaction()?;
        let tables = Tables::new(partitions);
        tables.create(&transaction)?;
        let control = &tables.of(Topic::Control)[0];
        let now_ms = retention::now_ms();
        control.insert(&transaction, 0, now_ms, &identity.first_message())?;
        PartitionState { first: 0, next: 1, last_appended_at_ms: now_ms }.store(&transaction, control)?;
        transaction.commit()
    };
    create().map_err(|e| OpenError::Refused(format!("{} can't be made: {e}", path.display())))?;
    Ok(identity)
}

fn check_partitions(partitions: u32) -> Result<(), OpenError> {
    if (1..=PARTITIONS_MAX).contains(&partitions) {
        return Ok(());
    }
    let refusal = format!("an embedded log has 1 to {PARTITIONS_MAX} partitions, not {partitions}");
    Err(OpenError::Refused(refusal))
}

fn unreadable(path: &Path, error: &rusqlite::Error) -> OpenError {
    OpenError::Refused(format!("{} can't be read: {error}", path.display()))
}
