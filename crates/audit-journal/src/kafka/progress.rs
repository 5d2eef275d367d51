//! Reading `progress` back: what a new owner is given, and what lists and metrics show.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;

use crate::position::{Offset, Partition};
use crate::progress::{WATERMARK_KEY, WATERMARK_VERSION, Watermark, document_of};
use crate::read::{ReadError, ReadLimit};
use crate::topic::Topic;

use super::client::{Clients, Logged, PlainConsumer, REQUEST_WAIT, blocking, reason};
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

/// Why it can't be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    #[error(transparent)]
    Read(#[from] ReadError),
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
    /// Sees the high watermark where the readers see the last stable offset; made when first needed.
    uncommitted: Arc<OnceLock<PlainConsumer>>,
}

impl ProgressReader {
    pub(super) fn new(clients: Clients, readers: Arc<Readers>) -> Self {
        Self { clients, readers, uncommitted: Arc::default() }
    }

    /// Everything that was ever committed for a group's partition, whoever committed it. Waits until
    /// transactions that are open now have ended: what a predecessor sent and did not see answered is
    /// then either there or not.
    pub(super) async fn state(&self, group: &str, partition: Partition) -> Result<State, StateError> {
        let (start, high) = self.bounds_uncommitted(partition).await?;
        let mut all = self.fold(partition, start, high).await?;
        let none = Watermark { v: WATERMARK_VERSION, generation: 0, clean: true, bookmark: None };
        let key = crate::progress::document_key(group, WATERMARK_KEY);
        let watermark = match all.remove(&key) {
            None => none,
            Some(value) => read_watermark(group, partition, &value)?,
        };
        Ok(State { watermark, documents: of_group(group, all) })
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
        all.remove(&crate::progress::document_key(group, WATERMARK_KEY));
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

    async fn bounds_uncommitted(&self, partition: Partition) -> Result<(Offset, Offset), ReadError> {
        let this = self.clone();
        let bounds = blocking(move || {
            let topic = this.clients.topic_name(Topic::Progress);
            let client = match this.uncommitted.get() {
                Some(client) => client,
                None => {
                    let config = this.clients.consumer("high", &[("isolation.level", "read_uncommitted")]);
                    let client = PlainConsumer::from_config_and_context(&config, Logged)?;
                    this.uncommitted.get_or_init(|| client)
                }
            };
            client.fetch_watermarks(&topic, partition as i32, REQUEST_WAIT)
        });
        let (start, high) = bounds.await.map_err(|error| ReadError::Unavailable(reason(&error)))?;
        Ok((start.max(0) as Offset, high.max(0) as Offset))
    }
}

/// The documents of one group, by their own keys.
fn of_group(group: &str, all: BTreeMap<Bytes, Bytes>) -> Vec<(Bytes, Bytes)> {
    all.into_iter()
        .filter_map(|(key, value)| Some((Bytes::copy_from_slice(document_of(group, &key)?), value)))
        .collect()
}

fn read_watermark(group: &str, partition: Partition, value: &[u8]) -> Result<Watermark, StateError> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        v: u32,
    }
    let unreadable = |error: serde_json::Error| StateError::Unreadable {
        group: group.to_owned(),
        partition,
        reason: error.to_string(),
    };
    let Versioned { v: found } = serde_json::from_slice(value).map_err(unreadable)?;
    if found > WATERMARK_VERSION {
        return Err(StateError::Newer { group: group.to_owned(), partition, found });
    }
    serde_json::from_slice(value).map_err(unreadable)
}
