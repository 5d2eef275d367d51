//! The last record settled of each project, of ordered endpoints: what the next one names as its predecessor.

use std::collections::{BTreeMap, VecDeque};

use audit_journal::Offset;

use super::track::Key;
use crate::document::Last;

/// Most projects that are remembered in a document: those settled last. The next record of another names no
/// predecessor.
pub(crate) const LAST_MAX: usize = 128;

/// Offsets settled, by project, in order: the last before what may come again, and all of that.
#[derive(Clone, Debug, Default)]
pub(super) struct LastSettled(BTreeMap<Key, VecDeque<Offset>>);

impl LastSettled {
    pub(super) fn load(last: &[Last]) -> Self {
        let entry = |last: &Last| (Key::copy_from_slice(last.key.as_bytes()), VecDeque::from([last.offset]));
        Self(last.iter().map(entry).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn before(&self, key: &Key, offset: Offset) -> Option<Offset> {
        self.0.get(key)?.iter().rev().find(|settled| **settled < offset).copied()
    }

    pub(super) fn settled(&mut self, key: Key, offset: Offset) {
        self.0.entry(key).or_default().push_back(offset);
    }

    /// As it is written down when everything from `end` on comes again.
    pub(super) fn parts(&self, end: Offset) -> Vec<Last> {
        let last = |(key, settled): (&Key, &VecDeque<Offset>)| {
            let offset = settled.iter().rev().find(|settled| **settled < end).copied()?;
            Some(Last { key: String::from_utf8_lossy(key).into_owned(), offset })
        };
        let mut parts: Vec<Last> = self.0.iter().filter_map(last).collect();
        if parts.len() > LAST_MAX {
            parts.sort_unstable_by_key(|last| std::cmp::Reverse(last.offset));
            parts.truncate(LAST_MAX);
            parts.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        }
        parts
    }

    /// Nothing before `end` comes again: of that only the last of each project counts, and of the projects
    /// only so many.
    pub(super) fn forget_before(&mut self, end: Offset) {
        for settled in self.0.values_mut() {
            let before = settled.partition_point(|offset| *offset < end);
            settled.drain(..before.saturating_sub(1));
        }
        if self.0.len() > 2 * LAST_MAX {
            let mut newest: Vec<Offset> = self.0.values().filter_map(|s| s.back().copied()).collect();
            newest.sort_unstable_by_key(|offset| std::cmp::Reverse(*offset));
            let least = newest.get(LAST_MAX).copied().unwrap_or(0).min(end);
            self.0.retain(|_, settled| settled.back().is_some_and(|offset| *offset >= least));
        }
    }
}
