//! A group's offsets in a transaction: the step by which the broker sees whether the membership still holds.
//!
//! librdkafka bounds each request of this step, and not its wait for the group's coordinator: one that was alive when it was
//! looked up and dies before it is asked is waited for until it is back, however long its successor has been there. So the
//! step has a thread of its own, and a producer that does not come back from it is left to that thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;

use super::client::reason;
use super::transaction::{Running, STEP_WAIT, TransactionError};

/// How long the whole step may take. Below the transaction's timeout, with its messages under way meanwhile.
const OFFSETS_WAIT: Duration = Duration::from_secs(7);

/// Most producers of one transactor that are waited for elsewhere; each has threads and connections. With that many the next
/// one is waited for here.
const LEFT_MAX: usize = 4;

/// A group's offsets, and the membership they are committed under.
#[derive(Clone)]
pub(super) struct GroupOffsets {
    pub(super) offsets: TopicPartitionList,
    pub(super) membership: Arc<ConsumerGroupMetadata>,
}

/// Why a transaction can't be committed.
pub(super) enum Unprepared {
    /// A step failed.
    Failed(TransactionError),
    /// No answer to the offsets came in time. The producer can't be used any more: the call has not come back.
    Left,
}

impl From<TransactionError> for Unprepared {
    fn from(error: TransactionError) -> Self {
        Self::Failed(error)
    }
}

/// The producers that were left to their threads.
#[derive(Clone, Default)]
pub(super) struct Left(Arc<AtomicUsize>);

impl GroupOffsets {
    /// Makes the offsets part of the producer's transaction.
    pub(super) fn send(&self, producer: &Arc<Running>, left: &Left) -> Result<(), Unprepared> {
        let (answer, answered) = sync_channel(1);
        let (group, used) = (self.clone(), Arc::clone(producer));
        let thread = std::thread::Builder::new().name("journal-offsets".to_owned());
        let spawned = thread.spawn(move || {
            let GroupOffsets { offsets, membership } = group;
            let sent = used.send_offsets_to_transaction(&offsets, &membership, STEP_WAIT);
            // Where it was left, this is the last hold of it: it ends here, before it counts as ended.
            drop(used);
            let _ = answer.send(sent);
        });
        spawned.map_err(|error| {
            Unprepared::Failed(TransactionError::Aborted(format!("the system gives no thread: {error}")))
        })?;
        let refused = |error: KafkaError| Unprepared::Failed(refused(&error));
        match answered.recv_timeout(OFFSETS_WAIT) {
            Ok(sent) => return sent.map_err(refused),
            Err(RecvTimeoutError::Disconnected) => return Err(Unprepared::Left),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if left.0.fetch_add(1, Ordering::Relaxed) >= LEFT_MAX {
            let sent = answered.recv();
            left.0.fetch_sub(1, Ordering::Relaxed);
            return match sent {
                Ok(sent) => sent.map_err(refused),
                Err(_) => Err(Unprepared::Left),
            };
        }
        let left = left.clone();
        // Counts it until the call comes back. Without a thread for that it stays counted, which is the safe side.
        let waiting = std::thread::Builder::new().name("journal-left".to_owned()).spawn(move || {
            let _ = answered.recv();
            left.0.fetch_sub(1, Ordering::Relaxed);
        });
        drop(waiting);
        Err(Unprepared::Left)
    }
}

/// The broker's refusal of a group's offsets: whether the membership is gone.
fn refused(error: &KafkaError) -> TransactionError {
    use RDKafkaErrorCode as Code;
    let text = reason(error);
    match error.rdkafka_error_code() {
        Some(
            Code::UnknownMemberId
            | Code::IllegalGeneration
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
            | Code::StaleMemberEpoch,
        ) => TransactionError::Fenced(text),
        _ => TransactionError::Aborted(text),
    }
}
