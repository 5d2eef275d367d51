//! Writes what was cut: one task a partition, which follows the cuts on `checkpoints`.
//!
//! The topic is the queue: while a destination is away, a number waits, and no copy of anything. Where a writer begins and
//! goes on is one road: it reads the next cut, builds the segment from the log, puts its files, the manifest last, and tells
//! the sealer, which writes it down. If we crash anywhere before that is durable, the next owner finds the same cut, builds
//! the same bytes, and finds them where they are to go.
//!
//! A writer ends with its assignment only. Whatever stands against a segment is tried again, with a growing pause, and told
//! meanwhile ([`crate::SealStanding`]). What no try can bring back is written as a [`SegmentLoss`], and the chain goes on.

use std::sync::Arc;
use std::time::Duration;

use audit_digest::Sha256;
use audit_journal::{Offset, Partition, ReadError, ReadLimit, Topic};
use audit_proof::{Checkpoint, Cut, CutName, Frontier, InvalidCut, Sealed};
use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::build::{Builder, Built};
use super::cutting::{SEGMENT_BYTES_MAX, SEGMENT_MESSAGES_MAX, day_of};
use super::manifest::{LOST_VERSION, MANIFEST_VERSION, SegmentFile, SegmentLoss, SegmentManifest};
use super::name::{Places, epoch_of};
use super::write_error::WriteError;
use super::writers::{Shared, Written};
use crate::destination::Content;

/// How much of the log is read at a time.
const READ: ReadLimit = ReadLimit { messages: 10_000, bytes: 4 * 1024 * 1024 };

/// Most messages of a segment that is built, and most bytes of them unless one alone has more: whoever cuts stays below half of it,
/// except where others sealed meanwhile without cutting.
const BUILT_MESSAGES_MAX: u64 = 2 * SEGMENT_MESSAGES_MAX;
const BUILT_BYTES_MAX: u64 = 2 * SEGMENT_BYTES_MAX;

/// How long after a segment was not written it is tried again: the first pause, which doubles up to the longest.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(300);

/// How often it is looked for cuts that nobody told of.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// Most bytes of a manifest that is read back: a cut and a few lines.
const MANIFEST_BYTES_MAX: usize = 256 * 1024;

/// A cut that keys of the log have signed.
struct Vouched {
    cut: Cut,
    /// Of its end.
    checkpoint: Checkpoint,
    /// The tree at its start.
    edge: Frontier,
    /// In which its tree began.
    epoch: u32,
}

/// The writer of one partition.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) partition: Partition,
    pub(super) generation: u64,
    /// The last cut whose segment is written.
    pub(super) before: Option<CutName>,
    pub(super) read_from: Offset,
    pub(super) nudge: Arc<Notify>,
    pub(super) stop: CancellationToken,
}

impl Writer {
    pub(super) async fn run(mut self) {
        let mut pause = AGAIN_AFTER;
        loop {
            let problem = match self.go_on().await {
                Ok(()) => {
                    pause = AGAIN_AFTER;
                    self.note(None);
                    let told = tokio::time::timeout(LOOK_INTERVAL, self.nudge.notified());
                    if self.stop.run_until_cancelled(told).await.is_none() {
                        return;
                    }
                    continue;
                }
                Err(WriteError::Stopped) => return,
                Err(problem) => problem,
            };
            let partition = self.partition;
            if problem.may_pass() {
                tracing::warn!(partition, %problem, again_after = ?pause, "segments: one is not written");
            } else {
                tracing::error!(partition, %problem, again_after = ?pause, "segments: one is not written");
            }
            self.note(Some(problem.to_string()));
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            pause = (pause * 2).min(AGAIN_AFTER_MAX);
        }
    }

    /// Tells what stands against the next segment.
    fn note(&self, problem: Option<String>) {
        if !self.stop.is_cancelled() {
            self.shared.standing.note(self.partition, |standing| standing.not_written = problem);
        }
    }

