//! The sealer: owns partitions, grows their trees, and publishes signed checkpoints.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

use audit_journal::{
    CommitError, Committer, Fetch, Journal, NewMessage, Owned, OwnedCommit, OwnedEvent, Partition,
    PartitionCommit, Placement, Stop, Topic,
};
use audit_proof::{Cosigner, InvalidKey};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::floor::{self, Floor};
use super::keys::SealKeys;
use super::partition::{DOCUMENT, Pace, Sealing};
use super::segments::{Segments, next_written};
use super::standing::SealStanding;
use crate::segment::{Part, SegmentsConfig, Written};

/// The group that shares partitions out among sealers.
pub const SEALER_GROUP: &str = "flagtrail-seal";

/// How often it is looked at whether a partition is due.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is tried to read what was published of a partition, and the pause in between. Meanwhile nothing else is done:
/// where one partition's could not be read, that of the others is tried once.
const FLOOR_TRIES_MAX: usize = 3;
const FLOOR_PAUSE: Duration = Duration::from_secs(1);

/// How long after that the sealer joins its group again, to be given the partition anew. It doubles each time, up to a
/// maximum: joining again takes every sealer's partitions away for a moment, and the segments being written begin anew.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// How long all partitions must have been taken up until that pause is the short one again: they are given one by one.
const SETTLED_AFTER: Duration = Duration::from_secs(30);

/// New leaves after which a partition is sealed at once.
const LEAVES_MAX: u64 = 65_536;

/// How long everything that has grown is sealed at every look after an export was asked for: it rests on a checkpoint.
const HURRY: Duration = Duration::from_secs(10);

/// How old a record may be that asks for an export: one that is come by in catching up asks for nothing any more.
const REQUEST_AGE_MAX: Duration = Duration::from_secs(60);

/// How a log is sealed.
#[derive(Clone, Debug)]
pub struct SealerConfig {
    /// A partition with new records is sealed this long after it was last.
    pub interval: Duration,
    /// One without new records after this long: a sign of life, with the time in it.
    pub idle: Duration,
}

/// Signs the checkpoints of the partitions that it is given.
#[derive(Debug)]
pub struct Sealer {
    journal: Journal,
    keys: SealKeys,
    cosigner: Cosigner,
    pace: Pace,
    partitions: BTreeMap<Partition, Sealing>,
    /// Partitions that are ours and could not be taken up, and when to try again. What came of them since is not kept.
    untaken: BTreeMap<Partition, Instant>,
    /// The pause before a partition that could not be taken up is tried again.
    again_after: Duration,
    /// When a partition was given to us or taken away last.
    changed_at: Instant,
    /// Until when there is no waiting for the interval to pass; milliseconds since 1970.
    hurry_until_ms: i64,
    segments: Option<Segments>,
    standing: SealStanding,
}

impl Sealer {
    /// A sealer that has not begun.
    pub fn new(journal: Journal, keys: SealKeys, config: &SealerConfig) -> Result<Self, InvalidKey> {
        let cosigner = keys.cosigner(&journal.identity().deployment)?;
        let pace =
            Pace { interval_ms: millis(config.interval), idle_ms: millis(config.idle), leaves: LEAVES_MAX };
        Ok(Self {
            journal,
            keys,
            cosigner,
            pace,
            partitions: BTreeMap::new(),
            untaken: BTreeMap::new(),
            again_after: AGAIN_AFTER,
            changed_at: Instant::now(),
            hurry_until_ms: i64::MIN,
            segments: None,
            standing: SealStanding::default(),
        })
    }

    /// How the partitions stand that it seals.
    pub fn standing(&self) -> SealStanding {
        self.standing.clone()
    }

    /// Cuts the log into segments as well, and writes them.
    #[must_use]
    pub fn with_segments(mut self, config: &SegmentsConfig) -> Self {
        self.segments =
            Some(Segments::new(self.journal.clone(), self.keys.clone(), config, self.standing.clone()));
        self
    }

    /// Seals until told to stop or until the journal is closed, and once more before it ends. `now_ms` tells the
    /// time, in milliseconds since 1970.
    pub async fn run(mut self, now_ms: impl Fn() -> i64, shutdown: CancellationToken) {
        while self.own(&now_ms, &shutdown).await {
            self.again_after = (self.again_after * 2).min(AGAIN_AFTER_MAX);
            tracing::info!("sealing: joins its group again, to take up what could not be taken up");
        }
    }

