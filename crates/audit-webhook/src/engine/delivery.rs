//! One delivery under way.

use std::pin::{Pin, pin};
use std::sync::Arc;

use audit_journal::{Offset, Partition};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Shared;
use super::turns::Turn;
use crate::endpoint::EndpointId;
use crate::entry::Entry;
use crate::lane::TrackId;
use crate::limit::{InFlight, Probe};
use crate::live::Live;
use crate::send::{Answer, Marks};

/// The right to have one delivery in flight: the endpoint's, and everybody's; and a turn, where it is behind.
#[derive(Debug)]
pub(crate) struct Permits {
    _endpoint: InFlight,
    _all: OwnedSemaphorePermit,
    /// Given back last: who has it next finds the others free.
    turn: Option<Turn>,
}

impl Permits {
    /// All of them, if they are free now.
    pub(super) fn try_take(shared: &Shared, live: &Live, is_behind: bool) -> Option<Self> {
        let turn = if is_behind { Some(shared.turns.try_take()?) } else { None };
        let endpoint = live.gate.window.try_take()?;
        let all = Arc::clone(&shared.in_flight).try_acquire_owned().ok()?;
        Some(Self { _endpoint: endpoint, _all: all, turn })
    }

    /// All of them, in the order of asking. The semaphores are never closed.
    pub(super) async fn take(shared: Arc<Shared>, live: Arc<Live>, is_behind: bool) -> Option<Self> {
        let mut turn = None;
        if is_behind {
            if shared.turns.is_live() {
                // A turn is not to go by while the endpoint's deliveries are all under way. But what is the
                // endpoint's is its live records', too: it is not held while a turn is waited for.
                drop(Arc::clone(&live.gate.window).take().await?);
            }
            turn = Some(shared.turns.take().await?);
        }
        let both = pin!(Self::both(&shared, &live));
        let (endpoint, all) = match &mut turn {
            Some(turn) => turn.during(both).await,
            None => both.await,
        }?;
        Some(Self { _endpoint: endpoint, _all: all, turn })
    }

    async fn both(shared: &Shared, live: &Live) -> Option<(InFlight, OwnedSemaphorePermit)> {
        let endpoint = Arc::clone(&live.gate.window).take().await?;
        let all = Arc::clone(&shared.in_flight).acquire_owned().await.ok()?;
        Some((endpoint, all))
    }

    /// The same for a delivery that is behind, or that is not: that one leaves the turn to others. `None` where a
    /// turn was not asked for.
    pub(super) fn made_for(mut self, is_behind: bool) -> Option<Self> {
        if !is_behind {
            self.turn = None;
        }
        (self.turn.is_some() == is_behind).then_some(self)
    }

    /// Sees a delivery through, of which a turn is a part.
    async fn during<T>(&mut self, delivery: Pin<&mut impl Future<Output = T>>) -> T {
        match &mut self.turn {
            Some(turn) => turn.during(delivery).await,
            None => delivery.await,
        }
    }
}

/// Which delivery it is.
#[derive(Clone, Debug)]
pub(super) struct Of {
    pub(super) id: EndpointId,
    /// The lane's life that began it.
    pub(super) life: u64,
    pub(super) track: TrackId,
    pub(super) offset: Offset,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Ended {
    /// An attempt was made.
    Answered(Box<Answer>),
    /// None was made: by then it was no longer sure that the partition is ours.
    TooLate,
}

/// A delivery that ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) of: Of,
    pub(super) live: Arc<Live>,
    pub(super) entry: Arc<Entry>,
    pub(super) ended: Ended,
    /// Goes when the answer was taken in.
    pub(super) probe: Option<Probe>,
}

/// A delivery, ready to go.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) of: Of,
    pub(super) live: Arc<Live>,
    pub(super) entry: Arc<Entry>,
    pub(super) marks: Marks,
    pub(super) permits: Permits,
    pub(super) probe: Option<Probe>,
    /// Later than this it may not start, of an ordered endpoint.
    pub(super) starts_before: Option<Instant>,
}

impl Delivery {
    pub(super) fn marks(partition: Partition, offset: Offset) -> Marks {
        Marks { partition, offset, previous: None, replay: None, checkpoint: None, collapsed: false }
    }

    pub(super) async fn make(self, shared: Arc<Shared>) -> Done {
        let Self { of, live, entry, mut marks, mut permits, probe, starts_before } = self;
        marks.checkpoint = shared.checkpoints.of(marks.partition);
        let ended = match entry.parcel() {
            Some(parcel) if starts_before.is_none_or(|before| Instant::now() < before) => {
                let now_s = shared.clock.now_ms().div_euclid(1_000);
                let sending = pin!(shared.sender.send(&live.target, parcel, &marks, now_s));
                let answer = permits.during(sending).await;
                Ended::Answered(Box::new(answer))
            }
            // What is no record is wanted by nobody, so it is never begun.
            _ => Ended::TooLate,
        };
        drop(permits);
        Done { of, live, entry, ended, probe }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::Permits;
    use crate::engine::testing::Bench;

    const BEHIND: bool = true;

    #[tokio::test]
    async fn while_the_tail_is_live_what_is_behind_begins_with_a_turn_alone_and_what_is_live_without() {
        let Bench { shared, live, .. } = &Bench::new().await;
        let take = |is_behind| Permits::take(Arc::clone(shared), Arc::clone(live), is_behind);
        shared.turns.note_live();
        let held = shared.turns.try_take().expect("the only turn");
        assert!(Permits::try_take(shared, live, BEHIND).is_none());
        let mut asked = pin!(take(BEHIND));
        assert!(asked.as_mut().now_or_never().is_none());
        let live_one = Permits::try_take(shared, live, !BEHIND);
        let another = take(!BEHIND).now_or_never().flatten();
        assert!(live_one.is_some() && another.is_some());

        drop(held);
        let permits = asked.now_or_never().flatten().expect("its turn came");
        assert!(Permits::try_take(shared, live, BEHIND).is_none(), "one at a time");
        drop((live_one, another));
        assert!(Permits::try_take(shared, live, BEHIND).is_none(), "what is live had no turn to give back");
        drop(permits);
        assert!(Permits::try_take(shared, live, BEHIND).is_some());
    }

    #[tokio::test]
    async fn while_nothing_is_live_what_is_behind_begins_beside_each_other() {
        let Bench { shared, live, .. } = &Bench::new().await;
        let taken: Vec<_> = std::iter::from_fn(|| Permits::try_take(shared, live, BEHIND)).take(2).collect();
        let asked = Permits::take(Arc::clone(shared), Arc::clone(live), BEHIND).now_or_never().flatten();
        assert!(taken.len() == 2 && asked.is_some());
    }

    #[tokio::test]
    async fn a_turn_that_is_not_needed_is_left_to_others_and_one_that_was_not_asked_for_is_not_made_up() {
        let Bench { shared, live, .. } = &Bench::new().await;
        shared.turns.note_live();
        let permits = Permits::try_take(shared, live, BEHIND).and_then(|permits| permits.made_for(BEHIND));
        assert!(shared.turns.try_take().is_none());
        let permits = permits.and_then(|permits| permits.made_for(!BEHIND)).expect("the same, without");
        assert!(shared.turns.try_take().is_some());
        assert!(permits.made_for(BEHIND).is_none());
    }
}
