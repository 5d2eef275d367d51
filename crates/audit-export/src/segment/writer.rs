//! Writes what was cut: one task a partition, which follows the cuts on `checkpoints`.
//!
//! The topic is the queue: while a destination is away, a number waits, and no copy of anything. Where a writer begins and
//! goes on is one road: it reads the next cut, builds the segment from the log, puts its files, the manifest last, and tells
//! the sealer, which writes it down. If we crash anywhere before that is durable, the next owner finds the same cut, builds
//! the same bytes, and finds them where they are to go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use audit_journal::{Journal, Offset, Partition, ReadError, ReadLimit, Topic};
use audit_proof::{Checkpoint, Cut, CutName, Frontier, InvalidCut, InvalidKey, InvalidNote, NodeHash};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::build::{Builder, Built};
use super::manifest::{MANIFEST_VERSION, SegmentFile, SegmentManifest};
use super::name::{Places, epoch_of};
use crate::destination::{Content, Destination, PutError};
use crate::payload::ParquetWriteError;
use crate::seal::SealKeys;

/// Segments that are built at once, over all partitions: each takes some hundred megabytes at the most.
const BUILT_AT_ONCE_MAX: usize = 1;

/// Written segments that the sealer has not taken note of yet; a writer waits while there are as many.
const WRITTEN_WAITING_MAX: usize = 64;

/// How much of the log is read at a time.
const READ: ReadLimit = ReadLimit { messages: 10_000, bytes: 4 * 1024 * 1024 };

/// How long after a destination or the log was away a segment is tried again: the first pause, which doubles up to the
/// longest.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(300);

/// How often it is looked for cuts that nobody told of.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// Most bytes of a manifest that is read back: a cut and a few lines.
const MANIFEST_BYTES_MAX: usize = 256 * 1024;

/// A segment is at its destination.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) partition: Partition,
    /// That of the assignment under which it was written.
    pub(crate) generation: u64,
    /// Its cut.
    pub(crate) cut: CutName,
    /// Where on `checkpoints` the next cut can be.
    pub(crate) read_from: Offset,
}

/// Why a segment is not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    /// May pass.
    #[error("the log can't be read: {0}")]
    Log(#[from] ReadError),
    /// May pass.
    #[error(transparent)]
    Put(PutError),
    /// Doesn't.
    #[error("{0}")]
    Never(String),
    #[error("it was stopped")]
    Stopped,
}

impl From<PutError> for WriteError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Stopped => Self::Stopped,
            PutError::Different { .. } => Self::Never(error.to_string()),
            error => Self::Put(error),
        }
    }
}

impl From<ParquetWriteError> for WriteError {
    fn from(error: ParquetWriteError) -> Self {
        Self::Never(error.to_string())
    }
}

impl From<InvalidKey> for WriteError {
    fn from(error: InvalidKey) -> Self {
        Self::Never(format!("the log's keys can't be used: {error}"))
    }
}

impl From<InvalidNote> for WriteError {
    fn from(error: InvalidNote) -> Self {
        Self::Never(format!("the manifest can't be signed: {error}"))
    }
}

/// The writers of the partitions that a sealer owns.
#[derive(Debug)]
pub(crate) struct Writers {
    shared: Arc<Shared>,
    running: BTreeMap<Partition, Running>,
    written: mpsc::Receiver<Written>,
}

#[derive(Debug)]
struct Shared {
    journal: Journal,
    keys: SealKeys,
    destination: Destination,
    building: Semaphore,
    written: mpsc::Sender<Written>,
}

#[derive(Debug)]
struct Running {
    nudge: Arc<Notify>,
    _stop: DropGuard,
}

impl Writers {
    /// Nobody writes yet.
    pub(crate) fn new(journal: Journal, keys: SealKeys, destination: Destination) -> Self {
        let (sender, written) = mpsc::channel(WRITTEN_WAITING_MAX);
        let building = Semaphore::new(BUILT_AT_ONCE_MAX);
        let shared = Arc::new(Shared { journal, keys, destination, building, written: sender });
        Self { shared, running: BTreeMap::new(), written }
    }

