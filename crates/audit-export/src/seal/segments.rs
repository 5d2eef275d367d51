//! The part of sealing that is about segments: where each partition is cut, together with the checkpoint of that place.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use audit_journal::{Batch, Journal, NewMessage, Partition, PartitionCommit, Placement, ReadError};
use audit_proof::{CUT_KIND, Cut, Edge, KIND_HEADER, Sealed};
use bytes::Bytes;

use super::cuts::{self, Found, Head};
use super::keys::SealKeys;
use super::partition::Sealing;
use super::standing::SealStanding;
use crate::segment::{self, Cutting, InvalidProgress, Part, Progress, SegmentsConfig, Writers, Written};

/// How long after the log could not be read a partition is tried to be taken up again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How long after something else stood against it: what somebody mends at the log shows, and it is told again.
const REFUSED_AGAIN_AFTER: Duration = Duration::from_secs(300);

/// What is told of a partition whose tree is behind what was published.
const UNSETTLED: &str = "what was published of its tree has to be reached again first";

/// Why a partition is not cut.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Progress(#[from] InvalidProgress),
    #[error("the log can't be read: {0}")]
    Read(#[from] ReadError),
    #[error(
        "it was cut {count} times, and the signed head of the last cut is not among the checkpoints any more: they were removed or altered"
    )]
    Headless { count: u64 },
    #[error("it was cut up to number {upto}, and its tree ends with {end}: the group's progress was altered")]
    Backwards { upto: u64, end: u64 },
}

/// The cutting of the partitions that a sealer owns, and the writers of their segments.
#[derive(Debug)]
pub(super) struct Segments {
    journal: Journal,
    keys: SealKeys,
    interval_ms: i64,
    cutting: BTreeMap<Partition, Cutting>,
    /// Partitions that are not cut yet.
    waiting: BTreeMap<Partition, Waiting>,
    writers: Writers,
    standing: SealStanding,
}

/// A partition that is to be taken up.
#[derive(Clone, Debug)]
struct Waiting {
    document: Option<Bytes>,
    /// Whether more was published than its owner remembered: then there may be cuts, too, of which the document knows nothing.
    is_unsure: bool,
    /// It is not tried before.
    not_before: Instant,
}

/// What of a commit is about a partition's segments.
#[derive(Debug)]
pub(super) struct Moved {
    /// The cut, if the segment ends here.
    cut: Option<Cut>,
    /// How far it is then.
    progress: Progress,
}

impl Moved {
    /// How far it is, to be committed.
    pub(super) fn document(&self) -> (Bytes, Option<Bytes>) {
        document(&self.progress)
    }

    /// The cut as a message.
    pub(super) fn message(&self, partition: Partition) -> Option<NewMessage> {
        let cut = self.cut.as_ref()?;
        Some(NewMessage {
            key: Bytes::from(cut.origin.clone()),
            headers: vec![
                ("content-type".into(), Bytes::from_static(b"application/json")),
                (KIND_HEADER.into(), Bytes::from_static(CUT_KIND.as_bytes())),
            ],
            value: Some(Bytes::from(cut.to_json())),
            placement: Placement::Fixed(partition),
        })
    }
}

fn document(progress: &Progress) -> (Bytes, Option<Bytes>) {
    (Bytes::from_static(segment::DOCUMENT), Some(Bytes::from(progress.to_json())))
}

/// The next segment that was written; never comes where none are.
pub(super) async fn next_written(segments: &mut Option<Segments>) -> Option<Written> {
    match segments {
        Some(segments) => segments.writers.next().await,
        None => std::future::pending().await,
    }
}

impl Segments {
    pub(super) fn new(
        journal: Journal,
        keys: SealKeys,
        config: &SegmentsConfig,
        standing: SealStanding,
    ) -> Self {
        let destination = config.destination.clone();
        Self {
            journal: journal.clone(),
            keys: keys.clone(),
            interval_ms: i64::try_from(config.interval.as_millis()).unwrap_or(i64::MAX),
            cutting: BTreeMap::new(),
            waiting: BTreeMap::new(),
            writers: Writers::new(journal, keys, destination, standing.clone()),
            standing,
        }
    }

