//! Which records concern a person: read one after another, so that none is missed for want of an index. A large archive is
//! read piece by piece.

use std::ops::Range;

use audit_journal::Partition;
use audit_proof::{NodeHash, fold_case};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::evidence::{EvidenceError, TreeHead};
use super::reader::Reader;
use super::status::PartitionEnd;
use crate::erasure::ERASED_ACTION;

/// Most names of one person.
pub const SUBJECTS_MAX: usize = 16;

/// Messages read in one short session.
const CHUNK_ROWS: u64 = 2_000;

/// Bytes after which one is left for another: messages may be large, and a session has its time.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// The ids, keys and e-mail addresses of one person; compared without regard to case.
#[derive(Clone, Debug)]
pub struct Subjects {
    /// With their case folded.
    names: Vec<String>,
    /// The same as they stand within JSON.
    quoted: Vec<String>,
    source: Option<String>,
}

/// What of one tree concerns a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerned {
    /// The tree, as it was when it was read.
    pub tree: TreeHead,
    /// The leaves, as runs in rising order: records that name the person as who acted, who was granted or lost access,
    /// who approved, or whom a flag or an account is about; repeats of those records too.
    pub leaves: Vec<Range<u64>>,
    /// Records that say the name somewhere else only: in a sentence, a reason, an attribute.
    pub mentions: Vec<Range<u64>>,
}

impl Concerned {
    /// How many leaves some runs have.
    pub fn count(runs: &[Range<u64>]) -> u64 {
        runs.iter().map(|run| run.end - run.start).sum()
    }

    fn is_empty(&self) -> bool {
        self.leaves.is_empty() && self.mentions.is_empty()
    }
}

/// Where the reading was left off: before a leaf of a tree. The tree is told by its root, so it means the same in every
/// archive that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOff {
    /// The partition; those before it were read.
    pub partition: Partition,
    /// How many leaves the tree had …
    pub size: u64,
    /// … and its root then.
    pub root: NodeHash,
    /// The first leaf that was not read; trees before this one were.
    pub leaf: u64,
}

/// What was read, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What was found, by partition.
    pub found: Vec<Concerned>,
    /// Where to go on; `None` where everything was read.
    pub left_off: Option<LeftOff>,
}

impl Subjects {
    /// Of these names, which are not empty; of records of one source only, where one is named: ids mean something within
    /// a platform.
    pub fn new(names: &[String], source: Option<String>) -> Self {
        let names: Vec<String> = names.iter().map(|name| fold_case(name)).collect();
        let quoted = names.iter().map(|name| {
            let quoted = Value::String(name.clone()).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        });
        Self { quoted: quoted.collect(), names, source }
    }

    /// Whether a record names the person, and where: `Some(true)` where it concerns him.
    fn judge(&self, json: &str) -> Option<bool> {
        let folded = fold_case(json);
        if !self.quoted.iter().any(|name| folded.contains(name.as_str())) {
            return None;
        }
        let Ok(record) = serde_json::from_str::<Value>(json) else { return Some(false) };
        if self.source.as_ref().is_some_and(|source| record["source"]["name"] != **source) {
            return None;
        }
        // That there was an erasure stays.
        if record["action"] == ERASED_ACTION {
            return None;
        }
        let is_identity = record["target"]["type"] == "identity";
        let is_user = record["related_object_type"] == "USER";
        let named = [
            (true, &record["author"]),
            (true, &record["access"]["subject"]),
            (is_identity, &record["target"]),
            (is_user, &record["related_object"]),
        ];
        let approvers = record["approval"]["approvers"].as_array().into_iter().flatten();
        let mut persons = named.iter().filter(|(counts, _)| *counts).map(|(_, who)| *who).chain(approvers);
        Some(persons.any(|who| self.is(who)))
    }

