//! The lanes of one partition against a model: whatever happens in whatever order to endpoints of every kind,
//! crashes, lost answers and rebalances included, no record is lost, no project loses its order, nothing
//! durably settled comes again, no retry comes early or is forgotten, a replay is made once. When it fails,
//! proptest prints the shortest history that does, and its seed, which it replays first from then on.

use std::collections::{BTreeMap, BTreeSet};

use audit_journal::Offset;
use proptest::prelude::*;

use super::{Hold, Key, Lane, Life, TrackId};
use crate::document::Document;

const RECORDS: u64 = 40;
const ENDPOINTS: usize = 3;
const PROJECTS: u8 = 3;
const FLAGS: u8 = 2;

/// How long a burst lasts.
const WINDOW_MS: i64 = 30;

/// In so many rounds, each of which begins a delivery to each endpoint, everything is delivered.
const ROUNDS_MAX: u32 = 2_000;

/// Where every record's replay goes through: the whole log as it is then, in two runs.
const HOLE: Offset = 3;

#[derive(Clone, Debug)]
enum Step {
    /// The tail brings this many records.
    Tail(u64),
    /// An endpoint begins what it may: the next record, or what is due.
    Go(usize),
    /// A delivery of a replay begins.
    GoReplay(usize),
    /// One of those in flight arrives, or fails and is due so much later.
    Arrives(usize),
    Fails(usize, i64),
    Time(i64),
    /// Everything up to now is asked to be delivered again to an endpoint.
    Replay(usize),
    /// A commit with the watermark this far between its old place and the tail.
    Commit(f64, Fate),
    /// The partition is given up in good order: what is in flight has ended, and is committed.
    HandOver,
    /// The owner dies; with the number's bits those in flight arrive nevertheless, or not.
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
    let endpoint = 0..ENDPOINTS;
    prop_oneof![
        3 => (1u64..6).prop_map(Step::Tail),
        9 => endpoint.clone().prop_map(Step::Go),
        2 => endpoint.clone().prop_map(Step::GoReplay),
        5 => any::<usize>().prop_map(Step::Arrives),
        4 => (any::<usize>(), 1i64..50).prop_map(|(which, pause)| Step::Fails(which, pause)),
        3 => (1i64..40).prop_map(Step::Time),
        1 => endpoint.prop_map(Step::Replay),
        4 => (0.0..=1.0, prop_oneof![
            4 => Just(Fate::Persisted), 1 => Just(Fate::NotPersisted), 1 => Just(Fate::AnswerLost),
        ]).prop_map(|(place, fate)| Step::Commit(place, fate)),
        1 => Just(Step::HandOver),
        1 => any::<u64>().prop_map(Step::Crash),
    ]
}

/// A record: its project, its flag, and which endpoints want it.
type Rec = (u8, u8, [bool; ENDPOINTS]);

#[derive(Clone, Copy, Debug)]
struct Kind {
    ordered: bool,
    collapses: bool,
    start: Offset,
}

fn kind() -> impl Strategy<Value = Kind> {
    (any::<bool>(), any::<bool>(), 0..RECORDS).prop_map(|(ordered, collapses, start)| Kind {
        ordered,
        collapses,
        start,
    })
}

/// One endpoint, and what the model knows of it.
struct Subject {
    index: usize,
    kind: Kind,
    lane: Lane,
    orders: Vec<(u64, Option<(Offset, Offset)>)>,
    arrived: BTreeMap<Offset, u32>,
    replayed: BTreeMap<(u64, Offset), u32>,
    /// Before when the next attempt must not be made.
    not_before: BTreeMap<(TrackId, Offset), i64>,
    /// Attempts that have failed.
    failed: BTreeMap<(TrackId, Offset), u32>,
    durable: Option<Document>,
}

struct World {
    records: Vec<Rec>,
    subjects: Vec<Subject>,
    tail: Offset,
    watermark: Offset,
    durable_watermark: Offset,
    now: i64,
    in_flight: Vec<(usize, TrackId, Offset)>,
    lives: u32,
}