    /// Seals as a member of the group, and once more before it leaves. Tells whether it is to join again: so a partition that
    /// could not be taken up comes from where its last owner stood, as on every start.
    async fn own(&mut self, clock_ms: &impl Fn() -> i64, shutdown: &CancellationToken) -> bool {
        // A checkpoint may come half a second later; a record costs a tenth so, where few come.
        let mut owned = self.journal.follow_owned_by(SEALER_GROUP, Fetch::Gathered).await;
        let committer = owned.committer();
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let is_to_join_again = loop {
            tokio::select! {
                () = shutdown.cancelled() => break false,
                event = owned.next() => match event {
                    Some(event) => self.take(event, &committer, clock_ms, shutdown).await,
                    None => return false,
                },
                Some(written) = next_written(&mut self.segments) => {
                    self.note_written(&written, &committer).await;
                }
                _ = look.tick() => {
                    self.take_up_segments(&committer, clock_ms, shutdown).await;
                    self.seal_due(&committer, clock_ms(), false).await;
                    let now = Instant::now();
                    self.settle(now);
                    if self.untaken.values().any(|again_at| *again_at <= now) {
                        break true;
                    }
                }
            }
        };
        self.seal_due(&committer, clock_ms(), true).await;
        Owned::leave(owned).await;
        if is_to_join_again {
            let given_up: Vec<Partition> = self.standing.partitions().into_keys().collect();
            self.lose(&given_up);
        }
        is_to_join_again
    }

    /// Once everything that was given to us is taken up, the next pause is the short one again.
    fn settle(&mut self, now: Instant) {
        let is_taken_up = self.untaken.is_empty() && !self.partitions.is_empty();
        if is_taken_up && now.saturating_duration_since(self.changed_at) >= SETTLED_AFTER {
            self.again_after = AGAIN_AFTER;
        }
    }

    async fn take(
        &mut self,
        event: OwnedEvent,
        committer: &Committer,
        clock_ms: &impl Fn() -> i64,
        shutdown: &CancellationToken,
    ) {
        let now_ms = clock_ms();
        match event {
            OwnedEvent::Assigned { partition, generation, bookmark, documents, .. } => {
                let document = documents.iter().find(|(key, _)| key == DOCUMENT).map(|(_, value)| &value[..]);
                let deployment = self.journal.identity().deployment;
                self.standing.begin(partition);
                let floor = self.floor(partition, document.is_some(), shutdown).await;
                self.changed_at = Instant::now();
                let Some(floor) = floor else { return };
                let taken_up = Sealing::take_up(
                    &self.keys, deployment, partition, generation, bookmark, document, floor,
                );
                match taken_up {
                    Ok(sealing) => {
                        if let Some(segments) = &mut self.segments {
                            segments.assigned(partition, &sealing, &documents, now_ms).await;
                        }
                        self.partitions.insert(partition, sealing);
                        self.cut(partition, committer, clock_ms, shutdown).await;
                    }
                    // What was published stays as it is: no checkpoint is better than one that contradicts it.
                    Err(refusal) => self.refuse(partition, &refusal),
                }
            }
            OwnedEvent::Messages(batch) => {
                let partition = batch.partition;
                let Some(sealing) = self.partitions.get(&partition) else { return };
                let parts = match &mut self.segments {
                    Some(segments) => segments.divide(batch, sealing),
                    None => vec![Part { batch, ends: false }],
                };
                for Part { batch, ends } in parts {
                    let Some(sealing) = self.partitions.get_mut(&partition) else { return };
                    let asked_at_ms = match sealing.append(&batch) {
                        Ok(asked_at_ms) => asked_at_ms,
                        Err(refusal) => {
                            self.refuse(partition, &refusal);
                            return;
                        }
                    };
                    let oldest_ms = now_ms.saturating_sub(millis(REQUEST_AGE_MAX));
                    if asked_at_ms.is_some_and(|asked_at_ms| asked_at_ms >= oldest_ms) {
                        self.hurry_until_ms = now_ms.saturating_add(millis(HURRY));
                    }
                    let is_due = sealing.is_due(now_ms, self.pace);
                    if let Some(segments) = &mut self.segments {
                        segments.append(&batch, ends);
                    }
                    if ends {
                        self.cut(partition, committer, clock_ms, shutdown).await;
                    } else if is_due {
                        self.seal(vec![partition], committer, now_ms).await;
                    }
                }
            }
            // The position moves with a checkpoint only.
            OwnedEvent::Level { partition, next } => {
                let Some(sealing) = self.partitions.get_mut(&partition) else { return };
                sealing.level(next, self.journal.identity().epoch);
                if let Some((found, published)) = sealing.falls_short() {
                    tracing::error!(
                        partition,
                        found,
                        published,
                        "sealing: the log has fewer messages than were signed; nothing is signed until it has them"
                    );
                    let reason = format!("the log has {found} messages, and {published} were signed");
                    self.standing.note(partition, |standing| standing.not_sealed = Some(reason));
                }
            }
            OwnedEvent::Revoked { partition, lost, done } => {
                if !lost {
                    self.seal_if_grown(partition, committer, now_ms).await;
                }
                self.lose(&[partition]);
                drop(done);
            }
            // The journal goes on taking commits of it: only we can keep a log from being signed that nobody reads.
            OwnedEvent::Stopped(stop) => {
                let (Stop::Replaced { partition, .. }
                | Stop::Truncated { partition, .. }
                | Stop::Overtaken { partition, .. }) = stop;
                self.refuse(partition, &stop);
            }
        }
    }

