//! The engine: one task a partition, which owns all lanes of it; one task that commits for all of them.

mod commits;
mod delivery;
mod disable;
mod lease;
mod partition;
mod room;
mod shares;
mod slot;
#[cfg(test)]
mod testing;
mod turns;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use audit_journal::{Control, Journal};
use audit_secret::Keyring;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::checkpoints::Checkpoints;
use crate::clock::Clock;
use crate::live::LiveEndpoints;
use crate::schedule::RetrySchedule;
use crate::send::Sender;

pub(crate) use commits::{Handles, commit_for_all};
pub(crate) use disable::disable;
pub(crate) use partition::{Command, Handle, LaneReport, TailEvent, Takeover, spawn};
pub(crate) use room::Room;
pub(crate) use turns::Turns;

/// What the tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) journal: Journal,
    pub(crate) control: Control,
    pub(crate) sender: Sender,
    pub(crate) keyring: Keyring,
    pub(crate) schedule: RetrySchedule,
    pub(crate) clock: Clock,
    /// What deliveries carry of how far the log is sealed.
    pub(crate) checkpoints: Checkpoints,
    /// Deliveries in flight, of all endpoints, and how many there may be.
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) in_flight_max: usize,
    /// Those of deliveries and reads that are behind, while the tail is live.
    pub(crate) turns: Turns,
    pub(crate) room: Room,
    /// After failing for so long an endpoint is disabled.
    pub(crate) disable_after: Duration,
    /// Changes when an endpoint's door opens: who waits at one looks again.
    pub(crate) doors: watch::Sender<u64>,
    pub(crate) live: watch::Receiver<LiveEndpoints>,
    /// Asks for a commit before its time.
    pub(crate) commit_now: Notify,
    /// Endpoints that are being disabled.
    pub(crate) disabling: TaskTracker,
}
