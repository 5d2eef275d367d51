//! The lane against a model: whatever happens in whatever order, crashes and lost answers included, no
//! record is lost, nothing durably settled comes again, no retry comes early or is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use audit_journal::Offset;
use proptest::prelude::*;

use super::Lane;
use crate::document::Document;

const RECORDS: u64 = 40;

#[derive(Clone, Debug)]
enum Step {
    /// The tail brings this many records.
    Tail(u64),
    /// The next record that matches is sent.
    Begin,
    /// What is due is sent again.
    Retry,
    /// One of those in flight arrives, or fails and is due so much later.
    Arrives(usize),
    Fails(usize, i64),
    Time(i64),
    /// A commit with the watermark this far between its old place and the tail.
    Commit(f64, Fate),
    /// The process dies; with the number's bits those in flight arrive nevertheless, or not.
    Crash(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Persisted,
    NotPersisted,
    /// Persisted, but the process dies before it hears so.
    AnswerLost,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u64..6).prop_map(Step::Tail),
        6 => Just(Step::Begin),
        3 => Just(Step::Retry),
        4 => any::<usize>().prop_map(Step::Arrives),
        4 => (any::<usize>(), 1i64..50).prop_map(|(which, pause)| Step::Fails(which, pause)),
        3 => (1i64..40).prop_map(Step::Time),
        4 => (0.0..=1.0, prop_oneof![
            4 => Just(Fate::Persisted), 1 => Just(Fate::NotPersisted), 1 => Just(Fate::AnswerLost),
        ]).prop_map(|(place, fate)| Step::Commit(place, fate)),
        1 => any::<u64>().prop_map(Step::Crash),
    ]
}

struct World {
    matching: BTreeSet<Offset>,
    start: Offset,
    lane: Lane,
    tail: Offset,
    watermark: Offset,
    now: i64,
    in_flight: Vec<Offset>,
    arrived: BTreeMap<Offset, u32>,
    /// Before when the next attempt at an offset must not be made.
    not_before: BTreeMap<Offset, i64>,
    /// Attempts that have failed.
    failed: BTreeMap<Offset, u32>,
    /// What survives a crash.
    durable: (Offset, Option<Document>),
}

impl World {
    fn new(matching: BTreeSet<Offset>, start: Offset, watermark: Offset) -> Self {
        Self {
            matching,
            start,
            lane: Lane::load(None, 1, start, watermark),
            tail: watermark,
            watermark,
            now: 1_000,
            in_flight: Vec::new(),
            arrived: BTreeMap::new(),
            not_before: BTreeMap::new(),
            failed: BTreeMap::new(),
            durable: (watermark, None),
        }
    }

    fn wanted(&self) -> impl Iterator<Item = Offset> {
        self.matching.range(self.start..RECORDS).copied()
    }