    /// Takes partitions up into segments that wait for it.
    async fn take_up_segments(
        &mut self,
        committer: &Committer,
        clock_ms: &impl Fn() -> i64,
        shutdown: &CancellationToken,
    ) {
        let waiting = self.segments.as_ref().map(Segments::waiting).unwrap_or_default();
        for partition in waiting {
            if let (Some(segments), Some(sealing)) = (&mut self.segments, self.partitions.get(&partition)) {
                segments.take_up(partition, sealing, clock_ms()).await;
            }
            self.cut(partition, committer, clock_ms, shutdown).await;
        }
    }

    /// A partition is neither sealed nor cut any further, for a reason that somebody has to mend.
    fn refuse(&mut self, partition: Partition, why: &dyn Display) {
        tracing::error!(partition, %why, "sealing: partition is not sealed any further");
        self.lose(&[partition]);
        self.standing.begin(partition);
        self.standing.note(partition, |standing| standing.not_sealed = Some(why.to_string()));
    }

    /// Signs and cuts where the tree ends now. Nothing is taken in before that is published: the cut is of this very
    /// place.
    async fn cut(
        &mut self,
        partition: Partition,
        committer: &Committer,
        clock_ms: &impl Fn() -> i64,
        shutdown: &CancellationToken,
    ) {
        while self.segments.as_ref().is_some_and(|segments| segments.must_end(partition)) {
            self.seal(vec![partition], committer, clock_ms()).await;
            let is_published = !self.segments.as_ref().is_some_and(|segments| segments.must_end(partition));
            if is_published || !self.partitions.contains_key(&partition) {
                return;
            }
            if shutdown.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await.is_none() {
                // The next owner comes by here again.
                self.partitions.remove(&partition);
                return;
            }
        }
    }

    /// Writes down that a segment is written. If we crash before that is durable, the next owner finds the segment where it
    /// is to go.
    async fn note_written(&mut self, written: &Written, committer: &Committer) {
        let Some(sealing) = self.partitions.get(&written.partition) else { return };
        let Some(segments) = &mut self.segments else { return };
        if sealing.generation != written.generation || !segments.note_written(written) {
            return;
        }
        let Some(commit) = segments.as_they_are(written.partition, sealing) else { return };
        let commit = OwnedCommit { partitions: vec![commit], messages: Vec::new() };
        // If it fails, the next commit says it.
        if let Err(CommitError::Fenced(partitions)) = committer.commit(commit).await {
            self.lose(&partitions);
        }
    }

    fn lose(&mut self, partitions: &[Partition]) {
        self.changed_at = Instant::now();
        for partition in partitions {
            self.partitions.remove(partition);
            self.untaken.remove(partition);
            if let Some(segments) = &mut self.segments {
                segments.end(*partition);
            }
            self.standing.end(*partition);
        }
    }

    /// What was published of a partition; `None` where the log does not tell, or where it is time to stop.
    async fn floor(
        &mut self,
        partition: Partition,
        remembers: bool,
        shutdown: &CancellationToken,
    ) -> Option<Option<Floor>> {
        let tries = if self.untaken.is_empty() { FLOOR_TRIES_MAX } else { 1 };
        for attempt in 0..tries {
            if attempt > 0 {
                shutdown.run_until_cancelled(tokio::time::sleep(FLOOR_PAUSE)).await?;
            }
            let found = floor::find(&self.journal, &self.keys, partition, remembers);
            match shutdown.run_until_cancelled(found).await? {
                Ok(floor) => return Some(floor),
                Err(error) => tracing::warn!(partition, %error, "sealing: what was signed can't be read yet"),
            }
        }
        tracing::error!(
            partition,
            again_after = ?self.again_after,
            "sealing: partition is not sealed: what was signed can't be read from the log"
        );
        let reason = "what was signed can't be read from the log".to_owned();
        self.standing.note(partition, |standing| standing.not_sealed = Some(reason));
        self.untaken.insert(partition, Instant::now() + self.again_after);
        None
    }

