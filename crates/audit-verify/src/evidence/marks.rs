//! The roots that a partition's tree must have: those of the checkpoints in the export, and those of checkpoints that
//! whoever checks has kept.

use std::collections::BTreeMap;
use std::path::Path;

use audit_proof::{Checkpoint, NodeHash, NoteVerifier, SignedNote, verify_consistency};
use audit_record::Timestamp;

use super::partition::{CLOCKS_APART_US_MAX, Mark};
use super::signature::Keys;
use crate::manifest::PartitionEvidence;
use crate::report::Report;
use crate::trust::{Kept, Trust};

/// What the tree has to have, by size.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) at: BTreeMap<u64, Vec<Mark>>,
    /// How many leaves the last good checkpoint of the export signs.
    pub(super) sealed: Option<u64>,
    /// When it was signed, in seconds since 1970.
    sealed_at_s: Option<u64>,
    /// When the checkpoint over what comes before the range was signed at the latest, likewise.
    pub(super) start_at_s: Option<u64>,
    /// Checkpoints that were kept and lie within the range.
    kept: Vec<(String, u64)>,
}

impl Marks {
    /// Reads and checks the checkpoints of a partition.
    pub(super) fn of(
        dir: &Path,
        part: &PartitionEvidence,
        keys: &Keys,
        trust: &Trust,
        asked_at: Option<Timestamp>,
        report: &mut Report,
    ) -> Self {
        let mut marks = Self::default();
        let Some(origin) = &part.origin else {
            if part.covered_size > 0 && !keys.are_copies {
                let file = format!("data/proofs/{}/checkpoint-end", part.partition);
                report.find_gap(file, "is missing: no key of the log can vouch for the headers");
            }
            if part.covered_size > 0 {
                let text = format!(
                    "that the headers of partition {} are those of the log: no checkpoint is here",
                    part.partition
                );
                report.asserted.push(text);
            }
            return marks;
        };
        let folder = format!("data/proofs/{}", part.partition);
        let known = keys.of_log(origin);
        let mut found = [None, None];
        for (place, (name, wanted)) in
            [("checkpoint-start", part.start_size), ("checkpoint-end", part.sealed_size)]
                .into_iter()
                .enumerate()
        {
            let path = format!("{folder}/{name}");
            if wanted == 0 {
                continue;
            }
            let opened = open(&dir.join(&path), origin, &known);
            match opened {
                Err(problem) => report.find(path, problem),
                Ok(None) if keys.are_of_logs() => report.find_gap(
                    path,
                    "is signed by none of the keys that were given, so none of them vouches for the headers",
                ),
                Ok(None) => report.asserted.push(format!(
                    "that {path} is the log's: the key that signed it is not known; ask the operator for the log's verifier keys"
                )),
                Ok(Some(Opened { checkpoint, at_s, first_at_s })) if checkpoint.size == wanted => {
                    if place == 0 {
                        marks.start_at_s = first_at_s;
                    }
                    marks.sealed = Some(checkpoint.size);
                    marks.sealed_at_s = at_s;
                    marks.at.entry(wanted).or_default().push(Mark { root: checkpoint.root, kept: None, file: path });
                    found[place] = Some(checkpoint);
                }
                Ok(Some(Opened { checkpoint, .. })) => {
                    report.find(path, format!("signs {} leaves, the manifest says {wanted}", checkpoint.size));
                }
            }
        }
        if let [Some(start), Some(end)] = &found {
            consistent(dir, &format!("{folder}/consistency"), start, end, report);
        }
        if part.sealed_size < part.covered_size && marks.sealed.is_some() {
            report.asserted.push(format!(
                "that leaves {} to {} of partition {} are those of the log: no checkpoint covers them yet",
                part.sealed_size,
                part.covered_size - 1,
                part.partition
            ));
        }
        if part.sealed_size == 0 && part.covered_size > 0 {
            report.asserted.push(format!(
                "that the headers of partition {} are those of the log: no checkpoint covers any of them",
                part.partition
            ));
            if !keys.are_copies {
                report.find_gap(
                    format!("{folder}/checkpoint-end"),
                    "is missing: no key of the log can vouch for the headers",
                );
            }
        }
        for kept in &trust.kept {
            marks.hold_against(kept, part, origin, &known, asked_at, report);
        }
        marks
    }

