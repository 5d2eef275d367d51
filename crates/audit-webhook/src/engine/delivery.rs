//! One delivery under way: the record, read back from the log where it must be, and the attempt.

use std::sync::Arc;

use audit_journal::{Offset, Partition, ReadError, ReadLimit, Topic};
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use crate::endpoint::EndpointId;
use crate::entry::Entry;
use crate::live::Live;
use crate::send::{Answer, Marks};

/// The right to have one delivery in flight: the endpoint's, and everybody's.
#[derive(Debug)]
pub(crate) struct Permits {
    _endpoint: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Permits {
    /// Both, if they are free now.
    pub(super) fn try_take(shared: &Shared, live: &Live) -> Option<Self> {
        let endpoint = Arc::clone(&live.in_flight).try_acquire_owned().ok()?;
        let all = Arc::clone(&shared.in_flight).try_acquire_owned().ok()?;
        Some(Self { _endpoint: endpoint, _all: all })
    }

    /// Both, in the order of asking. The semaphores are never closed.
    pub(super) async fn take(shared: Arc<Shared>, live: Arc<Live>) -> Option<Self> {
        let endpoint = Arc::clone(&live.in_flight).acquire_owned().await.ok()?;
        let all = Arc::clone(&shared.in_flight).acquire_owned().await.ok()?;
        Some(Self { _endpoint: endpoint, _all: all })
    }
}

/// The record to be delivered.
#[derive(Debug)]
pub(super) enum Subject {
    /// In hand.
    Entry(Arc<Entry>),
    /// On the log.
    At(Offset),
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Ended {
    /// An attempt was made.
    Answered(Arc<Entry>, Answer),
    /// The record no longer stands on the log, or is no record.
    Gone,
    /// The record could not be read now.
    NotRead(ReadError),
}

/// A delivery that ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) id: EndpointId,
    /// The lane's life that began it.
    pub(super) life: u64,
    pub(super) live: Arc<Live>,
    pub(super) offset: Offset,
    pub(super) ended: Ended,
}

pub(super) async fn deliver(
    shared: Arc<Shared>,
    partition: Partition,
    (id, life): (EndpointId, u64),
    live: Arc<Live>,
    subject: Subject,
    permits: Permits,
) -> Done {
    let offset = match &subject {
        Subject::Entry(entry) => entry.offset(),
        Subject::At(offset) => *offset,
    };
    let ended = match read_back(&shared, partition, subject).await {
        Ok(Some(entry)) => match entry.parcel() {
            Some(parcel) => {
                let now_s = shared.clock.now_ms().div_euclid(1_000);
                let marks = Marks { partition, offset, previous: None, replay: None, collapsed: false };
                let answer = shared.sender.send(&live.target, parcel, &marks, now_s).await;
                Ended::Answered(entry, answer)
            }
            None => Ended::Gone,
        },
        Ok(None) => Ended::Gone,
        Err(error) => Ended::NotRead(error),
    };
    drop(permits);
    Done { id, life, live, offset, ended }
}

async fn read_back(
    shared: &Shared,
    partition: Partition,
    subject: Subject,
) -> Result<Option<Arc<Entry>>, ReadError> {
    let offset = match subject {
        Subject::Entry(entry) => return Ok(Some(entry)),
        Subject::At(offset) => offset,
    };
    // At least one message comes, however large.
    let limit = ReadLimit { messages: 1, bytes: 1 };
    match shared.journal.read(Topic::Records, partition, offset, limit).await {
        Ok(range) => {
            let message = range.messages.into_iter().find(|message| message.offset == offset);
            Ok(message.map(|message| Arc::new(Entry::new(message))))
        }
        Err(ReadError::OutOfRange { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
