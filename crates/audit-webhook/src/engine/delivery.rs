//! One delivery under way.

use std::sync::Arc;

use audit_journal::{Offset, Partition};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Shared;
use crate::endpoint::EndpointId;
use crate::entry::Entry;
use crate::lane::TrackId;
use crate::limit::{InFlight, Probe};
use crate::live::Live;
use crate::send::{Answer, Marks};

/// The right to have one delivery in flight: the endpoint's, and everybody's.
#[derive(Debug)]
pub(crate) struct Permits {
    _endpoint: InFlight,
    _all: OwnedSemaphorePermit,
}

impl Permits {
    /// Both, if they are free now.
    pub(super) fn try_take(shared: &Shared, live: &Live) -> Option<Self> {
        let endpoint = live.gate.window.try_take()?;
        let all = Arc::clone(&shared.in_flight).try_acquire_owned().ok()?;
        Some(Self { _endpoint: endpoint, _all: all })
    }

    /// Both, in the order of asking. The semaphores are never closed.
    pub(super) async fn take(shared: Arc<Shared>, live: Arc<Live>) -> Option<Self> {
        let endpoint = Arc::clone(&live.gate.window).take().await?;
        let all = Arc::clone(&shared.in_flight).acquire_owned().await.ok()?;
        Some(Self { _endpoint: endpoint, _all: all })
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
        let Self { of, live, entry, mut marks, permits, probe, starts_before } = self;
        marks.checkpoint = shared.checkpoints.of(marks.partition);
        let ended = match entry.parcel() {
            Some(parcel) if starts_before.is_none_or(|before| Instant::now() < before) => {
                let now_s = shared.clock.now_ms().div_euclid(1_000);
                Ended::Answered(Box::new(shared.sender.send(&live.target, parcel, &marks, now_s).await))
            }
            // What is no record is wanted by nobody, so it is never begun.
            _ => Ended::TooLate,
        };
        drop(permits);
        Done { of, live, entry, ended, probe }
    }
}
