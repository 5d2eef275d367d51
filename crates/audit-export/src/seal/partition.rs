//! One partition as its sealer has it: the tree's edge, and what was signed last. No I/O.

use audit_journal::{Batch, Bookmark, Message, Offset, Partition, SALT_HEADER, TAGS_HEADER};
use audit_proof::{
    Checkpoint, Cosigner, Frontier, InvalidNote, InvalidSealed, Leaf, NoteSigner, SEALED_VERSION, Sealed,
    origin,
};
use uuid::Uuid;

/// The key of the document in `progress` that holds what was signed last.
pub(super) const DOCUMENT: &[u8] = b"sealed";

/// When a partition is sealed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// After this long, where there are new leaves; milliseconds.
    pub(super) interval_ms: i64,
    /// After this long even without; milliseconds.
    pub(super) idle_ms: i64,
    /// After this many new leaves, at once.
    pub(super) leaves: u64,
}

/// Why a partition is not sealed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("what was sealed last can't be read: {0}")]
    Unreadable(#[from] InvalidSealed),
    #[error(
        "the sealer stands at offset {bookmark}, but the last checkpoint was signed at {sealed}: the group's progress was altered"
    )]
    Elsewhere { bookmark: Offset, sealed: Offset },
    #[error("nothing is known of what was sealed before offset {0}: the group's progress was altered")]
    Forgotten(Offset),
    #[error("the last checkpoint is of {found}, not of {wanted}: the group's progress is of another log")]
    OtherLog { found: String, wanted: String },
}

/// A partition that is being sealed.
#[derive(Debug)]
pub(super) struct Sealing {
    deployment: Uuid,
    partition: Partition,
    pub(super) generation: u64,
    /// Where the next leaf comes from.
    bookmark: Bookmark,
    frontier: Frontier,
    /// The epoch in which the tree began: part of its origin.
    tree_epoch: u32,
    /// The size that was signed last, and when.
    sealed: Option<(u64, i64)>,
    header: Vec<u8>,
}

impl Sealing {
    /// Takes a partition up where its last owner stood.
    pub(super) fn take_up(
        deployment: Uuid,
        partition: Partition,
        generation: u64,
        bookmark: Option<Bookmark>,
        document: Option<&[u8]>,
    ) -> Result<Self, Refusal> {
        let mut sealing = Self {
            deployment,
            partition,
            generation,
            bookmark: bookmark.unwrap_or_default(),
            frontier: Frontier::new(),
            tree_epoch: 0,
            sealed: None,
            header: Vec::new(),
        };
        let next = sealing.bookmark.next;
        let Some(document) = document else {
            return if next == 0 { Ok(sealing) } else { Err(Refusal::Forgotten(next)) };
        };
        let (sealed, _, checkpoint, frontier) = Sealed::read(document)?;
        if sealed.next != next {
            return Err(Refusal::Elsewhere { bookmark: next, sealed: sealed.next });
        }
        let wanted = origin(&deployment, partition, sealed.epoch);
        if checkpoint.origin != wanted {
            return Err(Refusal::OtherLog { found: checkpoint.origin, wanted });
        }
        sealing.tree_epoch = sealed.epoch;
        // When it was signed is not kept: the first look at the clock signs again, if only as a sign of life.
        sealing.sealed = Some((checkpoint.size, i64::MIN));
        sealing.frontier = frontier;
        Ok(sealing)
    }

    /// Takes in the next messages.
    pub(super) fn append(&mut self, batch: &Batch) {
        let (Some(first), Some(bookmark)) = (batch.messages.first(), batch.bookmark()) else { return };
        // As archives do it: a log that begins from the start again has a tree of its own.
        if batch.epoch > self.bookmark.epoch && first.offset < self.bookmark.next {
            self.frontier = Frontier::new();
            self.sealed = None;
        }
        if self.frontier.size() == 0 {
            // Part of the tree's name: so a sealer that knows nothing of the epochs before can't contradict what was
            // signed in them.
            self.tree_epoch = batch.epoch;
        }
        for message in &batch.messages {
            let header = |name| message.header(name).map(|value: &bytes::Bytes| &value[..]);
            let value = value_of(message);
            let leaf = Leaf::of(self.frontier.size(), header(SALT_HEADER), header(TAGS_HEADER), value);
            self.frontier.append(leaf.hash(&mut self.header), |_, _| {});
        }
        self.bookmark = bookmark;
    }

    /// Whether it is time to sign.
    pub(super) fn is_due(&self, now_ms: i64, pace: Pace) -> bool {
        let size = self.frontier.size();
        match self.sealed {
            None => size > 0,
            Some((sealed, at_ms)) => {
                let (new, passed_ms) = (size - sealed, now_ms.saturating_sub(at_ms));
                new >= pace.leaves || (new > 0 && passed_ms >= pace.interval_ms) || passed_ms >= pace.idle_ms
            }
        }
    }