    /// What no crash can bring back.
    fn settled_for_good(&self) -> BTreeSet<Offset> {
        let (watermark, Some(document)) = &self.durable else { return BTreeSet::new() };
        let end = document.cursor.unwrap_or(*watermark);
        let pending: BTreeSet<Offset> = document.pending.iter().map(|p| p.offset).collect();
        self.wanted().filter(|offset| *offset < end && !pending.contains(offset)).collect()
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Tail(count) => self.tail = (self.tail + count).min(RECORDS),
            Step::Begin => self.begin(),
            Step::Retry => self.retry(),
            Step::Arrives(which) => {
                if let Some(offset) = self.pick(which) {
                    *self.arrived.entry(offset).or_default() += 1;
                    self.lane.settle(offset, true);
                }
            }
            Step::Fails(which, pause) => {
                if let Some(offset) = self.pick(which) {
                    let due = self.now + pause;
                    self.lane.fail(offset, due, self.now);
                    self.not_before.insert(offset, due);
                    *self.failed.entry(offset).or_default() += 1;
                }
            }
            Step::Time(millis) => self.now += millis,
            Step::Commit(place, fate) => self.commit(place, fate),
            Step::Crash(arrivals) => self.crash(arrivals),
        }
        self.check();
    }

    fn begin(&mut self) {
        while self.lane.next() < self.tail {
            let offset = self.lane.next();
            if self.matching.contains(&offset) {
                assert!(!self.settled_for_good().contains(&offset), "{offset} was settled for good");
                self.lane.begin(offset, self.now);
                self.in_flight.push(offset);
                return;
            }
            self.lane.pass_to(offset + 1);
        }
    }

    fn retry(&mut self) {
        if let Some(offset) = self.lane.due(self.now) {
            assert!(!self.settled_for_good().contains(&offset), "{offset} was settled for good");
            assert!(self.now >= self.not_before.get(&offset).copied().unwrap_or(0), "{offset} came early");
            self.lane.begin_again(offset);
            self.in_flight.push(offset);
        }
    }

    fn pick(&mut self, which: usize) -> Option<Offset> {
        let count = self.in_flight.len();
        (count > 0).then(|| self.in_flight.swap_remove(which % count))
    }

    fn commit(&mut self, place: f64, fate: Fate) {
        let watermark = self.watermark + ((self.tail - self.watermark) as f64 * place) as u64;
        let document = self.lane.document(watermark, self.tail);
        let news = self.lane.is_news(&document);
        if self.lane.is_plain(watermark, self.tail) {
            assert!(!news, "what is plain is durable already");
        }
        if fate == Fate::NotPersisted {
            return;
        }
        let settled = self.settled_for_good();
        let attempts = self.durable.1.clone();
        self.durable.0 = watermark;
        if news {
            self.durable.1 = Some(document.clone());
        }
        assert!(self.settled_for_good().is_superset(&settled), "a commit forgot what was settled");
        for before in attempts.iter().flat_map(|document| &document.pending) {
            let after = document.pending.iter().find(|p| p.offset == before.offset);
            assert!(after.is_none_or(|after| after.attempt >= before.attempt), "a commit forgot an attempt");
        }
        match fate {
            Fate::AnswerLost => self.crash(self.now as u64),
            _ => {
                self.watermark = watermark;
                self.lane.committed(document);
            }
        }
    }

    fn crash(&mut self, arrivals: u64) {
        for (index, offset) in self.in_flight.drain(..).enumerate() {
            if arrivals >> (index % 64) & 1 == 1 {
                *self.arrived.entry(offset).or_default() += 1;
            }
        }
        let (watermark, document) = self.durable.clone();
        // What was never written down is unknown to whoever comes next.
        let pending = || document.iter().flat_map(|document| &document.pending);
        self.not_before = pending().map(|p| (p.offset, p.due)).collect();
        self.failed = pending().map(|p| (p.offset, p.attempt)).collect();
        self.lane = Lane::load(document, 1, self.start, watermark);
        (self.tail, self.watermark) = (watermark, watermark);
    }

    fn check(&self) {
        for offset in self.wanted() {
            let safe = self.arrived.contains_key(&offset)
                || self.lane.attempts(offset).is_some()
                || offset >= self.lane.next();
            assert!(safe, "{offset} is lost");
        }
        for (offset, failed) in &self.failed {
            let known = self.lane.attempts(*offset);
            assert!(
                known.is_none_or(|known| known == *failed),
                "{offset} failed {failed} times, not {known:?}"
            );
        }
        for offset in self.arrived.keys() {
            assert!(*offset >= self.start, "{offset} precedes the start");
        }
        for offset in self.settled_for_good() {
            assert!(self.arrived.contains_key(&offset), "{offset} counts as settled but never arrived");
        }
    }

    /// Everything goes well from here on.
    fn finish(&mut self) {
        self.tail = RECORDS;
        loop {
            self.begin();
            self.now += 100;
            self.retry();
            if self.in_flight.is_empty() {
                break;
            }
            while !self.in_flight.is_empty() {
                self.take(&Step::Arrives(0));
            }
        }
        for offset in self.wanted() {
            assert!(self.arrived.contains_key(&offset), "{offset} never arrived");
        }
        self.commit(1.0, Fate::Persisted);
        self.crash(0);
        self.retry();
        self.begin();
        assert!(self.in_flight.is_empty(), "after the last commit nothing is left");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_lost_repeated_after_its_commit_early_or_forgotten(
        matching in proptest::collection::btree_set(0..RECORDS, 0..RECORDS as usize),
        start in 0..RECORDS,
        watermark in 0..RECORDS,
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(matching, start, watermark);
        for step in &steps {
            world.take(step);
        }
        world.finish();
    }
}
