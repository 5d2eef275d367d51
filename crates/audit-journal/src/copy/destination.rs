//! Where a log is copied to: the place of a log that is none yet.

use bytes::Bytes;

use super::{CopyError, Reads};
use crate::config::JournalConfig;
use crate::embedded::Unfinished as UnfinishedFile;
use crate::error::OpenError;
#[cfg(feature = "kafka")]
use crate::kafka::Unfinished as UnfinishedTopics;
use crate::message::{Message, NewMessage, Placement};
use crate::position::{Bounds, Offset, Partition};
use crate::read::{Range, ReadError, ReadLimit};
use crate::topic::Topic;

/// Either backend's.
pub(super) enum Destination {
    Embedded(Box<UnfinishedFile>),
    #[cfg(feature = "kafka")]
    Kafka(Box<UnfinishedTopics>),
}

impl Destination {
    /// Makes what is missing, without an identity.
    pub(super) async fn open(config: JournalConfig, partitions: u32) -> Result<Self, OpenError> {
        match config {
            JournalConfig::Embedded(config) => {
                Ok(Self::Embedded(Box::new(UnfinishedFile::open(&config.path, partitions)?)))
            }
            #[cfg(feature = "kafka")]
            JournalConfig::Kafka(config) => {
                Ok(Self::Kafka(Box::new(UnfinishedTopics::open(config, partitions).await?)))
            }
        }
    }

    pub(super) async fn bounds(&self, topic: Topic, partition: Partition) -> Result<Bounds, ReadError> {
        match self {
            Self::Embedded(file) => file.bounds(topic, partition),
            #[cfg(feature = "kafka")]
            Self::Kafka(topics) => topics.bounds(topic, partition).await,
        }
    }

    /// Has the partition begin at `start`: everything before it is as if retention had removed it.
    pub(super) async fn begin_at(
        &mut self,
        topic: Topic,
        partition: Partition,
        start: Offset,
    ) -> Result<(), CopyError> {
        match self {
            Self::Embedded(file) => file.begin_at(topic, partition, start).map_err(unwritten),
            #[cfg(feature = "kafka")]
            Self::Kafka(topics) => topics.begin_at(topic, partition, start).await.map_err(CopyError::Write),
        }
    }

    /// Writes messages to their offsets, of which the first is at or after `next`, the partition's end, and has
    /// the partition end at `until`. Returns that.
    #[cfg_attr(not(feature = "kafka"), expect(unused_variables, reason = "a file knows where it ends"))]
    pub(super) async fn append(
        &mut self,
        topic: Topic,
        partition: Partition,
        next: Offset,
        messages: Vec<Message>,
        until: Offset,
    ) -> Result<Offset, CopyError> {
        match self {
            Self::Embedded(file) => file.append(topic, partition, &messages, until).map_err(unwritten)?,
            #[cfg(feature = "kafka")]
            Self::Kafka(topics) => {
                topics.append(topic, partition, next, messages, until).await.map_err(CopyError::Write)?;
            }
        }
        Ok(until)
    }

    /// Writes documents into `progress`, each over what its key had; `None` deletes.
    pub(super) async fn put_documents(
        &mut self,
        partition: Partition,
        documents: Vec<(Bytes, Option<Bytes>)>,
    ) -> Result<(), CopyError> {
        let message = |(key, value)| NewMessage {
            key,
            headers: Vec::new(),
            value,
            placement: Placement::Fixed(partition),
        };
        let messages: Vec<NewMessage> = documents.into_iter().map(message).collect();
        match self {
            Self::Embedded(file) => file.put(Topic::Progress, &messages).map_err(unwritten),
            #[cfg(feature = "kafka")]
            Self::Kafka(topics) => topics.put(Topic::Progress, &messages).await.map_err(CopyError::Write),
        }
    }

    pub(super) async fn close(self) {
        match self {
            Self::Embedded(file) => file.close(),
            #[cfg(feature = "kafka")]
            Self::Kafka(topics) => topics.close().await,
        }
    }
}

fn unwritten(error: rusqlite::Error) -> CopyError {
    CopyError::Write(error.to_string())
}

impl Reads for Destination {
    async fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Range, ReadError> {
        match self {
            Self::Embedded(file) => file.read(topic, partition, from, limit),
            #[cfg(feature = "kafka")]
            Self::Kafka(topics) => topics.read(topic, partition, from, limit).await,
        }
    }
}
