//! Where an archive begins whose log has lost its start to a retention.
//!
//! Leaf *n* is message *n*, whoever counts: so an archive that never saw the first messages has to learn how many they
//! were, and what the tree over them was. A checkpoint on the log tells both. The messages that are kept before the one
//! where that checkpoint ends are archived too, under their numbers; but what stood left of them in the tree is gone, so
//! nothing can be proven of them.

use std::time::Duration;

use audit_journal::{Bounds, Journal, Offset, Partition, ReadError, ReadLimit, Topic};
use audit_proof::{Checkpoint, Frontier, LogKeys, Sealed, epoch_of};

use crate::partition::sentence;
use crate::store::{Store, StoreError};

/// Pause before it is asked again where the log begins.
const BEGIN_PAUSE: Duration = Duration::from_secs(1);

/// Messages read at a time.
const WINDOW: ReadLimit = ReadLimit { messages: 4_096, bytes: 4 * 1024 * 1024 };

/// Where an archive begins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Beginning {
    /// The number of the first message that is kept.
    first_seq: u64,
    /// Its offset, or that of a hole before it.
    next: Offset,
    /// The right edge of the tree that the checkpoint is of.
    base: Frontier,
    /// The epoch in the tree's name.
    epoch: u32,
}

/// Why it can't be told.
#[derive(Debug, thiserror::Error)]
enum BeginningError {
    #[error(transparent)]
    Log(#[from] ReadError),
    #[error(
        "{kept} messages are kept before the end of the checkpoint of {size} leaves, which is more than it covers: the log or the checkpoint was altered; name the log's keys in archive.log_keys, so that only what they signed counts"
    )]
    TooMany { kept: u64, size: u64 },
}

/// Why a file does not begin.
enum NotBegun {
    /// What passes by itself.
    Yet(String),
    Ever(String),
}

impl From<BeginningError> for NotBegun {
    fn from(error: BeginningError) -> Self {
        match error {
            BeginningError::Log(error) => Self::Yet(error.to_string()),
            BeginningError::TooMany { .. } => Self::Ever(error.to_string()),
        }
    }
}

/// A checkpoint from which an archive may begin.
struct Candidate {
    epoch: u32,
    next: Offset,
    frontier: Frontier,
}

/// Has an empty file begin where the log does, if a retention has removed its start: under the numbers that messages
/// have everywhere, on the tree that was signed. Where no checkpoint tells, it numbers from what there is, and its roots are
/// its own: the checkpoints that come say so. While the log can't be read it waits, and the file says so: what it would
/// begin with instead could never be put right. An error says why it must not begin at all.
pub(crate) async fn begin(
    journal: &Journal,
    keys: &LogKeys,
    partition: Partition,
    store: &mut Store,
) -> Result<(), String> {
    if !store.is_empty() {
        return Ok(());
    }
    let mut is_waiting = false;
    loop {
        let why = match begin_now(journal, keys, partition, store).await {
            Ok(()) => break,
            Err(NotBegun::Ever(why)) => return Err(why),
            Err(NotBegun::Yet(why)) => why,
        };
        if !is_waiting {
            is_waiting = true;
            tracing::warn!(partition, why, "archive: it waits until it can be told where the log begins");
            say(store, Some(&format!("waiting until it can be told where the log begins: {why}")));
        }
        tokio::time::sleep(BEGIN_PAUSE).await;
    }
    if is_waiting {
        say(store, None);
    }
    Ok(())
}

/// Writes down why a file does not go on. The trace says it too, so that it is not written is no reason to stop.
pub(crate) fn say(store: &mut Store, why: Option<&str>) {
    if let Err(error) = store.set_stopped(why) {
        tracing::warn!(file = store.name(), ?error, "archive: can't write down how it stands");
    }
}

async fn begin_now(
    journal: &Journal,
    keys: &LogKeys,
    partition: Partition,
    store: &mut Store,
) -> Result<(), NotBegun> {
    let Some(Beginning { first_seq, next, base, epoch }) = find(journal, keys, partition).await? else {
        return Ok(());
    };
    store.take_up(first_seq, next, &base, epoch).map_err(|error| match error {
        StoreError::NotNow(why) => NotBegun::Yet(why),
        error => NotBegun::Ever(sentence(&error, &store.name())),
    })?;
    let size = base.size();
    tracing::info!(
        partition,
        first_seq,
        size,
        "archive: the log's start was removed; the tree goes on from a checkpoint"
    );
    Ok(())
}

/// Looks for the first checkpoint that ends among what is kept; `None` where nothing was removed, or where no
/// checkpoint tells.
async fn find(
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
