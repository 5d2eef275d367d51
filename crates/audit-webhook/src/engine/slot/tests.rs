//! What is behind, and that it goes in turns: see [`crate::engine::turns`].

use std::sync::Arc;

use audit_journal::{Bookmark, Offset, Range};
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::asking::LIVE_AGE_MS;
use super::{Gap, Slot, Surroundings, UnderWay, Work};
use crate::engine::lease::Lease;
use crate::engine::testing::{Bench, entry, message};
use crate::engine::windows::{Read, Windows};
use crate::lane::{Lane, Life, TrackId};
use crate::tail::Tail;

/// 21 November 2026.
const NOW_MS: i64 = 1_795_219_200_000;

/// When something was appended that is behind by now.
const OLD_MS: i64 = NOW_MS - LIVE_AGE_MS;

/// A lane at the beginning of a partition, and what it moves among.
struct Place {
    bench: Bench,
    slot: Slot,
    tail: Tail,
    windows: Windows,
    under_way: UnderWay,
    gaps: Vec<Gap>,
    lease: Lease,
}

impl Place {
    /// With a tail that begins at an offset.
    async fn new(tail_from: Offset) -> Self {
        let bench = Bench::new().await;
        let endpoint = &bench.live.endpoint;
        let life = Life { incarnation: endpoint.incarnation, ..Life::default() };
        let slot = Slot::new(endpoint.id.clone(), Lane::load(None, life, 0), Some(Arc::clone(&bench.live)));
        let mut windows = Windows::default();
        windows.set_bytes_max(usize::MAX);
        Self {
            bench,
            slot,
            tail: Tail::new(Bookmark { next: tail_from, ..Bookmark::default() }),
            windows,
            under_way: UnderWay::default(),
            gaps: Vec::new(),
            lease: Lease::new(true, Instant::now()),
        }
    }

    fn go(&mut self) {
        self.slot.go(&mut Surroundings {
            shared: &self.bench.shared,
            partition: 0,
            tail: &self.tail,
            windows: &mut self.windows,
            under_way: &mut self.under_way,
            gaps: &mut self.gaps,
            lease: &self.lease,
            now_ms: NOW_MS,
        });
    }
}

#[tokio::test]
async fn behind_is_a_replay_and_what_is_old_for_a_lane_that_does_not_go_with_the_tail() {
    let Place { mut slot, .. } = Place::new(0).await;
    let first = |track, appended_at_ms| Work::First(track, entry(0, appended_at_ms));
    let due = |track, appended_at_ms| Work::Due(track, entry(0, appended_at_ms));
    for (level, old_is_behind) in [(false, true), (true, false)] {
        slot.level = level;
        assert_eq!(slot.is_behind(&first(TrackId::Log, OLD_MS), NOW_MS), old_is_behind);
        assert_eq!(slot.is_behind(&due(TrackId::Log, OLD_MS), NOW_MS), old_is_behind);
        assert!(!slot.is_behind(&first(TrackId::Log, OLD_MS + 1), NOW_MS));
        assert!(slot.is_behind(&first(TrackId::Replay(1), NOW_MS), NOW_MS));
        assert!(slot.is_behind(&due(TrackId::Replay(1), NOW_MS), NOW_MS));
        for (seen_ms, is_behind) in [(None, false), (Some(OLD_MS), old_is_behind), (Some(OLD_MS + 1), false)]
        {
            slot.seen_ms = seen_ms;
            assert_eq!(slot.reads_behind(TrackId::Log, NOW_MS), is_behind, "seen {seen_ms:?}");
            assert!(slot.reads_behind(TrackId::Replay(1), NOW_MS));
        }
    }
}

#[tokio::test]
async fn what_is_live_takes_no_turn_and_has_what_is_behind_take_turns() {
    let mut place = Place::new(0).await;
    for offset in 0..2 {
        place.tail.push(entry(offset, NOW_MS), 0);
    }
    assert!(!place.bench.shared.turns.is_live());
    place.go();
    assert_eq!(place.under_way.deliveries.len(), 2);
    let turns = &place.bench.shared.turns;
    assert!(turns.is_live());
    let held = turns.try_take();
    assert!(held.is_some(), "the one that there is was left to what is behind");
    assert!(turns.try_take().is_none(), "which has to take it");
    let third = entry(2, NOW_MS);
    place.tail.push(Arc::clone(&third), 0);
    place.slot.take(&third);
    place.go();
    assert_eq!(place.under_way.deliveries.len(), 3, "whoever has it");
}

#[tokio::test]
async fn while_the_tail_is_live_a_lane_that_is_behind_begins_one_delivery_a_turn_and_reads_on_in_turns() {
    let mut place = Place::new(10).await;
    let turns = &place.bench.shared.turns;
    turns.note_live();
    let held = turns.try_take().expect("the only turn");
    place.go();
    let first = Read { from: 0, is_behind: false };
    assert_eq!(place.windows.next_read(Instant::now()), Some(first), "how old that is nobody knows yet");
    let messages = (0..3).map(|offset| message(offset, OLD_MS)).collect();
    place.windows.arrived(first, Ok(Range { messages, next: 3, end: 10 }), Instant::now()).expect("read");

    place.go();
    assert_eq!((place.under_way.deliveries.len(), place.under_way.permits.len()), (0, 1));
    let next = Read { from: 3, is_behind: true };
    assert_eq!(place.windows.next_read(Instant::now()), Some(next), "it reads on, in turns");
    assert!(place.under_way.permits.next().now_or_never().is_none(), "the turn is somebody else's");
    drop(held);
    for _ in 0..2 {
        let granted = place.under_way.permits.next().now_or_never().flatten().expect("its turn");
        place.slot.granted(granted);
        place.go();
        assert_eq!((place.under_way.deliveries.len(), place.under_way.permits.len()), (1, 1));
        assert!(place.under_way.permits.next().now_or_never().is_none(), "its own delivery has the turn");
        // The delivery ends, and with it its turn.
        place.under_way.deliveries.clear();
        assert!(place.bench.shared.turns.try_take().is_none(), "it is the next delivery's, which waited");
    }
}