    /// Writes every segment that is cut.
    async fn go_on(&mut self) -> Result<(), WriteError> {
        loop {
            let (journal, began_at) = (&self.shared.journal, self.read_from);
            let range = match journal.read(Topic::Checkpoints, self.partition, began_at, READ).await {
                // Of a topic that was made anew, or whose beginning was removed, there is what there is: a cut that is missing
                // is missed by the next one.
                Err(ReadError::OutOfRange { start, .. }) if start != began_at => {
                    self.read_from = start;
                    continue;
                }
                range => range?,
            };
            for message in &range.messages {
                let value = message.value.as_deref().unwrap_or_default();
                if Cut::is_one(value) {
                    self.take(value).await?;
                }
                self.read_from = message.offset + 1;
            }
            self.read_from = self.read_from.max(range.next);
            if self.read_from >= range.end || self.read_from == began_at {
                return Ok(());
            }
        }
    }

    /// Writes the segment of a cut, if that is in force: others can write to the log, too.
    async fn take(&mut self, value: &[u8]) -> Result<(), WriteError> {
        let Some(vouched) = self.vouched(value)? else { return Ok(()) };
        if !self.is_next(&vouched)? {
            return Ok(());
        }
        self.write(&vouched).await?;
        let cut = vouched.cut.name();
        self.before = Some(cut.clone());
        self.note(None);
        // That of this cut: the next owner passes over it, which does not follow itself.
        let read_from = self.read_from;
        let written = Written { partition: self.partition, generation: self.generation, cut, read_from };
        match self.stop.run_until_cancelled(self.shared.written.send(written)).await {
            Some(Ok(())) => Ok(()),
            _ => Err(WriteError::Stopped),
        }
    }

    /// Reads a cut; `None` where keys of this partition's log, former ones among them, did not sign it.
    fn vouched(&self, value: &[u8]) -> Result<Option<Vouched>, WriteError> {
        let partition = self.partition;
        let (cut, note, checkpoint, edge) = match Cut::read(value) {
            Ok(read) => read,
            Err(error @ InvalidCut::Newer { .. }) => {
                return Err(WriteError::Refused(format!("a cut can't be read: {error}")));
            }
            Err(error) => {
                tracing::warn!(partition, %error, "segments: a cut that is none is passed over");
                return Ok(None);
            }
        };
        let deployment = self.shared.journal.identity().deployment;
        let Some(epoch) = epoch_of(&cut.origin, &deployment, partition) else {
            tracing::warn!(partition, origin = cut.origin, "segments: a cut of another log is passed over");
            return Ok(None);
        };
        let known = self.shared.keys.log_keys().verifiers(&cut.origin, &deployment)?;
        if let Err(error) = Checkpoint::open(&note, &cut.origin, &known) {
            tracing::warn!(partition, %error, "segments: a cut that the log's keys did not sign is passed over");
            return Ok(None);
        }
        Ok(Some(Vouched { cut, checkpoint, edge, epoch }))
    }

    /// Whether a cut comes next; not where it is written already, or never was in force.
    fn is_next(&self, Vouched { cut, epoch, .. }: &Vouched) -> Result<bool, WriteError> {
        let (partition, number) = (self.partition, cut.number);
        let deployment = self.shared.journal.identity().deployment;
        let before = self.before.as_ref();
        let epoch_before = before.and_then(|before| epoch_of(&before.origin, &deployment, partition));
        if before == Some(&cut.name()) || epoch_before.is_some_and(|before| *epoch < before) {
            return Ok(false);
        }
        if cut.follows(before) {
            return Ok(true);
        }
        let of_this = before.filter(|before| before.origin == cut.origin);
        let next = of_this.map_or(0, |before| before.number.saturating_add(1));
        // It was made after others, which were not seen: it is no rival of theirs.
        if number > next {
            return Err(WriteError::Refused(format!(
                "cut {number} of {} stands on the log, and cut {next}, which is to be written first, does not: checkpoints were removed or altered",
                cut.origin
            )));
        }
        tracing::info!(partition, number, "segments: a cut that another was sooner than is passed over");
        Ok(false)
    }