    /// Begins with the first cut after `written`, which is looked for from `read_from` on.
    pub(crate) fn begin(
        &mut self,
        partition: Partition,
        generation: u64,
        written: Option<CutName>,
        read_from: Offset,
    ) {
        let (stop, nudge) = (CancellationToken::new(), Arc::new(Notify::new()));
        let writer = Writer {
            shared: Arc::clone(&self.shared),
            partition,
            generation,
            before: written,
            read_from,
            nudge: Arc::clone(&nudge),
            stop: stop.clone(),
        };
        tokio::spawn(writer.run());
        self.running.insert(partition, Running { nudge, _stop: stop.drop_guard() });
    }

    /// There is a new cut.
    pub(crate) fn nudge(&self, partition: Partition) {
        if let Some(running) = self.running.get(&partition) {
            running.nudge.notify_one();
        }
    }

    /// The partition is somebody else's.
    pub(crate) fn end(&mut self, partition: Partition) {
        self.running.remove(&partition);
    }

    /// The next segment that was written. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Option<Written> {
        self.written.recv().await
    }
}

/// The writer of one partition.
struct Writer {
    shared: Arc<Shared>,
    partition: Partition,
    generation: u64,
    /// The last cut whose segment is written.
    before: Option<CutName>,
    read_from: Offset,
    nudge: Arc<Notify>,
    stop: CancellationToken,
}

impl Writer {
    async fn run(mut self) {
        let mut pause = AGAIN_AFTER;
        loop {
            let problem = match self.go_on().await {
                Ok(()) => {
                    pause = AGAIN_AFTER;
                    let told = tokio::time::timeout(LOOK_INTERVAL, self.nudge.notified());
                    if self.stop.clone().run_until_cancelled(told).await.is_none() {
                        return;
                    }
                    continue;
                }
                Err(WriteError::Stopped) => return,
                Err(WriteError::Never(problem)) => {
                    let partition = self.partition;
                    tracing::error!(
                        partition,
                        problem,
                        "segments: the partition's are not written any further"
                    );
                    return;
                }
                Err(problem) => problem,
            };
            tracing::warn!(partition = self.partition, %problem, again_after = ?pause, "segments: one is not written");
            if self.stop.clone().run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            pause = (pause * 2).min(AGAIN_AFTER_MAX);
        }
    }

