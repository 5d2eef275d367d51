//! Asking outside witnesses to cosign checkpoints (C2SP tlog-witness, the log's side). With their cosignatures a checkpoint
//! is published once more: from then on somebody else vouches that the log had no other history.
//!
//! It stands beside the sealer, not within it: a witness that is slow or away delays no checkpoint. What is asked about is
//! what this machine's archive bears out, whose tree makes the proof that it extends what the witness saw before.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit_archive::{CheckpointRow, EvidenceError, Reader};
use audit_journal::{AppendOutcome, Journal, NewMessage, Partition, Placement, ReadLimit, Topic};
use audit_proof::{
    NoteSignature, NoteVerifier, Sealed, SignedNote, add_checkpoint, cosignatures, cosigned_size,
};
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::standing::SealStanding;

/// Most witnesses that are asked.
pub const WITNESSES_MAX: usize = 16;

/// How often it is looked whether there is a new checkpoint.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long a witness that did not answer as it should is left alone.
const PAUSE: Duration = Duration::from_secs(60);

/// Requests to one witness that are under way at once, over all partitions.
const ASKED_AT_ONCE_MAX: usize = 64;

/// How often a witness is asked in a row: it may tell first what it cosigned last.
const TRIES_MAX: usize = 2;

/// What a witness answered: the status, and the text.
pub type WitnessAnswer = Result<(u16, String), String>;

/// Brings the body of an `add-checkpoint` request to a witness, by its place among the witnesses, and its answer back.
/// What is sent at most once, within a bounded time.
pub trait WitnessTransport: Send + Sync {
    /// Sends it.
    fn add_checkpoint(
        &self,
        witness: usize,
        body: String,
    ) -> Pin<Box<dyn Future<Output = WitnessAnswer> + Send + '_>>;
}

/// Asks witnesses for every partition.
pub struct Witnessing {
    journal: Journal,
    reader: Reader,
    witnesses: Vec<NoteVerifier>,
    transport: Arc<dyn WitnessTransport>,
    /// For each witness.
    under_way: Vec<Semaphore>,
    standing: SealStanding,
}

/// What is known of the witnesses and a partition.
#[derive(Clone, Debug, Default)]
struct Asked {
    /// The name of the tree that they were asked about: of another one they have seen nothing.
    origin: Option<String>,
    /// With which of its keys the log had signed what they were asked about.
    key_ids: BTreeSet<[u8; 4]>,
    /// By their places.
    witnesses: Vec<Known>,
}

/// What is known of a witness and a tree.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The size that it cosigned last.
    cosigned: Option<u64>,
    /// The log has signed with a further key since.
    is_outdated: bool,
    /// It is not to be asked before.
    not_before: Option<Instant>,
}

impl Known {
    /// Whether it is to cosign a checkpoint of that size. It is to cosign one of the same size again once that is signed with
    /// another key too: of an idle partition nothing larger would come, and the key that it has cosigned is going to be left behind.
    fn is_to_cosign(&self, size: u64) -> bool {
        self.cosigned.is_none_or(|cosigned| cosigned < size || (cosigned == size && self.is_outdated))
    }
}

impl std::fmt::Debug for Witnessing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witnessing").field("witnesses", &self.witnesses).finish_non_exhaustive()
    }
}

/// What a witness had to say.
enum Said {
    Cosigned(Vec<NoteSignature>),
    /// It cosigned this size last, which the request did not begin with.
    Stands(u64),
    /// It did not do so, for this reason.
    Refused(String),
}

impl Witnessing {
    /// Of these witnesses, of whom [`WITNESSES_MAX`] at most are asked. `standing` is told of one that saw more than the log has.
    pub fn new(
        journal: Journal,
        reader: Reader,
        mut witnesses: Vec<NoteVerifier>,
        transport: Arc<dyn WitnessTransport>,
        standing: SealStanding,
    ) -> Self {
        witnesses.truncate(WITNESSES_MAX);
        let under_way = witnesses.iter().map(|_| Semaphore::new(ASKED_AT_ONCE_MAX)).collect();
        Self { journal, reader, witnesses, transport, under_way, standing }
    }

    /// Asks until told to stop. Each partition at its own pace: a witness that does not answer holds up what it is asked
    /// about, within the bound of the transport, and nobody's answer about another partition.
    pub async fn run(self, shutdown: CancellationToken) {
        let partitions = (0..self.journal.identity().partitions).map(|partition| self.attend(partition));
        shutdown.run_until_cancelled(join_all(partitions)).await;
    }