    /// Signs the tree as it is. Nothing is changed by it: whoever publishes it says so with [`Sealing::published`].
    pub(super) fn sign(
        &self,
        signers: &[NoteSigner],
        cosigner: &Cosigner,
        at_s: u64,
    ) -> Result<(Sealed, Bookmark), InvalidNote> {
        let checkpoint =
            Checkpoint { origin: self.origin(), size: self.frontier.size(), root: self.frontier.root() };
        let mut note = checkpoint.to_note()?;
        signers.iter().for_each(|signer| note.sign(signer));
        note.add(cosigner.cosign(note.text(), at_s));
        let sealed = Sealed {
            v: SEALED_VERSION,
            epoch: self.tree_epoch,
            next: self.bookmark.next,
            peaks: self.frontier.peaks().to_vec(),
            note: note.to_string(),
        };
        Ok((sealed, self.bookmark))
    }

    /// The tree as it is was signed and published.
    pub(super) fn published(&mut self, at_ms: i64) {
        self.sealed = Some((self.frontier.size(), at_ms));
    }

    /// Which log it signs for.
    pub(super) fn origin(&self) -> String {
        origin(&self.deployment, self.partition, self.tree_epoch)
    }
}

fn value_of(message: &Message) -> Option<&[u8]> {
    message.value.as_deref()
}

#[cfg(test)]
mod tests {
    use audit_journal::{Batch, Message};
    use bytes::Bytes;

    use super::*;
    use crate::SealKeys;

    const PACE: Pace = Pace { interval_ms: 60_000, idle_ms: 3_600_000, leaves: 10 };

    fn batch(offsets: std::ops::Range<u64>, epoch: u32) -> Batch {
        let message = |offset| Message {
            partition: 3,
            offset,
            appended_at_ms: 0,
            key: Bytes::from_static(b"acme/main/1"),
            headers: vec![(SALT_HEADER.to_owned(), Bytes::from_static(b"0123456789abcdef"))],
            value: Some(Bytes::from(format!("{offset} in {epoch}"))),
        };
        Batch { partition: 3, messages: offsets.clone().map(message).collect(), end: offsets.end, epoch }
    }

    fn fresh() -> Sealing {
        Sealing::take_up(Uuid::nil(), 3, 1, None, None).expect("nothing stands against it")
    }

    fn sign(sealing: &Sealing) -> (Sealed, Bookmark) {
        let keys = SealKeys::new([1; 32]);
        let signers = keys.signers(&sealing.origin()).expect("keys");
        sealing.sign(&signers, &keys.cosigner(&Uuid::nil()).expect("a key"), 1).expect("signed")
    }

    fn again(bookmark: Option<Bookmark>, sealed: Option<&Sealed>) -> Result<Sealing, Refusal> {
        Sealing::take_up(Uuid::nil(), 3, 2, bookmark, sealed.map(Sealed::to_json).as_deref())
    }

    #[test]
    fn it_is_time_after_the_interval_after_many_records_and_after_long_silence() {
        let mut sealing = fresh();
        assert!(!sealing.is_due(0, PACE));
        sealing.append(&batch(0..3, 0));
        assert!(sealing.is_due(0, PACE));
        sealing.published(0);
        assert!(!sealing.is_due(3_599_999, PACE));
        assert!(sealing.is_due(3_600_000, PACE));
        sealing.append(&batch(3..4, 0));
        assert!(!sealing.is_due(59_999, PACE));
        assert!(sealing.is_due(60_000, PACE));
        sealing.append(&batch(4..13, 0));
        assert!(sealing.is_due(0, PACE));
    }

    #[test]
    fn a_partition_is_taken_up_only_where_what_was_signed_and_the_watermark_agree() {
        let mut sealing = fresh();
        sealing.append(&batch(0..5, 0));
        let (sealed, bookmark) = sign(&sealing);
        let mut next = again(Some(bookmark), Some(&sealed)).expect("it goes on");
        sealing.append(&batch(5..9, 0));
        next.append(&batch(5..9, 0));
        assert_eq!(next.frontier, sealing.frontier);

        let moved = Bookmark { next: 4, ..bookmark };
        assert!(matches!(
            again(Some(moved), Some(&sealed)),
            Err(Refusal::Elsewhere { bookmark: 4, sealed: 5 })
        ));
        assert!(matches!(again(Some(bookmark), None), Err(Refusal::Forgotten(5))));
        let other = Sealing::take_up(Uuid::max(), 3, 2, Some(bookmark), Some(&sealed.to_json()));
        assert!(matches!(other, Err(Refusal::OtherLog { .. })));
        let altered = Sealed { peaks: sealed.peaks.iter().rev().copied().collect(), ..sealed.clone() };
        assert!(matches!(again(Some(bookmark), Some(&altered)), Err(Refusal::Unreadable(_))));
        let later = Sealed { v: SEALED_VERSION + 1, ..sealed };
        assert!(matches!(again(Some(bookmark), Some(&later)), Err(Refusal::Unreadable(_))));
    }

    #[test]
    fn a_log_that_begins_from_the_start_again_is_another_log() {
        let mut sealing = fresh();
        sealing.append(&batch(0..5, 0));
        sealing.published(0);
        let before = sealing.origin();
        sealing.append(&batch(0..2, 7));
        assert_eq!(sealing.frontier.size(), 2);
        assert_ne!(sealing.origin(), before);
        assert!(sealing.origin().ends_with("/3/7"));
        // One that goes on is the same log, whatever the epoch.
        let mut going_on = fresh();
        going_on.append(&batch(0..5, 0));
        going_on.append(&batch(5..6, 7));
        assert_eq!((going_on.frontier.size(), going_on.origin()), (6, before));
    }
}
