//! The state machine of one (endpoint, partition): a cursor, and what before it is not settled.
//!
//! Pure: no I/O, no clock, no knowledge of the tail but its two ends. Time comes in as milliseconds.

use std::collections::{BTreeMap, BTreeSet};

use audit_journal::Offset;

use crate::document::{Document, Pending};

/// Most deliveries of one lane that are not settled. At the bound the cursor waits.
pub(crate) const PENDING_MAX: usize = 10_000;

/// One endpoint in one partition.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// The first offset not yet looked at.
    next: Offset,
    /// Deliveries before `next` that are not settled.
    open: BTreeMap<Offset, Open>,
    /// Those of them that wait, by when.
    waiting: BTreeSet<(i64, Offset)>,
    /// Nothing before it may come again: where the lane began, or where its document puts it.
    floor: Offset,
    /// What stands in the document besides: fields that this release only keeps.
    base: Document,
    /// The document as it was last committed.
    durable: Option<Document>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    /// Failed attempts.
    attempt: u32,
    /// When it is, or was, to be tried.
    due: i64,
    in_flight: bool,
}

impl Lane {
    /// A lane as its document tells, or at `start` where there is none or an older one. `watermark` is
    /// where the partition goes on. What was in flight when the document was written is due at once: this
    /// is the one road for start, rebalance and crash.
    pub(crate) fn load(found: Option<Document>, incarnation: u64, start: Offset, watermark: Offset) -> Self {
        match found {
            Some(document) if document.incarnation >= incarnation => {
                let mut lane = Self::begin_at(document.cursor.unwrap_or(watermark), document.incarnation);
                for &Pending { offset, attempt, due } in &document.pending {
                    lane.open.insert(offset, Open { attempt, due, in_flight: false });
                    lane.waiting.insert((due, offset));
                }
                lane.base = Document {
                    v: Document::level(0).v,
                    cursor: None,
                    pending: Vec::new(),
                    ..document.clone()
                };
                lane.durable = Some(document);
                lane
            }
            _ => Self::begin_at(start, incarnation),
        }
    }

    fn begin_at(next: Offset, incarnation: u64) -> Self {
        Self {
            next,
            floor: next,
            open: BTreeMap::new(),
            waiting: BTreeSet::new(),
            base: Document::level(incarnation),
            durable: None,
        }
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.base.incarnation
    }

