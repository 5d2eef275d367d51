//! Reading `progress` back: what a new owner is given, and what lists and metrics show.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaResult;

use crate::position::{Offset, Partition};
use crate::progress::{
    WATERMARK_KEY, WATERMARK_VERSION, Watermark, WatermarkError, document_key, document_of,
};
use crate::read::{ReadError, ReadLimit};
use crate::topic::Topic;

use super::ask::bounds_of;
use super::client::{Clients, Logged, PlainConsumer, blocking, reason};
use super::reader::Readers;

/// What one read brings.
const READ: ReadLimit = ReadLimit { messages: 8 * 1024, bytes: 4 * 1024 * 1024 };

/// How often it is looked whether a transaction that a dead process left open has ended.
const OPEN_TRANSACTION_TICK: Duration = Duration::from_millis(20);

/// After this the wait for it is worth a line.
const OPEN_TRANSACTION_NOTICE: Duration = Duration::from_secs(2);

/// A group's state of one partition.
#[derive(Debug)]
pub(super) struct State {
    pub(super) watermark: Watermark,
    /// By key.
    pub(super) documents: Vec<(Bytes, Bytes)>,
}

/// Why it can't be had by this release.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    #[error(
        "partition {partition}: the watermark of group {group} is of version {found}, this release reads up to {WATERMARK_VERSION}: use the release that wrote it"
    )]
    Newer { group: String, partition: Partition, found: u32 },
    #[error("partition {partition}: the watermark of group {group} can't be read: {reason}")]
    Unreadable { group: String, partition: Partition, reason: String },
}

/// Reads `progress`. Cheap to clone.
#[derive(Clone)]
pub(super) struct ProgressReader {
    clients: Clients,
    readers: Arc<Readers>,
}

impl ProgressReader {
    pub(super) fn new(clients: Clients, readers: Arc<Readers>) -> Self {
        Self { clients, readers }
    }

    /// Everything that was ever committed for a group's partitions, whoever committed it, as far as it can
    /// be read by this release. Waits until transactions that are open now have ended: what a predecessor
    /// sent and did not see answered is then either there or not.
    pub(super) async fn states(
        &self,
        group: &str,
        partitions: &[Partition],
    ) -> Result<Vec<(Partition, Result<State, StateError>)>, ReadError> {
        let mut states = Vec::with_capacity(partitions.len());
        for (partition, start, high) in self.bounds_uncommitted(partitions.to_vec()).await? {
            let mut all = self.fold(partition, start, high).await?;
            let watermark = match all.remove(&document_key(group, WATERMARK_KEY)) {
                None => Ok(Watermark { v: WATERMARK_VERSION, generation: 0, clean: true, bookmark: None }),
                Some(value) => read_watermark(group, partition, &value),
            };
            let state = watermark.map(|watermark| State { watermark, documents: of_group(group, all) });
            states.push((partition, state));
        }
        Ok(states)
    }

    /// The documents of a group in one partition, as of now.
    pub(super) async fn documents(
        &self,
        group: &str,
        partition: Partition,
        start: Offset,
        end: Offset,
    ) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        let mut all = self.fold(partition, start, end).await?;
        all.remove(&document_key(group, WATERMARK_KEY));
        Ok(of_group(group, all))
    }

    /// The last value of every key up to `until`.
    async fn fold(
        &self,
        partition: Partition,
        start: Offset,
        until: Offset,
    ) -> Result<BTreeMap<Bytes, Bytes>, ReadError> {
        let mut all = BTreeMap::new();
        let mut from = start;
        let mut waiting: Option<Instant> = None;
        while from < until {
            let range = self.readers.read(Topic::Progress, partition, from, READ).await?;
            if range.next == from {
                let since = *waiting.get_or_insert_with(Instant::now);
                if since.elapsed() > OPEN_TRANSACTION_NOTICE {
                    waiting = Some(Instant::now());
                    tracing::info!(partition, "waiting for a transaction that another process left open");
                }
                tokio::time::sleep(OPEN_TRANSACTION_TICK).await;
            }
            from = range.next;
            for message in range.messages {
                match message.value {
                    Some(value) => all.insert(message.key, value),
                    None => all.remove(&message.key),
                };
            }
        }
        Ok(all)
    }

    /// Start and high watermark of partitions, by a client that sees the high watermark where the readers
    /// see the last stable offset.
    async fn bounds_uncommitted(
        &self,
        partitions: Vec<Partition>,
    ) -> Result<Vec<(Partition, Offset, Offset)>, ReadError> {
        let clients = self.clients.clone();
        let bounds: KafkaResult<_> = blocking(move || {
            let topic = clients.topic_name(Topic::Progress);
            let config = clients.consumer("high", &[("isolation.level", "read_uncommitted")]);
            let client = PlainConsumer::from_config_and_context(&config, Logged)?;
            let bounds = partitions.into_iter().map(|partition| {
                let bounds = bounds_of(&client, &topic, partition)?;
                Ok((partition, bounds.start, bounds.end))
            });
            bounds.collect()
        })
        .await;
        bounds.map_err(|error| ReadError::Unavailable(reason(&error)))
    }
}

/// The documents of one group, by their own keys.
fn of_group(group: &str, all: BTreeMap<Bytes, Bytes>) -> Vec<(Bytes, Bytes)> {
    all.into_iter()
        .filter_map(|(key, value)| Some((Bytes::copy_from_slice(document_of(group, &key)?), value)))
        .collect()
}

fn read_watermark(group: &str, partition: Partition, value: &[u8]) -> Result<Watermark, StateError> {
    let group = || group.to_owned();
    Watermark::read(value).map_err(|error| match error {
        WatermarkError::Newer(found) => StateError::Newer { group: group(), partition, found },
        WatermarkError::Unreadable(reason) => StateError::Unreadable { group: group(), partition, reason },
    })
}
