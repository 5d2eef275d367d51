//! One partition as its sealer has it: the tree's edge, and what was signed last. No I/O.

use audit_journal::{Batch, Bookmark, Message, Offset, Partition, PartitionCommit, SALT_HEADER, TAGS_HEADER};
use audit_proof::{
    Checkpoint, CheckpointError, Cosigner, Edge, Frontier, InvalidKey, InvalidNote, InvalidSealed, Leaf,
    NodeHash, NoteSigner, SEALED_VERSION, Sealed, SignedNote, Unverified, origin,
};
use bytes::Bytes;
use uuid::Uuid;

use super::floor::Floor;
use super::keys::SealKeys;
use crate::record::REQUESTED as EXPORT_REQUESTED;

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
    #[error(
        "the last checkpoint of {origin} is signed with {keys}, which the key file does not hold: put that key back beside the one in use and start again; if nobody here ever had it, the group's progress was altered"
    )]
    UnknownKey { origin: String, keys: String },
    #[error("the last checkpoint's signatures: {0}: the group's progress was altered")]
    Forged(CheckpointError),
    #[error(
        "the log has another root at {size} leaves than the checkpoint of {origin} that was published: what was signed was altered since"
    )]
    Contradicts { origin: String, size: u64 },
    #[error(
        "nothing is known of what was sealed, and messages after the last checkpoint, before offset {kept_from}, were removed before they were sealed again"
    )]
    Overtaken { kept_from: Offset },
    #[error("the log's keys can't be used: {0}")]
    Keys(#[from] InvalidKey),
}

impl Refusal {
    /// Why a note is not one that the log's keys vouch for.
    fn not_ours(error: CheckpointError, note: &SignedNote, origin: &str) -> Self {
        let CheckpointError::Unverified(Unverified::Unknown(_)) = error else { return Self::Forged(error) };
        let by_log = note.signatures().iter().filter(|signature| signature.name == origin);
        let keys: Vec<String> =
            by_log.map(|signature| format!("key {}", hex::encode(signature.key_id))).collect();
        let keys = if keys.is_empty() { "no key of the log".to_owned() } else { keys.join(" and ") };
        Self::UnknownKey { origin: origin.to_owned(), keys }
    }
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
    /// The position that was committed last.
    committed: Option<Bookmark>,
    /// What was published and is not reached again yet: until it is, and turns out to be the same, nothing is signed.
    floor: Option<Floor>,
    /// The first message that is a new leaf: those before it are in the tree that was taken up.
    leaves_from: Offset,
    /// Whether the journal has read on from where it was taken up. Before, the log may turn out not to be the one that was
    /// sealed, and its silence is not signed, but for a cut that is due as soon as it is taken up: that signs once more what
    /// was signed before, of the same size.
    is_borne_out: bool,
    header: Vec<u8>,
}

impl Sealing {
    /// Takes a partition up where its last owner stood. What it signed last counts only if one of the log's keys,
    /// the former one among them, did sign it: whoever can write to the log can write the document, and the next
    /// checkpoint extends what stands there.
    pub(super) fn take_up(
        keys: &SealKeys,
        deployment: Uuid,
        partition: Partition,
        generation: u64,
        bookmark: Option<Bookmark>,
        document: Option<&[u8]>,
        floor: Option<Floor>,
    ) -> Result<Self, Refusal> {
        let mut sealing = Self {
            deployment,
            partition,
            generation,
            bookmark: bookmark.unwrap_or_default(),
            frontier: Frontier::new(),
            tree_epoch: 0,
            sealed: None,
            committed: bookmark,
            floor: None,
            leaves_from: 0,
            is_borne_out: false,
            header: Vec::new(),
        };
        let next = sealing.bookmark.next;
        let Some(document) = document else {
            return if next == 0 { sealing.begin(floor) } else { Err(Refusal::Forgotten(next)) };
        };
        let (sealed, note, checkpoint, frontier) = Sealed::read(document)?;
        if sealed.next != next {
            // The journal moves whom a new epoch's log does not bear out, and leaves him no anchor.
            let is_moved = sealing.bookmark.epoch > sealed.epoch && sealing.bookmark.anchor.is_none();
            if !is_moved {
                return Err(Refusal::Elsewhere { bookmark: next, sealed: sealed.next });
            }
            if next < sealed.next {
                // A log that begins from the start again has a tree of its own, of another name: what was signed of
                // the former one can't be contradicted.
                return Ok(sealing);
            }
            // Else what lay between was removed unseen, and the tree goes on with what there is, as archives' trees do.
        }
        let wanted = origin(&deployment, partition, sealed.epoch);
        if checkpoint.origin != wanted {
            return Err(Refusal::OtherLog { found: checkpoint.origin, wanted });
        }
        Checkpoint::open(&note, &wanted, &keys.verifiers(&wanted, &deployment)?)
            .map_err(|error| Refusal::not_ours(error, &note, &wanted))?;
        sealing.tree_epoch = sealed.epoch;
        // When it was signed is not kept: the first look at the clock signs again, if only as a sign of life.
        sealing.sealed = Some((checkpoint.size, i64::MIN));
        // Of another epoch it has another name, and can't be contradicted.
        sealing.floor =
            floor.filter(|floor| floor.epoch == sealed.epoch && floor.frontier.size() > frontier.size());
        sealing.frontier = frontier;
        Ok(sealing)
    }

