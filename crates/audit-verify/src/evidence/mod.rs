//! Checks what proves an export: signatures, checkpoints, leaf headers, and that every leaf in scope is delivered.

mod anchored;
mod beginning;
mod claim;
mod lines;
mod marks;
mod partition;
mod payload;
mod signature;

use std::collections::BTreeSet;
use std::path::Path;

use audit_proof::Checkpoint;
use audit_record::Timestamp;

use self::claim::Claim;
use self::marks::Marks;
use self::partition::{Check, Outcome};
use self::payload::Payload;
use self::signature::{Keys, check_manifest};
use crate::bag::Hashes;
use crate::manifest::{
    EVIDENCE_VERSION, Evidence, Manifest, Partition, PartitionEvidence, Population, Totals,
};
use crate::report::Report;
use crate::trust::Trust;

/// What is checked.
pub(crate) struct Evident<'e> {
    pub(crate) dir: &'e Path,
    /// `manifest.json`, byte for byte.
    pub(crate) bytes: &'e [u8],
    pub(crate) manifest: &'e Manifest,
    pub(crate) trust: &'e Trust,
}

impl Evident<'_> {
    /// Checks the evidence of an export that has some.
    pub(crate) fn check(&self, evidence: &Evidence) -> Report {
        let mut report = Report::default();
        self.look(evidence, &mut report);
        report
    }

    fn look(&self, evidence: &Evidence, report: &mut Report) {
        let keys = Keys::of(self.dir, self.trust, report);
        let deployment = &self.manifest.deployment;
        if let Some(signer) = check_manifest(self.dir, self.bytes, deployment, &keys, report) {
            report
                .proven
                .push(format!("the manifest, and with it every file under data/, is signed with {signer}"));
        }
        if evidence.version > EVIDENCE_VERSION {
            return report.find(
                "manifest.json",
                format!("its evidence was written by a later release (version {})", evidence.version),
            );
        }
        let scopes = std::fs::read_to_string(self.dir.join("data/keys/scopes.ndjson")).ok();
        let claim = match Claim::read(&evidence.provable, &self.manifest.query, scopes.as_deref()) {
            Ok(claim) => claim,
            Err(problem) => return report.find("manifest.json", format!("can't be checked: {problem}")),
        };
        let mut payload = Payload::of(self.dir, self.manifest);
        let has_payload = payload.is_some();
        let mut totals = Totals::default();
        let mut sum = Sum::default();
        let asked_at = Timestamp::parse(&self.manifest.asked_at).ok();
        let from = self.manifest.query.from.as_deref().and_then(|from| Timestamp::parse(from).ok());
        self.partitions_are_told_apart(evidence, &keys, report);
        // The records stand in the order of the partitions that the manifest lists, with evidence or without.
        for listed in &self.manifest.partitions {
            let Some(part) = evidence.partitions.iter().find(|part| part.partition == listed.partition)
            else {
                Self::skip_unproven(listed, &keys, &mut payload, report);
                continue;
            };
            let marks = Marks::of(self.dir, part, &keys, self.trust, asked_at, report);
            Self::skip_former(part, &mut payload, report);
            let check = Check {
                dir: self.dir,
                part,
                claim: &claim,
                asked_at,
                marks: &marks.at,
                totals: &mut totals,
                report,
                payload: &mut payload,
            };
            let outcome = check.run();
            if outcome.is_whole {
                marks.tell(part, report);
                let told = part.former_records.saturating_add(outcome.population.delivered);
                if told != listed.records {
                    let problem = format!(
                        "counts {} records of partition {}, its evidence tells of {told}",
                        listed.records, listed.partition
                    );
                    report.find("manifest.json", problem);
                }
            }
            sum.add(part, &outcome, &marks);
            beginning::tell(part, marks.start_at_s, &keys, from, report);
            if let Some(beyond) = marks.beyond(part, asked_at) {
                report.find_gap(
                    "manifest.json",
                    format!(
                        "covers {} leaves of partition {}, which had {beyond} before the export was asked for, as the log's cosigner says",
                        part.covered_size, part.partition
                    ),
                );
            }
            // An empty partition has no checkpoint, and nor has one whose records are kept back.
            let is_unsure =
                marks.is_older_than(asked_at) || (marks.sealed.is_none() && part.covered_size == 0);
            sum.unsure.extend(is_unsure.then_some(part.partition));
        }
        Self::nothing_is_left(&mut payload, report);
        if !report.is_damaged() && totals != evidence.totals {
            report.find("manifest.json", "its control totals are not those of what is delivered");
        }
        self.tell(&claim, &sum, has_payload, evidence, &keys, report);
    }

    /// Each tree is that of its own partition, and what was kept is of one of them.
    fn partitions_are_told_apart(&self, evidence: &Evidence, keys: &Keys, report: &mut Report) {
        let mut seen = BTreeSet::new();
        for part in &evidence.partitions {
            let partition = part.partition;
            if !seen.insert(partition) {
                report.find("manifest.json", format!("has evidence of partition {partition} twice"));
            }
            if let Some(origin) = &part.origin
                && !is_of(origin, &self.manifest.deployment, partition)
            {
                let problem = format!("gives the tree of {origin} out as that of partition {partition}");
                report.find("manifest.json", problem);
            }
            let PartitionEvidence { start_size, covered_size, end_size, sealed_size, .. } = *part;
            // What a checkpoint signs beyond the headers, or before them, would be compared with nothing.
            let is_reached = sealed_size == 0 || (start_size..=end_size).contains(&sealed_size);
            if start_size > covered_size || covered_size > end_size || !is_reached {
                let problem = format!(
                    "says of partition {partition} that leaves {start_size} to {end_size} are here, that {covered_size} are covered and {sealed_size} signed: that can't be"
                );
                report.find("manifest.json", problem);
            }
            if self.manifest.partitions.iter().all(|listed| listed.partition != partition) {
                let problem =
                    format!("has evidence of partition {partition}, which is not among its partitions");
                report.find("manifest.json", problem);
            }
        }
        let mut listed = BTreeSet::new();
        for partition in self.manifest.partitions.iter().map(|part| part.partition) {
            if !listed.insert(partition) {
                report.find("manifest.json", format!("lists partition {partition} twice"));
            }
        }
        // Whoever leaves out a whole partition can't take back its key.
        let of_keys = keys.known.iter().filter(|_| !keys.are_copies);
        let unlisted: BTreeSet<u32> = of_keys
            .filter_map(|key| partition_of(key.name(), &self.manifest.deployment))
            .filter(|partition| !listed.contains(partition))
            .collect();
        for partition in unlisted {
            let problem = format!("lists no partition {partition}, of which a key was given");
            report.find_gap("manifest.json", problem);
        }
        for kept in &self.trust.kept {
            let Ok(checkpoint) = Checkpoint::parse(kept.note.text()) else { continue };
            if evidence.partitions.iter().all(|part| part.origin.as_ref() != Some(&checkpoint.origin)) {
                let problem = format!("is of {}, of which this export has nothing", checkpoint.origin);
                report.find_gap(&kept.name, problem);
            }
        }
    }

    /// Records of trees before this one have no leaf here.
    fn skip_former(part: &PartitionEvidence, payload: &mut Option<Payload>, report: &mut Report) {
        skip(part.former_records, "names more records of former logs than there are", payload, report);
    }

    /// Records of a partition without evidence stand among the others, and nothing says whose they are.
    fn skip_unproven(listed: &Partition, keys: &Keys, payload: &mut Option<Payload>, report: &mut Report) {
        let Partition { partition, records, .. } = listed;
        if !keys.are_copies {
            let problem =
                format!("has no evidence of partition {partition}: no key of the log can vouch for it");
            report.find_gap("manifest.json", problem);
        }
        let problem = format!("names more records of partition {partition} than there are");
        skip(*records, &problem, payload, report);
    }

    fn nothing_is_left(payload: &mut Option<Payload>, report: &mut Report) {
        if let Some(Ok(Some(left))) = payload.as_mut().map(Payload::next_record) {
            report.find(
                left.file,
                format!("line {}: a record that no leaf was made of: it was added", left.line),
            );
        }
    }

    fn tell(
        &self,
        claim: &Claim,
        sum: &Sum,
        has_payload: bool,
        evidence: &Evidence,
        keys: &Keys,
        report: &mut Report,
    ) {
        if !report.is_damaged() {
            let Population { in_range, in_scope, delivered, duplicates, erased, undecodable, unmatched } =
                sum.population;
            if sum.sealed_partitions > 0 {
                report.proven.push(format!(
                    "the headers of {} of the {in_range} leaves of {} partitions lead to roots that the log's keys have signed",
                    sum.sealed_leaves, sum.partitions
                ));
            }
            if has_payload {
                report.proven.push(format!(
                    "each of the {delivered} records is, byte for byte, the one that its leaf was made of"
                ));
            }
            let scopes = claim
                .scope_names()
                .map_or_else(String::new, |scopes| format!(" in the scopes {}", scopes.join(", ")));
            report.proven.push(format!(
                "{in_scope} leaves are in scope{scopes} by what headers show, and every one is accounted for: {delivered} records delivered ({} beyond the scope), {duplicates} repeats, {erased} erased, {undecodable} no valid records, {unmatched} not asked for",
                sum.beyond
            ));
        }
        if keys.are_copies && !keys.known.is_empty() {
            report.asserted.push(
                "that the keys are the operator's: they were taken from the export itself; give those that you have from elsewhere".to_owned(),
            );
        }
        let told = claim::asserted(&evidence.provable, &self.manifest.query);
        let more = evidence.asserted.iter().filter(|said| !told.contains(said)).cloned().collect::<Vec<_>>();
        report.asserted.extend(told.into_iter().chain(more));
        if !has_payload {
            report.asserted.push(format!(
                "that the rows in {} say what the records say: only NDJSON is compared with the log",
                self.manifest.format
            ));
        }
        if sum.population.erased + sum.population.undecodable > 0 {
            report.asserted.push("that what is told to be erased, or no valid record, is".to_owned());
        }
        if !sum.unsure.is_empty() {
            let partitions: Vec<String> = sum.unsure.iter().map(ToString::to_string).collect();
            report.asserted.push(format!(
                "that nothing came to partition {} between its last checkpoint, if it has one, and the moment when the export was asked for",
                partitions.join(", ")
            ));
        }
        if sum.unproven_repeats > 0 {
            report.asserted.push(format!(
                "that {} leaves told to be repeats are: what they repeat is not looked at here",
                sum.unproven_repeats
            ));
        }
        if sum.untagged > 0 {
            report.not_covered.push(format!(
                "{} leaves bear no tags, so whether they are in scope can't be told from their headers",
                sum.untagged
            ));
        }
        if sum.late > 0 {
            report.not_covered.push(format!(
                "{} leaves that were recorded before the export was asked for, and appended after what it covers",
                sum.late
            ));
        }
        for part in &evidence.partitions {
            if part.former_records > 0 {
                let whence = if part.base_size.is_some() {
                    "from before its archive's tree begins, or from a log that was replaced since"
                } else {
                    "from a log that was replaced since"
                };
                report.not_covered.push(format!(
                    "{} records of partition {} {whence}",
                    part.former_records, part.partition
                ));
            }
        }
        anchored::tell(evidence, report);
        let is_without = |part: &&Partition| {
            evidence.partitions.iter().all(|evidence| evidence.partition != part.partition)
        };
        for part in self.manifest.partitions.iter().filter(is_without) {
            report.not_covered.push(format!(
                "partition {}, of which there is no evidence, and its {} records",
                part.partition, part.records
            ));
        }
        report.not_covered.push(format!(
            "whether the log has other partitions than the {} that the manifest lists",
            self.manifest.partitions.len()
        ));
        report.not_covered.push("whether a platform sent everything that happened in it".to_owned());
        if self.trust.kept.is_empty() {
            report.not_covered.push(
                "whether another history was signed with the same key: keep a checkpoint-end, and check later exports against it".to_owned(),
            );
        }
    }
}