    async fn write(&self, vouched: &Vouched) -> Result<(), WriteError> {
        let Vouched { cut, epoch, .. } = vouched;
        let (partition, deployment) = (self.partition, self.shared.journal.identity().deployment);
        let places = Places::of(&deployment, partition, *epoch, cut);
        // Whole already: the answer was lost, or the note of it. Not built again: a later release may write it otherwise.
        if self.is_there(&places, cut).await? {
            return Ok(());
        }
        let (files, lost) = match self.put_files(vouched, &places).await {
            Ok(files) => (files, None),
            Err(WriteError::Gone(lost, reason)) => {
                let (from_seq, to_seq) = (cut.start.seq, cut.end.seq);
                tracing::error!(
                    partition,
                    number = cut.number,
                    from_seq,
                    to_seq,
                    reason,
                    "segments: one is without its messages; its manifest says so, and the next one is written"
                );
                (Vec::new(), Some(lost))
            }
            Err(error) => return Err(error),
        };
        let manifest = SegmentManifest {
            version: if lost.is_some() { LOST_VERSION } else { MANIFEST_VERSION },
            deployment: deployment.to_string(),
            partition,
            cut: cut.clone(),
            messages: cut.end.seq - cut.start.seq,
            files,
            lost,
            written_by: concat!("flagtrail ", env!("CARGO_PKG_VERSION")).to_owned(),
            signature: String::new(),
        };
        let manifest = manifest.signed(&self.shared.keys.signers(&cut.origin)?)?;
        self.put(&places.manifest, manifest.to_json().into()).await?;
        if lost.is_some() {
            self.shared.standing.note(partition, |standing| standing.lost += 1);
        }
        tracing::info!(
            partition,
            number = cut.number,
            messages = manifest.messages,
            from_seq = cut.start.seq,
            "segments: one is written"
        );
        Ok(())
    }

    /// Whether the manifest of this very cut stands at the destination.
    async fn is_there(&self, places: &Places, cut: &Cut) -> Result<bool, WriteError> {
        let found = self.shared.destination.read(&places.manifest, MANIFEST_BYTES_MAX).await?;
        let Some(found) = found else { return Ok(false) };
        let manifest: Option<SegmentManifest> = serde_json::from_slice(&found).ok();
        if manifest.is_some_and(|manifest| manifest.cut == *cut) {
            return Ok(true);
        }
        Err(WriteError::Refused(format!(
            "{} at destination {} is of another cut: move it away, and whoever put it there to a prefix of its own",
            places.manifest,
            self.shared.destination.name()
        )))
    }

    /// Builds a segment, and puts its files; none where it has no messages.
    async fn put_files(&self, vouched: &Vouched, places: &Places) -> Result<Vec<SegmentFile>, WriteError> {
        if vouched.cut.start.seq == vouched.cut.end.seq {
            return Ok(Vec::new());
        }
        // Until they are put: what was built is in memory until then.
        let turn = self.stop.run_until_cancelled(self.shared.in_hand.acquire()).await;
        let _turn = turn.ok_or(WriteError::Stopped)?.map_err(|_| WriteError::Stopped)?;
        let built = self.build(vouched).await?;
        let rows = self.put(&places.parquet, built.parquet).await?;
        let hashes = self.put(&places.hashes, built.hashes).await?;
        Ok(vec![rows, hashes])
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<SegmentFile, WriteError> {
        let file = SegmentFile {
            path: path.to_owned(),
            bytes: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(&bytes)),
        };
        self.shared.destination.put(path, &Content::Bytes(bytes), &self.stop).await?;
        Ok(file)
    }