impl Subject {
    fn life(&self) -> Life {
        Life { incarnation: 1, epoch: 0, start: self.kind.start }
    }

    fn wants(&self, records: &[Rec], offset: Offset) -> bool {
        records[offset as usize].2[self.index]
    }

    fn wanted(&self, records: &[Rec]) -> Vec<Offset> {
        (self.kind.start..RECORDS).filter(|offset| self.wants(records, *offset)).collect()
    }

    /// Whether the record is told of: it arrived, or a newer one of its burst did.
    fn is_told(&self, records: &[Rec], offset: Offset) -> bool {
        let thing = |offset: Offset| (records[offset as usize].0, records[offset as usize].1);
        self.arrived.contains_key(&offset)
            || (self.kind.collapses
                && self.arrived.range(offset..).any(|(newer, _)| thing(*newer) == thing(offset)))
    }

    fn hold(&self, records: &[Rec], offset: Offset, now: i64) -> Hold {
        let (project, flag, _) = records[offset as usize];
        Hold {
            key: self.kind.ordered.then(|| Key::from(vec![b'a' + project])),
            burst: self.kind.collapses.then(|| format!("{project}/{flag}").into()),
            due: if self.kind.collapses { now + WINDOW_MS } else { now },
        }
    }

    /// What the engine does with a lane's records before it begins anything.
    fn look(&mut self, records: &[Rec], tail: Offset, now: i64) {
        if !self.kind.ordered && !self.kind.collapses {
            return;
        }
        while self.lane.log().next() < tail && self.lane.log().has_room() {
            let offset = self.lane.log().next();
            if self.wants(records, offset) {
                let hold = self.hold(records, offset, now);
                self.lane.log_mut().hold(offset, hold);
            } else {
                self.lane.log_mut().pass_to(offset + 1);
            }
        }
        for (from, key) in self.lane.log().walks() {
            let next = self.lane.log().next();
            for offset in from..next {
                let ours = key[0] - b'a' == records[offset as usize].0;
                if ours && self.wants(records, offset) {
                    let hold = Hold { burst: None, key: Some(key.clone()), due: now };
                    if !self.lane.log_mut().found(offset, hold) {
                        break;
                    }
                }
            }
            // The model's projects are small: a walk ends at the cursor.
            self.lane.log_mut().walked(&key, next);
        }
    }

    fn next_plain(&mut self, records: &[Rec], tail: Offset) -> Option<Offset> {
        if self.kind.ordered || self.kind.collapses {
            return None;
        }
        while self.lane.log().next() < tail {
            let offset = self.lane.log().next();
            if self.wants(records, offset) {
                return Some(offset);
            }
            self.lane.log_mut().pass_to(offset + 1);
        }
        None
    }

    /// What no crash can bring back to the endpoint.
    fn settled_for_good(&self, records: &[Rec], watermark: Offset) -> BTreeSet<Offset> {
        let Some(document) = &self.durable else { return BTreeSet::new() };
        let end = document.cursor.unwrap_or(watermark);
        let pending: BTreeSet<Offset> = document.pending.iter().map(|p| p.offset).collect();
        let blocked = |offset: Offset| {
            let project = String::from((b'a' + records[offset as usize].0) as char);
            document.blocked.iter().any(|b| b.key == project && offset >= b.from)
        };
        let wanted = self.wanted(records).into_iter();
        wanted.filter(|o| *o < end && !pending.contains(o) && !blocked(*o)).collect()
    }

    /// An attempt of the log's cursor begins.
    fn check_begin(&self, records: &[Rec], offset: Offset, now: i64, watermark: Offset) {
        let good = self.settled_for_good(records, watermark);
        assert!(!good.contains(&offset), "{offset} was settled for good");
        let due = self.not_before.get(&(TrackId::Log, offset)).copied().unwrap_or(0);
        assert!(now >= due, "{offset} came early");
        if self.kind.ordered {
            let project = records[offset as usize].0;
            let key = Key::from(vec![b'a' + project]);
            let before = |o: &Offset| *o < offset && records[*o as usize].0 == project;
            let earlier: Vec<Offset> = self.wanted(records).into_iter().filter(before).collect();
            let unsettled = self.unsettled(records);
            for other in &earlier {
                let told =
                    self.is_told(records, *other) || self.is_in_an_open_burst(records, &unsettled, *other);
                assert!(told, "{offset} overtook {other} of its project");
            }
            if !self.kind.collapses {
                assert_eq!(self.lane.previous(&key, offset), earlier.last().copied(), "before {offset}");
            }
        }
    }