    fn is(&self, who: &Value) -> bool {
        ["id", "email", "key", "uuid", "name"]
            .into_iter()
            .any(|field| who[field].as_str().map(fold_case).is_some_and(|text| self.names.contains(&text)))
    }
}

impl Reader {
    /// What of every tree of every partition concerns a person; those whose bodies were erased already aside. Reads every
    /// record, in short sessions, from where it was left off before. `is_enough` is asked between them, of what was found
    /// so far: then it is left off there, but never before anything was read. A tree that it is left off in is read up to
    /// where it was when its reading began, whatever came since. `None` where this archive has no such tree.
    pub fn concerning(
        &self,
        subjects: &Subjects,
        from: Option<&LeftOff>,
        mut is_enough: impl FnMut(&[Concerned]) -> bool,
    ) -> Result<Option<Looked>, EvidenceError> {
        let mut found: Vec<Concerned> = Vec::new();
        let mut has_read = false;
        let ends = self.ends()?;
        if from.is_some_and(|from| ends.iter().all(|end| end.partition != from.partition)) {
            return Ok(None);
        }
        for PartitionEnd { partition, .. } in ends {
            if from.is_some_and(|from| partition < from.partition) {
                continue;
            }
            let mut trees = self.trees(partition)?;
            let mut leaf = 0;
            if let Some(from) = from.filter(|from| from.partition == partition) {
                let Some(at) = self.tree_left_off(&trees, from)? else { return Ok(None) };
                trees.drain(..at);
                if let Some(tree) = trees.first_mut() {
                    (tree.size, tree.root) = (from.size, from.root);
                }
                leaf = from.leaf.min(from.size);
            }
            for tree in trees {
                let (first_seq, size, root) = (tree.first_seq, tree.size, tree.root);
                let at_hand = found.len();
                found.push(Concerned { tree, leaves: Vec::new(), mentions: Vec::new() });
                let mut next = first_seq + std::mem::take(&mut leaf);
                while next < first_seq + size {
                    if has_read && is_enough(&found) {
                        let left_off = Some(LeftOff { partition, size, root, leaf: next - first_seq });
                        found.retain(|concerned| !concerned.is_empty());
                        return Ok(Some(Looked { found, left_off }));
                    }
                    next = self.look(partition, subjects, next..first_seq + size, &mut found[at_hand])?;
                    has_read = true;
                }
            }
        }
        found.retain(|concerned| !concerned.is_empty());
        Ok(Some(Looked { found, left_off: None }))
    }