    /// A partition is this sealer's: it is taken up where its last owner stood, as soon as it can be.
    pub(super) async fn assigned(
        &mut self,
        partition: Partition,
        sealing: &Sealing,
        documents: &[(Bytes, Bytes)],
        now_ms: i64,
    ) {
        let document = documents.iter().find(|(key, _)| key == segment::DOCUMENT);
        let document = document.map(|(_, value)| value.clone());
        let waiting = Waiting { document, is_unsure: !sealing.is_settled(), not_before: Instant::now() };
        self.waiting.insert(partition, waiting);
        self.take_up(partition, sealing, now_ms).await;
    }

    /// Which partitions are not cut yet.
    pub(super) fn waiting(&self) -> Vec<Partition> {
        self.waiting.keys().copied().collect()
    }

    /// Takes a partition up that waits for it, if that can be done now.
    pub(super) async fn take_up(&mut self, partition: Partition, sealing: &Sealing, now_ms: i64) {
        let Some(waiting) = self.waiting.get(&partition).cloned() else { return };
        if Instant::now() < waiting.not_before {
            return;
        }
        if !sealing.is_settled() {
            self.not_cut(partition, UNSETTLED.to_owned());
            return;
        }
        let refusal = match self.cutting_of(partition, sealing, &waiting, now_ms).await {
            Ok(cutting) => {
                let Progress { written, read_from, .. } = cutting.progress().clone();
                let count = cutting.progress().waiting();
                self.standing.note(partition, |standing| {
                    (standing.not_cut, standing.waiting) = (None, count);
                });
                self.writers.begin(partition, sealing.generation, written, read_from);
                self.cutting.insert(partition, cutting);
                self.waiting.remove(&partition);
                return;
            }
            Err(refusal) => refusal,
        };
        self.not_cut(partition, refusal.to_string());
        let again_after = if let Refusal::Read(error) = &refusal {
            tracing::warn!(partition, %error, again_after = ?AGAIN_AFTER, "segments: partition is not cut yet");
            AGAIN_AFTER
        } else {
            // What was written stays as it is: no segment is better than one that overlaps another.
            tracing::error!(
                partition,
                %refusal,
                again_after = ?REFUSED_AGAIN_AFTER,
                "segments: partition is not cut"
            );
            REFUSED_AGAIN_AFTER
        };
        self.waiting.insert(partition, Waiting { not_before: Instant::now() + again_after, ..waiting });
    }

    fn not_cut(&self, partition: Partition, reason: String) {
        self.standing.note(partition, |standing| standing.not_cut = Some(reason));
    }

    /// Where a partition is cut next. The segment that is growing begins where the last one ends, also where sealing went on
    /// since without anybody who cut.
    async fn cutting_of(
        &self,
        partition: Partition,
        sealing: &Sealing,
        waiting: &Waiting,
        now_ms: i64,
    ) -> Result<Cutting, Refusal> {
        let stored = waiting.document.as_deref().map(Progress::read).transpose()?;
        let mut cutting = match stored {
            Some(stored) if !waiting.is_unsure => {
                let mut cutting = Cutting::new(stored.clone(), self.interval_ms);
                cutting.was_committed(stored);
                cutting
            }
            stored => {
                let progress = self.recalled(partition, sealing, stored, now_ms).await?;
                Cutting::new(progress, self.interval_ms)
            }
        };
        let (end, origin) = (sealing.end(), sealing.origin());
        let Progress { start, upto, head, .. } = cutting.progress();
        let tree = upto.as_ref().map(|upto| &upto.origin).or(head.as_ref().map(|head| &head.origin));
        if end.seq == 0 || tree.is_some_and(|tree| *tree != origin) {
            // A new epoch's log began from the start again: what was cut of the former tree is written all the same.
            cutting.begin_anew(end, sealing.peaks().to_vec());
            return Ok(cutting);
        }
        let (start, upto) = (*start, upto.as_ref().map_or(start.seq, |upto| upto.seq));
        if end.seq < upto {
            return Err(Refusal::Backwards { upto, end: end.seq });
        }
        if start.seq < end.seq && upto < end.seq {
            let found = segment::measure(&self.journal, partition, start, end).await?;
            if found.is_none() {
                tracing::error!(
                    partition,
                    from_seq = start.seq,
                    to_seq = end.seq,
                    "segments: what was sealed while nobody cut is no segment; give all sealers the same [segments]"
                );
            }
            cutting.catch_up(found);
        }
        Ok(cutting)
    }

