//! One partition: its tree grown again from all its headers, and every header and every record of it accounted for.

use std::collections::BTreeMap;
use std::path::Path;

use audit_proof::{Frontier, LEAF_BYTES_MAX, Leaf, LeafRecord, NodeHash, Tag, body_hash, leaf_hash};
use audit_record::{AuditRecord, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::claim::Claim;
use super::lines::Lines;
use super::payload::{Payload, Placed};
use crate::manifest::{PartitionEvidence, Population, Totals};
use crate::report::Report;

/// Longest line of `bodies.ndjson`, in bytes.
const BODY_BYTES_MAX: usize = 1_024;

/// Most leaves that repeats point back to and are remembered for it; what repeats point to beyond is asserted.
const REPEATED_MAX: usize = 100_000;

/// How far clocks may be apart: those of who appends and who exports, in microseconds.
pub(super) const CLOCKS_APART_US_MAX: i64 = 10 * 60 * 1_000_000;

/// Most things that are wrong which are named one by one in a partition.
const NAMED_MAX: usize = 20;

/// A root that the tree has to have at a size, and who says so.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) root: NodeHash,
    /// Whether somebody kept it from earlier; else it comes with the export.
    pub(super) kept: Option<String>,
    /// The file that it stands in.
    pub(super) file: String,
}

/// A line of `bodies.ndjson`.
#[derive(Debug, Deserialize)]
struct BodyLine {
    seq: u64,
    salt: Option<String>,
    not: Option<String>,
    of: Option<u64>,
}

impl BodyLine {
    fn is_repeat(&self) -> bool {
        self.not.as_deref() == Some("a repeat")
    }
}

/// Leaves that are said to be repeated: which record each is, of which scope, and whether it is in the export or is
/// accounted for by itself, once its header has passed.
type Repeated = BTreeMap<u64, Option<(String, Option<Tag>, bool)>>;

/// What a check of a partition found out.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) population: Population,
    /// Delivered although the header does not show that it is in scope.
    pub(super) beyond: u64,
    /// Recorded before the export was asked for, and beyond what it covers.
    pub(super) late: u64,
    /// Leaves without tags, where tags are needed to judge.
    pub(super) untagged: u64,
    /// Said to repeat a leaf that can't be looked at: it lies before the range, or there are too many.
    pub(super) unproven_repeats: u64,
    /// Whether headers, roots and records are all as they should be.
    pub(super) is_whole: bool,
}

/// The check of one partition.
pub(super) struct Check<'c> {
    pub(super) dir: &'c Path,
    pub(super) part: &'c PartitionEvidence,
    pub(super) claim: &'c Claim,
    /// When the export was asked for.
    pub(super) asked_at: Option<Timestamp>,
    pub(super) marks: &'c BTreeMap<u64, Vec<Mark>>,
    pub(super) totals: &'c mut Totals,
    pub(super) report: &'c mut Report,
    /// The records; `None` where they can't be compared, or once their order is lost.
    pub(super) payload: &'c mut Option<Payload>,
}