    fn check(&self, records: &[Rec], watermark: Offset) {
        let unsettled = self.unsettled(records);
        for offset in self.wanted(records) {
            let safe = self.is_told(records, offset)
                || unsettled[offset as usize]
                || self.is_in_an_open_burst(records, &unsettled, offset);
            assert!(safe, "{offset} is lost");
        }
        for ((id, offset), failed) in &self.failed {
            let known = self.lane.track(*id).and_then(|track| track.attempts(*offset));
            assert!(known.is_none_or(|known| known == *failed), "{offset}: {known:?}, not {failed} failures");
        }
        for offset in self.arrived.keys() {
            assert!(*offset >= self.kind.start, "{offset} precedes the start");
        }
        for offset in self.settled_for_good(records, watermark) {
            let told = self.is_told(records, offset) || self.is_in_an_open_burst(records, &unsettled, offset);
            assert!(told, "{offset} counts as settled but never arrived");
        }
    }

    /// Which records the lane knows that are still to be delivered.
    fn unsettled(&self, records: &[Rec]) -> Vec<bool> {
        let (_, blocked) = self.lane.log().parts(Offset::MAX);
        let mut from = [Offset::MAX; PROJECTS as usize];
        for blocked in blocked {
            from[usize::from(blocked.key.as_bytes()[0] - b'a')] = blocked.from;
        }
        let next = self.lane.log().next();
        let is_unsettled = |offset: Offset| {
            offset >= next
                || offset >= from[usize::from(records[offset as usize].0)]
                || self.lane.log().attempts(offset).is_some()
        };
        (0..RECORDS).map(|offset| self.wants(records, offset) && is_unsettled(offset)).collect()
    }

    /// Whether a newer record of the same burst, still to be delivered, stands for it.
    fn is_in_an_open_burst(&self, records: &[Rec], unsettled: &[bool], offset: Offset) -> bool {
        let thing = |offset: Offset| (records[offset as usize].0, records[offset as usize].1);
        self.kind.collapses
            && (offset + 1..RECORDS).any(|newer| unsettled[newer as usize] && thing(newer) == thing(offset))
    }
}

impl World {
    fn new(records: Vec<Rec>, kinds: Vec<Kind>, watermark: Offset) -> Self {
        let subject = |(index, kind): (usize, Kind)| Subject {
            index,
            kind,
            lane: Lane::load(None, Life { incarnation: 1, epoch: 0, start: kind.start }, watermark),
            orders: Vec::new(),
            arrived: BTreeMap::new(),
            replayed: BTreeMap::new(),
            not_before: BTreeMap::new(),
            failed: BTreeMap::new(),
            durable: None,
        };
        Self {
            records,
            subjects: kinds.into_iter().enumerate().map(subject).collect(),
            tail: watermark,
            watermark,
            durable_watermark: watermark,
            now: 1_000,
            in_flight: Vec::new(),
            lives: 1,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Tail(count) => self.tail = (self.tail + count).min(RECORDS),
            Step::Go(index) => self.go(index),
            Step::GoReplay(index) => self.go_replay(index),
            Step::Arrives(which) => {
                if let Some(delivery) = self.pick(which) {
                    self.arrive(delivery);
                    let (index, id, offset) = delivery;
                    self.subjects[index].lane.settle(id, offset, true);
                    self.subjects[index].lane.finish_replays();
                }
            }
            Step::Fails(which, pause) => {
                if let Some((index, id, offset)) = self.pick(which) {
                    let subject = &mut self.subjects[index];
                    let due = self.now + pause;
                    subject.lane.fail(id, offset, due, self.now);
                    subject.not_before.insert((id, offset), due);
                    *subject.failed.entry((id, offset)).or_default() += 1;
                }
            }
            Step::Time(millis) => self.now += millis,
            Step::Replay(index) => {
                let subject = &mut self.subjects[index];
                let number = subject.orders.len() as u64 + 1;
                subject.orders.push((number, (self.tail > 0).then_some((0, self.tail))));
                subject.lane.take_up(&subject.orders, subject.orders.len() as u64);
            }
            Step::Commit(place, fate) => self.commit(place, fate),
            Step::HandOver => {
                while let Some(delivery) = self.pick(0) {
                    self.arrive(delivery);
                    self.subjects[delivery.0].lane.settle(delivery.1, delivery.2, true);
                }
                self.commit(1.0, Fate::Persisted);
                self.crash(0);
            }
            Step::Crash(arrivals) => self.crash(arrivals),
        }
        for subject in &self.subjects {
            subject.check(&self.records, self.durable_watermark);
        }
    }

