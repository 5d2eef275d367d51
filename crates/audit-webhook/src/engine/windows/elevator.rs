//! Who waits for which place on the log, and where it is read next: up the log, and past the last of those places from
//! the first again. One read at a time. What is asked for on the way up waits for the next one: who reads on and on, because
//! little of what is there is wanted, keeps nobody waiting who wants something further down.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use audit_journal::Offset;

use crate::endpoint::EndpointId;

#[derive(Debug, Default)]
pub(super) struct Elevator {
    wanted: BTreeMap<Offset, Wanted>,
    /// How often it has begun from the first place.
    way: u64,
    /// Where a read is under way.
    reading: Option<Offset>,
    /// Where the last read ended.
    at: Offset,
}

/// A place that is waited for.
#[derive(Debug)]
struct Wanted {
    /// On which way up it was first asked for.
    way: u64,
    who: BTreeSet<EndpointId>,
}

impl Elevator {
    /// `who` waits for what stands at `offset`.
    pub(super) fn want(&mut self, offset: Offset, who: &EndpointId) {
        let way = self.way;
        let wanted = self.wanted.entry(offset).or_insert_with(|| Wanted { way, who: BTreeSet::new() });
        wanted.who.insert(who.clone());
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
        let way = self.way;
        let ahead = self.wanted.range(self.at..).find(|(_, wanted)| wanted.way < way);
        self.reading = match ahead {
            Some((offset, _)) => Some(*offset),
            None => {
                self.way += 1;
                self.wanted.keys().next().copied()
            }
        };
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
        rest.into_values().flat_map(|wanted| wanted.who).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Elevator;
    use crate::endpoint::EndpointId;

    #[test]
    fn who_reads_on_and_on_keeps_nobody_waiting_who_wants_something_further_down() {
        let (picky, new) = (EndpointId::generate(), EndpointId::generate());
        let mut elevator = Elevator::default();
        elevator.want(100, &picky);
        assert_eq!(elevator.begin(), Some(100));
        elevator.end(Some(200));
        assert!(elevator.waited(&(100..200)).contains(&picky));
        // Nothing of it was wanted: it asks for what comes next, before the other is served.
        elevator.want(200, &picky);
        elevator.want(0, &new);
        assert_eq!(elevator.begin(), Some(0));
        elevator.end(Some(50));
        assert!(elevator.waited(&(0..50)).contains(&new));
        elevator.want(50, &new);
        assert_eq!(elevator.begin(), Some(200), "and the other way round");
    }
}
