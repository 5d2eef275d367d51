//! The evidence of one partition: every leaf header of the range, and which leaf each delivered record is.

use std::io::Write;
use std::path::Path;

use audit_archive::{LeafRow, Reader, Scan};
use audit_journal::Partition;
use audit_proof::{Frontier, empty_root};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::claim::Claim;
use super::file::{Writing, write};
use super::heads::Heads;
use super::manifest::{EvidenceFile, PartitionEvidence, Population, Totals};
use crate::error::ExportError;

/// A line of `bodies.ndjson`: what became of a leaf in scope.
#[derive(Serialize)]
struct BodyLine {
    /// Which leaf.
    seq: u64,
    /// For a record that is delivered: what stands before its bytes where they are hashed, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    /// For one that is not: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    not: Option<&'static str>,
    /// For a repeat: which leaf it repeats, where that is in this tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<u64>,
}

/// The records that were delivered, in order: the query is asked again over the same cut.
pub(super) struct Delivered<'d> {
    scan: Scan,
    ahead: Option<(Partition, u64)>,
    stop: &'d CancellationToken,
}

impl<'d> Delivered<'d> {
    pub(super) fn new(scan: Scan, stop: &'d CancellationToken) -> Self {
        Self { scan, ahead: None, stop }
    }

    /// The number of the next record of a partition.
    fn peek(&mut self, partition: Partition) -> Result<Option<u64>, ExportError> {
        while self.ahead.is_none() {
            if self.stop.is_cancelled() {
                return Err(ExportError::Stopped);
            }
            match self.scan.look_on().transpose()? {
                None => return Ok(None),
                Some(None) => {}
                // It is told of, and not delivered.
                Some(Some(row)) if row.erased => {}
                Some(Some(row)) => self.ahead = Some((row.partition, row.seq)),
            }
        }
        Ok(self.ahead.filter(|(of, _)| *of == partition).map(|(_, seq)| seq))
    }

    /// Past the records of a partition up to number `seq`; how many they are.
    pub(super) fn skip_to(&mut self, partition: Partition, seq: u64) -> Result<u64, ExportError> {
        let mut skipped = 0;
        while self.peek(partition)?.is_some_and(|next| next < seq) {
            self.ahead = None;
            skipped += 1;
        }
        Ok(skipped)
    }

    /// Whether message `seq` is delivered; then goes past it.
    fn take(&mut self, partition: Partition, seq: u64) -> Result<bool, ExportError> {
        let is_next = self.peek(partition)? == Some(seq);
        if is_next {
            self.ahead = None;
        }
        Ok(is_next)
    }
}

/// What one partition's evidence is made of.
pub(super) struct PartitionWriter<'p> {
    pub(super) root: &'p Path,
    pub(super) reader: &'p Reader,
    pub(super) claim: &'p Claim,
    pub(super) heads: &'p Heads,
    pub(super) totals: &'p mut Totals,
    pub(super) files: &'p mut Vec<EvidenceFile>,
}

