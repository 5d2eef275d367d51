//! One type for both backends.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use audit_proof::{Tag, Tagger};
use audit_record::{AuditRecord, Timestamp};

use crate::append::{AppendError, AppendOutcome};
use crate::config::JournalConfig;
use crate::embedded::Embedded;
use crate::epoch::NewEpochError;
use crate::error::OpenError;
use crate::follow::{Follow, Wanted};
use crate::identity::LogIdentity;
#[cfg(feature = "kafka")]
use crate::kafka::Kafka;
use crate::message::{NewMessage, record_message};
use crate::named::NamedAppender;
use crate::owned::{Fetch, Owned};
use crate::position::{Bookmark, Bounds, Offset, Partition, Position};
use crate::reaching::Reaching;
use crate::read::{Range, ReadError, ReadLimit};
use crate::topic::Topic;

/// What is answered until the log has been reached for the first time.
const UNREACHED: &str = "the log has not been reached since this process started";

/// The log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    reaching: Arc<Reaching>,
    /// Shared by all clones, which append records of the same projects.
    tagger: Arc<Mutex<Tagger>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Backend {
    Embedded(Arc<Embedded>),
    #[cfg(feature = "kafka")]
    Kafka(Arc<Kafka>),
}

/// Calls the same method on whichever backend there is.
macro_rules! on {
    ($chosen:expr, $backend:ident => $call:expr) => {
        match $chosen {
            Backend::Embedded($backend) => $call,
            #[cfg(feature = "kafka")]
            Backend::Kafka($backend) => $call,
        }
    };
}

impl Backend {
    pub(crate) async fn open(config: JournalConfig) -> Result<Self, OpenError> {
        match config {
            JournalConfig::Embedded(config) => Ok(Self::Embedded(Arc::new(Embedded::open(config).await?))),
            #[cfg(feature = "kafka")]
            JournalConfig::Kafka(config) => Ok(Self::Kafka(Arc::new(Kafka::open(config).await?))),
        }
    }

    pub(crate) fn identity(&self) -> &LogIdentity {
        on!(self, backend => backend.identity())
    }

    pub(crate) async fn follow(&self, topic: Topic, wanted: Wanted) -> Follow {
        on!(self, backend => backend.follow(topic, wanted).await)
    }

    pub(crate) async fn follow_owned(&self, group: &str, fetch: Fetch) -> Owned {
        match self {
            Self::Embedded(embedded) => embedded.follow_owned(group).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => kafka.follow_owned(group, fetch).await,
        }
    }

    pub(crate) async fn close(&self) {
        on!(self, backend => backend.close().await);
    }
}

impl Journal {
    /// Opens the log: makes what is missing, checks what is there, and refuses by name what is wrong.
    /// A broker that is down gives [`OpenError::Unavailable`]; the caller decides how long to try.
    pub async fn open(config: JournalConfig) -> Result<Self, OpenError> {
        Ok(Self::of(Arc::new(Reaching::reached(Backend::open(config).await?))))
    }

    fn of(reaching: Arc<Reaching>) -> Self {
        let tagger = Tagger::new(reaching.identity().tag_key());
        Self { reaching, tagger: Arc::new(Mutex::new(tagger)) }
    }

    /// As [`Journal::open`]; but where the log can't be reached soon, goes on trying beside the caller, who gets a
    /// journal that behaves as one whose log went away: appends and reads are refused, followers wait.
    /// `known` is the identity that the log had when it was last reached ([`crate::SettingsFile`]). Whether it
    /// is reached, and whether it is that log, tells [`Journal::reached`].
    pub async fn open_known(config: JournalConfig, known: LogIdentity) -> Result<Self, OpenError> {
        Ok(Self::of(Reaching::begin(config, known).await?))
    }

    /// Waits until the log has been reached for the first time. An error is final: the log that answers is
    /// another one or can't be used, or the journal was closed; nothing will ever be appended.
    pub async fn reached(&self) -> Result<(), OpenError> {
        self.reaching.wait().await.map(drop)
    }

    /// Whether the log has been reached since this journal was opened.
    pub fn is_reached(&self) -> bool {
        self.reaching.backend().is_some()
    }

    /// Which log this is, as of opening.
    pub fn identity(&self) -> &LogIdentity {
        self.reaching.identity()
    }

    /// Appends messages of one topic and answers each, in order. Messages of one key keep their order.
    /// [`AppendOutcome::Appended`] means durable: on Kafka on all in-sync replicas, embedded fsynced.
    pub async fn append(&self, topic: Topic, messages: Vec<NewMessage>) -> Vec<AppendOutcome> {
        match self.reaching.backend() {
            Some(backend) => on!(backend, backend => backend.append(topic, messages).await),
            None => vec![AppendOutcome::NotAppended(UNREACHED.to_owned()); messages.len()],
        }
    }

    /// What stands for a person where the log must not name him, such as in the record of an erasure: always the same for
    /// the same name, without regard to ASCII case.
    pub fn person_tag(&self, name: &str) -> Tag {
        self.identity().tag_key().person(name)
    }

