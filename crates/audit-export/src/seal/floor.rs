//! The largest checkpoint of a partition that stands on the log with a signature of ours: no sealer signs anything that
//! does not extend it, whatever it remembers itself.
//!
//! A sealer's own memory is a document in the group's progress, and can be lost or put back like everything on a log.
//! What was published can't.

use audit_journal::{Bounds, Journal, Offset, Partition, ReadError, ReadLimit, Topic};
use audit_proof::{Checkpoint, Frontier, Sealed, epoch_of};

use super::keys::SealKeys;

/// Checkpoints read at a time.
const WINDOW: ReadLimit = ReadLimit { messages: 1_024, bytes: 4 * 1024 * 1024 };

/// How far back from the end it is looked where the sealer remembers something, in offsets: transactions leave holes.
const LOOK_BACK_OFFSETS: u64 = 256;

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Floor {
    /// The epoch in the tree's name.
    pub(super) epoch: u32,
    /// The offset after its last leaf, or after a hole behind it.
    pub(super) next: Offset,
    /// The tree's edge: its size and its root follow from it.
    pub(super) frontier: Frontier,
    /// The first offset of the records that the log still has.
    pub(super) kept_from: Offset,
}

/// Looks for the largest one of the latest epoch: among the last few where the sealer remembers what it signed, else
/// among all.
pub(super) async fn find(
    journal: &Journal,
    keys: &SealKeys,
    partition: Partition,
    remembers: bool,
) -> Result<Option<Floor>, ReadError> {
    let Bounds { start, end, .. } = journal.bounds_of(Topic::Checkpoints, partition).await?;
    let kept_from = journal.bounds_of(Topic::Records, partition).await?.start;
    let mut from = if remembers { start.max(end.saturating_sub(LOOK_BACK_OFFSETS)) } else { start };
    let deployment = journal.identity().deployment;
    let mut largest: Option<Floor> = None;
    while from < end {
        let range = journal.read(Topic::Checkpoints, partition, from, WINDOW).await?;
        for message in &range.messages {
            let value = message.value.as_deref().unwrap_or_default();
            // Others can write to the log, too.
            let Ok((sealed, note, checkpoint, frontier)) = Sealed::read(value) else { continue };
            let Some(epoch) = epoch_of(&checkpoint.origin, &deployment, partition) else { continue };
            let found = (epoch, frontier.size());
            let is_wanted = largest.as_ref().is_none_or(|largest| {
                let known = (largest.epoch, largest.frontier.size());
                // A sign of life of the same tree, from behind a hole, tells more where the hole is all that is gone between. It
                // passes no message that is kept: where it stands is not signed.
                let is_behind_hole = largest.next < sealed.next && sealed.next <= kept_from;
                found > known || (found == known && is_behind_hole)
            });
            if !is_wanted {
                continue;
            }
            let is_ours = keys
                .verifiers(&checkpoint.origin, &deployment)
                .is_ok_and(|known| Checkpoint::open(&note, &checkpoint.origin, &known).is_ok());
            if is_ours {
                largest = Some(Floor { epoch, next: sealed.next, frontier, kept_from });
            }
        }
        if range.next <= from {
            break;
        }
        from = range.next;
    }
    Ok(largest)
}
