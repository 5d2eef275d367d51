//! Settings as events on the `control` topic: the state is the fold from offset 0, and of two writes to
//! the same version the first in log order wins.

mod event;
mod file;
mod fold;
mod follower;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use audit_record::AuditRecord;
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use self::fold::{Fold, Verdict};
use self::follower::{READ_UP_MAX, Stopped, read_up};
use crate::append::AppendError;
use crate::error::OpenError;
use crate::journal::Journal;
use crate::position::Offset;
use crate::read::ReadError;
use crate::topic::Topic;

pub(crate) use event::{CONTROL_VERSION, ControlEvent, EventError};
pub use file::SettingsFile;

/// How long a write waits for its own event to come back.
const READ_BACK_MAX: Duration = Duration::from_secs(10);

/// One setting: an endpoint, a source, a token, …, as a JSON document of its owner's making.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// What it is: `endpoint`, `source`, `token`, …
    pub kind: String,
    /// Which one.
    pub id: String,
    /// Rises by one with every accepted write; the first is 1.
    pub version: u64,
    /// The document.
    pub value: Value,
}

/// A write that names the version it changes.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingsChange {
    /// What it is.
    pub kind: String,
    /// Which one.
    pub id: String,
    /// The version that the writer saw; 0 to create.
    pub base_version: u64,
    /// The new document; `None`, or null, deletes.
    pub value: Option<Value>,
}

/// Why a write changed nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// Somebody else's write came first (or the entity is gone: `None`).
    #[error("it was changed meanwhile; read it again and repeat the change")]
    Conflict(Option<Entity>),
    /// Not written.
    #[error("not written: {0}")]
    NotWritten(String),
    /// The answer was lost; reading shows whether it was written.
    #[error("it is not known whether it was written: {0}")]
    Unknown(String),
}

/// The fold of `control`, kept current by a follower. Cheap to clone; the follower ends with the last clone.
#[derive(Clone, Debug)]
pub struct Control {
    journal: Journal,
    state: Arc<State>,
    /// One write of this process at a time, so that of two only one reaches the log and the other's audit
    /// record does not tell of what never happened.
    turn: Arc<tokio::sync::Mutex<()>>,
    _follower: Arc<DropGuard>,
}

/// What the follower writes and everybody reads.
#[derive(Debug)]
struct State {
    folded: RwLock<Folded>,
    revision: watch::Sender<u64>,
    /// Everything before this offset is folded.
    reached: watch::Sender<Offset>,
}

#[derive(Debug, Default)]
struct Folded {
    fold: Fold,
    /// Whether `fold` is a copy, of which the log has not been asked yet.
    is_copy: bool,
    /// Our own writes that are waited for, by the id of their event.
    awaited: HashMap<Uuid, oneshot::Sender<Verdict>>,
    /// Why folding ended for good.
    stopped: Option<Stopped>,
}

impl Control {
    /// Reads `control` from its start to its present end, then keeps following.
    pub async fn open(journal: Journal) -> Result<Self, OpenError> {
        let (fold, next, follow) = read_up(&journal).await?;
        let (control, stop) = Self::of(journal, fold, next);
        tokio::spawn(follower::run(follow, Arc::clone(&control.state), stop));
        Ok(control)
    }

    /// As [`Control::open`], and keeps a copy of the settings in `file`, so that a process that starts while the
    /// log is away knows them all the same. Where the log has not been reached yet
    /// ([`Journal::open_known`]), it begins with the copy; once the log is reached, all of `control` is read,
    /// and what it says takes the copy's place. Until then every write is refused.
    pub async fn open_with(journal: Journal, file: SettingsFile) -> Result<Self, OpenError> {
        let control = if journal.is_reached() {
            Self::open(journal).await?
        } else {
            let (control, stop) = Self::of(journal.clone(), Fold::of(file.entities()), 0);
            control.state.write().is_copy = true;
            tokio::spawn(follower::run_once_reached(journal, Arc::clone(&control.state), stop));
            control
        };
        tokio::spawn(file::keep(file, Arc::downgrade(&control.state), control.revision()));
        Ok(control)
    }

    /// The settings as they are, without what keeps them current, which ends by the token.
    fn of(journal: Journal, fold: Fold, next: Offset) -> (Self, CancellationToken) {
        let folded = Folded { fold, ..Folded::default() };
        let state = Arc::new(State {
            folded: RwLock::new(folded),
            revision: watch::Sender::new(0),
            reached: watch::Sender::new(next),
        });
        let stop = CancellationToken::new();
        let follower = Arc::new(stop.clone().drop_guard());
        (Self { journal, state, turn: Arc::default(), _follower: follower }, stop)
    }