    /// A record as a message of this log.
    pub fn record_message(&self, record: &AuditRecord) -> NewMessage {
        // What a panic would leave behind is a tagger that remembers less.
        let mut tagger = self.tagger.lock().unwrap_or_else(PoisonError::into_inner);
        let tags = tagger.tags(&record.routing_key(), record);
        drop(tagger);
        record_message(record, tags)
    }

    /// Appends records (see [`Journal::record_message`]).
    pub async fn append_records(&self, records: &[AuditRecord]) -> Vec<AppendOutcome> {
        let messages = records.iter().map(|record| self.record_message(record)).collect();
        self.append(Topic::Records, messages).await
    }

    /// Appends messages of several topics together or not at all.
    pub async fn append_together(
        &self,
        messages: Vec<(Topic, NewMessage)>,
    ) -> Result<Vec<Position>, AppendError> {
        on!(self.reached_backend()?, backend => backend.append_together(messages).await)
    }

    /// Appends under a name that outlives the process.
    pub fn named_appender(&self, name: &str) -> NamedAppender {
        NamedAppender::new(self.clone(), name)
    }

    /// Follows every partition of a topic. A partition that `from` does not name begins at its first
    /// message. Anchors are checked before the first message of a partition is delivered.
    pub async fn follow(&self, topic: Topic, from: Vec<(Partition, Bookmark)>) -> Follow {
        self.follow_wanted(topic, Wanted { only: None, from }).await
    }

    /// As [`Journal::follow`], of these partitions alone: nothing is read of the others.
    pub async fn follow_only(
        &self,
        topic: Topic,
        partitions: BTreeSet<Partition>,
        from: Vec<(Partition, Bookmark)>,
    ) -> Follow {
        self.follow_wanted(topic, Wanted { only: Some(partitions), from }).await
    }

    async fn follow_wanted(&self, topic: Topic, wanted: Wanted) -> Follow {
        match self.reaching.backend() {
            Some(backend) => backend.follow(topic, wanted).await,
            None => Reaching::follow(&self.reaching, topic, wanted),
        }
    }

    /// Joins `group` and follows the partitions of the records that it is given, at once.
    pub async fn follow_owned(&self, group: &str) -> Owned {
        self.follow_owned_by(group, Fetch::AtOnce).await
    }

    /// As [`Journal::follow_owned`], as soon as is asked for.
    pub async fn follow_owned_by(&self, group: &str, fetch: Fetch) -> Owned {
        match self.reaching.backend() {
            Some(backend) => backend.follow_owned(group, fetch).await,
            None => Reaching::follow_owned(&self.reaching, group, fetch),
        }
    }

    /// What one partition of a topic holds now, whether others can be asked or not.
    pub async fn bounds_of(&self, topic: Topic, partition: Partition) -> Result<Bounds, ReadError> {
        on!(self.readable()?, backend => backend.bounds_of(topic, partition).await)
    }

    /// What every partition of a topic holds now.
    pub async fn bounds(&self, topic: Topic) -> Result<Vec<Bounds>, ReadError> {
        on!(self.readable()?, backend => backend.bounds(topic).await)
    }

    /// Per partition the offset of the first message appended at or after `at`; the end where none was.
    pub async fn offsets_at(&self, topic: Topic, at: Timestamp) -> Result<Vec<Position>, ReadError> {
        on!(self.readable()?, backend => backend.offsets_at(topic, at).await)
    }

    /// Reads messages from `from` on. Reads of all callers share a bounded number of readers.
    pub async fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Range, ReadError> {
        on!(self.readable()?, backend => backend.read(topic, partition, from, limit).await)
    }

    /// Every live document of a group's `progress`, by partition and key, as of now. For lists and metrics;
    /// owners get theirs with the assignment.
    pub async fn documents(
        &self,
        group: &str,
    ) -> Result<Vec<(Partition, bytes::Bytes, bytes::Bytes)>, ReadError> {
        on!(self.readable()?, backend => backend.documents(group).await)
    }

    /// Accepts the log as it stands now: bookmarks of older epochs that it does not bear out are moved to
    /// the first offset kept instead of stopping their reader ([`crate::Stop`]). Written to `control` as
    /// an event; in effect in every process from its next opening on. Returns the identity it wrote.
    pub async fn new_epoch(&self) -> Result<LogIdentity, NewEpochError> {
        crate::epoch::new_epoch(self).await
    }

    /// Whether an append would be taken now, by the last that was heard of the log.
    pub fn is_writable(&self) -> bool {
        self.reaching.backend().is_some_and(|backend| on!(backend, backend => backend.is_writable()))
    }

    /// Revokes every owner's partitions and waits for them (for a bounded time), then takes no more
    /// appends and commits, finishes those under way, ends every follower.
    pub async fn close(&self) {
        // One that was never reached has nothing under way.
        if let Some(backend) = self.reaching.close() {
            backend.close().await;
        }
    }

    pub(crate) fn reached_backend(&self) -> Result<&Backend, AppendError> {
        self.reaching.backend().ok_or_else(|| AppendError::NotAppended(UNREACHED.to_owned()))
    }

    fn readable(&self) -> Result<&Backend, ReadError> {
        self.reaching.backend().ok_or_else(|| ReadError::Unavailable(UNREACHED.to_owned()))
    }
}