    /// Whether a tree of its own begins with this batch. As archives do it: a log that begins from the start again has
    /// one.
    pub(super) fn begins_anew(&self, batch: &Batch) -> bool {
        let first = batch.messages.first();
        first.is_some_and(|first| batch.epoch > self.bookmark.epoch && first.offset < self.bookmark.next)
    }

    /// Where the tree ends: how many leaves it has, and the offset after the last of them, or after a hole behind it.
    pub(super) fn end(&self) -> Edge {
        Edge { seq: self.frontier.size(), offset: self.bookmark.next }
    }

    /// The tree's right edge.
    pub(super) fn peaks(&self) -> &[NodeHash] {
        self.frontier.peaks()
    }

    /// Whether the tree is where it can be signed: what was published is reached again.
    pub(super) fn is_settled(&self) -> bool {
        self.floor.is_none() && self.bookmark.next >= self.leaves_from
    }

    /// Whether the log goes on from where the tree was taken up, as far as the journal has looked.
    pub(super) fn is_borne_out(&self) -> bool {
        self.is_borne_out
    }

    /// Begins a partition of which the sealer remembers nothing. Where checkpoints of it were published all the same, it
    /// has to come to the same tree again; where retention has removed what the tree was made of, it goes on from there.
    fn begin(mut self, floor: Option<Floor>) -> Result<Self, Refusal> {
        let Some(floor) = floor else { return Ok(self) };
        if floor.kept_from == 0 {
            self.floor = Some(floor);
            return Ok(self);
        }
        if floor.next < floor.kept_from {
            return Err(Refusal::Overtaken { kept_from: floor.kept_from });
        }
        self.tree_epoch = floor.epoch;
        self.sealed = Some((floor.frontier.size(), i64::MIN));
        self.leaves_from = floor.next;
        self.frontier = floor.frontier;
        Ok(self)
    }