    /// The first offset not yet looked at.
    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    /// How many deliveries are not settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.open.len()
    }

    /// How many deliveries wait to be tried again.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether another delivery may be begun.
    pub(crate) fn has_room(&self) -> bool {
        self.open.len() < PENDING_MAX
    }

    /// Everything before `next` is looked at: what was passed did not match, or is not there.
    pub(crate) fn pass_to(&mut self, next: Offset) {
        self.next = self.next.max(next);
    }

    /// The record at `offset` matches, and its first attempt begins.
    pub(crate) fn begin(&mut self, offset: Offset, now_ms: i64) {
        debug_assert!(offset >= self.next, "a record is begun once");
        self.open.insert(offset, Open { attempt: 0, due: now_ms, in_flight: true });
        self.next = offset + 1;
    }

    /// The delivery that is due longest, if one is.
    pub(crate) fn due(&self, now_ms: i64) -> Option<Offset> {
        self.waiting.first().filter(|(due, _)| *due <= now_ms).map(|(_, offset)| *offset)
    }

    /// When the next delivery is due.
    pub(crate) fn earliest_due(&self) -> Option<i64> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// Another attempt at `offset` begins. Returns how many have failed.
    pub(crate) fn begin_again(&mut self, offset: Offset) -> u32 {
        let Some(open) = self.open.get_mut(&offset) else { return 0 };
        self.waiting.remove(&(open.due, offset));
        open.in_flight = true;
        open.attempt
    }

    /// How many attempts at `offset` have failed; `None` where it is settled.
    pub(crate) fn attempts(&self, offset: Offset) -> Option<u32> {
        self.open.get(&offset).map(|open| open.attempt)
    }

    /// The delivery is settled: it arrived, or was given up.
    pub(crate) fn settle(&mut self, offset: Offset, delivered: bool) {
        if let Some(open) = self.open.remove(&offset) {
            self.waiting.remove(&(open.due, offset));
        }
        if delivered {
            self.base.first_failure_at = None;
        }
    }

    /// The attempt failed; the next is due at `due`.
    pub(crate) fn fail(&mut self, offset: Offset, due: i64, now_ms: i64) {
        self.base.first_failure_at.get_or_insert(now_ms);
        if let Some(open) = self.open.get_mut(&offset) {
            open.attempt += 1;
        }
        self.postpone(offset, due);
    }

    /// No attempt was made after all; the delivery is due at `due`.
    pub(crate) fn postpone(&mut self, offset: Offset, due: i64) {
        if let Some(open) = self.open.get_mut(&offset) {
            self.waiting.remove(&(open.due, offset));
            open.due = due;
            open.in_flight = false;
            self.waiting.insert((due, offset));
        }
    }

    /// The first offset that keeps the watermark back: what is not settled and stands in no document.
    /// Deliveries before `watermark` stand in the document already.
    pub(crate) fn unsettled_from(&self, watermark: Offset) -> Offset {
        self.open.range(watermark..).next().map_or(self.next, |(offset, _)| (*offset).min(self.next))
    }

    /// Whether a document holds what is not settled anyway, so that the watermark need not wait for it.
    pub(crate) fn speaks_for_itself(&self) -> bool {
        self.durable.as_ref().is_none_or(|durable| durable.cursor.is_some() || !durable.pending.is_empty())
    }

    /// The document that belongs to a watermark, where `tail` is the end of what the partition's tail has
    /// brought. If the process dies after it is committed, [`Lane::load`] goes on from exactly this:
    /// everything before the watermark that is not settled is pending or not before the cursor.
    pub(crate) fn document(&self, watermark: Offset, tail: Offset) -> Document {
        let rides_tail = (watermark..=tail).contains(&self.next) && watermark >= self.floor;
        // Riding the tail, what lies past the watermark comes again from there; otherwise nothing does.
        let end = if rides_tail { watermark } else { Offset::MAX };
        let pending = self.open.range(..end);
        Document {
            cursor: (!rides_tail).then_some(self.next),
            pending: pending
                .map(|(&offset, open)| Pending { offset, attempt: open.attempt, due: open.due })
                .collect(),
            ..self.base.clone()
        }
    }

    /// Whether [`Lane::document`] is surely what is durable already, told without making it.
    pub(crate) fn is_plain(&self, watermark: Offset, tail: Offset) -> bool {
        self.open.is_empty()
            && (watermark..=tail).contains(&self.next)
            && self.durable.as_ref() == Some(&self.base)
    }

    /// Whether `document` differs from what is durable.
    pub(crate) fn is_news(&self, document: &Document) -> bool {
        self.durable.as_ref() != Some(document)
    }

    /// `document` is durable now.
    pub(crate) fn committed(&mut self, document: Document) {
        self.floor = document.cursor.unwrap_or(self.floor);
        self.durable = Some(document);
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::{Lane, PENDING_MAX};

    #[test]
    fn a_missing_or_older_document_means_the_start_never_settled() {
        assert_eq!(Lane::load(None, 1, 7, 20).next(), 7);
        let older = Lane::load(None, 1, 7, 20).document(20, 20);
        assert_eq!(older.cursor, Some(7));
        assert_eq!(Lane::load(Some(older), 2, 30, 20).next(), 30);
    }

    #[test]
    fn a_lane_that_rides_the_tail_goes_on_at_the_watermark() {
        let mut lane = Lane::load(None, 1, 10, 10);
        lane.pass_to(15);
        let document = lane.document(12, 15);
        assert_eq!(document.cursor, None);
        assert_eq!(Lane::load(Some(document), 1, 10, 12).next(), 12);
    }

    #[test]
    fn what_precedes_the_start_never_comes_although_the_watermark_is_before_it() {
        let mut lane = Lane::load(None, 1, 10, 5);
        lane.pass_to(11);
        let document = lane.document(6, 12);
        assert_eq!(document.cursor, Some(11), "the watermark is before the start");
        assert_eq!(Lane::load(Some(document), 1, 10, 6).next(), 11);
    }

    #[test]
    fn a_delivery_that_the_watermark_passes_is_pending_and_one_behind_it_is_not() {
        let mut lane = Lane::load(None, 1, 0, 0);
        lane.begin(0, 1_000);
        lane.begin(1, 1_001);
        let document = lane.document(1, 2);
        assert_eq!(document.pending.iter().map(|p| (p.offset, p.attempt)).collect::<Vec<_>>(), [(0, 0)]);
        assert_eq!(document.cursor, None);
    }

    #[test]
    fn at_the_cap_the_cursor_waits_and_the_document_names_it() {
        let mut lane = Lane::load(None, 1, 0, 0);
        for offset in 0..PENDING_MAX as u64 {
            assert!(lane.has_room());
            lane.begin(offset, 0);
            lane.fail(offset, 60_000, 0);
        }
        assert!(!lane.has_room());
        let tail = PENDING_MAX as u64 + 500;
        let document = lane.document(tail, tail);
        assert_eq!(document.cursor, Some(PENDING_MAX as u64));
        assert_eq!(document.pending.len(), PENDING_MAX);
    }

    #[test]
    fn the_first_failure_since_the_last_success_is_kept() {
        let mut lane = Lane::load(None, 1, 0, 0);
        for (offset, now) in [(0, 5), (1, 9)] {
            lane.begin(offset, now);
            lane.fail(offset, now + 100, now);
        }
        assert_eq!(lane.document(2, 2).first_failure_at, Some(5));
        lane.begin_again(0);
        lane.settle(0, true);
        assert_eq!(lane.document(2, 2).first_failure_at, None);
    }
}
