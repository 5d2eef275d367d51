//! The delivery consumer: owns partitions of the records and delivers them to endpoints.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use audit_journal::{Control, Journal, Owned, OwnedEvent, Partition, Stop};
use audit_secret::Keyring;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::checkpoints::{Checkpoints, follow_checkpoints};
use crate::clock::Clock;
use crate::engine::{Command, Handle, Room, Shared, TailEvent, Takeover, Turns, commit_for_all, spawn};
use crate::limit::CircuitConfig;
use crate::live::{LiveEndpoints, LiveRules, keep_current, read};
use crate::partitions::DeliverStanding;
use crate::schedule::RetrySchedule;
use crate::send::{ClientError, Egress, Sender};
use crate::status::{EndpointStatus, summary};

/// The consumer group.
pub const GROUP: &str = "webhooks";

/// Deliveries in flight at a time, of all endpoints of a process, unless told otherwise.
const IN_FLIGHT_DEFAULT: usize = 1_024;

/// After failing for so long an endpoint is disabled, unless told otherwise.
const DISABLE_AFTER_DEFAULT: Duration = Duration::from_secs(5 * 24 * 3_600);

/// How long the last commits may take when the process ends, after what was in flight has had its time.
const DRAIN_MAX: Duration = Duration::from_secs(8);

/// How deliveries are made.
#[derive(Clone, Debug)]
pub struct DelivererConfig {
    /// Where they may go.
    pub egress: Egress,
    /// What the secrets of endpoints are opened with.
    pub keyring: Keyring,
    /// When they are tried again.
    pub schedule: RetrySchedule,
    /// Most in flight at a time, of all endpoints. Each that has something to send gets an equal share.
    pub max_in_flight: usize,
    /// When an endpoint that fails is left alone, and for how long.
    pub circuit: CircuitConfig,
    /// After failing for so long, without a success between, an endpoint is disabled.
    pub disable_after: Duration,
    /// What due times are told by.
    pub clock: Clock,
}

impl Default for DelivererConfig {
    fn default() -> Self {
        Self {
            egress: Egress::default(),
            keyring: Keyring::empty(),
            schedule: RetrySchedule::default(),
            max_in_flight: IN_FLIGHT_DEFAULT,
            circuit: CircuitConfig::default(),
            disable_after: DISABLE_AFTER_DEFAULT,
            clock: Clock::system(),
        }
    }
}

/// Why delivering ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The journal was closed under it.
    #[error("the log was closed while deliveries were made")]
    Closed,
    /// A partition's task panicked. What it held is durable up to its last commit.
    #[error("the deliveries of a partition broke off: {0}")]
    Broken(String),
}

/// Delivers to endpoints. Cheap to clone; `run` it once.
#[derive(Clone, Debug)]
pub struct Deliverer {
    shared: Arc<Shared>,
    live: watch::Sender<LiveEndpoints>,
    rules: LiveRules,
    handles: crate::engine::Handles,
    standing: DeliverStanding,
}

impl Deliverer {
    /// Over a log and its settings.
    pub fn new(journal: Journal, control: Control, config: DelivererConfig) -> Result<Self, ClientError> {
        let (live, current) = watch::channel(LiveEndpoints::default());
        let rules = LiveRules {
            keyring: config.keyring.clone(),
            circuit: config.circuit,
            clock: config.clock.clone(),
        };
        live.send_replace(read(&control, &rules, &LiveEndpoints::default()));
        let in_flight_max = config.max_in_flight.max(1);
        let shared = Shared {
            sender: Sender::new(config.egress)?,
            journal,
            control,
            keyring: config.keyring,
            schedule: config.schedule,
            clock: config.clock,
            checkpoints: Checkpoints::default(),
            in_flight: Arc::new(Semaphore::new(in_flight_max)),
            in_flight_max,
            turns: Turns::new(std::thread::available_parallelism().map_or(1, NonZero::get)),
            room: Room::new(),
            disable_after: config.disable_after,
            doors: watch::Sender::new(0),
            live: current,
            commit_now: Notify::new(),
            disabling: TaskTracker::new(),
        };
        let (handles, standing) = (Arc::default(), DeliverStanding::default());
        Ok(Self { shared: Arc::new(shared), live, rules, handles, standing })
    }

    /// How the partitions stand that it delivers from.
    pub fn standing(&self) -> DeliverStanding {
        self.standing.clone()
    }

    /// How every endpoint stands in this process: its totals, and how far it is in the partitions that
    /// this process owns.
    pub async fn status(&self) -> Vec<EndpointStatus> {
        let handles: Vec<Handle> = self.locked().values().cloned().collect();
        let mut lanes = Vec::new();
        for handle in handles {
            let (answer, report) = oneshot::channel();
            if handle.commands.send(Command::Report(answer)).await.is_ok() {
                lanes.extend(report.await.unwrap_or_default());
            }
        }
        let live = self.live.borrow().clone();
        summary(&live, &lanes, self.shared.clock.now_ms())
    }