    /// How far a partition was cut, from the cuts on the log: where nothing is remembered of them, or where what is may be older
    /// than they are. One that was never cut begins where its tree ends now.
    async fn recalled(
        &self,
        partition: Partition,
        sealing: &Sealing,
        stored: Option<Progress>,
        now_ms: i64,
    ) -> Result<Progress, Refusal> {
        let Found { head, start, end } = cuts::last(&self.journal, &self.keys, partition).await?;
        let (origin, tree_end) = (sealing.origin(), sealing.end());
        // A tree without a leaf has no name of its own yet.
        let head = head.filter(|head| head.name.origin == origin && tree_end.seq > 0);
        let remembered = stored.as_ref().and_then(|stored| stored.head.as_ref());
        let Some(Head { name, at_ms, peaks }) = head else {
            let begun = || Progress::begin(tree_end, sealing.peaks().to_vec(), now_ms, end);
            return Ok(stored.unwrap_or_else(begun));
        };
        if let Some(stored) = &stored
            && remembered.is_some_and(|known| known.origin == origin && known.number >= name.number)
        {
            return Ok(stored.clone());
        }
        if tree_end.seq < name.end.seq {
            return Err(Refusal::Backwards { upto: name.end.seq, end: tree_end.seq });
        }
        let Some(peaks) = peaks else { return Err(Refusal::Headless { count: name.number + 1 }) };
        // Of what is written nothing is remembered: the writer finds it at the destination.
        let (written, read_from) = stored.map_or((None, start), |stored| (stored.written, stored.read_from));
        let mut progress = Progress::begin(name.end, peaks, at_ms, read_from);
        progress.written = written;
        progress.head = Some(name);
        Ok(progress)
    }

    /// Divides a batch by segments.
    pub(super) fn divide(&mut self, batch: Batch, sealing: &Sealing) -> Vec<Part> {
        let Some(cutting) = self.cutting.get_mut(&batch.partition) else {
            return vec![Part { batch, ends: false }];
        };
        let Edge { mut seq, .. } = sealing.end();
        if sealing.begins_anew(&batch)
            && let Some(first) = batch.messages.first()
        {
            cutting.begin_anew(Edge { seq: 0, offset: first.offset }, Vec::new());
            seq = 0;
        }
        cutting.divide(batch, seq)
    }

    /// Takes note of messages that the tree was grown by; `ends` where the segment ends after them.
    pub(super) fn append(&mut self, batch: &Batch, ends: bool) {
        if let Some(cutting) = self.cutting.get_mut(&batch.partition) {
            cutting.append(&batch.messages);
            if ends {
                cutting.end();
            }
        }
    }

    /// Whether nothing may be taken in before the partition is cut.
    pub(super) fn must_end(&self, partition: Partition) -> bool {
        self.cutting.get(&partition).is_some_and(|cutting| cutting.is_due(i64::MIN))
    }

    /// Whether the partition is to be cut.
    pub(super) fn is_due(&self, partition: Partition, sealing: &Sealing, now_ms: i64) -> bool {
        // Of a tree without a leaf there is nothing to sign yet.
        let is_ready = sealing.end().seq > 0 && sealing.is_borne_out();
        is_ready && self.cutting.get(&partition).is_some_and(|cutting| cutting.is_due(now_ms))
    }