    /// Takes in a checkpoint that was kept.
    fn hold_against(
        &mut self,
        kept: &Kept,
        part: &PartitionEvidence,
        origin: &str,
        known: &[NoteVerifier],
        asked_at: Option<Timestamp>,
        report: &mut Report,
    ) {
        let Ok(checkpoint) = Checkpoint::parse(kept.note.text()) else {
            return report.find(&kept.name, "is no checkpoint");
        };
        if checkpoint.origin != *origin {
            return;
        }
        let at_s = match Checkpoint::open(&kept.note, origin, known) {
            Ok((_, at_s)) => at_s,
            Err(error) => {
                return report.find(&kept.name, format!("is not one that the log's keys vouch for: {error}"));
            }
        };
        let Checkpoint { size, root, .. } = checkpoint;
        if size >= part.start_size && size <= part.end_size {
            let mark = Mark {
                root,
                kept: Some(kept.name.clone()),
                file: format!("data/proofs/{}/headers.ndjson", part.partition),
            };
            self.at.entry(size).or_default().push(mark);
            self.kept.push((kept.name.clone(), size));
            return;
        }
        let asked_at_s = asked_at.map(|at| at.micros() / 1_000_000);
        let is_earlier = at_s
            .and_then(|at_s| i64::try_from(at_s).ok())
            .zip(asked_at_s)
            .is_some_and(|(kept_at_s, asked_at_s)| kept_at_s < asked_at_s);
        if size > part.end_size && is_earlier {
            return report.find(
                format!("data/proofs/{}/headers.ndjson", part.partition),
                format!(
                    "the log was truncated: {}, signed before the export was asked for, covers {size} leaves, the export's log has {}",
                    kept.name, part.end_size
                ),
            );
        }
        report.not_covered.push(format!(
            "{}: it signs {size} leaves of partition {}, and this export has those from {} to {}",
            kept.name, part.partition, part.start_size, part.end_size
        ));
    }

    /// Whether the last checkpoint was signed before a moment, or nobody says when: that leaves the time between open.
    pub(super) fn is_older_than(&self, moment: Option<Timestamp>) -> bool {
        let sealed_at_s = self.sealed_at_s.and_then(|at_s| i64::try_from(at_s).ok());
        let moment_s = moment.map(|at| at.micros() / 1_000_000);
        self.sealed.is_some() && sealed_at_s.zip(moment_s).is_none_or(|(sealed, moment)| sealed < moment)
    }

    /// How many leaves the log had well before a moment, where that is more than an export covers.
    pub(super) fn beyond(&self, part: &PartitionEvidence, moment: Option<Timestamp>) -> Option<u64> {
        let sealed_at_us = self.sealed_at_s.and_then(|at_s| i64::try_from(at_s).ok()?.checked_mul(1_000_000));
        let is_earlier = sealed_at_us
            .zip(moment)
            .is_some_and(|(sealed, moment)| sealed < moment.micros() - CLOCKS_APART_US_MAX);
        self.sealed.filter(|sealed| is_earlier && *sealed > part.covered_size)
    }

    /// What the marks show, once the tree has borne them out.
    pub(super) fn tell(&self, part: &PartitionEvidence, report: &mut Report) {
        for (name, size) in &self.kept {
            report.proven.push(format!(
                "nothing of the first {size} leaves of partition {} has changed since {name} was signed{}",
                part.partition,
                if part.start_size > 0 { ", as far as they are looked at here" } else { "" }
            ));
        }
        if let (Some(size), Some(at_s)) = (self.sealed, self.sealed_at_s) {
            let at = i64::try_from(at_s)
                .ok()
                .and_then(|at_s| Timestamp::from_micros(at_s.checked_mul(1_000_000)?).ok());
            if let Some(at) = at {
                report.proven.push(format!(
                    "partition {} had {size} leaves at {at}, as the log's cosigner says",
                    part.partition
                ));
            }
        }
    }
}

/// A checkpoint that known keys have signed.
struct Opened {
    checkpoint: Checkpoint,
    /// When, as the latest cosigner says, in seconds since 1970.
    at_s: Option<u64>,
    /// When, as the first one says: it was there by then.
    first_at_s: Option<u64>,
}

/// Opens a checkpoint: `None` where no known key is among those that signed it.
fn open(path: &Path, origin: &str, known: &[NoteVerifier]) -> Result<Option<Opened>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("can't be read: {error}"))?;
    let note = SignedNote::parse(&bytes).map_err(|error| format!("is no signed note: {error}"))?;
    let is_known = note.signatures().iter().any(|signature| known.iter().any(|key| key.made(signature)));
    if !is_known {
        return Ok(None);
    }
    let (checkpoint, at_s) = Checkpoint::open(&note, origin, known)
        .map_err(|error| format!("is not a checkpoint of the log: {error}"))?;
    let verified = note.verify(known).unwrap_or_default();
    let first_at_s = verified.iter().filter_map(|by| by.at_s).min();
    Ok(Some(Opened { checkpoint, at_s, first_at_s }))
}

/// The proof that the later tree begins with the earlier one. The headers show that too; it is here for other tools.
fn consistent(dir: &Path, path: &str, start: &Checkpoint, end: &Checkpoint, report: &mut Report) {
    let Ok(text) = std::fs::read_to_string(dir.join(path)) else {
        return report.find(path, "was left out");
    };
    let Ok(proof) = text.lines().map(NodeHash::parse).collect::<Result<Vec<_>, _>>() else {
        return report.find(path, "is not a list of hashes");
    };
    if let Err(error) = verify_consistency(start.size, end.size, &proof, &start.root, &end.root) {
        report.find(path, format!("does not show that one checkpoint extends the other: {error}"));
    }
}