    /// Which of a partition's trees it is that the reading was left off in.
    fn tree_left_off(&self, trees: &[TreeHead], from: &LeftOff) -> Result<Option<usize>, EvidenceError> {
        for (at, tree) in trees.iter().enumerate().rev() {
            match self.root_of(from.partition, tree.first_seq, from.size) {
                Ok(root) if root == from.root => return Ok(Some(at)),
                Ok(_) | Err(EvidenceError::NotInTree { .. } | EvidenceError::Hole { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Looks at the next messages; returns where to go on.
    fn look(
        &self,
        partition: Partition,
        subjects: &Subjects,
        range: Range<u64>,
        found: &mut Concerned,
    ) -> Result<u64, EvidenceError> {
        let session = self.pool.session(Some(partition))?;
        let file = session.files.first().ok_or(EvidenceError::NoSuchPartition(partition))?;
        let first_seq = found.tree.first_seq;
        let mut read = || -> rusqlite::Result<u64> {
            let mut select = file.conn.prepare_cached(
                "SELECT seq, json, raw FROM record WHERE seq >= ?1 AND seq < ?2 ORDER BY seq LIMIT ?3",
            )?;
            let mut rows = select.query((range.start, range.end, CHUNK_ROWS))?;
            let (mut seen, mut bytes) = (0, 0);
            while let Some(row) = rows.next()? {
                let seq: u64 = row.get(0)?;
                let (json, raw) = (row.get_ref(1)?.as_str_or_null()?, row.get_ref(2)?.as_bytes_or_null()?);
                // One that was erased has neither.
                let judged = match (json, raw) {
                    (Some(json), _) => subjects.judge(json),
                    // What is no record concerns nobody, but may say the name.
                    (None, Some(raw)) => subjects.judge(&String::from_utf8_lossy(raw)).map(|_| false),
                    (None, None) => None,
                };
                match judged {
                    Some(true) => push(&mut found.leaves, seq - first_seq),
                    Some(false) => push(&mut found.mentions, seq - first_seq),
                    None => {}
                }
                seen += 1;
                bytes += json.map_or(0, str::len) + raw.map_or(0, <[u8]>::len);
                if seen == CHUNK_ROWS || bytes >= CHUNK_BYTES {
                    return Ok(seq + 1);
                }
            }
            Ok(range.end)
        };
        Ok(read().map_err(|error| file.error(error))?)
    }
}

/// Adds an index behind the others.
fn push(runs: &mut Vec<Range<u64>>, index: u64) {
    match runs.last_mut() {
        Some(last) if last.end == index => last.end += 1,
        _ => runs.push(index..index + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::{Subjects, push};

    #[test]
    fn whom_a_record_concerns_is_told_from_whom_it_mentions() {
        let names = ["Ada@Example.com", "u-7", "Ärztin@Example.com", "Αλεξης"].map(str::to_owned);
        let subjects = Subjects::new(&names, None);
        for (record, judged) in [
            (r#"{"author":{"type":"user","email":"ada@example.com"}}"#, Some(true)),
            (r#"{"author":{"type":"user","id":"u-7"}}"#, Some(true)),
            (r#"{"author":{"id":"8"},"access":{"subject":{"email":"ADA@EXAMPLE.COM"}}}"#, Some(true)),
            (r#"{"author":{"id":"8"},"target":{"type":"identity","key":"u-7"}}"#, Some(true)),
            (r#"{"author":{"id":"8"},"target":{"type":"environment","key":"u-7"}}"#, Some(false)),
            (
                r#"{"author":{"id":"8"},"related_object_type":"USER","related_object":{"id":"u-7"}}"#,
                Some(true),
            ),
            (
                r#"{"author":{"id":"8"},"related_object_type":"FEATURE","related_object":{"id":"u-7"}}"#,
                Some(false),
            ),
            (r#"{"author":{"id":"8"},"approval":{"approvers":[{"id":"9"},{"id":"u-7"}]}}"#, Some(true)),
            (r#"{"author":{"id":"8"},"log":"asked by ada@example.com"}"#, Some(false)),
            (r#"{"author":{"email":"ÄRZTIN@example.com"}}"#, Some(true)),
            (r#"{"author":{"name":"ΑΛΕΞΗΣ"}}"#, Some(true)),
            (r#"{"author":{"id":"8"},"log":"asked by äRZTIN@Example.com"}"#, Some(false)),
            (r#"{"author":{"id":"u-77"}}"#, Some(false)),
            (r#"{"author":{"id":"8"}}"#, None),
            (r#"{"action":"flagtrail.erased","author":{"id":"u-7"}}"#, None),
        ] {
            assert_eq!(subjects.judge(record), judged, "{record}");
        }
        let elsewhere = Subjects::new(&["u-7".to_owned()], Some("shop".to_owned()));
        assert_eq!(elsewhere.judge(r#"{"author":{"id":"u-7"},"source":{"name":"main"}}"#), None);
        assert_eq!(elsewhere.judge(r#"{"author":{"id":"u-7"},"source":{"name":"shop"}}"#), Some(true));
    }

    #[test]
    fn neighbours_are_one_run() {
        let mut runs = Vec::new();
        [1, 2, 5, 6, 7, 9].into_iter().for_each(|index| push(&mut runs, index));
        assert_eq!(runs, [1..3, 5..8, 9..10]);
    }
}
