//! Which records concern a person: read one after another, so that none is missed for want of an index.

use std::ops::Range;

use audit_journal::Partition;
use serde_json::Value;

use super::evidence::{EvidenceError, TreeHead};
use super::reader::Reader;
use crate::erasure::ERASED_ACTION;

/// Most names of one person.
pub const SUBJECTS_MAX: usize = 16;

/// Messages read in one short session.
const CHUNK_ROWS: u64 = 2_000;

/// The ids, keys and e-mail addresses of one person; compared without regard to ASCII case.
#[derive(Clone, Debug)]
pub struct Subjects {
    /// In lower case.
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
}

impl Subjects {
    /// Of these names, which are not empty; of records of one source only, where one is named: ids mean something within
    /// a platform.
    pub fn new(names: &[String], source: Option<String>) -> Self {
        let names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let quoted = names.iter().map(|name| {
            let quoted = Value::String(name.clone()).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        });
        Self { quoted: quoted.collect(), names, source }
    }

    /// Whether a record names the person, and where: `Some(true)` where it concerns him.
    fn judge(&self, json: &str) -> Option<bool> {
        let lower = json.to_ascii_lowercase();
        if !self.quoted.iter().any(|name| lower.contains(name.as_str())) {
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
        ["id", "email", "key", "uuid", "name"].into_iter().any(|field| {
            who[field]
                .as_str()
                .is_some_and(|text| self.names.iter().any(|name| name.eq_ignore_ascii_case(text)))
        })
    }
}

impl Reader {
    /// What of every tree of a partition concerns a person; those whose bodies were erased already aside. Reads every
    /// record, in short sessions; `go_on` is asked between them.
    pub fn concerning(
        &self,
        partition: Partition,
        subjects: &Subjects,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Option<Vec<Concerned>>, EvidenceError> {
        let mut found = Vec::new();
        let trees = self.trees(partition)?;
        let ends: Vec<u64> = trees.iter().map(|tree| tree.first_seq + tree.size).collect();
        for (tree, end) in trees.into_iter().zip(ends) {
            let mut concerned = Concerned { leaves: Vec::new(), mentions: Vec::new(), tree };
            let mut next = concerned.tree.first_seq;
            while next < end {
                if !go_on() {
                    return Ok(None);
                }
                next = self.look(partition, subjects, next..end, &mut concerned)?;
            }
            if !concerned.leaves.is_empty() || !concerned.mentions.is_empty() {
                found.push(concerned);
            }
        }
        Ok(Some(found))
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
                "SELECT seq, json, raw FROM record WHERE seq >= ?1 AND seq < ?2 AND erased_by IS NULL ORDER BY seq LIMIT ?3",
            )?;
            let mut rows = select.query((range.start, range.end, CHUNK_ROWS))?;
            let (mut seen, mut next) = (0, range.end);
            while let Some(row) = rows.next()? {
                let seq: u64 = row.get(0)?;
                let judged = match (row.get_ref(1)?.as_str_or_null()?, row.get_ref(2)?.as_bytes_or_null()?) {
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
                if seen == CHUNK_ROWS {
                    next = seq + 1;
                }
            }
            Ok(next)
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
        let subjects = Subjects::new(&["Ada@Example.com".to_owned(), "u-7".to_owned()], None);
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
