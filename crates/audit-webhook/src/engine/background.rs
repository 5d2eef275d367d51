//! What is behind yields to the tail. While records of the tail are delivered, those that are made up for (lanes that
//! catch up, replays) take turns, so many a second as leave this process prompt: more and more while our tasks are run
//! at once, fewer when they have to wait. While nothing is live, nothing is held back.
//!
//! Promptness is measured where it is lost: in the time until a task of ours is run again, which is long when the
//! processor has too much to do, here or in another process of the machine. A turn is the right to begin, and holds
//! nothing while a delivery is under way: receivers that are slow take none from others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::Shared;

/// Turns are given out so often, while something is behind and the tail is live.
const ROUND: Duration = Duration::from_millis(2);

/// How often it is looked whether that is so.
const IDLE_ROUND: Duration = Duration::from_millis(50);

/// For so long after a delivery from the tail the tail counts as live.
const LIVE_FOR: Duration = Duration::from_secs(1);

/// What the timer is fine to.
const TIMER: Duration = Duration::from_millis(1);

/// Later than this, beyond what is the timer's, is not prompt.
const PROMPT: Duration = Duration::from_micros(500);

/// Turns a second at least, however late our tasks are run: what is behind always gets on.
const PER_SECOND_MIN: f64 = 250.0;

/// Turns a second at most, and when it begins: more than a process can make.
const PER_SECOND_MAX: f64 = 100_000.0;

/// More than may ever wait for a turn: each lane of each partition waits for one at most.
const WAITING_MAX: usize = 1 << 20;

/// What the turns a second are multiplied by after a round that was prompt, and after one that was not.
const FASTER: f64 = 1.02;
const SLOWER: f64 = 0.8;

/// The turns of what is behind.
#[derive(Debug)]
pub(crate) struct Background {
    turns: Semaphore,
    /// Whether turns are counted: the tail is live.
    is_held: AtomicBool,
    /// A delivery from the tail began since the last look.
    tail_moved: AtomicBool,
    /// Turns taken since the last look.
    taken: AtomicUsize,
}

impl Background {
    pub(crate) fn new() -> Self {
        Self {
            turns: Semaphore::new(0),
            is_held: AtomicBool::new(false),
            tail_moved: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
        }
    }

    /// A delivery from the tail begins.
    pub(super) fn note_tail(&self) {
        self.tail_moved.store(true, Ordering::Relaxed);
    }

    /// Takes a turn, if there is one now.
    pub(super) fn try_turn(&self) -> bool {
        if !self.is_held.load(Ordering::Relaxed) {
            return true;
        }
        let turn = self.turns.try_acquire().map(SemaphorePermit::forget);
        self.taken.fetch_add(usize::from(turn.is_ok()), Ordering::Relaxed);
        turn.is_ok()
    }

    /// Takes a turn, in the order of asking.
    pub(super) async fn turn(&self) {
        if self.is_held.load(Ordering::Relaxed) {
            // The semaphore is never closed.
            if let Ok(turn) = self.turns.acquire().await {
                turn.forget();
                self.taken.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Gives out turns, so that just these are free: none is saved up.
    fn give(&self, turns: usize) {
        let free = self.turns.available_permits();
        self.turns.add_permits(turns.saturating_sub(free));
        self.turns.forget_permits(free.saturating_sub(turns));
    }
}

/// How many turns there are a second.
#[derive(Debug)]
struct Pace {
    per_second: f64,
    /// What of the last round was no whole turn.
    rest: f64,
}

impl Pace {
    fn new() -> Self {
        Self { per_second: PER_SECOND_MAX, rest: 0.0 }
    }

    /// After a round that took so long, `late` of it because our tasks had to wait, and in which so many turns were
    /// taken: how many there are in the next.
    fn next(&mut self, took: Duration, late: Duration, taken: usize) -> usize {
        let used = taken as f64 / took.as_secs_f64();
        if late > PROMPT {
            // From what was used: what was allowed may have been far more.
            self.per_second = self.per_second.min(used * SLOWER).max(PER_SECOND_MIN);
        } else {
            self.per_second = (self.per_second * FASTER).min(PER_SECOND_MAX);
        }
        let turns = self.per_second * ROUND.as_secs_f64() + self.rest;
        self.rest = turns.fract();
        turns as usize
    }
}

/// Gives out turns for as long as deliveries are made. Never ends.
pub(crate) async fn give_turns(shared: Arc<Shared>) {
    let background = &shared.background;
    let mut pace = Pace::new();
    let mut live_until = Instant::now();
    loop {
        if background.tail_moved.swap(false, Ordering::Relaxed) {
            live_until = Instant::now() + LIVE_FOR;
        }
        let is_live = Instant::now() < live_until;
        background.is_held.store(is_live, Ordering::Relaxed);
        if !is_live {
            // For who waited while it was.
            background.give(WAITING_MAX);
            pace = Pace::new();
        }
        let taken = background.taken.swap(0, Ordering::Relaxed);
        if !is_live || (taken == 0 && background.turns.available_permits() > 0) {
            tokio::time::sleep(IDLE_ROUND).await;
            continue;
        }
        let began = Instant::now();
        tokio::time::sleep(ROUND).await;
        // Behind everything that is ready to run now.
        tokio::task::yield_now().await;
        let took = began.elapsed();
        background.give(pace.next(took, took.saturating_sub(ROUND + TIMER), taken));
    }
}

#[cfg(test)]
mod tests {
    use super::{Background, PER_SECOND_MAX, PER_SECOND_MIN, PROMPT, Pace, ROUND};

    #[test]
    fn turns_get_fewer_while_tasks_wait_never_none_and_more_again_in_time() {
        let mut pace = Pace::new();
        pace.next(ROUND, PROMPT * 2, 20);
        assert_eq!(pace.per_second, 8_000.0);
        for _ in 0..100 {
            pace.next(ROUND, PROMPT * 2, 0);
        }
        assert_eq!(pace.per_second, PER_SECOND_MIN);
        let given: usize = (0..500).map(|_| pace.next(ROUND, PROMPT * 2, 0)).sum();
        assert!((249..=251).contains(&given), "{given} in a second");
        for _ in 0..1_000 {
            pace.next(ROUND, PROMPT / 2, 20);
        }
        assert_eq!(pace.per_second, PER_SECOND_MAX);
    }

    #[tokio::test]
    async fn turns_are_counted_only_while_the_tail_is_live_and_do_not_pile_up() {
        let background = Background::new();
        assert!((0..100).all(|_| background.try_turn()), "nothing is live");
        background.is_held.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(!background.try_turn());
        background.give(2);
        background.give(2);
        assert!(background.try_turn() && background.try_turn() && !background.try_turn());
        let waiting = tokio::join!(background.turn(), async { background.give(1) });
        assert_eq!(waiting, ((), ()));
    }
}
