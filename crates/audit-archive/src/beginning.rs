//! Where an archive begins whose log has lost its start to a retention, and what it knows of its log in a new epoch.
//!
//! Leaf *n* is message *n*, whoever counts: so an archive that never saw the first messages has to learn how many they
//! were, and what the tree over them was. A checkpoint on the log tells both. The messages that are kept before the one
//! where that checkpoint ends are archived too, under their numbers; but what stood left of them in the tree is gone, so
//! nothing can be proven of them.

use std::time::Duration;

use audit_journal::{Bookmark, Bounds, Journal, Offset, Partition, ReadError, ReadLimit, Topic};
use audit_proof::{Checkpoint, Frontier, LogKeys, Sealed, epoch_of};

use crate::partition::sentence;
use crate::query::LogPlace;
use crate::store::{Store, StoreError};

/// Pause before it is asked again where the log begins.
const BEGIN_PAUSE: Duration = Duration::from_secs(1);

/// Messages read at a time.
const WINDOW: ReadLimit = ReadLimit { messages: 4_096, bytes: 4 * 1024 * 1024 };

/// Why a file of a former epoch is not known to be level, before it was looked.
const NEW_EPOCH: &str = "a new epoch of the log has begun, of which nothing was heard yet";

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
    #[error(transparent)]
    Untold(#[from] Untold),
    #[error(
        "{kept} messages are kept before the end of the checkpoint of {size} leaves, which is more than it covers: the log or the checkpoint was altered; name the log's keys in archive.log_keys, so that only what they signed counts"
    )]
    TooMany { kept: u64, size: u64 },
}

/// Why the checkpoints that stand on the log do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Untold {
    #[error(
        "checkpoints stand on the log, and none of them is signed with a key that is known: does archive.log_keys name the log's keys?"
    )]
    Unsigned,
    #[error(
        "of the checkpoints on the log the last ends at offset {last}, and none ends among what is kept, from offset {start} on: the next one that the sealer signs tells, within the hour where a process with the role seal runs"
    )]
    Elsewhere { last: Offset, start: Offset },
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
            BeginningError::Log(_) | BeginningError::Untold(_) => Self::Yet(error.to_string()),
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
/// have everywhere, on the tree that was signed. Where the log was never sealed, it numbers from what there is, and its roots
/// are its own. While the log can't be read, or what was sealed does not tell yet, it waits, and the file says so: what it
/// would begin with instead could never be put right. An error says why it must not begin at all.
///
/// One that goes on in a later epoch than it reached waits until it has heard how much of the log may be missing from it:
/// what it heard before may be of a log that was replaced.
pub(crate) async fn begin(
    journal: &Journal,
    keys: &LogKeys,
    partition: Partition,
    store: &mut Store,
) -> Result<(), String> {
    let is_of_former_epoch = store.bookmark().epoch < journal.identity().epoch;
    if !store.is_empty() && !is_of_former_epoch {
        return Ok(());
    }
    let mut search = Search { journal, keys, partition, untold: None };
    let mut waits_for = None;
    if !store.is_empty() {
        say_waiting(store, partition, NEW_EPOCH);
        waits_for = Some(NEW_EPOCH.to_owned());
    }
    loop {
        let why = match begin_now(&mut search, store).await {
            Ok(()) => break,
            Err(NotBegun::Ever(why)) => return Err(why),
            Err(NotBegun::Yet(why)) => why,
        };
        if waits_for.as_ref() != Some(&why) {
            tracing::warn!(partition, why, "archive: it waits until it can be told where the log begins");
            say_waiting(store, partition, &why);
            waits_for = Some(why);
        }
        tokio::time::sleep(BEGIN_PAUSE).await;
    }
    if waits_for.is_some() {
        say(store, None);
    }
    Ok(())
}

fn say_waiting(store: &mut Store, partition: Partition, why: &str) {
    let waits = format!("waiting until it can be told where partition {partition} of the log begins: {why}");
    say(store, Some(&waits));
}

/// Writes down why a file does not go on. The trace says it too, so that it is not written is no reason to stop.
pub(crate) fn say(store: &mut Store, why: Option<&str>) {
    if let Err(error) = store.set_stopped(why) {
        tracing::warn!(file = store.name(), ?error, "archive: can't write down how it stands");
    }
}

async fn begin_now(search: &mut Search<'_>, store: &mut Store) -> Result<(), NotBegun> {
    if !store.is_empty() {
        return hear_again(search, store).await;
    }
    let Some(Beginning { first_seq, next, base, epoch }) = search.find().await? else {
        return Ok(());
    };
    let partition = search.partition;
    store.take_up(first_seq, next, &base, epoch).map_err(|error| not_written(&error, store))?;
    let size = base.size();
    tracing::info!(
        partition,
        first_seq,
        size,
        "archive: the log's start was removed; the tree goes on from a checkpoint"
    );
    Ok(())
}