    fn go(&mut self, index: usize) {
        let (records, tail, now) = (&self.records, self.tail, self.now);
        let subject = &mut self.subjects[index];
        subject.look(records, tail, now);
        if let Some(offset) = subject.lane.log().due(now) {
            subject.check_begin(records, offset, now, self.durable_watermark);
            subject.lane.log_mut().begin_again(offset);
            self.in_flight.push((index, TrackId::Log, offset));
        } else if let Some(offset) = subject.next_plain(records, tail) {
            subject.check_begin(records, offset, now, self.durable_watermark);
            subject.lane.log_mut().begin(offset, now);
            self.in_flight.push((index, TrackId::Log, offset));
        }
    }

    fn go_replay(&mut self, index: usize) {
        let subject = &mut self.subjects[index];
        let Some(replay) = subject.lane.replays().first() else { return };
        let (id, to, mut next) = (TrackId::Replay(replay.number), replay.to, replay.track.next());
        let due = replay.track.due(self.now);
        let Some(track) = subject.lane.track_mut(id) else { return };
        let offset = match due {
            Some(offset) => {
                let least = subject.not_before.get(&(id, offset)).copied().unwrap_or(0);
                assert!(self.now >= least, "{offset} of a replay came early");
                track.begin_again(offset);
                offset
            }
            None => {
                while next < to && next == HOLE {
                    next += 1;
                }
                track.pass_to(next);
                if next >= to {
                    subject.lane.finish_replays();
                    return;
                }
                track.begin(next, self.now);
                next
            }
        };
        self.in_flight.push((index, id, offset));
    }

    fn arrive(&mut self, (index, id, offset): (usize, TrackId, Offset)) {
        let subject = &mut self.subjects[index];
        match id {
            TrackId::Log => *subject.arrived.entry(offset).or_default() += 1,
            TrackId::Replay(number) => {
                let times = subject.replayed.entry((number, offset)).or_default();
                *times += 1;
                assert!(*times <= self.lives, "a replay is made once, and again only after a crash");
            }
        }
    }

    fn pick(&mut self, which: usize) -> Option<(usize, TrackId, Offset)> {
        let count = self.in_flight.len();
        (count > 0).then(|| self.in_flight.swap_remove(which % count))
    }

    fn commit(&mut self, place: f64, fate: Fate) {
        let watermark = self.watermark + ((self.tail - self.watermark) as f64 * place) as u64;
        let mut documents = Vec::new();
        for subject in &self.subjects {
            let document = subject.lane.document(watermark, self.tail);
            if subject.lane.is_plain(watermark, self.tail) {
                assert!(!subject.lane.is_news(&document), "what is plain is durable already");
            }
            documents.push(document);
        }
        if fate == Fate::NotPersisted {
            return;
        }
        let before = self.durable_watermark;
        self.durable_watermark = watermark;
        for (subject, document) in self.subjects.iter_mut().zip(&documents) {
            let settled = subject.settled_for_good(&self.records, before);
            let earlier = subject.durable.clone();
            if subject.lane.is_news(document) {
                subject.durable = Some(document.clone());
            }
            let now_settled = subject.settled_for_good(&self.records, watermark);
            assert!(now_settled.is_superset(&settled), "a commit forgot what was settled");
            for pending in earlier.iter().flat_map(|document| &document.pending) {
                let after = document.pending.iter().find(|p| p.offset == pending.offset);
                assert!(
                    after.is_none_or(|after| after.attempt >= pending.attempt),
                    "an attempt is forgotten"
                );
            }
        }
        if fate == Fate::AnswerLost {
            return self.crash(self.now as u64);
        }
        self.watermark = watermark;
        for (subject, document) in self.subjects.iter_mut().zip(documents) {
            subject.lane.committed(document, watermark);
        }
    }

