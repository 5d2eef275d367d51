//! Which checkpoints an export rests on: one that covers all of it, and one from before its period, or the one at which
//! the archive's tree was taken up.

use std::time::{Duration, Instant};

use audit_archive::{CheckpointRow, EvidenceError, Reader, TreeHead};
use audit_journal::{Journal, Offset, Partition, ReadLimit, Topic};
use audit_proof::{Checkpoint, Frontier, Sealed, SignedNote};
use audit_record::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::ExportError;
use crate::seal::SealKeys;
use crate::state::Cut;

/// How long the sealer is waited for. It seals within a second of the record that asks for an export, where one
/// sealer owns all partitions; else when its interval ends.
const SEAL_WAIT_MAX: Duration = Duration::from_secs(15);

/// Pause between two looks for a checkpoint.
const SEAL_POLL: Duration = Duration::from_millis(200);

/// How far back a checkpoint is looked for, in offsets: transactions leave holes.
const LOOK_BACK_OFFSETS: u64 = 256;

/// Most bytes of checkpoints read at a time.
const LOOK_BACK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A checkpoint as it was sealed.
#[derive(Clone, Debug)]
pub(super) struct SealedHead {
    pub(super) checkpoint: Checkpoint,
    pub(super) note: SignedNote,
    pub(super) frontier: Frontier,
    /// When it was signed, in seconds since 1970. Only where the cosigner's key is known.
    pub(super) at_s: Option<u64>,
}

/// What one partition's evidence rests on.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    pub(super) partition: Partition,
    /// The archive's tree.
    pub(super) tree: TreeHead,
    /// How many of its leaves the export covers.
    pub(super) covered: u64,
    /// The checkpoint at which the archive's tree was taken up, where retention had removed what stood before: there are
    /// no headers left of it.
    pub(super) base: Option<SealedHead>,
    /// The latest checkpoint from before the period.
    pub(super) start: Option<SealedHead>,
    /// The first checkpoint that covers everything, else the last there is.
    pub(super) end: Option<SealedHead>,
}

/// Looks for the checkpoints of every partition. Waits a little for those that don't cover everything yet, where the
/// log's keys are known, which means that somebody seals.
pub(super) async fn find(
    journal: &Journal,
    reader: &Reader,
    keys: Option<&SealKeys>,
    cuts: &[Cut],
    from: Option<Timestamp>,
    stop: &CancellationToken,
) -> Result<Vec<Heads>, ExportError> {
    let began = Instant::now();
    let began_at = match from {
        Some(from) => Some((from, journal.offsets_at(Topic::Checkpoints, from).await?)),
        None => None,
    };
    loop {
        let mut found = Vec::new();
        let mut is_base_missing = false;
        for cut in cuts {
            let newest = {
                let (reader, partition) = (reader.clone(), cut.partition);
                off_thread(move || reader.trees(partition)).await?.pop()
            };
            let Some(tree) = newest.filter(|tree| tree.first_seq <= cut.seq) else { continue };
            let covered = cut.seq - tree.first_seq;
            let look = Look { journal, reader, keys, tree: &tree };
            let base = match look.base(covered).await? {
                Base::AtStart => None,
                Base::At(head) => Some(*head),
                // What the export covers ends before it: nothing of that has a leaf.
                Base::BehindTheCut => continue,
                Base::Unknown => {
                    is_base_missing = true;
                    continue;
                }
            };
            let end = look.covering(covered).await?;
            let start = match &began_at {
                Some((from, offsets)) => {
                    let offset = offsets.iter().find(|at| at.partition == cut.partition).map(|at| at.offset);
                    look.before(offset.unwrap_or(0), *from, covered, end.as_ref()).await?
                }
                None => None,
            };
            found.push(Heads { partition: cut.partition, tree, covered, base, start, end });
        }
        let is_covered =
            |heads: &Heads| heads.end.as_ref().map_or(0, |end| end.checkpoint.size) >= heads.covered;
        let is_complete = !is_base_missing && (keys.is_none() || found.iter().all(is_covered));
        if is_complete || began.elapsed() > SEAL_WAIT_MAX {
            return Ok(found);
        }
        if stop.run_until_cancelled(tokio::time::sleep(SEAL_POLL)).await.is_none() {
            return Err(ExportError::Stopped);
        }
    }
}

/// Where the archive's tree was taken up.
enum Base {
    /// Nowhere: it has every leaf.
    AtStart,
    /// At this checkpoint.
    At(Box<SealedHead>),
    /// After all that the export covers.
    BehindTheCut,
    /// At one that the archive has not followed yet, or that the log's keys don't vouch for.
    Unknown,
}

/// What is looked through for one partition.
struct Look<'l> {
    journal: &'l Journal,
    reader: &'l Reader,
    keys: Option<&'l SealKeys>,
    tree: &'l TreeHead,
}

