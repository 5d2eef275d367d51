//! Who waits for which place on the log, and where it is read next: up the log, and past the last of those places from
//! the first again. One read at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use audit_journal::Offset;

use crate::endpoint::EndpointId;

#[derive(Debug, Default)]
pub(super) struct Elevator {
    wanted: BTreeMap<Offset, BTreeSet<EndpointId>>,
    /// Where a read is under way.
    reading: Option<Offset>,
    /// Where the last read ended.
    at: Offset,
}

impl Elevator {
    /// `who` waits for what stands at `offset`.
    pub(super) fn want(&mut self, offset: Offset, who: &EndpointId) {
        self.wanted.entry(offset).or_default().insert(who.clone());
    }

    /// Whether anything is waited for.
    pub(super) fn is_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether nothing is waited for or read.
    pub(super) fn is_idle(&self) -> bool {
        self.wanted.is_empty() && self.reading.is_none()
    }

    /// Where to read next, if anything is to be read. The read is under way from here on.
    pub(super) fn begin(&mut self) -> Option<Offset> {
        if self.reading.is_some() {
            return None;
        }
        let ahead = self.wanted.range(self.at..).next().or_else(|| self.wanted.iter().next());
        self.reading = ahead.map(|(offset, _)| *offset);
        self.reading
    }

    /// The read that was under way has ended: at `next`, or without bringing anything.
    pub(super) fn end(&mut self, next: Option<Offset>) {
        self.reading = None;
        self.at = next.unwrap_or(self.at);
    }

    /// Who waited for what stands in a range, which is at hand now.
    pub(super) fn waited(&mut self, range: &Range<Offset>) -> BTreeSet<EndpointId> {
        let mut rest = self.wanted.split_off(&range.start);
        let mut after = rest.split_off(&range.end);
        self.wanted.append(&mut after);
        rest.into_values().flatten().collect()
    }
}