impl PartitionWriter<'_> {
    /// Writes `data/proofs/<partition>/`.
    pub(super) fn write(mut self, delivered: &mut Delivered<'_>) -> Result<PartitionEvidence, ExportError> {
        let Heads { partition, tree, covered, base, start, end } = self.heads;
        let (partition, covered) = (*partition, *covered);
        let first_seq = tree.first_seq;
        let base_size = base.as_ref().map(|base| base.checkpoint.size);
        let of_former_trees = delivered.skip_to(partition, first_seq)?;
        let before_base = delivered.skip_to(partition, first_seq + base_size.unwrap_or(0))?;
        // An event may be dated later than it was appended: then what was appended before the period matters, too.
        let first = match delivered.peek(partition)? {
            Some(seq) if before_base == 0 => seq - first_seq,
            None if before_base == 0 => covered,
            _ => base_size.unwrap_or(0),
        };
        let start = start.as_ref().filter(|start| start.checkpoint.size <= first).or(base.as_ref());
        let start_size = start.map_or(0, |start| start.checkpoint.size);
        let sealed_size = end.as_ref().map_or(0, |end| end.checkpoint.size);
        let end_size = covered.max(sealed_size);
        let folder = format!("data/proofs/{partition}");
        let population = self.leaves(&folder, start_size, covered, end_size, delivered)?;
        if let Some(start) = start {
            self.files.push(write(self.root, format!("{folder}/checkpoint-start"), start.note.to_string())?);
        }
        if let Some(end) = end {
            self.files.push(write(self.root, format!("{folder}/checkpoint-end"), end.note.to_string())?);
        }
        if start.is_some() && sealed_size >= start_size {
            let proof = self.reader.prove_consistency(partition, start_size, sealed_size)?;
            let lines: String = proof.iter().map(|hash| format!("{hash}\n")).collect();
            self.files.push(write(self.root, format!("{folder}/consistency"), lines)?);
        }
        let empty = Frontier::new();
        let edge = start.map_or(&empty, |start| &start.frontier);
        Ok(PartitionEvidence {
            partition,
            origin: end.as_ref().or(start).map(|head| head.checkpoint.origin.clone()),
            first_seq,
            start_size,
            start_root: edge.root(),
            start_peaks: edge.peaks().to_vec(),
            covered_size: covered,
            end_size,
            end_root: match end_size {
                0 => empty_root(),
                size => self.reader.root_of(partition, first_seq, size)?,
            },
            sealed_size,
            sealed_at_s: end.as_ref().and_then(|end| end.at_s),
            start_at_s: start.and_then(|start| start.at_s),
            base_size,
            former_records: of_former_trees + before_base,
            population,
        })
    }

    fn leaves(
        &mut self,
        folder: &str,
        start: u64,
        covered: u64,
        end: u64,
        delivered: &mut Delivered<'_>,
    ) -> Result<Population, ExportError> {
        let (partition, first_seq) = (self.heads.partition, self.heads.tree.first_seq);
        let mut headers = Writing::create(self.root, format!("{folder}/headers.ndjson"))?;
        let mut bodies = Writing::create(self.root, format!("{folder}/bodies.ndjson"))?;
        let mut population = Population::default();
        let mut header = Vec::new();
        let mut next = start;
        while next < end {
            if delivered.stop.is_cancelled() {
                return Err(ExportError::Stopped);
            }
            let rows = self.reader.leaves(partition, first_seq, next..end)?;
            if rows.is_empty() {
                return Err(ExportError::Corrupt { partition, seq: first_seq + next });
            }
            for row in rows {
                // The rows of an archive have no holes: one that has is told of, not numbered over.
                if row.leaf.seq != next {
                    return Err(ExportError::Corrupt { partition, seq: first_seq + next });
                }
                header.clear();
                row.leaf.write_header(&mut header);
                header.push(b'\n');
                headers.write_all(&header)?;
                if row.leaf.seq < covered {
                    let is_delivered = delivered.take(partition, first_seq + row.leaf.seq)?;
                    if is_delivered && row.is_erased {
                        return Err(ExportError::ErasedMeanwhile { partition });
                    }
                    if let Some(line) = self.account(&row, is_delivered, &mut population) {
                        let mut json = serde_json::to_vec(&line).map_err(std::io::Error::from)?;
                        json.push(b'\n');
                        bodies.write_all(&json)?;
                    }
                }
                next += 1;
            }
        }
        self.files.push(headers.close()?);
        self.files.push(bodies.close()?);
        Ok(population)
    }

    /// Counts a leaf, and says what became of it if that is to be told.
    fn account(
        &mut self,
        row: &LeafRow,
        is_delivered: bool,
        population: &mut Population,
    ) -> Option<BodyLine> {
        population.in_range += 1;
        let is_in_scope = self.claim.admits(&row.leaf);
        population.in_scope += u64::from(is_in_scope);
        let seq = row.leaf.seq;
        if is_delivered {
            population.delivered += 1;
            if let Some(record) = &row.leaf.record {
                let day: String = record.occurred_at.to_string().chars().take(10).collect();
                *self.totals.by_day.entry(day).or_default() += 1;
                add(&mut self.totals.by_action, &record.action);
                add(&mut self.totals.by_related_object_type, &record.related_object_type);
            }
            let salt = STANDARD.encode(row.salt.as_deref().unwrap_or_default());
            return Some(BodyLine { seq, salt: Some(salt), not: None, of: None });
        }
        if !is_in_scope {
            return None;
        }
        let (not, count) = if row.is_duplicate {
            ("a repeat", &mut population.duplicates)
        } else if row.is_erased {
            ("erased", &mut population.erased)
        } else if !row.is_record {
            ("no valid record", &mut population.undecodable)
        } else {
            ("not asked for", &mut population.unmatched)
        };
        *count += 1;
        Some(BodyLine { seq, salt: None, not: Some(not), of: row.duplicate_of })
    }
}

fn add(counts: &mut std::collections::BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}