/// Goes past records that are compared with no leaf.
fn skip(records: u64, too_few: &str, payload: &mut Option<Payload>, report: &mut Report) {
    for _ in 0..records {
        match payload.as_mut().map(Payload::next_record) {
            Some(Ok(Some(_))) => {}
            None => return,
            Some(Ok(None)) => return report.find("manifest.json", too_few),
            Some(Err((file, error))) => return report.find(file, format!("can't be read: {error}")),
        }
    }
}

/// Whether an origin, `flagtrail/<deployment>/<topic>/<partition>/<epoch>`, is that of a deployment's partition.
fn is_of(origin: &str, deployment: &str, partition: u32) -> bool {
    partition_of(origin, deployment) == Some(partition)
}

/// The partition in an origin of a deployment; `None` where it is none, or another deployment's.
fn partition_of(origin: &str, deployment: &str) -> Option<u32> {
    let parts: Vec<&str> = origin.split('/').collect();
    let [_, of, _, number, _] = parts[..] else { return None };
    let partition: u32 = number.parse().ok()?;
    (of == deployment && number == partition.to_string()).then_some(partition)
}

/// The signature vouches for the manifest, the manifest for every file.
pub(crate) fn files_are_those_of(evidence: &Evidence, hashes: &Hashes, report: &mut Report) {
    for file in &evidence.files {
        match hashes.get(&file.path) {
            None => report.find(&file.path, "was left out: it is in the manifest, but in no checksum file"),
            Some((sha256, bytes)) if *sha256 != file.sha256 || *bytes != file.bytes => {
                report.find(&file.path, "is not the file of the manifest: its SHA-256 differs");
            }
            Some(_) => {}
        }
    }
}

/// What all partitions come to.
#[derive(Debug, Default)]
struct Sum {
    population: Population,
    beyond: u64,
    untagged: u64,
    unproven_repeats: u64,
    late: u64,
    partitions: usize,
    /// Whose last checkpoint is older than the question.
    unsure: Vec<u32>,
    sealed_partitions: usize,
    sealed_leaves: u64,
}

impl Sum {
    fn add(&mut self, part: &PartitionEvidence, outcome: &Outcome, marks: &Marks) {
        let (sum, of) = (&mut self.population, &outcome.population);
        sum.in_range += of.in_range;
        sum.in_scope += of.in_scope;
        sum.delivered += of.delivered;
        sum.duplicates += of.duplicates;
        sum.erased += of.erased;
        sum.undecodable += of.undecodable;
        sum.unmatched += of.unmatched;
        self.beyond += outcome.beyond;
        self.untagged += outcome.untagged;
        self.unproven_repeats += outcome.unproven_repeats;
        self.late += outcome.late;
        self.partitions += 1;
        self.sealed_partitions += usize::from(marks.sealed.is_some());
        let sealed = marks.sealed.unwrap_or(0).min(part.covered_size);
        self.sealed_leaves += sealed.saturating_sub(part.start_size);
    }
}