    /// Delivers until `shutdown`, then drains: nothing more begins, what is in flight has a few seconds to
    /// end, everything is committed, the partitions are given up.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), DeliverError> {
        let mut owned = self.shared.journal.follow_owned(GROUP).await;
        // All end with us, also when we are dropped in the middle.
        let keeping = keep_current(self.shared.control.clone(), self.rules.clone(), self.live.clone());
        let keeping = AbortOnDropHandle::new(tokio::spawn(keeping));
        let committing = AbortOnDropHandle::new(tokio::spawn(commit_for_all(
            Arc::clone(&self.shared),
            owned.committer(),
            Arc::clone(&self.handles),
        )));
        let following = follow_checkpoints(Arc::clone(&self.shared), Arc::clone(&self.handles));
        let following = AbortOnDropHandle::new(tokio::spawn(following));
        let mut tasks = JoinSet::new();
        let outcome = self.route(&mut owned, &mut tasks, &shutdown).await;
        let drained = tokio::time::timeout(DRAIN_MAX, self.drain(&mut tasks)).await.is_ok();
        committing.abort();
        keeping.abort();
        following.abort();
        if drained {
            owned.leave().await;
        } else {
            // What was not committed is delivered again by whoever comes next.
            tracing::warn!("deliveries ended before everything was committed: some will be repeated");
            tasks.abort_all();
        }
        self.locked().clear();
        self.standing.end_all();
        outcome
    }

    async fn route(
        &self,
        owned: &mut Owned,
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) -> Result<(), DeliverError> {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                event = owned.next() => match event {
                    Some(event) => self.dispatch(event, tasks).await,
                    None if shutdown.is_cancelled() => return Ok(()),
                    None => return Err(DeliverError::Closed),
                },
                Some(ended) = tasks.join_next() => if let Err(error) = ended {
                    return Err(DeliverError::Broken(error.to_string()));
                },
            }
        }
    }

    async fn dispatch(&self, event: OwnedEvent, tasks: &mut JoinSet<()>) {
        match event {
            OwnedEvent::Assigned { partition, generation, bookmark, documents, end, clean } => {
                let takeover = Takeover { partition, generation, bookmark, documents, end, clean };
                match spawn(Arc::clone(&self.shared), takeover) {
                    Ok((handle, task)) => {
                        tracing::debug!(partition, generation, "deliveries of a partition begin");
                        self.locked().insert(partition, handle);
                        self.standing.begin(partition);
                        tasks.spawn(task);
                    }
                    Err((endpoint, error)) => {
                        tracing::error!(
                            partition, %endpoint, %error,
                            "a partition is not delivered from: the document that says how far an endpoint is can't be used"
                        );
                        let why =
                            format!("the document that says how far {endpoint} is can't be used: {error}");
                        self.standing.stop(partition, why);
                    }
                }
            }
            OwnedEvent::Messages(batch) => {
                self.send_tail(batch.partition, TailEvent::Messages(batch)).await;
            }
            OwnedEvent::Level { partition, next } => {
                self.send_tail(partition, TailEvent::Level(next)).await;
            }
            OwnedEvent::Revoked { partition, lost, done } => {
                self.standing.end(partition);
                let Some(handle) = self.locked().get(&partition).cloned() else { return };
                let command = if lost { Command::Lost } else { Command::Release(Some(done)) };
                // The handle stays until another assignment replaces it: the last commit needs it.
                let _ = handle.commands.send(command).await;
            }
            OwnedEvent::Stopped(stop) => self.stop(&stop).await,
        }
    }

    /// A partition is delivered from no further, and nothing of it is committed any more: its log is not the one that its
    /// lanes know, or lacks what they have not seen. The journal would go on taking commits of it. What was settled since
    /// the last one is not written down: once the log is accepted it comes again, as after a crash, if it still is there.
    async fn stop(&self, stop: &Stop) {
        let (Stop::Replaced { partition, .. }
        | Stop::Truncated { partition, .. }
        | Stop::Overtaken { partition, .. }) = *stop;
        tracing::error!(partition, %stop, "a partition is delivered from no further");
        self.standing.stop(partition, stop.to_string());
        let handle = self.locked().get(&partition).cloned();
        if let Some(handle) = handle {
            let _ = handle.commands.send(Command::Lost).await;
        }
    }

    /// A partition's task takes its tail in promptly, whatever its endpoints do. One that has ended (lost)
    /// takes nothing.
    async fn send_tail(&self, partition: Partition, event: TailEvent) {
        let handle = self.locked().get(&partition).cloned();
        if let Some(handle) = handle {
            let _ = handle.tail.send(event).await;
        }
    }

    async fn drain(&self, tasks: &mut JoinSet<()>) {
        let handles: Vec<Handle> = self.locked().values().cloned().collect();
        for handle in handles {
            let _ = handle.commands.send(Command::Release(None)).await;
        }
        while tasks.join_next().await.is_some() {}
        self.shared.disabling.close();
        self.shared.disabling.wait().await;
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<Partition, Handle>> {
        // The map is whole at every moment, whatever happened to who held it.
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