    /// Asks about one partition, for good.
    async fn attend(&self, partition: Partition) {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut asked = Asked::default();
        loop {
            look.tick().await;
            self.look(partition, &mut asked).await;
        }
    }

    async fn look(&self, partition: Partition, asked: &mut Asked) {
        let reader = self.reader.clone();
        let latest = tokio::task::spawn_blocking(move || reader.latest_checkpoint(partition)).await;
        // Without an archive there is nothing to ask about yet; that one can't be read is told by whoever asks it.
        let Ok(Ok(Some(head))) = latest else { return };
        let (Some(size), Some(note)) = (head.size, head.note.as_deref()) else { return };
        let Ok(mut note) = SignedNote::parse(note.as_bytes()) else { return };
        if asked.origin != head.origin || asked.witnesses.len() != self.witnesses.len() {
            let witnesses = vec![Known::default(); self.witnesses.len()];
            *asked = Asked { origin: head.origin.clone(), key_ids: BTreeSet::new(), witnesses };
            (0..self.witnesses.len())
                .for_each(|witness| self.standing.note_witness(partition, witness, false));
        }
        let by_log = note.signatures().iter().filter(|line| head.origin.as_ref() == Some(&line.name));
        let key_ids: BTreeSet<[u8; 4]> = by_log.map(|line| line.key_id).collect();
        if !key_ids.is_subset(&asked.key_ids) {
            asked.witnesses.iter_mut().for_each(|known| known.is_outdated = true);
            asked.key_ids.extend(key_ids);
        }
        let mut answers = Vec::new();
        for (witness, known) in asked.witnesses.iter_mut().enumerate() {
            let is_resting = known.not_before.is_some_and(|at| Instant::now() < at);
            if !is_resting && known.is_to_cosign(size) {
                answers.push(self.ask(partition, witness, size, &note, known));
            }
        }
        let cosigned: Vec<NoteSignature> = join_all(answers).await.into_iter().flatten().collect();
        if cosigned.is_empty() {
            return;
        }
        cosigned.into_iter().for_each(|signature| note.add(signature));
        if let Err(reason) = self.publish(&head, &note).await {
            tracing::warn!(partition, size, reason, "witnesses: a cosigned checkpoint was not published");
            // To be asked again, with what they cosigned last.
            *asked = Asked::default();
        }
    }

    /// Asks one witness about a checkpoint.
    async fn ask(
        &self,
        partition: Partition,
        witness: usize,
        size: u64,
        note: &SignedNote,
        known: &mut Known,
    ) -> Vec<NoteSignature> {
        let name = self.witnesses[witness].name().to_owned();
        let mut old = known.cosigned.unwrap_or(0);
        let mut signatures = Vec::new();
        for attempt in 1..=TRIES_MAX {
            match self.request(partition, witness, old, size, note).await {
                Said::Cosigned(found) => {
                    tracing::debug!(partition, size, witness = name, "a witness cosigned a checkpoint");
                    *known = Known { cosigned: Some(size), ..Known::default() };
                    self.standing.note_witness(partition, witness, false);
                    signatures = found;
                    break;
                }
                Said::Stands(larger) if larger > size => {
                    let pause = self.pause_behind(partition, witness, size, larger).await;
                    known.not_before = Some(Instant::now() + pause);
                    break;
                }
                Said::Stands(stands) => {
                    old = stands;
                    known.not_before = Some(Instant::now() + PAUSE);
                    self.standing.note_witness(partition, witness, false);
                    if attempt == TRIES_MAX {
                        tracing::warn!(
                            partition,
                            size,
                            stands,
                            witness = name,
                            "a witness names another checkpoint each time that it cosigned last"
                        );
                    }
                }
                Said::Refused(reason) => {
                    tracing::warn!(
                        partition,
                        size,
                        witness = name,
                        reason,
                        "a witness did not cosign a checkpoint"
                    );
                    known.not_before = Some(Instant::now() + PAUSE);
                    break;
                }
            }
        }
        signatures
    }

