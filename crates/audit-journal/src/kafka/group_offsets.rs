//! A group's offsets in a transaction: the step by which the broker sees whether the membership still holds.
//!
//! librdkafka bounds each request of this step, and not its wait for the group's coordinator: one that was alive when it was
//! looked up and dies before it is asked is waited for until it is back, however long its successor has been there. So the
//! step has a thread of its own, and a producer that does not come back from it is left to that thread.

use std::sync::Arc;
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

/// The producers that were left to their threads. Each thread holds it until its call has come back and, where the producer
/// was left to it, that has ended.
#[derive(Default)]
pub(super) struct Left(Arc<()>);

impl Left {
    /// How many threads have a producer now.
    fn threads(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

impl GroupOffsets {
    /// Makes the offsets part of the producer's transaction.
    pub(super) fn send(&self, producer: &Arc<Running>, left: &Left) -> Result<(), Unprepared> {
        let (answer, answered) = sync_channel(1);
        let (group, used, held) = (self.clone(), Arc::clone(producer), Arc::clone(&left.0));
        let thread = std::thread::Builder::new().name("journal-offsets".to_owned());
        let spawned = thread.spawn(move || {
            let GroupOffsets { offsets, membership } = group;
            let sent = used.send_offsets_to_transaction(&offsets, &membership, STEP_WAIT);
            // Where it was left, this is the last hold of it: it ends here, before it counts as ended.
            drop(used);
            drop(held);
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
        // This one is among them: a transactor has one transaction at a time, and the others were left.
        if left.threads() <= LEFT_MAX {
            return Err(Unprepared::Left);
        }
        match answered.recv() {
            Ok(sent) => sent.map_err(refused),
            Err(_) => Err(Unprepared::Left),
        }
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
