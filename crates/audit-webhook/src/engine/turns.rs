//! What is behind yields to what is live.
//!
//! A record of the tail waits for the processors more often than for anything else: to be taken in, appended, read
//! back, signed and sent. A lane that catches up, or a replay, has the whole backlog at hand, and would have them all
//! to itself: with dozens of deliveries under way at any moment, each step of a live record waits behind as many of
//! its. So while the tail is live, a delivery that is behind (see `Slot::is_behind`) takes a *turn*, of which there are
//! half as many as processors: the other half finds little to do and is free at once for what is live. While nothing is
//! live, nothing waits for a turn, and the backlog has the machine.
//!
//! Looking for what to deliver takes turns as well: a lane that wants little of its backlog delivers next to nothing,
//! and reads and passes over all of it. A turn is for one window of the log (see `Slot::reads_behind`): to read it,
//! and for what the lanes that waited for it do with it at once.
//!
//! A turn bounds work, not waiting. It is held until the receiver has answered, which where the processors are the
//! limit is most of what a delivery costs; but no longer than [`TURN_MAX`], for a receiver that takes its time keeps
//! no processor busy. In the same way a read has its turn in hand for [`READ_TURN_MAX`] at most. So turns pass on
//! whatever receivers and the log do, and what is behind always gets on. They are given in the order of asking; each
//! lane asks for one at a time, and each partition for one to read with, so lanes that are behind have equally many,
//! however many records each is behind.
//!
//! Nothing waits for a turn with anything in hand that others want, and who has one waits for anything else only
//! until its time is up: there is no circle to be caught in. (A read that waits for its turn keeps nobody waiting but
//! the lanes of its partition that are behind.)

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// For so long after a delivery that is not behind began the tail counts as live.
const LIVE_FOR: Duration = Duration::from_secs(1);

/// How long the turn of a delivery may be held. (The timer adds up to a millisecond to that.)
const TURN_MAX: Duration = Duration::from_millis(1);

/// How long a read that has a turn is waited for with it in hand: about what a log that is well needs for a window.
const READ_TURN_MAX: Duration = Duration::from_millis(5);

/// Processors for each turn.
const PROCESSORS_PER_TURN: usize = 2;

/// The turns of a process.
#[derive(Debug)]
pub(crate) struct Turns {
    free: Arc<Semaphore>,
    /// When counting began.
    origin: Instant,
    /// Until when the tail counts as live, milliseconds since `origin`.
    live_until_ms: AtomicU64,
}

/// The right to have a delivery or a read under way that is behind.
#[derive(Debug)]
pub(super) struct Turn {
    /// Absent where none was needed, and when its time was up.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    _permit: OwnedSemaphorePermit,
    until: Instant,
}

impl Turns {
    /// As many as a machine with so many processors has.
    pub(crate) fn new(processors: usize) -> Self {
        let turns = (processors / PROCESSORS_PER_TURN).max(1);
        Self {
            free: Arc::new(Semaphore::new(turns)),
            origin: Instant::now(),
            live_until_ms: AtomicU64::new(0),
        }
    }

    /// A delivery begins that is not behind.
    pub(super) fn note_live(&self) {
        // One that is overtaken by another shortens what that noted by less than a moment.
        self.live_until_ms.store(self.now_ms() + LIVE_FOR.as_millis() as u64, Ordering::Relaxed);
    }

    /// Whether the tail is live, so that what is behind takes turns.
    pub(super) fn is_live(&self) -> bool {
        self.now_ms() < self.live_until_ms.load(Ordering::Relaxed)
    }

    /// A turn, if there is one now.
    pub(super) fn try_take(&self) -> Option<Turn> {
        if self.is_live() {
            Arc::clone(&self.free).try_acquire_owned().ok().map(|permit| Turn::holding(permit, TURN_MAX))
        } else {
            Some(Turn { held: None })
        }
    }

    /// A turn for a delivery, in the order of asking.
    pub(super) async fn take(&self) -> Option<Turn> {
        self.take_for(TURN_MAX).await
    }

    /// A turn for a read, in the same order.
    pub(super) async fn take_to_read(&self) -> Option<Turn> {
        self.take_for(READ_TURN_MAX).await
    }

    async fn take_for(&self, time: Duration) -> Option<Turn> {
        if self.is_live() {
            // The semaphore is never closed. Who waits when the tail ceases to be live still comes to its turn: those
            // before it pass theirs on.
            Arc::clone(&self.free).acquire_owned().await.ok().map(|permit| Turn::holding(permit, time))
        } else {
            Some(Turn { held: None })
        }
    }

    fn now_ms(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
    }
}

impl Turn {
    fn holding(permit: OwnedSemaphorePermit, time: Duration) -> Self {
        Self { held: Some(Held { _permit: permit, until: Instant::now() + time }) }
    }