/// Has a file of a former epoch know how much of the log may be missing from it.
async fn hear_again(search: &Search<'_>, store: &mut Store) -> Result<(), NotBegun> {
    let log = search.bounds(Topic::Records).await.map_err(BeginningError::from)?;
    let Bookmark { next, epoch, .. } = store.bookmark();
    let reached = LogPlace { partition: search.partition, epoch, next };
    let is_level = reached.is_past(search.journal.identity().epoch, &log);
    // Too many where this log goes on where the former one ended: the first messages that come tell.
    let missing = if is_level { 0 } else { log.end.saturating_sub(log.start) };
    store.presume_missing(missing).map_err(|error| not_written(&error, store))
}

fn not_written(error: &StoreError, store: &Store) -> NotBegun {
    match error {
        StoreError::NotNow(why) => NotBegun::Yet(why.clone()),
        error => NotBegun::Ever(sentence(error, &store.name())),
    }
}

/// The search for where a partition's archive begins.
struct Search<'s> {
    journal: &'s Journal,
    keys: &'s LogKeys,
    partition: Partition,
    /// Where the checkpoints ended when they did not tell, and why: they are not read again before there are more.
    untold: Option<(Offset, Untold)>,
}

impl Search<'_> {
    /// Looks for the first checkpoint that ends among what is kept; `None` where nothing was removed, or where the partition
    /// was never sealed.
    async fn find(&mut self) -> Result<Option<Beginning>, BeginningError> {
        // Before it is asked what is kept: no checkpoint among these ends behind that.
        let checkpoints = self.bounds(Topic::Checkpoints).await?;
        let kept = self.bounds(Topic::Records).await?;
        if kept.start == 0 {
            return Ok(None);
        }
        if let Some((end, untold)) = self.untold
            && end == checkpoints.end
        {
            return Err(untold.into());
        }
        let found = match self.candidate(kept, checkpoints).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => {
                if let BeginningError::Untold(untold) = error {
                    self.untold = Some((checkpoints.end, untold));
                }
                return Err(error);
            }
        };
        let before_end = count(self.journal, kept, found.next).await?;
        let size = found.frontier.size();
        let first_seq =
            size.checked_sub(before_end).ok_or(BeginningError::TooMany { kept: before_end, size })?;
        Ok(Some(Beginning { first_seq, next: kept.start, base: found.frontier, epoch: found.epoch }))
    }

    /// What the partition holds of a topic, whether other partitions can be asked or not.
    async fn bounds(&self, topic: Topic) -> Result<Bounds, ReadError> {
        self.journal.bounds_of(topic, self.partition).await
    }

    /// Of the latest epoch that was signed, the first that ends within `kept`; `None` where there is no checkpoint at all.
    async fn candidate(
        &self,
        kept: Bounds,
        checkpoints: Bounds,
    ) -> Result<Option<Candidate>, BeginningError> {
        let (partition, deployment) = (self.partition, self.journal.identity().deployment);
        let Bounds { start: mut from, end, .. } = checkpoints;
        let (mut latest_epoch, mut best) = (None, None::<Candidate>);
        let (mut is_sealed, mut last) = (false, None);
        while from < end {
            let range = self.journal.read(Topic::Checkpoints, partition, from, WINDOW).await?;
            for message in &range.messages {
                let value = message.value.as_deref().unwrap_or_default();
                // What can't be read, or is not of this log, is judged when the archive follows the topic.
                let Ok((sealed, note, checkpoint, frontier)) = Sealed::read(value) else { continue };
                let Some(epoch) = epoch_of(&checkpoint.origin, &deployment, partition) else { continue };
                is_sealed = true;
                let is_vouched_for = self.keys.is_empty()
                    || self
                        .keys
                        .verifiers(&checkpoint.origin, &deployment)
                        .is_ok_and(|known| Checkpoint::open(&note, &checkpoint.origin, &known).is_ok());
                if !is_vouched_for || latest_epoch.is_some_and(|latest| epoch < latest) {
                    continue;
                }
                if latest_epoch != Some(epoch) {
                    (latest_epoch, best) = (Some(epoch), None);
                }
                last = Some(sealed.next);
                if best.is_none() && (kept.start..=kept.end).contains(&sealed.next) {
                    best = Some(Candidate { epoch, next: sealed.next, frontier });
                }
            }
            if range.next <= from {
                break;
            }
            from = range.next;
        }
        match (best, last) {
            (Some(best), _) => Ok(Some(best)),
            (None, Some(last)) => Err(Untold::Elsewhere { last, start: kept.start }.into()),
            (None, None) if is_sealed => Err(Untold::Unsigned.into()),
            (None, None) => Ok(None),
        }
    }
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