    /// Takes in the next messages. Tells when the last export was asked for that is among them, in milliseconds since
    /// 1970. Refused where they make another tree than the one that was published.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<Option<i64>, Refusal> {
        let Some(bookmark) = batch.bookmark() else { return Ok(None) };
        self.is_borne_out = true;
        let mut asked_at_ms = None;
        if self.begins_anew(batch) {
            self.frontier = Frontier::new();
            (self.sealed, self.floor, self.leaves_from) = (None, None, 0);
        }
        if self.frontier.size() == 0 {
            // Part of the tree's name: so a sealer that knows nothing of the epochs before can't contradict what was
            // signed in them.
            self.tree_epoch = batch.epoch;
        }
        let leaves_from = self.leaves_from;
        for message in batch.messages.iter().filter(|message| message.offset >= leaves_from) {
            let header = |name| message.header(name).map(|value: &bytes::Bytes| &value[..]);
            let value = value_of(message);
            let leaf = Leaf::of(self.frontier.size(), header(SALT_HEADER), header(TAGS_HEADER), value);
            self.frontier.append(leaf.hash(&mut self.header), |_, _| {});
            if leaf.record.is_some_and(|record| record.action == EXPORT_REQUESTED) {
                asked_at_ms = Some(message.appended_at_ms);
            }
            if let Some(floor) = self.floor.take_if(|floor| floor.frontier.size() == self.frontier.size()) {
                self.reach(&floor, batch.epoch)?;
            }
        }
        self.bookmark = bookmark;
        Ok(asked_at_ms)
    }

    /// The tree is as large as what was published.
    fn reach(&mut self, floor: &Floor, epoch: u32) -> Result<(), Refusal> {
        let size = floor.frontier.size();
        if self.frontier == floor.frontier {
            self.tree_epoch = floor.epoch;
            self.sealed = Some((size, i64::MIN));
            return Ok(());
        }
        // A log that was accepted in a later epoch has a tree of another name.
        if self.tree_epoch == epoch && epoch > floor.epoch {
            return Ok(());
        }
        let origin = origin(&self.deployment, self.partition, floor.epoch);
        Err(Refusal::Contradicts { origin, size })
    }

    /// How many leaves the log has, and how many were published, where the log has fewer.
    pub(super) fn falls_short(&self) -> Option<(u64, u64)> {
        self.floor.as_ref().map(|floor| (self.frontier.size(), floor.frontier.size()))
    }

    /// Everything on the log before `next` was delivered: the tree ends there, past what is no message. The next checkpoint says
    /// so, at the latest the next sign of life; else retention would overtake whoever waits before a hole. Where it removed all
    /// that the tree was made of, nothing of it comes any more: it is where it was signed last. `epoch` is the log's.
    pub(super) fn level(&mut self, next: Offset, epoch: u32) {
        self.is_borne_out = true;
        if self.bookmark.next < self.leaves_from && self.leaves_from <= next {
            self.bookmark = Bookmark { next, anchor: None, epoch };
        } else if self.is_settled() {
            self.bookmark = self.bookmark.advanced_to(next);
        }
    }

    /// Whether it is time to sign.
    pub(super) fn is_due(&self, now_ms: i64, pace: Pace) -> bool {
        let size = self.frontier.size();
        if !self.is_settled() || !self.is_borne_out {
            return false;
        }
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
        self.committed = Some(self.bookmark);
    }

    /// A commit of one more document, which leaves the position where it was committed last; `None` before the first.
    pub(super) fn with_document(&self, document: (Bytes, Option<Bytes>)) -> Option<PartitionCommit> {
        Some(PartitionCommit {
            partition: self.partition,
            generation: self.generation,
            bookmark: self.committed?,
            documents: vec![document],
        })
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

    const PACE: Pace = Pace { interval_ms: 60_000, idle_ms: 3_600_000, leaves: 10 };

    fn batch(offsets: std::ops::Range<u64>, epoch: u32) -> Batch {
        let message = |offset| Message {
            partition: 3,
            offset,
            appended_at_ms: 0,
            key: Bytes::from_static(b"acme/main/1"),
            headers: vec![(SALT_HEADER.into(), Bytes::from_static(b"0123456789abcdef"))],
            value: Some(Bytes::from(format!("{offset} in {epoch}"))),
        };
        Batch { partition: 3, messages: offsets.clone().map(message).collect(), end: offsets.end, epoch }
    }

    fn fresh() -> Sealing {
        Sealing::take_up(&keys(), Uuid::nil(), 3, 1, None, None, None).expect("nothing stands against it")
    }

    fn keys() -> SealKeys {
        SealKeys::new([1; 32])
    }

    fn sign(sealing: &Sealing) -> (Sealed, Bookmark) {
        sign_with(sealing, &keys())
    }

    fn sign_with(sealing: &Sealing, keys: &SealKeys) -> (Sealed, Bookmark) {
        let signers = keys.signers(&sealing.origin()).expect("keys");
        sealing.sign(&signers, &keys.cosigner(&Uuid::nil()).expect("a key"), 1).expect("signed")
    }

    fn again(bookmark: Option<Bookmark>, sealed: Option<&Sealed>) -> Result<Sealing, Refusal> {
        again_with(&keys(), bookmark, sealed)
    }

    fn again_with(
        keys: &SealKeys,
        bookmark: Option<Bookmark>,
        sealed: Option<&Sealed>,
    ) -> Result<Sealing, Refusal> {
        Sealing::take_up(keys, Uuid::nil(), 3, 2, bookmark, sealed.map(Sealed::to_json).as_deref(), None)
    }

    #[test]
    fn it_is_time_after_the_interval_after_many_records_and_after_long_silence() {
        let mut sealing = fresh();
        assert!(!sealing.is_due(0, PACE));
        sealing.append(&batch(0..3, 0)).expect("it goes on");
        assert!(sealing.is_due(0, PACE));
        sealing.published(0);
        assert!(!sealing.is_due(3_599_999, PACE));
        assert!(sealing.is_due(3_600_000, PACE));
        sealing.append(&batch(3..4, 0)).expect("it goes on");
        assert!(!sealing.is_due(59_999, PACE));
        assert!(sealing.is_due(60_000, PACE));
        sealing.append(&batch(4..13, 0)).expect("it goes on");
        assert!(sealing.is_due(0, PACE));
    }

    #[test]
    fn a_partition_is_taken_up_only_where_what_was_signed_and_the_watermark_agree() {
        let mut sealing = fresh();
        sealing.append(&batch(0..5, 0)).expect("it goes on");
        let (sealed, bookmark) = sign(&sealing);
        let mut next = again(Some(bookmark), Some(&sealed)).expect("it goes on");
        sealing.append(&batch(5..9, 0)).expect("it goes on");
        next.append(&batch(5..9, 0)).expect("it goes on");
        assert_eq!(next.frontier, sealing.frontier);

        let moved = Bookmark { next: 4, ..bookmark };
        assert!(matches!(
            again(Some(moved), Some(&sealed)),
            Err(Refusal::Elsewhere { bookmark: 4, sealed: 5 })
        ));
        assert!(matches!(again(Some(bookmark), None), Err(Refusal::Forgotten(5))));
        let other =
            Sealing::take_up(&keys(), Uuid::max(), 3, 2, Some(bookmark), Some(&sealed.to_json()), None);
        assert!(matches!(other, Err(Refusal::OtherLog { .. })));
        let altered = Sealed { peaks: sealed.peaks.iter().rev().copied().collect(), ..sealed.clone() };
        assert!(matches!(again(Some(bookmark), Some(&altered)), Err(Refusal::Unreadable(_))));
        let later = Sealed { v: SEALED_VERSION + 1, ..sealed };
        assert!(matches!(again(Some(bookmark), Some(&later)), Err(Refusal::Unreadable(_))));
    }

    #[test]
    fn whom_a_new_epoch_moved_back_begins_a_tree_of_another_name_and_whom_it_moved_on_continues() {
        let mut sealing = fresh();
        sealing.append(&batch(0..5, 0)).expect("it goes on");
        let (sealed, bookmark) = sign(&sealing);
        let moved_to = |next| Bookmark { next, anchor: None, epoch: 7 };

        let mut back = again(Some(moved_to(0)), Some(&sealed)).expect("a log that begins again");
        assert!(!back.is_due(i64::MAX, PACE), "nothing of the former tree is signed again");
        back.append(&batch(0..2, 7)).expect("it goes on");
        assert_eq!((back.frontier.size(), back.bookmark.next), (2, 2));
        assert!(back.origin().ends_with("/3/7") && back.origin() != sealing.origin());
        let (of_new, bookmark_of_new) = sign(&back);
        assert!(again(Some(bookmark_of_new), Some(&of_new)).is_ok());

        let mut on = again(Some(moved_to(9)), Some(&sealed)).expect("a gap was accepted");
        on.append(&batch(9..10, 7)).expect("it goes on");
        assert_eq!((on.frontier.size(), on.origin()), (6, sealing.origin()));

        for altered in [Bookmark { epoch: 0, ..moved_to(0) }, Bookmark { next: 0, epoch: 7, ..bookmark }] {
            assert!(matches!(again(Some(altered), Some(&sealed)), Err(Refusal::Elsewhere { .. })));
        }
    }

    #[test]
    fn what_none_of_the_keys_signed_is_not_taken_up_and_the_key_that_did_is_named() {
        let mut sealing = fresh();
        sealing.append(&batch(0..5, 0)).expect("it goes on");
        let (sealed, bookmark) = sign(&sealing);
        // Whoever can write to the log makes up another history, and signs it with a key of his own.
        let mut other = fresh();
        other.append(&batch(0..5, 7)).expect("it goes on");
        other.tree_epoch = 0;
        assert_ne!(other.frontier, sealing.frontier);
        let stranger = SealKeys::new([2; 32]);
        let (forged, _) = sign_with(&other, &stranger);
        let refusal = again(Some(bookmark), Some(&forged)).expect_err("nobody vouches for it");
        let note = SignedNote::parse(forged.note.as_bytes()).expect("a note");
        let key = hex::encode(note.signatures()[0].key_id);
        assert!(matches!(&refusal, Refusal::UnknownKey { keys, .. } if keys.contains(&key)), "{refusal}");
        assert!(refusal.to_string().contains(&sealing.origin()), "{refusal}");
        // Or says that the log's own key did, whose signature is of another text.
        let (others_text, _) = forged.note.split_once("\n\n").expect("a text");
        let (_, own_signatures) = sealed.note.split_once("\n\n").expect("signatures");
        let pasted = Sealed { note: format!("{others_text}\n\n{own_signatures}"), ..forged };
        assert!(matches!(again(Some(bookmark), Some(&pasted)), Err(Refusal::Forged(_))));
    }

    #[test]
    fn what_the_former_key_signed_is_taken_up_until_that_key_is_left_behind() {
        let mut sealing = fresh();
        sealing.append(&batch(0..5, 0)).expect("it goes on");
        let (by_former, bookmark) = sign(&sealing);
        let rotated = keys().rotated().expect("one key");
        let taken_up =
            again_with(&rotated, Some(bookmark), Some(&by_former)).expect("the former key signed it");
        let (by_both, _) = sign_with(&taken_up, &rotated);
        let finished = rotated.without_former().expect("two keys");
        assert!(again_with(&finished, Some(bookmark), Some(&by_both)).is_ok());
        let too_early = again_with(&finished, Some(bookmark), Some(&by_former));
        assert!(matches!(too_early, Err(Refusal::UnknownKey { .. })));
    }

    #[test]
    fn not_even_silence_is_signed_before_the_log_bears_out_where_its_last_owner_stood() {
        let mut sealing = fresh();
        sealing.append(&batch(0..5, 0)).expect("it goes on");
        let (sealed, bookmark) = sign(&sealing);
        let mut silent = again(Some(bookmark), Some(&sealed)).expect("it goes on");
        assert!(!silent.is_due(i64::MAX, PACE));
        silent.level(5, 0);
        assert!(silent.is_due(i64::MAX, PACE), "a sign of life");
        let mut next = again(Some(bookmark), Some(&sealed)).expect("it goes on");
        next.append(&batch(5..6, 0)).expect("it goes on");
        assert!(next.is_due(i64::MAX, PACE));
    }

    #[test]
    fn what_is_no_message_behind_the_last_leaf_is_passed_with_the_next_checkpoint() {
        let mut sealing = fresh();
        sealing.append(&batch(0..5, 0)).expect("it goes on");
        sealing.level(5, 0);
        let (before, _) = sign(&sealing);
        // The marker of a transaction.
        sealing.level(6, 0);
        let (sealed, bookmark) = sign(&sealing);
        assert_eq!((before.next, sealed.next, bookmark.next), (5, 6, 6));
        assert_eq!(sealing.end(), Edge { seq: 5, offset: 6 });
        assert_eq!(bookmark.anchor.map(|anchor| anchor.offset), Some(4), "the last message");
        let mut next = again(Some(bookmark), Some(&sealed)).expect("it goes on");
        next.append(&batch(6..7, 0)).expect("it goes on");
        assert_eq!((next.frontier.size(), next.origin()), (6, sealing.origin()));
        // Nor does it move before what was published is reached again.
        let mut short = without_memory(published(&sealing, 6, 0)).expect("it begins");
        short.append(&batch(0..4, 0)).expect("it goes on");
        short.level(6, 0);
        assert_eq!(short.end(), Edge { seq: 4, offset: 4 });
    }

    #[test]
    fn a_log_that_begins_from_the_start_again_is_another_log() {
        let mut sealing = fresh();
        sealing.append(&batch(0..5, 0)).expect("it goes on");
        sealing.published(0);
        let before = sealing.origin();
        sealing.append(&batch(0..2, 7)).expect("it goes on");
        assert_eq!(sealing.frontier.size(), 2);
        assert_ne!(sealing.origin(), before);
        assert!(sealing.origin().ends_with("/3/7"));
        // One that goes on is the same log, whatever the epoch.
        let mut going_on = fresh();
        going_on.append(&batch(0..5, 0)).expect("it goes on");
        going_on.append(&batch(5..6, 7)).expect("it goes on");
        assert_eq!((going_on.frontier.size(), going_on.origin()), (6, before));
    }

    fn published(sealing: &Sealing, next: u64, kept_from: u64) -> Floor {
        Floor { epoch: sealing.tree_epoch, next, frontier: sealing.frontier.clone(), kept_from }
    }

    fn without_memory(floor: Floor) -> Result<Sealing, Refusal> {
        Sealing::take_up(&keys(), Uuid::nil(), 3, 1, None, None, Some(floor))
    }

    #[test]
    fn a_sealer_that_remembers_nothing_signs_nothing_until_it_has_what_was_published() {
        let mut before = fresh();
        before.append(&batch(0..5, 0)).expect("it goes on");
        let mut again = without_memory(published(&before, 5, 0)).expect("it begins");
        again.append(&batch(0..4, 0)).expect("it goes on");
        assert!(!again.is_due(i64::MAX, PACE));
        assert_eq!(again.falls_short(), Some((4, 5)));
        // The log goes on in a later epoch, under its first name.
        again.append(&batch(4..5, 0)).expect("it is the same");
        assert_eq!((again.falls_short(), again.origin()), (None, before.origin()));
        again.append(&batch(5..6, 7)).expect("it goes on");
        assert!(again.is_due(i64::MAX, PACE));
        // Another history under the same name.
        let mut other = without_memory(published(&before, 5, 0)).expect("it begins");
        let mut altered = batch(0..5, 0);
        altered.messages[2].value = None;
        assert!(matches!(other.append(&altered), Err(Refusal::Contradicts { size: 5, .. })));
        // Which is another log where an epoch says so.
        let mut replaced = without_memory(published(&before, 5, 0)).expect("it begins");
        replaced.append(&batch(0..6, 7)).expect("another name");
        assert!(replaced.origin().ends_with("/3/7") && replaced.is_due(i64::MAX, PACE));
    }

    #[test]
    fn a_sealer_whose_memory_was_put_back_does_not_contradict_what_it_published_since() {
        let mut sealing = fresh();
        sealing.append(&batch(0..3, 0)).expect("it goes on");
        let (old, bookmark) = sign(&sealing);
        sealing.append(&batch(3..5, 0)).expect("it goes on");
        let floor = published(&sealing, 5, 0);
        let take_up = || {
            let document = old.to_json();
            let floor = Some(floor.clone());
            Sealing::take_up(&keys(), Uuid::nil(), 3, 1, Some(bookmark), Some(&document), floor)
                .expect("it is taken up")
        };
        let mut again = take_up();
        again.append(&batch(3..4, 0)).expect("it goes on");
        assert!(!again.is_due(i64::MAX, PACE));
        again.append(&batch(4..5, 0)).expect("it is the same");
        assert!(again.is_due(i64::MAX, PACE));
        let mut altered = batch(3..5, 0);
        altered.messages[1].value = None;
        assert!(matches!(take_up().append(&altered), Err(Refusal::Contradicts { .. })));
    }

    #[test]
    fn after_a_retention_a_sealer_without_memory_goes_on_from_what_was_published() {
        let mut before = fresh();
        before.append(&batch(0..5, 0)).expect("it goes on");
        let mut again = without_memory(published(&before, 5, 3)).expect("it goes on");
        again.append(&batch(3..4, 0)).expect("passed over");
        assert!(!again.is_due(i64::MAX, PACE), "it stands before what was signed");
        again.append(&batch(4..8, 0)).expect("it goes on");
        before.append(&batch(5..8, 0)).expect("it goes on");
        assert_eq!(again.frontier, before.frontier);
        assert!(again.is_due(i64::MAX, PACE));
        // Up to the very end: no message comes by which it could be told.
        let mut silent = without_memory(published(&before, 8, 8)).expect("it goes on");
        silent.level(7, 0);
        assert!(!silent.is_settled(), "not all of it was delivered");
        silent.level(8, 0);
        assert!(silent.is_settled() && silent.is_due(i64::MAX, PACE), "a sign of life");
        assert_eq!(silent.end(), Edge { seq: 8, offset: 8 });
        silent.append(&batch(8..9, 0)).expect("it goes on");
        assert_eq!(silent.end().seq, 9);
        let gone = without_memory(published(&fresh(), 2, 3));
        assert!(matches!(gone, Err(Refusal::Overtaken { kept_from: 3 })));
    }
}