impl Check<'_> {
    /// Goes through the headers once.
    pub(super) fn run(mut self) -> Outcome {
        let before = self.report.findings.len();
        let mut outcome = Outcome::default();
        let folder = format!("data/proofs/{}", self.part.partition);
        let (headers, bodies) = (format!("{folder}/headers.ndjson"), format!("{folder}/bodies.ndjson"));
        if let Err((file, problem)) = self.walk(&headers, &bodies, &mut outcome) {
            self.report.find(file, problem);
        }
        let found = outcome.population;
        let claimed = self.part.population;
        if self.report.findings.len() == before && found != claimed {
            self.report.find(
                "manifest.json",
                format!(
                    "counts the leaves of partition {} otherwise than its headers do: {claimed:?}, not {found:?}",
                    self.part.partition
                ),
            );
        }
        outcome.is_whole = self.report.findings.len() == before;
        outcome
    }

    fn walk(&mut self, headers: &str, bodies: &str, outcome: &mut Outcome) -> Result<(), (String, String)> {
        let part = self.part;
        let in_headers = |problem: String| (headers.to_owned(), problem);
        let unreadable = |file: &str| {
            let file = file.to_owned();
            move |error: std::io::Error| (file.clone(), format!("can't be read: {error}"))
        };
        let mut tree = Frontier::from_peaks(part.start_size, part.start_peaks.clone())
            .map_err(|error| ("manifest.json".to_owned(), error.to_string()))?;
        self.hold(&tree, headers)?;
        let mut repeated = self.repeated(bodies).map_err(unreadable(bodies))?;
        let mut bodies_left = Bodies::open(&self.dir.join(bodies)).map_err(unreadable(bodies))?;
        let mut lines =
            Lines::open(&self.dir.join(headers), LEAF_BYTES_MAX + 1).map_err(unreadable(headers))?;
        loop {
            let number = lines.number() + 1;
            let Some(line) = lines.next_line().map_err(unreadable(headers))? else { break };
            let leaf = Leaf::parse(line)
                .map_err(|error| in_headers(format!("line {number} was altered: {error}")))?;
            if leaf.seq != tree.size() {
                let wanted = tree.size();
                return Err(in_headers(format!(
                    "line {number} is leaf {}, where leaf {wanted} should be: headers were removed, added or moved",
                    leaf.seq
                )));
            }
            let mut is_repeat = false;
            if leaf.seq < part.covered_size {
                let body = bodies_left.of(leaf.seq).map_err(|problem| (bodies.to_owned(), problem))?;
                is_repeat = body.as_ref().is_some_and(BodyLine::is_repeat);
                self.account(&leaf, body, &repeated, outcome);
            } else if self.is_earlier(&leaf) {
                outcome.late += 1;
            }
            if let Some(seen) = repeated.get_mut(&leaf.seq) {
                let record = leaf.record.as_ref();
                *seen = record.map(|record| (record.id.clone().into_owned(), leaf.tags.scope, !is_repeat));
            }
            tree.append(leaf_hash(line), |_, _| {});
            self.hold(&tree, headers)?;
        }
        if tree.size() != part.end_size {
            return Err(in_headers(format!(
                "ends after leaf {}, the manifest says {}: it was truncated",
                tree.size(),
                part.end_size
            )));
        }
        if tree.root() != part.end_root {
            return Err(in_headers(
                "does not lead to the root that the manifest names: a header was altered".to_owned(),
            ));
        }
        match bodies_left.next_seq().map_err(|problem| (bodies.to_owned(), problem))? {
            Some(seq) => Err((bodies.to_owned(), format!("tells of leaf {seq}, which has no header here"))),
            None => Ok(()),
        }
    }

    /// Whether a leaf was recorded well before the export was asked for. What a spool held was appended later all the same.
    fn is_earlier(&self, leaf: &Leaf<'_>) -> bool {
        let recorded_at = leaf.record.as_ref().map(|record| record.recorded_at.micros());
        let asked_at = self.asked_at.map(Timestamp::micros);
        recorded_at.zip(asked_at).is_some_and(|(recorded, asked)| recorded < asked - CLOCKS_APART_US_MAX)
    }

    /// Whether the tree has the roots that it must have at its size.
    fn hold(&mut self, tree: &Frontier, headers: &str) -> Result<(), (String, String)> {
        for mark in self.marks.get(&tree.size()).into_iter().flatten() {
            if mark.root == tree.root() {
                continue;
            }
            let size = tree.size();
            return Err(match &mark.kept {
                Some(name) => (
                    mark.file.clone(),
                    format!(
                        "is a second history: the checkpoint {name}, which was kept from earlier, signs another root for the first {size} leaves of partition {}",
                        self.part.partition
                    ),
                ),
                None => (
                    headers.to_owned(),
                    format!(
                        "its first {size} leaves do not lead to the root that {} signs: a header was altered, removed, added or moved",
                        mark.file
                    ),
                ),
            });
        }
        Ok(())
    }

    /// The leaves that repeats say they repeat.
    fn repeated(&self, bodies: &str) -> std::io::Result<Repeated> {
        let mut repeated = BTreeMap::new();
        let mut lines = Lines::open(&self.dir.join(bodies), BODY_BYTES_MAX)?;
        while let Some(line) = lines.next_line()? {
            if let Ok(BodyLine { of: Some(of), .. }) = serde_json::from_slice(line)
                && repeated.len() < REPEATED_MAX
            {
                repeated.insert(of, None);
            }
        }
        Ok(repeated)
    }

    /// What became of a leaf.
    fn account(
        &mut self,
        leaf: &Leaf<'_>,
        body: Option<BodyLine>,
        repeated: &Repeated,
        outcome: &mut Outcome,
    ) {
        let counts = &mut outcome.population;
        counts.in_range += 1;
        let is_in_scope = self.claim.admits(leaf);
        counts.in_scope += u64::from(is_in_scope);
        if self.claim.needs_tags() && leaf.record.is_some() && leaf.tags.scope.is_none() {
            outcome.untagged += 1;
        }
        let Some(body) = body else {
            if is_in_scope {
                self.name(leaf, "is in scope by its header, but it was left out: it is neither delivered nor accounted for");
            }
            return;
        };
        match body.not.as_deref() {
            None => {
                counts.delivered += 1;
                outcome.beyond += u64::from(!is_in_scope);
                self.count(leaf);
                let salt = body.salt.and_then(|salt| STANDARD.decode(salt).ok()).unwrap_or_default();
                self.compare(leaf, &salt);
            }
            Some("a repeat") => {
                counts.duplicates += 1;
                let first =
                    body.of.filter(|of| *of >= self.part.start_size).map(|of| (of, repeated.get(&of)));
                let own = leaf.record.as_ref().map(|record| (&*record.id, leaf.tags.scope));
                match first {
                    Some((of, _)) if of >= leaf.seq => {
                        self.name(
                            leaf,
                            "is said to repeat a leaf that does not stand before it: it was left out",
                        );
                    }
                    Some((_, Some(Some((id, scope, _))))) if own != Some((id.as_str(), *scope)) => {
                        self.name(leaf, "is said to repeat a leaf that is another record: it was left out");
                    }
                    Some((_, Some(Some((_, _, false))))) => {
                        self.name(leaf, "is said to repeat a leaf that is left out as a repeat itself");
                    }
                    Some((_, Some(Some(_)))) => {}
                    Some((_, Some(None))) => {
                        self.name(leaf, "is said to repeat a leaf that is no record: it was left out");
                    }
                    None if body.of.is_none() && self.has_every_leaf() => {
                        self.name(
                            leaf,
                            "is said to repeat a leaf, and not which one, though every leaf before it is here: it was left out",
                        );
                    }
                    Some((_, None)) | None => outcome.unproven_repeats += 1,
                }
            }
            Some("erased") => counts.erased += 1,
            Some("no valid record") => counts.undecodable += 1,
            Some("not asked for") => {
                counts.unmatched += 1;
                if self.claim.is_exact && is_in_scope {
                    self.name(leaf, "is asked for by its header, but it was left out as if it were not");
                }
            }
            Some(_) => self.name(leaf, "is left out for a reason that this release does not know"),
        }
    }

    /// Whether nothing comes before the leaves that are here: neither others of this tree, nor a former log.
    fn has_every_leaf(&self) -> bool {
        self.part.start_size == 0 && self.part.first_seq == 0
    }

    /// Adds a delivered record to the control totals.
    fn count(&mut self, leaf: &Leaf<'_>) {
        let Some(record) = &leaf.record else { return };
        let day: String = record.occurred_at.to_string().chars().take(10).collect();
        add(&mut self.totals.by_day, &day);
        add(&mut self.totals.by_action, &record.action);
        add(&mut self.totals.by_related_object_type, &record.related_object_type);
    }

    /// Compares the next record of the payload with the leaf that it should be.
    fn compare(&mut self, leaf: &Leaf<'_>, salt: &[u8]) {
        let Some(payload) = self.payload.as_mut() else { return };
        let wanted = leaf.record.as_ref().map_or("", |record| &record.id);
        let placed = match payload.next_record() {
            Ok(Some(placed)) => placed,
            Ok(None) => {
                *self.payload = None;
                return self.name(leaf, "is said to be delivered, but no record is left: rows were removed");
            }
            Err((file, error)) => {
                *self.payload = None;
                return self.report.find(file, format!("can't be read: {error}"));
            }
        };
        let Placed { bytes, file, line } = placed;
        if body_hash(Some(salt), Some(&bytes)) != leaf.body {
            let found = LeafRecord::read(&bytes);
            let is_same = found.as_ref().is_some_and(|found| found.id == wanted);
            let problem = match found {
                Some(_) if is_same => format!(
                    "line {line}: record {wanted} was altered: it is not the one that leaf {} of partition {} was made of",
                    leaf.seq, self.part.partition
                ),
                Some(found) => format!(
                    "line {line}: record {} stands where record {wanted} (leaf {} of partition {}) belongs: rows were removed, added or swapped",
                    found.id, leaf.seq, self.part.partition
                ),
                None => format!(
                    "line {line}: is not record {wanted}, of which leaf {} of partition {} was made",
                    leaf.seq, self.part.partition
                ),
            };
            self.report.find(file, problem);
            if !is_same {
                // Which record belongs to which leaf can't be told any more.
                *self.payload = None;
            }
            return;
        }
        if LeafRecord::read(&bytes) != leaf.record {
            return self.name(leaf, "says something else than the record that it was made of");
        }
        if self.claim.needs_tags()
            && let Ok(record) = AuditRecord::from_json(&bytes)
            && self.claim.tags_of(leaf, &record).is_some_and(|tags| tags != leaf.tags)
        {
            self.name(
                leaf,
                "bears other tags than its record has: it was filed under something that it does not concern",
            );
        }
    }

    fn name(&mut self, leaf: &Leaf<'_>, problem: &str) {
        let file = format!("data/proofs/{}/headers.ndjson", self.part.partition);
        let named = self.report.findings.iter().filter(|finding| finding.file == file).count();
        if named < NAMED_MAX {
            let id = leaf.record.as_ref().map_or("no record", |record| &record.id);
            self.report.find(file, format!("leaf {} ({id}) {problem}", leaf.seq));
        }
    }
}

/// The lines of `bodies.ndjson`, met leaf by leaf.
struct Bodies {
    lines: Lines,
    ahead: Option<BodyLine>,
}

impl Bodies {
    fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self { lines: Lines::open(path, BODY_BYTES_MAX)?, ahead: None })
    }

    /// Which leaf the next line is about.
    fn next_seq(&mut self) -> Result<Option<u64>, String> {
        if self.ahead.is_none() {
            let number = self.lines.number() + 1;
            let line = self.lines.next_line().map_err(|error| format!("can't be read: {error}"))?;
            let parsed = line.map(serde_json::from_slice).transpose();
            self.ahead = parsed.map_err(|error| format!("line {number} is not a leaf's: {error}"))?;
        }
        Ok(self.ahead.as_ref().map(|line| line.seq))
    }

    /// The line of a leaf, where it has one.
    fn of(&mut self, seq: u64) -> Result<Option<BodyLine>, String> {
        let next = self.next_seq()?;
        if next.is_some_and(|next| next < seq) {
            return Err(format!("its lines are not in the order of their leaves near leaf {seq}"));
        }
        Ok(if next == Some(seq) { self.ahead.take() } else { None })
    }
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}