    /// Builds a segment from the log, which has to lead to the root that was signed.
    async fn build(&self, vouched: &Vouched) -> Result<Built, WriteError> {
        let Vouched { cut, checkpoint, edge, epoch } = vouched;
        let count = cut.end.seq - cut.start.seq;
        let (number, seqs) = (cut.number.to_string(), format!("{}..{}", cut.start.seq, cut.end.seq));
        let metadata = [
            ("flagtrail.origin", cut.origin.as_str()),
            ("flagtrail.cut", number.as_str()),
            ("flagtrail.seq", seqs.as_str()),
        ];
        let mut builder = Builder::new(self.partition, edge.clone(), &metadata)?;
        let (mut from, mut bytes) = (cut.start.offset, 0);
        let mut is_segment = count <= BUILT_MESSAGES_MAX;
        while builder.next_seq() < cut.end.seq {
            if self.stop.is_cancelled() {
                return Err(WriteError::Stopped);
            }
            let range = match self.shared.journal.read(Topic::Records, self.partition, from, READ).await {
                Ok(range) => range,
                Err(error) => return Err(self.not_there(cut, *epoch, error).await?),
            };
            let mut messages = range.messages;
            messages.retain(|message| message.offset < cut.end.offset);
            if messages.is_empty() && (range.next >= cut.end.offset || range.next <= from) {
                break;
            }
            bytes += messages.iter().map(|message| message.bytes() as u64).sum::<u64>();
            is_segment &= bytes <= BUILT_BYTES_MAX || count == 1;
            is_segment &= messages.iter().all(|message| day_of(message) == cut.date);
            if !is_segment {
                // Looked at to the end all the same: of a log that was altered nothing is said for good.
                builder.without_files();
            }
            from = range.next.max(from);
            // Compression takes a processor for a while.
            builder =
                tokio::task::spawn_blocking(move || builder.append(&messages).map(|()| builder)).await??;
        }
        let (seq, built) =
            tokio::task::spawn_blocking(move || (builder.next_seq(), builder.finish())).await?;
        let built = built?;
        if seq != cut.end.seq || built.root != checkpoint.root {
            return Err(self.altered(cut, *epoch, "it leads to another root").await?);
        }
        if !is_segment {
            return Err(uncut(cut));
        }
        Ok(built)
    }

    /// What it means that the log does not give what was cut.
    async fn not_there(&self, cut: &Cut, epoch: u32, error: ReadError) -> Result<WriteError, WriteError> {
        match error {
            ReadError::OutOfRange { from, start, .. } if from < start => {
                let reason = format!("what was cut is not on the log any more: {error}");
                Ok(WriteError::Gone(SegmentLoss::Removed, reason))
            }
            ReadError::OutOfRange { .. } => self.altered(cut, epoch, &error.to_string()).await,
            error => Ok(WriteError::Log(error)),
        }
    }

    /// What it means that the log is not the one that was cut: where a tree of a later epoch was signed, that the log was
    /// replaced, and else that somebody has to look.
    async fn altered(&self, cut: &Cut, epoch: u32, how: &str) -> Result<WriteError, WriteError> {
        let reason = format!(
            "the log from number {} to {} is not the one that was signed ({how}): it was altered or replaced since",
            cut.start.seq, cut.end.seq
        );
        Ok(if self.is_over(epoch).await? {
            WriteError::Gone(SegmentLoss::Replaced, reason)
        } else {
            WriteError::Refused(reason)
        })
    }

    /// Whether a tree of a later epoch was signed, from where the cuts are read.
    async fn is_over(&self, epoch: u32) -> Result<bool, WriteError> {
        let journal = &self.shared.journal;
        let deployment = journal.identity().deployment;
        let mut from = self.read_from;
        loop {
            let range = journal.read(Topic::Checkpoints, self.partition, from, READ).await?;
            for message in &range.messages {
                let value = message.value.as_deref().unwrap_or_default();
                let Ok((_, note, checkpoint, _)) = Sealed::read(value) else { continue };
                let origin = &checkpoint.origin;
                let is_later = epoch_of(origin, &deployment, self.partition).is_some_and(|one| one > epoch);
                if !is_later {
                    continue;
                }
                let known = self.shared.keys.log_keys().verifiers(origin, &deployment)?;
                if Checkpoint::open(&note, origin, &known).is_ok() {
                    return Ok(true);
                }
            }
            if range.next <= from || range.next >= range.end {
                return Ok(false);
            }
            from = range.next;
        }
    }
}

/// A cut that no cutter makes: sealing went on without one.
fn uncut(cut: &Cut) -> WriteError {
    let reason = format!(
        "numbers {} to {} were sealed while nobody cut, and are more than a segment has, or of more days than one: an export has them",
        cut.start.seq, cut.end.seq
    );
    WriteError::Gone(SegmentLoss::Uncut, reason)
}
