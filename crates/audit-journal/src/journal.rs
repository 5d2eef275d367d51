//! One type for both backends.

use std::sync::Arc;

use audit_record::{AuditRecord, Timestamp};

use crate::append::{AppendError, AppendOutcome};
use crate::config::JournalConfig;
use crate::embedded::Embedded;
use crate::epoch::NewEpochError;
use crate::error::OpenError;
use crate::follow::Follow;
use crate::identity::LogIdentity;
#[cfg(feature = "kafka")]
use crate::kafka::Kafka;
use crate::message::{NewMessage, record_message};
use crate::owned::Owned;
use crate::position::{Bookmark, Bounds, Offset, Partition, Position};
use crate::read::{Range, ReadError, ReadLimit};
use crate::topic::Topic;

/// The log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    backend: Backend,
}

#[derive(Clone, Debug)]
enum Backend {
    Embedded(Arc<Embedded>),
    #[cfg(feature = "kafka")]
    Kafka(Arc<Kafka>),
}

/// Calls the same method on whichever backend there is.
macro_rules! on {
    ($journal:expr, $backend:ident => $call:expr) => {
        match &$journal.backend {
            Backend::Embedded($backend) => $call,
            #[cfg(feature = "kafka")]
            Backend::Kafka($backend) => $call,
        }
    };
}

impl Journal {
    /// Opens the log: makes what is missing, checks what is there, and refuses by name what is wrong.
    /// A broker that is down gives [`OpenError::Unavailable`]; the caller decides how long to try.
    pub async fn open(config: JournalConfig) -> Result<Self, OpenError> {
        let backend = match config {
            JournalConfig::Embedded(config) => Backend::Embedded(Arc::new(Embedded::open(config).await?)),
            #[cfg(feature = "kafka")]
            JournalConfig::Kafka(config) => Backend::Kafka(Arc::new(Kafka::open(config).await?)),
        };
        Ok(Self { backend })
    }

    /// Which log this is, as of opening.
    pub fn identity(&self) -> &LogIdentity {
        on!(self, backend => backend.identity())
    }

    /// Appends messages of one topic and answers each, in order. Messages of one key keep their order.
    /// [`AppendOutcome::Appended`] means durable: on Kafka on all in-sync replicas, embedded fsynced.
    pub async fn append(&self, topic: Topic, messages: Vec<NewMessage>) -> Vec<AppendOutcome> {
        on!(self, backend => backend.append(topic, messages).await)
    }

    /// Appends records (see [`record_message`]).
    pub async fn append_records(&self, records: &[AuditRecord]) -> Vec<AppendOutcome> {
        self.append(Topic::Records, records.iter().map(record_message).collect()).await
    }

    /// Appends messages of several topics together or not at all.
    pub async fn append_together(
        &self,
        messages: Vec<(Topic, NewMessage)>,
    ) -> Result<Vec<Position>, AppendError> {
        on!(self, backend => backend.append_together(messages).await)
    }

    /// Follows every partition of a topic. A partition that `from` does not name begins at its first
    /// message. Anchors are checked before the first message of a partition is delivered.
    pub async fn follow(&self, topic: Topic, from: Vec<(Partition, Bookmark)>) -> Follow {
        on!(self, backend => backend.follow(topic, from).await)
    }

    /// Joins `group` and follows the partitions of the records that it is given.
    pub async fn follow_owned(&self, group: &str) -> Owned {
        on!(self, backend => backend.follow_owned(group).await)
    }

    /// What every partition of a topic holds now.
    pub async fn bounds(&self, topic: Topic) -> Result<Vec<Bounds>, ReadError> {
        on!(self, backend => backend.bounds(topic).await)
    }

    /// Per partition the offset of the first message appended at or after `at`; the end where none was.
    pub async fn offsets_at(&self, topic: Topic, at: Timestamp) -> Result<Vec<Position>, ReadError> {
        on!(self, backend => backend.offsets_at(topic, at).await)
    }

    /// Reads messages from `from` on. Reads of all callers share a bounded number of readers.
    pub async fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Range, ReadError> {
        on!(self, backend => backend.read(topic, partition, from, limit).await)
    }

    /// Every live document of a group's `progress`, by partition and key, as of now. For lists and metrics;
    /// owners get theirs with the assignment.
    pub async fn documents(
        &self,
        group: &str,
    ) -> Result<Vec<(Partition, bytes::Bytes, bytes::Bytes)>, ReadError> {
        on!(self, backend => backend.documents(group).await)
    }

    /// Accepts the log as it stands now: bookmarks of older epochs that it does not bear out are moved to
    /// the first offset kept instead of stopping their reader ([`crate::Stop`]). Written to `control` as
    /// an event; in effect in every process from its next opening on. Returns the identity it wrote.
    pub async fn new_epoch(&self) -> Result<LogIdentity, NewEpochError> {
        crate::epoch::new_epoch(self).await
    }

    /// Whether an append would be taken now, by the last that was heard of the log.
    pub fn is_writable(&self) -> bool {
        on!(self, backend => backend.is_writable())
    }

    /// Revokes every owner's partitions and waits for them (for a bounded time), then takes no more
    /// appends and commits, finishes those under way, ends every follower.
    pub async fn close(&self) {
        on!(self, backend => backend.close().await)
    }
}
