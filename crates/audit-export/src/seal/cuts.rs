//! The last cut of a partition in force, from `checkpoints` itself: for a sealer that remembers none.

use std::collections::VecDeque;

use audit_journal::{Bounds, Journal, Offset, Partition, ReadError, ReadLimit, Topic};
use audit_proof::{Checkpoint, Cut, CutName, NodeHash, Sealed};

use super::keys::SealKeys;

/// How much of `checkpoints` is read at a time.
const READ: ReadLimit = ReadLimit { messages: 10_000, bytes: 4 * 1024 * 1024 };

/// Signed heads that are kept while it is looked for the one of a cut: it stands right before the cut, but for what others
/// wrote meanwhile.
const HEADS_KEPT_MAX: usize = 64;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The last cut; `None` where there is none.
    pub(super) head: Option<Head>,
    /// Where the topic begins and ends.
    pub(super) start: Offset,
    pub(super) end: Offset,
}

/// A cut.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) name: CutName,
    /// When it was made, milliseconds since 1970.
    pub(super) at_ms: i64,
    /// The tree's right edge at its end; `None` where the signed head that was published with it is not there.
    pub(super) peaks: Option<Vec<NodeHash>>,
}

/// Looks for the last cut in force that keys of the log, former ones among them, have signed: others can write to the log, too.
pub(super) async fn last(
    journal: &Journal,
    keys: &SealKeys,
    partition: Partition,
) -> Result<Found, ReadError> {
    let deployment = journal.identity().deployment;
    let known = keys.log_keys();
    let Bounds { start, end, .. } = journal.bounds_of(Topic::Checkpoints, partition).await?;
    let mut from = start;
    let mut head: Option<Head> = None;
    let mut heads: VecDeque<(Checkpoint, Vec<NodeHash>)> = VecDeque::new();
    while from < end {
        let range = journal.read(Topic::Checkpoints, partition, from, READ).await?;
        for message in &range.messages {
            let value = message.value.as_deref().unwrap_or_default();
            if let Ok((sealed, _, checkpoint, _)) = Sealed::read(value) {
                if heads.len() == HEADS_KEPT_MAX {
                    heads.pop_front();
                }
                heads.push_back((checkpoint, sealed.peaks));
                continue;
            }
            let Ok((cut, note, checkpoint, _)) = Cut::read(value) else { continue };
            let is_ours = || {
                let keys = known.verifiers(&cut.origin, &deployment);
                keys.is_ok_and(|keys| Checkpoint::open(&note, &cut.origin, &keys).is_ok())
            };
            let of_partition = audit_proof::epoch_of(&cut.origin, &deployment, partition);
            let of_head = head
                .as_ref()
                .and_then(|head| audit_proof::epoch_of(&head.name.origin, &deployment, partition));
            if of_partition.is_none() || of_partition < of_head {
                continue;
            }
            // The first one that is still there may have others before it, which were removed.
            let is_next = head.as_ref().is_none_or(|head| cut.follows(Some(&head.name)));
            if is_next && is_ours() {
                let peaks = heads.iter().rev().find(|(head, _)| *head == checkpoint);
                let peaks = peaks.map(|(_, peaks)| peaks.clone());
                head = Some(Head { name: cut.name(), at_ms: cut.at_ms, peaks });
            }
        }
        if range.next <= from {
            break;
        }
        from = range.next;
    }
    Ok(Found { head, start, end })
}