    fn crash(&mut self, arrivals: u64) {
        for (index, delivery) in std::mem::take(&mut self.in_flight).into_iter().enumerate() {
            if arrivals >> (index % 64) & 1 == 1 {
                self.arrive(delivery);
            }
        }
        self.lives += 1;
        (self.tail, self.watermark) = (self.durable_watermark, self.durable_watermark);
        for subject in &mut self.subjects {
            // What was never written down is unknown to whoever comes next.
            let log = subject.durable.iter().flat_map(|d| d.pending.iter().map(|p| (TrackId::Log, *p)));
            let replays = subject.durable.iter().flat_map(|d| &d.replays);
            let replays = replays.flat_map(|r| r.pending.iter().map(|p| (TrackId::Replay(r.number), *p)));
            let pending: Vec<_> = log.chain(replays).collect();
            subject.not_before = pending.iter().map(|(id, p)| ((*id, p.offset), p.due)).collect();
            subject.failed = pending.iter().map(|(id, p)| ((*id, p.offset), p.attempt)).collect();
            subject.lane = Lane::load(subject.durable.clone(), subject.life(), self.durable_watermark);
            subject.lane.take_up(&subject.orders, subject.orders.len() as u64);
        }
    }

    /// Everything goes well from here on.
    fn finish(&mut self) {
        self.tail = RECORDS;
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "it never comes to an end");
            for index in 0..ENDPOINTS {
                self.go(index);
                self.go_replay(index);
            }
            self.now += 100;
            let idle = self.in_flight.is_empty();
            while !self.in_flight.is_empty() {
                self.take(&Step::Arrives(0));
            }
            let left = |s: &Subject| !s.lane.log().is_settled() || !s.lane.replays().is_empty();
            if idle && !self.subjects.iter().any(left) {
                break;
            }
        }
        for subject in &self.subjects {
            for offset in subject.wanted(&self.records) {
                assert!(subject.is_told(&self.records, offset), "{offset} never arrived");
            }
            for (number, span) in &subject.orders {
                let (from, to) = span.unwrap_or_default();
                for offset in (from..to).filter(|offset| *offset != HOLE) {
                    assert!(subject.replayed.contains_key(&(*number, offset)), "{offset} was not replayed");
                }
                let through = subject.lane.base.through.iter().find(|through| through.number == *number);
                let all = (from..to).filter(|offset| *offset != HOLE).count() as u64;
                let sent = through.map_or(0, |through| through.tally.sent);
                assert_eq!(sent, all, "each counts once, however often it was made");
            }
        }
        self.commit(1.0, Fate::Persisted);
        self.crash(0);
        for index in 0..ENDPOINTS {
            self.go(index);
            self.go_replay(index);
        }
        assert!(self.in_flight.is_empty(), "after the last commit nothing is left");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_lost_out_of_order_repeated_after_its_commit_early_or_forgotten(
        records in proptest::collection::vec(
            (0..PROJECTS, 0..FLAGS, any::<[bool; ENDPOINTS]>()), RECORDS as usize
        ),
        kinds in proptest::collection::vec(kind(), ENDPOINTS),
        watermark in 0..RECORDS,
        steps in proptest::collection::vec(step(), 0..160),
    ) {
        let mut world = World::new(records, kinds, watermark);
        for step in &steps {
            world.take(step);
        }
        world.finish();
    }
}
