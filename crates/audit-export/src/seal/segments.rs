//! The part of sealing that is about segments: where each partition is cut, together with the checkpoint of that place.

use std::collections::BTreeMap;

use audit_journal::{
    Batch, Journal, NewMessage, Offset, Partition, PartitionCommit, Placement, ReadError, ReadLimit, Topic,
};
use audit_proof::{CUT_KIND, Cut, CutName, Edge, KIND_HEADER, Sealed};
use bytes::Bytes;

use super::keys::SealKeys;
use super::partition::Sealing;
use crate::segment::{self, Cutting, InvalidProgress, Part, Progress, SegmentsConfig, Writers, Written};

/// How much of `checkpoints` is read at a time while it is looked for earlier cuts.
const LOOK_BACK: ReadLimit = ReadLimit { messages: 10_000, bytes: 4 * 1024 * 1024 };

/// Why a partition is not cut.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Progress(#[from] InvalidProgress),
    #[error("the cuts before can't be read: {0}")]
    Read(#[from] ReadError),
    #[error("what was published of it has to be reached again first: it is cut from the next start on")]
    Unsettled,
    #[error(
        "nothing is known of how far it was cut, though {count} segments were: the group's progress was altered"
    )]
    Forgotten { count: u64 },
}

/// The cutting of the partitions that a sealer owns, and the writers of their segments.
#[derive(Debug)]
pub(super) struct Segments {
    journal: Journal,
    interval_ms: i64,
    cutting: BTreeMap<Partition, Cutting>,
    writers: Writers,
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
    pub(super) fn new(journal: Journal, keys: SealKeys, config: &SegmentsConfig) -> Self {
        Self {
            journal: journal.clone(),
            interval_ms: i64::try_from(config.interval.as_millis()).unwrap_or(i64::MAX),
            cutting: BTreeMap::new(),
            writers: Writers::new(journal, keys, config.destination.clone()),
        }
    }

    /// Takes a partition up where its last owner stood.
    pub(super) async fn take_up(
        &mut self,
        partition: Partition,
        sealing: &Sealing,
        documents: &[(Bytes, Bytes)],
        now_ms: i64,
    ) {
        let document =
            documents.iter().find(|(key, _)| key == segment::DOCUMENT).map(|(_, value)| &value[..]);
        let progress = match document {
            _ if !sealing.is_settled() => Err(Refusal::Unsettled),
            Some(document) => Progress::read(document).map_err(Refusal::from),
            None => self.begin(partition, sealing, now_ms).await,
        };
        match progress {
            Ok(progress) => {
                let is_stored = document.is_some();
                let (written, read_from) = (progress.written.clone(), progress.read_from);
                self.writers.begin(partition, sealing.generation, written, read_from);
                let mut cutting = Cutting::new(progress.clone(), self.interval_ms);
                if is_stored {
                    cutting.was_committed(progress);
                }
                let end = sealing.end();
                if end.seq < cutting.progress().start.seq {
                    // A new epoch's log began from the start again, and the journal moved the sealer there.
                    cutting.begin_anew(end.offset);
                }
                self.cutting.insert(partition, cutting);
            }
            // What was written stays as it is: no segment is better than one that overlaps another.
            Err(refusal) => tracing::error!(partition, %refusal, "segments: partition is not cut"),
        }
    }

    /// A partition that was never cut: its segments begin where its tree ends now.
    async fn begin(&self, partition: Partition, sealing: &Sealing, now_ms: i64) -> Result<Progress, Refusal> {
        let (head, end) = self.last_cut(partition).await?;
        if let Some(head) = head.filter(|head| head.origin == sealing.origin()) {
            return Err(Refusal::Forgotten { count: head.number + 1 });
        }
        Ok(Progress::begin(sealing.end(), sealing.peaks().to_vec(), now_ms, end))
    }

    /// The last cut in force on `checkpoints`, and where that topic ends.
    async fn last_cut(&self, partition: Partition) -> Result<(Option<CutName>, Offset), ReadError> {
        let bounds = self.journal.bounds(Topic::Checkpoints).await?;
        let bounds = bounds.into_iter().find(|bounds| bounds.partition == partition);
        let (mut from, end) = bounds.map_or((0, 0), |bounds| (bounds.start, bounds.end));
        let mut head: Option<CutName> = None;
        while from < end {
            let range = self.journal.read(Topic::Checkpoints, partition, from, LOOK_BACK).await?;
            for message in &range.messages {
                let value = message.value.as_deref().unwrap_or_default();
                let cut =
                    Some(value).filter(|value| Cut::is_one(value)).and_then(|value| Cut::read(value).ok());
                if let Some((cut, ..)) = cut
                    && cut.follows(head.as_ref())
                {
                    head = Some(cut.name());
                }
            }
            if range.next <= from {
                break;
            }
            from = range.next;
        }
        Ok((head, end))
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
            cutting.begin_anew(first.offset);
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
        sealing.end().seq > 0 && self.cutting.get(&partition).is_some_and(|cutting| cutting.is_due(now_ms))
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
            return Some(Moved { cut: None, progress: cutting.progress().clone() });
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
            self.writers.nudge(partition);
        }
        cutting.was_committed(moved.progress);
    }

    /// Takes note of a segment that was written. `false` where the partition is not cut here any more.
    pub(super) fn note_written(&mut self, written: &Written) -> bool {
        let Some(cutting) = self.cutting.get_mut(&written.partition) else { return false };
        cutting.written(&written.cut, written.read_from);
        true
    }

    /// The partition is somebody else's.
    pub(super) fn end(&mut self, partition: Partition) {
        self.cutting.remove(&partition);
        self.writers.end(partition);
    }
}