    /// Writes every segment that is cut.
    async fn go_on(&mut self) -> Result<(), WriteError> {
        loop {
            let (journal, began_at) = (&self.shared.journal, self.read_from);
            let range = journal.read(Topic::Checkpoints, self.partition, self.read_from, READ).await?;
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
        let partition = self.partition;
        let (cut, checkpoint, edge) = match Cut::read(value) {
            Ok((cut, note, checkpoint, edge)) => {
                let deployment = self.shared.journal.identity().deployment;
                let known = self.shared.keys.verifiers(&cut.origin, &deployment)?;
                if let Err(error) = Checkpoint::open(&note, &cut.origin, &known) {
                    tracing::warn!(partition, %error, "segments: a cut that the log's keys did not sign is passed over");
                    return Ok(());
                }
                (cut, checkpoint, edge)
            }
            Err(error @ InvalidCut::Newer { .. }) => {
                return Err(WriteError::Never(format!("a cut can't be read: {error}")));
            }
            Err(error) => {
                tracing::warn!(partition, %error, "segments: a cut that is none is passed over");
                return Ok(());
            }
        };
        if self.before.as_ref() == Some(&cut.name()) {
            return Ok(());
        }
        if !cut.follows(self.before.as_ref()) {
            tracing::info!(
                partition,
                number = cut.number,
                "segments: a cut that another was sooner than is passed over"
            );
            return Ok(());
        }
        self.write(&cut, &checkpoint, edge).await?;
        self.before = Some(cut.name());
        let written = Written {
            partition,
            generation: self.generation,
            cut: cut.name(),
            // That of this cut: the next owner passes over it, which does not follow itself.
            read_from: self.read_from,
        };
        match self.stop.run_until_cancelled(self.shared.written.send(written)).await {
            Some(Ok(())) => Ok(()),
            _ => Err(WriteError::Stopped),
        }
    }

    async fn write(&self, cut: &Cut, checkpoint: &Checkpoint, edge: Frontier) -> Result<(), WriteError> {
        let deployment = self.shared.journal.identity().deployment;
        let Some(epoch) = epoch_of(&cut.origin, &deployment, self.partition) else {
            return Err(WriteError::Never(format!("a cut is of {}, which is another log", cut.origin)));
        };
        let places = Places::of(&deployment, self.partition, epoch, cut);
        // Whole already: the answer was lost, or the note of it. Not built again: a later release may write it otherwise.
        if self.is_there(&places, cut).await? {
            return Ok(());
        }
        let mut files = Vec::new();
        if cut.start.seq < cut.end.seq {
            let built = self.build(cut, checkpoint.root, edge).await?;
            files.push(self.put(&places.parquet, built.parquet).await?);
            files.push(self.put(&places.hashes, built.hashes).await?);
        }
        let manifest = SegmentManifest {
            version: MANIFEST_VERSION,
            deployment: deployment.to_string(),
            partition: self.partition,
            cut: cut.clone(),
            messages: cut.end.seq - cut.start.seq,
            files,
            written_by: concat!("flagtrail ", env!("CARGO_PKG_VERSION")).to_owned(),
            signature: String::new(),
        };
        let manifest = manifest.signed(&self.shared.keys.signers(&cut.origin)?)?;
        self.put(&places.manifest, manifest.to_json().into()).await?;
        tracing::info!(
            partition = self.partition,
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
        Err(WriteError::Never(format!(
            "{} at destination {} is of another cut: is another deployment's log written there?",
            places.manifest,
            self.shared.destination.name()
        )))
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
    async fn build(&self, cut: &Cut, root: NodeHash, edge: Frontier) -> Result<Built, WriteError> {
        let stopped = |_| WriteError::Stopped;
        let building = self.stop.run_until_cancelled(self.shared.building.acquire()).await;
        let _turn = building.ok_or(WriteError::Stopped)?.map_err(stopped)?;
        let (number, seqs) = (cut.number.to_string(), format!("{}..{}", cut.start.seq, cut.end.seq));
        let metadata = [
            ("flagtrail.origin", cut.origin.as_str()),
            ("flagtrail.cut", number.as_str()),
            ("flagtrail.seq", seqs.as_str()),
        ];
        let mut builder = Builder::new(self.partition, edge, &metadata)?;
        let mut from = cut.start.offset;
        while builder.next_seq() < cut.end.seq {
            if self.stop.is_cancelled() {
                return Err(WriteError::Stopped);
            }
            let range = self.shared.journal.read(Topic::Records, self.partition, from, READ).await;
            let range = match range {
                Err(error @ ReadError::OutOfRange { .. }) => {
                    return Err(WriteError::Never(format!(
                        "what was cut is not on the log any more: {error}; keep records until they are written"
                    )));
                }
                range => range?,
            };
            let mut messages = range.messages;
            messages.retain(|message| message.offset < cut.end.offset);
            if messages.is_empty() && range.next >= cut.end.offset {
                break;
            }
            from = range.next.max(from);
            // Compression takes a processor for a while.
            let appended =
                tokio::task::spawn_blocking(move || builder.append(&messages).map(|()| builder)).await;
            builder = appended.map_err(|error| WriteError::Never(error.to_string()))??;
        }
        let finished = tokio::task::spawn_blocking(move || (builder.next_seq(), builder.finish())).await;
        let (seq, built) = finished.map_err(|error| WriteError::Never(error.to_string()))?;
        let built = built?;
        if seq != cut.end.seq || built.root != root {
            return Err(WriteError::Never(format!(
                "the log from number {} to {} is not the one that was signed: it was altered since",
                cut.start.seq, cut.end.seq
            )));
        }
        Ok(built)
    }
}