    /// Sees `work` through. If the turn's time is up before that, it passes on, and `work` goes on without it.
    pub(super) async fn during<T>(&mut self, mut work: Pin<&mut impl Future<Output = T>>) -> T {
        if let Some(until) = self.held.as_ref().map(|held| held.until) {
            if let Ok(done) = tokio::time::timeout_at(until, work.as_mut()).await {
                return done;
            }
            self.held = None;
        }
        work.await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use futures_util::FutureExt;
    use futures_util::future::{join, join_all};
    use tokio::time::{Instant, advance, timeout};

    use super::{Duration, LIVE_FOR, READ_TURN_MAX, TURN_MAX, Turns};

    /// Far longer than anything here takes; the clock is paused.
    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test(start_paused = true)]
    async fn while_nothing_is_live_nobody_waits_for_a_turn() {
        let turns = Turns::new(1);
        let taken: Vec<_> = (0..100).filter_map(|_| turns.try_take()).collect();
        assert_eq!(taken.len(), 100);
        assert!(turns.take().now_or_never().flatten().is_some());
        turns.note_live();
        assert!(turns.try_take().is_some(), "those taken before count for nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_tail_is_live_half_as_many_go_as_there_are_processors_but_one_in_any_case() {
        for (processors, expected) in [(1, 1), (2, 1), (3, 1), (4, 2), (16, 8)] {
            let turns = Turns::new(processors);
            turns.note_live();
            let taken: Vec<_> = std::iter::from_fn(|| turns.try_take()).collect();
            assert_eq!(taken.len(), expected, "of {processors} processors");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_given_in_the_order_of_asking_and_nobody_comes_between() {
        let turns = Turns::new(1);
        turns.note_live();
        let first = turns.try_take().expect("a turn");
        let mut second = pin!(turns.take());
        let mut third = pin!(turns.take());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(turns.try_take().is_none(), "it is the second's");
        assert!(third.as_mut().now_or_never().is_none());
        let second = second.await.expect("a turn");
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        assert!(third.await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_turn_of_a_receiver_that_hangs_passes_on_in_time_and_its_delivery_goes_on() {
        let turns = Turns::new(1);
        turns.note_live();
        let mut hanging = turns.try_take().expect("a turn");
        let began = Instant::now();
        let mut delivery = pin!(async {
            hanging.during(pin!(tokio::time::sleep(LONG))).await;
            Instant::now()
        });
        let next = tokio::select! {
            _ = &mut delivery => None,
            next = turns.take() => next,
        };
        assert!(next.is_some(), "the next one has it while the delivery is under way");
        assert!(began.elapsed() >= TURN_MAX && began.elapsed() < LIVE_FOR);
        assert!(delivery.await >= began + LONG);
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_in_time_keeps_its_turn_to_the_end() {
        let turns = Turns::new(1);
        turns.note_live();
        let mut turn = turns.try_take().expect("a turn");
        assert_eq!(turn.during(pin!(async { 7 })).await, 7);
        assert!(turns.try_take().is_none());
        drop(turn);
        assert!(turns.try_take().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn when_nothing_was_live_for_a_while_nobody_waits_any_more() {
        let turns = Turns::new(1);
        turns.note_live();
        let held = turns.try_take();
        assert!(turns.try_take().is_none());
        advance(LIVE_FOR / 2).await;
        turns.note_live();
        advance(LIVE_FOR / 2).await;
        assert!(turns.try_take().is_none(), "half that time after the last");
        advance(LIVE_FOR / 2).await;
        assert!(turns.try_take().is_some());
        drop(held);
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_lanes_have_receivers_that_hang_each_comes_to_its_turn_again_and_again() {
        const LANES: usize = 50;
        const ROUNDS: u32 = 3;
        let turns = Turns::new(1);
        let lanes = (0..LANES).map(|_| async {
            for _ in 0..ROUNDS {
                turns.note_live();
                let mut turn = turns.take().await.expect("a turn");
                let hanging = timeout(LONG, pending::<()>());
                turn.during(pin!(hanging)).await.expect_err("it hangs");
            }
        });
        let began = Instant::now();
        join_all(lanes).await;
        assert!(
            began.elapsed() < LONG * (ROUNDS + 1),
            "they hang beside each other, not one after the other"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn reads_and_deliveries_that_are_behind_both_get_on_while_the_tail_never_ceases_to_be_live() {
        const READS: u32 = 100;
        const DELIVERIES: u32 = 100;
        let turns = Turns::new(1);
        let began = Instant::now();
        // A log that hangs, and a receiver that does, each asked again and again; and the tail, which goes on for ever.
        let reads = async {
            for _ in 0..READS {
                let mut turn = turns.take_to_read().await.expect("a turn");
                turn.during(pin!(tokio::time::sleep(READ_TURN_MAX * 2))).await;
            }
        };
        let deliveries = async {
            for _ in 0..DELIVERIES {
                let mut turn = turns.take().await.expect("a turn");
                turn.during(pin!(tokio::time::sleep(TURN_MAX * 2))).await;
            }
        };
        let live = async {
            for _ in 0u64.. {
                turns.note_live();
                tokio::time::sleep(LIVE_FOR / 4).await;
            }
        };
        tokio::select! {
            biased;
            () = live => unreachable!("it goes on for as long as it is waited for"),
            _ = join(reads, deliveries) => {}
        }
        // Each waits for one turn of the other's, and for its own.
        let round = (READ_TURN_MAX + TURN_MAX) * 4;
        assert!(began.elapsed() < round * READS.max(DELIVERIES), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_in_time_is_looked_through_with_the_turn_still_in_hand() {
        let turns = Turns::new(1);
        turns.note_live();
        let mut turn = turns.take_to_read().await.expect("a turn");
        turn.during(pin!(tokio::time::sleep(READ_TURN_MAX / 2))).await;
        assert!(turns.try_take().is_none());
        drop(turn);
        assert!(turns.try_take().is_some());
    }
}
