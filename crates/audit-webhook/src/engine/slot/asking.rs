//! A lane's place in the queues for permits: one for what is live, one for what is behind, so that a live record never
//! waits where its own lane's replay does.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Slot, Surroundings, Work};
use crate::endpoint::EndpointId;
use crate::engine::delivery::Permits;
use crate::engine::windows::Window;
use crate::lane::TrackId;
use crate::live::Live;

/// A lane that could not begin anything for so long is not waited for by the tail.
const STALLED: Duration = Duration::from_millis(100);

/// So old a record is no longer live for a lane that does not go with the tail.
pub(super) const LIVE_AGE_MS: i64 = 10_000;

/// Permits that came, for the lane's life that asked. `None` when there will be none.
pub(in crate::engine) struct Granted {
    pub(in crate::engine) id: EndpointId,
    pub(in crate::engine) life: u64,
    is_behind: bool,
    permits: Option<Permits>,
}

/// What a lane waits for. At most one of each is asked for at a time.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Since when, for what is live.
    live: Option<Instant>,
    /// For what is behind.
    behind: bool,
    /// What it has at hand of where it is, until it is its turn.
    pub(super) run: Option<Arc<Window>>,
}

impl Asked {
    /// Whether the lane waits for permits of that kind.
    pub(super) fn has_asked(&self, is_behind: bool) -> bool {
        if is_behind { self.behind } else { self.live.is_some() }
    }

    fn note(&mut self, is_behind: bool) {
        if is_behind {
            self.behind = true;
        } else {
            self.live = Some(Instant::now());
        }
    }

    fn clear(&mut self, is_behind: bool) {
        if is_behind {
            self.behind = false;
        } else {
            self.live = None;
        }
    }

    /// Whether it has waited so long that the tail does not wait for it.
    pub(super) fn is_stalled(&self) -> bool {
        self.live.is_some_and(|since| since.elapsed() >= STALLED)
    }
}

impl Slot {
    /// Whether it makes up for something, and so yields to what is live: a replay, and what is old for a lane that does
    /// not go with the tail. One that fell off the tail under load still has live traffic, if a little late; if that
    /// yielded to the lanes that kept up, it might never come back.
    pub(super) fn is_behind(&self, work: &Work, now_ms: i64) -> bool {
        let (Work::First(track, entry) | Work::Due(track, entry)) = work;
        match track {
            TrackId::Log => {
                !self.level && now_ms.saturating_sub(entry.message().appended_at_ms) >= LIVE_AGE_MS
            }
            TrackId::Replay(_) => true,
        }
    }

    /// Whether what it reads of the log for a track is for what is behind, before any of it is known. By what it read
    /// last; one that has read nothing yet does not wait.
    pub(super) fn reads_behind(&self, track: TrackId, now_ms: i64) -> bool {
        match track {
            TrackId::Log => {
                !self.level && self.seen_ms.is_some_and(|seen| now_ms.saturating_sub(seen) >= LIVE_AGE_MS)
            }
            TrackId::Replay(_) => true,
        }
    }

    /// What it takes to begin something: what came of asking, or what is free now.
    pub(super) fn permits_for(
        &mut self,
        is_behind: bool,
        live: &Live,
        around: &Surroundings<'_>,
    ) -> Option<Permits> {
        self.permits.take().and_then(|permits| permits.made_for(is_behind)).or_else(|| {
            // Who asked waits its turn.
            if self.asked.has_asked(is_behind) {
                None
            } else {
                Permits::try_take(around.shared, live, is_behind)
            }
        })
    }

    /// Asks for it, and keeps what it is for at hand.
    pub(super) fn ask_for_permits(
        &mut self,
        work: &Work,
        is_behind: bool,
        live: &Arc<Live>,
        around: &mut Surroundings<'_>,
    ) {
        let (Work::First(_, entry) | Work::Due(_, entry)) = work;
        let offset = entry.offset();
        if !self.asked.run.as_ref().is_some_and(|run| run.covers(offset)) {
            self.asked.run = around.windows.run_at(offset);
        }
        if self.asked.has_asked(is_behind) {
            return;
        }
        self.asked.note(is_behind);
        let (id, life) = (self.id.clone(), self.life);
        let taking = Permits::take(Arc::clone(around.shared), Arc::clone(live), is_behind);
        around
            .under_way
            .permits
            .push(Box::pin(async move { Granted { id, life, is_behind, permits: taking.await } }));
    }

    /// Permits came. They are for what begins now, or go back: see [`Slot::go`].
    pub(in crate::engine) fn granted(&mut self, granted: Granted) {
        self.asked.clear(granted.is_behind);
        self.permits = granted.permits;
    }

    /// Permits came when nothing may begin: they go back at once, for others may be able to use them.
    pub(in crate::engine) fn declined(&mut self, granted: Granted) {
        self.granted(granted);
        self.permits = None;
    }

    /// Nothing is to begin for now: what was got for that is of use to others.
    pub(super) fn let_go(&mut self) {
        (self.permits, self.asked.run) = (None, None);
    }
}
