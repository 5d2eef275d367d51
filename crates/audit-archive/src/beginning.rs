//! Where an archive begins whose log has lost its start to a retention.
//!
//! Leaf *n* is message *n*, whoever counts: so an archive that never saw the first messages has to learn how many they
//! were, and what the tree over them was. A checkpoint on the log tells both. The messages that are kept before the one
//! where that checkpoint ends are archived too, under their numbers; but what stood left of them in the tree is gone, so
//! nothing can be proven of them.

use audit_journal::{Bounds, Journal, Offset, Partition, ReadError, ReadLimit, Topic};
use audit_proof::{Checkpoint, Frontier, LogKeys, Sealed, epoch_of};

/// Messages read at a time.
const WINDOW: ReadLimit = ReadLimit { messages: 4_096, bytes: 4 * 1024 * 1024 };

/// Where an archive begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// The number of the first message that is kept.
    pub(crate) first_seq: u64,
    /// Its offset, or that of a hole before it.
    pub(crate) next: Offset,
    /// The right edge of the tree that the checkpoint is of.
    pub(crate) base: Frontier,
    /// The epoch in the tree's name.
    pub(crate) epoch: u32,
}

/// Why it can't be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginningError {
    #[error("the log can't be read: {0}")]
    Log(#[from] ReadError),
    #[error(
        "{kept} messages are kept before the end of the checkpoint of {size} leaves, which is more than it covers: the log or the checkpoint was altered"
    )]
    TooMany { kept: u64, size: u64 },
}

/// A checkpoint from which an archive may begin.
struct Candidate {
    epoch: u32,
    next: Offset,
    frontier: Frontier,
}

/// Looks for the first checkpoint that ends among what is kept; `None` where nothing was removed, or where no
/// checkpoint tells.
pub(crate) async fn find(
    journal: &Journal,
    keys: &LogKeys,
    partition: Partition,
) -> Result<Option<Beginning>, BeginningError> {
    let records = journal.bounds(Topic::Records).await?;
    let Some(kept) = records.into_iter().find(|bounds| bounds.partition == partition && bounds.start > 0)
    else {
        return Ok(None);
    };
    let Some(found) = candidate(journal, keys, kept).await? else { return Ok(None) };
    let before_end = count(journal, kept, found.next).await?;
    let size = found.frontier.size();
    let first_seq = size.checked_sub(before_end).ok_or(BeginningError::TooMany { kept: before_end, size })?;
    Ok(Some(Beginning { first_seq, next: kept.start, base: found.frontier, epoch: found.epoch }))
}

/// Of the latest epoch that was signed, the first that ends within `kept`.
async fn candidate(journal: &Journal, keys: &LogKeys, kept: Bounds) -> Result<Option<Candidate>, ReadError> {
    let deployment = journal.identity().deployment;
    let partition = kept.partition;
    let checkpoints = journal.bounds(Topic::Checkpoints).await?;
    let Some(Bounds { start: mut from, end, .. }) =
        checkpoints.into_iter().find(|bounds| bounds.partition == partition)
    else {
        return Ok(None);
    };
    let (mut latest_epoch, mut best) = (None, None::<Candidate>);
    while from < end {
        let range = journal.read(Topic::Checkpoints, partition, from, WINDOW).await?;
        for message in &range.messages {
            let value = message.value.as_deref().unwrap_or_default();
            // What can't be read, or is not of this log, is judged when the archive follows the topic.
            let Ok((sealed, note, checkpoint, frontier)) = Sealed::read(value) else { continue };
            let Some(epoch) = epoch_of(&checkpoint.origin, &deployment, partition) else { continue };
            let is_vouched_for = keys.is_empty()
                || keys
                    .verifiers(&checkpoint.origin, &deployment)
                    .is_ok_and(|known| Checkpoint::open(&note, &checkpoint.origin, &known).is_ok());
            if !is_vouched_for || latest_epoch.is_some_and(|latest| epoch < latest) {
                continue;
            }
            if latest_epoch != Some(epoch) {
                (latest_epoch, best) = (Some(epoch), None);
            }
            if best.is_none() && (kept.start..=kept.end).contains(&sealed.next) {
                best = Some(Candidate { epoch, next: sealed.next, frontier });
            }
        }
        if range.next <= from {
            break;
        }
        from = range.next;
    }
    Ok(best)
}

/// How many messages are kept before an offset: the records of at most about one interval of the sealer.
async fn count(journal: &Journal, kept: Bounds, before: Offset) -> Result<u64, ReadError> {
    let (mut from, mut count) = (kept.start, 0);
    while from < before {
        let range = journal.read(Topic::Records, kept.partition, from, WINDOW).await?;
        count += range.messages.iter().filter(|message| message.offset < before).count() as u64;
        if range.next <= from {
            break;
        }
        from = range.next;
    }
    Ok(count)
}