    /// Waits until everything that stands on `control` now is folded.
    pub async fn read_up(&self) -> Result<(), ReadError> {
        let end = self.journal.bounds(Topic::Control).await?.first().map_or(0, |bounds| bounds.end);
        let mut reached = self.state.reached.subscribe();
        let stopped = || self.state.read().stopped.as_ref().map(ToString::to_string);
        let folding = reached.wait_for(|next| *next >= end || stopped().is_some());
        let late = |_| ReadError::Unavailable("the settings were not read in time".to_owned());
        let next = tokio::time::timeout(READ_UP_MAX, folding).await.map_err(late)?.map(|next| *next);
        match (next, stopped()) {
            (Ok(next), _) if next >= end => Ok(()),
            (_, Some(stopped)) => Err(ReadError::Unavailable(stopped)),
            (_, None) => Err(ReadError::Unavailable("the log was closed".to_owned())),
        }
    }

    /// One entity, as of the last event folded.
    pub fn get(&self, kind: &str, id: &str) -> Option<Arc<Entity>> {
        self.state.read().fold.get(kind, id)
    }

    /// All entities of a kind, by id.
    pub fn list(&self, kind: &str) -> Vec<Arc<Entity>> {
        self.state.read().fold.list(kind)
    }

    /// All entities, by kind and id.
    pub fn all(&self) -> Vec<Arc<Entity>> {
        self.state.read().fold.all()
    }

    /// Rises with every event folded: wait on it, then look again.
    pub fn revision(&self) -> watch::Receiver<u64> {
        self.state.revision.subscribe()
    }

    /// Appends the change, and the audit record that tells of it, in one transaction, and reads its own
    /// write back. `Ok` holds the new entity (`None` after a deletion).
    ///
    /// A change to a version that is known to be outdated is refused without writing anything. When two
    /// *processes* write at the same moment both events and both records reach the log; the later event
    /// changes nothing, and its record tells of an attempt that was answered with a conflict.
    pub async fn write(
        &self,
        change: SettingsChange,
        record: Option<&AuditRecord>,
    ) -> Result<Option<Arc<Entity>>, WriteError> {
        let _turn = self.turn.lock().await;
        let SettingsChange { kind, id, base_version, value } = change;
        let (sender, verdict) = oneshot::channel();
        let event = ControlEvent::new(&kind, &id, base_version, value);
        {
            let mut folded = self.state.write();
            if let Some(stopped) = &folded.stopped {
                return Err(WriteError::NotWritten(stopped.to_string()));
            }
            let current = folded.fold.get(&kind, &id);
            if current.as_ref().map_or(0, |entity| entity.version) != base_version {
                return Err(conflict(current));
            }
            folded.awaited.insert(event.event, sender);
        }
        let _awaited = Awaited { state: &self.state, event: event.event };
        let mut messages = vec![(Topic::Control, event.message())];
        messages.extend(record.map(|record| (Topic::Records, self.journal.record_message(record))));
        let unanswered = match self.journal.append_together(messages).await {
            Ok(_) => "it was written, but not read back in time".to_owned(),
            Err(AppendError::NotAppended(reason)) => return Err(WriteError::NotWritten(reason)),
            // If the event is on the log, the follower meets it and we know after all.
            Err(AppendError::Unknown(reason)) => reason,
        };
        match tokio::time::timeout(READ_BACK_MAX, verdict).await {
            Ok(Ok(Verdict::Changed(entity))) => Ok(entity),
            Ok(Ok(Verdict::Conflict(current))) => Err(conflict(current)),
            Ok(Err(_)) | Err(_) => Err(WriteError::Unknown(unanswered)),
        }
    }
}

fn conflict(current: Option<Arc<Entity>>) -> WriteError {
    WriteError::Conflict(current.map(|entity| Entity::clone(&entity)))
}

/// Forgets a write that is no longer waited for, however the waiting ends.
struct Awaited<'a> {
    state: &'a State,
    event: Uuid,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.state.write().awaited.remove(&self.event);
    }
}

impl State {
    /// Puts what the log says in the place of the copy.
    fn take_the_logs_word(&self, fold: Fold, next: Offset) {
        let mut folded = self.write();
        (folded.fold, folded.is_copy) = (fold, false);
        drop(folded);
        self.revision.send_modify(|revision| *revision += 1);
        self.reach(next);
    }

    /// Notes that everything before `next` is folded.
    fn reach(&self, next: Offset) {
        self.reached.send_modify(|reached| *reached = next.max(*reached));
    }

    fn read(&self) -> RwLockReadGuard<'_, Folded> {
        // Nothing panics while it holds the lock.
        self.folded.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Folded> {
        self.folded.write().unwrap_or_else(PoisonError::into_inner)
    }
}