    async fn seal_if_grown(&mut self, partition: Partition, committer: &Committer, now_ms: i64) {
        let at_once = Pace { interval_ms: 0, ..self.pace };
        if self.partitions.get(&partition).is_some_and(|sealing| sealing.is_due(now_ms, at_once)) {
            self.seal(vec![partition], committer, now_ms).await;
        }
    }

    async fn seal_due(&mut self, committer: &Committer, now_ms: i64, at_once: bool) {
        let at_once = at_once || now_ms < self.hurry_until_ms;
        let pace = if at_once { Pace { interval_ms: 0, ..self.pace } } else { self.pace };
        let segments = self.segments.as_ref();
        let is_cut = |partition, sealing| segments.is_some_and(|all| all.is_due(partition, sealing, now_ms));
        let due = self.partitions.iter();
        let due =
            due.filter(|(partition, sealing)| sealing.is_due(now_ms, pace) || is_cut(**partition, sealing));
        let due: Vec<Partition> = due.map(|(partition, _)| *partition).collect();
        if !due.is_empty() {
            self.seal(due, committer, now_ms).await;
        }
    }

    /// Signs and publishes. Checkpoint, position and the note of what was signed are one transaction: if we crash
    /// before it is durable, nobody has seen the checkpoint, and the next owner signs anew from the one before; if
    /// we crash after it, the next owner goes on from this one.
    async fn seal(&mut self, due: Vec<Partition>, committer: &Committer, now_ms: i64) {
        let mut commit = OwnedCommit::default();
        let mut moved = Vec::new();
        for partition in &due {
            let Some(sealing) = self.partitions.get(partition) else { continue };
            let at_s = u64::try_from(now_ms / 1_000).unwrap_or(0);
            let signed =
                self.keys.signers(&sealing.origin()).map_err(|error| error.to_string()).and_then(|signers| {
                    sealing.sign(&signers, &self.cosigner, at_s).map_err(|error| error.to_string())
                });
            let (sealed, bookmark) = match signed {
                Ok(signed) => signed,
                Err(error) => {
                    tracing::error!(partition, error, "sealing: a checkpoint can't be signed");
                    let reason = format!("its checkpoint can't be signed: {error}");
                    self.standing.note(*partition, |standing| standing.not_sealed = Some(reason));
                    continue;
                }
            };
            let json = Bytes::from(sealed.to_json());
            let mut documents = vec![(Bytes::from_static(DOCUMENT), Some(json.clone()))];
            let cut = self.segments.as_ref().and_then(|all| all.go_on(*partition, sealing, &sealed, now_ms));
            documents.extend(cut.iter().map(|cut| cut.document()));
            let generation = sealing.generation;
            commit.partitions.push(PartitionCommit {
                partition: *partition,
                generation,
                bookmark,
                documents,
            });
            let message = NewMessage {
                key: Bytes::from(sealing.origin()),
                headers: vec![("content-type".into(), Bytes::from_static(b"application/json"))],
                value: Some(json),
                placement: Placement::Fixed(*partition),
            };
            commit.messages.push((Topic::Checkpoints, message));
            if let Some(cut) = cut {
                commit.messages.extend(cut.message(*partition).map(|message| (Topic::Checkpoints, message)));
                moved.push((*partition, cut));
            }
        }
        // Not those that could not be signed: they stay due.
        let signed: Vec<Partition> = commit.partitions.iter().map(|signed| signed.partition).collect();
        if signed.is_empty() {
            return;
        }
        match committer.commit(commit).await {
            Ok(()) => {
                for partition in signed {
                    if let Some(sealing) = self.partitions.get_mut(&partition) {
                        sealing.published(now_ms);
                    }
                    self.standing.note(partition, |standing| standing.not_sealed = None);
                }
                if let Some(segments) = &mut self.segments {
                    moved.into_iter().for_each(|(partition, cut)| segments.published(partition, cut));
                }
            }
            // Somebody else's by now: he goes on from what was published last.
            Err(CommitError::Fenced(partitions)) => self.lose(&partitions),
            Err(CommitError::NotCommitted(reason)) => {
                tracing::warn!(reason, "sealing: checkpoints were not published; trying again");
                for partition in signed {
                    let reason = Some(format!("its checkpoint was not published: {reason}"));
                    self.standing.note(partition, |standing| standing.not_sealed = reason);
                }
            }
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