    /// What a commit of this checkpoint says of the partition's segments.
    pub(super) fn go_on(
        &self,
        partition: Partition,
        sealing: &Sealing,
        sealed: &Sealed,
        now_ms: i64,
    ) -> Option<Moved> {
        let cutting = self.cutting.get(&partition)?;
        if !cutting.is_due(now_ms) || sealing.end().seq == 0 {
            let progress = cutting.progress_at(&sealing.origin(), sealing.end().seq);
            return Some(Moved { cut: None, progress });
        }
        let cut = cutting.cut(&sealing.origin(), sealing.end(), sealed.note.clone(), now_ms);
        let progress = cutting.after(&cut, sealing.peaks().to_vec());
        Some(Moved { cut: Some(cut), progress })
    }

    /// A commit that says how far the partition's segments are, and changes nothing else.
    pub(super) fn as_they_are(&self, partition: Partition, sealing: &Sealing) -> Option<PartitionCommit> {
        sealing.with_document(document(self.cutting.get(&partition)?.committed()?))
    }

    /// It was committed.
    pub(super) fn published(&mut self, partition: Partition, moved: Moved) {
        let Some(cutting) = self.cutting.get_mut(&partition) else { return };
        if moved.cut.is_some() {
            cutting.published(moved.progress.clone());
            self.standing.note(partition, |standing| standing.waiting = moved.progress.waiting());
            self.writers.nudge(partition);
        }
        cutting.was_committed(moved.progress);
    }

    /// Takes note of a segment that was written. `false` where the partition is not cut here any more.
    pub(super) fn note_written(&mut self, written: &Written) -> bool {
        let Some(cutting) = self.cutting.get_mut(&written.partition) else { return false };
        cutting.written(&written.cut, written.read_from);
        let waiting = cutting.progress().waiting();
        self.standing.note(written.partition, |standing| standing.waiting = waiting);
        true
    }

    /// The partition is somebody else's.
    pub(super) fn end(&mut self, partition: Partition) {
        self.cutting.remove(&partition);
        self.waiting.remove(&partition);
        self.writers.end(partition);
    }
}

#[cfg(test)]
mod tests {
    use audit_journal::{EmbeddedConfig, JournalConfig};
    use uuid::Uuid;

    use super::*;
    use crate::{Destination, Directory};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whatever_stands_against_cutting_a_partition_is_told_and_tried_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let config = EmbeddedConfig { path: dir.path().join("journal.sqlite"), partitions: 1 };
        let journal = Journal::open(JournalConfig::Embedded(config)).await.expect("the log opens");
        let keys = SealKeys::new([1; 32]);
        let destination = Destination::new("vault", "audit", Directory::new(dir.path().join("there")));
        let config = SegmentsConfig { destination, interval: Duration::from_secs(3_600) };
        let standing = SealStanding::default();
        standing.begin(0);
        let mut segments = Segments::new(journal, keys.clone(), &config, standing.clone());
        let told = || standing.partitions()[&0].not_cut.clone().unwrap_or_default();
        let sealing =
            Sealing::take_up(&keys, Uuid::nil(), 0, 1, None, None, None).expect("nothing stands against it");
        let later = Bytes::from_static(br#"{"v":999}"#);
        segments.assigned(0, &sealing, &[(Bytes::from_static(segment::DOCUMENT), later)], 0).await;
        assert!(told().contains("version 999"), "{}", told());
        assert_eq!(segments.waiting(), [0]);
        // Not at once.
        let waiting = segments.waiting.get_mut(&0).expect("it waits");
        assert!(waiting.not_before > Instant::now() + AGAIN_AFTER);
        waiting.document = None;
        segments.take_up(0, &sealing, 0).await;
        assert_eq!(segments.waiting(), [0]);
        segments.waiting.get_mut(&0).expect("it waits").not_before = Instant::now();
        segments.take_up(0, &sealing, 0).await;
        assert!(segments.waiting().is_empty() && told().is_empty(), "{}", told());
    }
}