    /// A witness has cosigned more leaves than the latest checkpoint has. There will be more, unless the log has no more: then
    /// it shows what a witness is there for. Tells how long it is left alone.
    async fn pause_behind(&self, partition: Partition, witness: usize, size: u64, larger: u64) -> Duration {
        let Some(is_ahead) = self.has_fewer(partition, larger).await else { return LOOK_INTERVAL };
        self.standing.note_witness(partition, witness, is_ahead);
        if !is_ahead {
            return LOOK_INTERVAL;
        }
        tracing::error!(
            partition,
            size,
            larger,
            witness = self.witnesses[witness].name(),
            "a witness has cosigned more leaves than this log has: the log was put back, or there is a second history of it"
        );
        PAUSE
    }

    /// Whether the log has fewer leaves than that; `None` where this machine's archive, which lacks some of them, can't tell.
    async fn has_fewer(&self, partition: Partition, leaves: u64) -> Option<bool> {
        let bounds = self.journal.bounds_of(Topic::Records, partition).await.ok()?;
        let reader = self.reader.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let is_level = reader.covers(&[bounds]).ok()?;
            let is_missing = matches!(reader.root(partition, leaves), Err(EvidenceError::NotInTree { .. }));
            is_level.then_some(is_missing)
        });
        looked.await.ok().flatten()
    }

    async fn request(
        &self,
        partition: Partition,
        witness: usize,
        old: u64,
        size: u64,
        note: &SignedNote,
    ) -> Said {
        let reader = self.reader.clone();
        let proof = match tokio::task::spawn_blocking(move || reader.prove_consistency(partition, old, size))
            .await
        {
            Ok(Ok(proof)) => proof,
            Ok(Err(error)) => {
                return Said::Refused(format!("the archive can't prove that it extends size {old}: {error}"));
            }
            Err(error) => return Said::Refused(error.to_string()),
        };
        let Some(body) = add_checkpoint(old, &proof, note) else {
            return Said::Refused("the proof is longer than any is".to_owned());
        };
        let Ok(_turn) = self.under_way[witness].acquire().await else {
            return Said::Refused("it is not asked any more".to_owned());
        };
        match self.transport.add_checkpoint(witness, body).await {
            Ok((200, answer)) => {
                let signatures = cosignatures(&answer, &self.witnesses[witness], note);
                if signatures.is_empty() {
                    Said::Refused("its answer has no cosignature of its key".to_owned())
                } else {
                    Said::Cosigned(signatures)
                }
            }
            Ok((409, answer)) => match cosigned_size(&answer) {
                Some(size) => Said::Stands(size),
                None => Said::Refused("it answered 409 without a size".to_owned()),
            },
            Ok((403, _)) => {
                Said::Refused("it does not know the log's key (403): tell it the verifier key".to_owned())
            }
            Ok((404, _)) => Said::Refused(
                "it does not know the log (404): tell it the origin and the verifier key".to_owned(),
            ),
            Ok((422, _)) => Said::Refused(format!("it does not accept the proof from size {old} (422)")),
            Ok((status, _)) => Said::Refused(format!("it answered {status}")),
            Err(reason) => Said::Refused(reason),
        }
    }

    /// Publishes the checkpoint again, with the cosignatures. If we crash before, the witnesses are asked again.
    async fn publish(&self, head: &CheckpointRow, note: &SignedNote) -> Result<(), String> {
        let limit = ReadLimit { messages: 1, bytes: 1024 * 1024 };
        let range = self.journal.read(Topic::Checkpoints, head.partition, head.offset, limit).await;
        let range = range.map_err(|error| error.to_string())?;
        let published = range.messages.first().filter(|message| message.offset == head.offset);
        let value = published.and_then(|message| message.value.as_deref()).unwrap_or_default();
        let (sealed, ..) = Sealed::read(value).map_err(|error| error.to_string())?;
        let again = Sealed { note: note.to_string(), ..sealed };
        let message = NewMessage {
            key: Bytes::from(head.origin.clone().unwrap_or_default()),
            headers: vec![("content-type".into(), Bytes::from_static(b"application/json"))],
            value: Some(again.to_json().into()),
            placement: Placement::Fixed(head.partition),
        };
        match self.journal.append(Topic::Checkpoints, vec![message]).await.pop() {
            Some(AppendOutcome::Appended(_)) => Ok(()),
            Some(AppendOutcome::NotAppended(reason) | AppendOutcome::Unknown(reason)) => Err(reason),
            None => Err("the log gave no answer".to_owned()),
        }
    }
}