impl Look<'_> {
    /// Where the tree was taken up: the archive keeps that checkpoint, as it does all that its tree bears out.
    async fn base(&self, covered: u64) -> Result<Base, ExportError> {
        let TreeHead { partition, first_seq, .. } = *self.tree;
        let reader = self.reader.clone();
        let base = off_thread(move || reader.base_of(partition, first_seq)).await?;
        let size = base.size();
        if size == 0 {
            return Ok(Base::AtStart);
        }
        if size > covered {
            return Ok(Base::BehindTheCut);
        }
        let reader = self.reader.clone();
        let covering = move || reader.checkpoint_covering(partition, size).map_err(EvidenceError::from);
        let row = off_thread(covering).await?;
        let is_base = |row: &CheckpointRow| row.size == Some(size) && row.root == Some(base.root());
        let note = row.filter(is_base).and_then(|row| SignedNote::parse(row.note?.as_bytes()).ok());
        let read = note.and_then(|note| Some((Checkpoint::parse(note.text()).ok()?, note)));
        let Some((checkpoint, note)) = read else { return Ok(Base::Unknown) };
        Ok(match self.vouched(&note, &checkpoint) {
            Some(at_s) => Base::At(Box::new(SealedHead { checkpoint, note, frontier: base, at_s })),
            None => Base::Unknown,
        })
    }

    /// The smallest checkpoint that covers so many leaves; else the largest at hand. Those of the log's present name come
    /// first: the former one may have signed the same tree, where a log was copied.
    async fn covering(&self, covered: u64) -> Result<Option<SealedHead>, ExportError> {
        let bounds = self.journal.bounds(Topic::Checkpoints).await?;
        let partition = self.tree.partition;
        let Some(bounds) = bounds.into_iter().find(|bounds| bounds.partition == partition) else {
            return Ok(None);
        };
        let heads = self.window(bounds.start, bounds.end).await?;
        let present = heads.last().map(|head| head.checkpoint.origin.clone());
        let is_present = |head: &SealedHead| Some(&head.checkpoint.origin) == present.as_ref();
        let (named, others): (Vec<_>, Vec<_>) = heads.into_iter().partition(is_present);
        for mut heads in [named, others] {
            heads.sort_by_key(|head| head.checkpoint.size);
            let enough = heads.iter().position(|head| head.checkpoint.size >= covered).unwrap_or(heads.len());
            // From the first that is enough up, then from there down.
            let after = heads.split_off(enough);
            for head in after.into_iter().chain(heads.into_iter().rev()) {
                if self.bears_out(&head).await? {
                    return Ok(Some(head));
                }
            }
        }
        Ok(None)
    }

    /// The latest checkpoint that was signed before `from`, of the same name as `covering` and not beyond it: whatever it
    /// covers was appended before that.
    async fn before(
        &self,
        end: Offset,
        from: Timestamp,
        covered: u64,
        covering: Option<&SealedHead>,
    ) -> Result<Option<SealedHead>, ExportError> {
        let bounds = self.journal.bounds(Topic::Checkpoints).await?;
        let partition = self.tree.partition;
        let Some(bounds) = bounds.into_iter().find(|bounds| bounds.partition == partition) else {
            return Ok(None);
        };
        let is_before = |head: &SealedHead| {
            let at_s = head.at_s.and_then(|at_s| i64::try_from(at_s).ok());
            let Checkpoint { origin, size, .. } = &head.checkpoint;
            at_s.is_some_and(|at_s| at_s < from.micros() / 1_000_000)
                && *size <= covered
                && covering.is_none_or(|end| end.checkpoint.origin == *origin && end.checkpoint.size >= *size)
        };
        let mut heads = self.window(bounds.start, end.min(bounds.end)).await?;
        heads.retain(is_before);
        heads.sort_by_key(|head| head.checkpoint.size);
        for head in heads.into_iter().rev() {
            if self.bears_out(&head).await? {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    /// The checkpoints in the last offsets before `end`, in order, as far as the log's keys vouch for them.
    async fn window(&self, start: Offset, end: Offset) -> Result<Vec<SealedHead>, ExportError> {
        let partition = self.tree.partition;
        let mut heads = Vec::new();
        let mut from = start.max(end.saturating_sub(LOOK_BACK_OFFSETS));
        while from < end {
            let limit = ReadLimit { messages: LOOK_BACK_OFFSETS as usize, bytes: LOOK_BACK_BYTES_MAX };
            let range = self.journal.read(Topic::Checkpoints, partition, from, limit).await?;
            for message in range.messages.iter().filter(|message| message.offset < end) {
                // What can't be read is of a later release, or not of ours.
                if let Ok((_, note, checkpoint, frontier)) =
                    Sealed::read(message.value.as_deref().unwrap_or_default())
                    && let Some(at_s) = self.vouched(&note, &checkpoint)
                {
                    heads.push(SealedHead { checkpoint, note, frontier, at_s });
                }
            }
            if range.next <= from {
                break;
            }
            from = range.next;
        }
        Ok(heads)
    }

    /// Whether the log's keys, where they are known, former ones among them, have signed it, and when.
    fn vouched(&self, note: &SignedNote, checkpoint: &Checkpoint) -> Option<Option<u64>> {
        let deployment: Uuid = self.journal.identity().deployment;
        let Some(keys) = self.keys else { return Some(None) };
        let known = keys.log_keys().verifiers(&checkpoint.origin, &deployment).ok()?;
        let (_, at_s) = Checkpoint::open(note, &checkpoint.origin, &known).ok()?;
        Some(at_s)
    }

    /// Whether the archive's tree is the one that was signed.
    async fn bears_out(&self, head: &SealedHead) -> Result<bool, ExportError> {
        let TreeHead { partition, first_seq, .. } = *self.tree;
        let (reader, size) = (self.reader.clone(), head.checkpoint.size);
        match off_thread(move || reader.root_of(partition, first_seq, size)).await {
            Ok(root) if root == head.checkpoint.root => Ok(true),
            // Of a former tree, or the archive is not that far yet, or was taken up later.
            Ok(_)
            | Err(ExportError::Evidence(EvidenceError::NotInTree { .. } | EvidenceError::Hole { .. })) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

async fn off_thread<T: Send + 'static>(
    look: impl FnOnce() -> Result<T, EvidenceError> + Send + 'static,
) -> Result<T, ExportError> {
    Ok(tokio::task::spawn_blocking(look).await.map_err(std::io::Error::other)??)
}
