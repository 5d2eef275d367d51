//! Partitions that are followed together: what the log brings of each topic is handed to their writers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use audit_journal::{Bookmark, DETAIL_KEPT, Follow, FollowEvent, Journal, Partition, Stop, Topic};
use chrono::Utc;

use crate::partition::Work;
use crate::queue::WorkSender;
use crate::store::Store;

/// How often it is looked for delivery attempts that are too old.
const AGE_INTERVAL: Duration = Duration::from_secs(3_600);

/// Where topics go on in some partitions; one of which nothing was archived begins at its first message, and is not named.
type Places = Vec<(Partition, Bookmark)>;

/// Partitions that have begun, and where each goes on.
#[derive(Debug, Default)]
pub(crate) struct Following {
    queues: BTreeMap<Partition, WorkSender>,
    records: Places,
    attempts: Places,
    checkpoints: Places,
}

impl Following {
    /// Adds a partition that goes on where its file says, and whose work is put into this queue.
    pub(crate) fn add(&mut self, partition: Partition, store: &Store, queue: WorkSender) {
        for (places, bookmark) in [
            (&mut self.records, store.bookmark()),
            (&mut self.attempts, store.attempts_bookmark()),
            (&mut self.checkpoints, store.checkpoints_bookmark()),
        ] {
            if bookmark != Bookmark::default() {
                places.push((partition, bookmark));
            }
        }
        self.queues.insert(partition, queue);
    }

    /// Whether there is none yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Follows them until the journal is closed.
    pub(crate) async fn run(self, journal: Journal) {
        let Self { queues, records, attempts, checkpoints } = self;
        let all: BTreeSet<Partition> = queues.keys().copied().collect();
        let mut records = journal.follow_only(Topic::Records, all.clone(), records).await;
        let mut attempts = journal.follow_only(Topic::Deliveries, all.clone(), attempts).await;
        let mut checkpoints = journal.follow_only(Topic::Checkpoints, all.clone(), checkpoints).await;
        // Compacted: from its start, always.
        let mut progress = journal.follow_only(Topic::Progress, all, Vec::new()).await;
        tokio::select! {
            () = age(&queues) => {}
            ((), (), (), ()) = async {
                tokio::join!(
                    hand_out(&mut records, &queues, record_work),
                    hand_out(&mut attempts, &queues, attempt_work),
                    hand_out(&mut progress, &queues, progress_work),
                    hand_out(&mut checkpoints, &queues, checkpoint_work),
                )
            } => {}
        }
    }
}

/// Hands what a follower brings to the writers of its partitions, until the journal is closed. The follower is held up
/// while the room for what waits is full, and with it the memory that waiting takes.
async fn hand_out(
    follow: &mut Follow,
    queues: &BTreeMap<Partition, WorkSender>,
    work: fn(FollowEvent) -> (Partition, Work),
) {
    while let Some(event) = follow.next().await {
        let (partition, work) = work(event);
        if let Some(queue) = queues.get(&partition) {
            queue.send(work).await;
        }
    }
}

/// Has attempts forgotten that are as old as the topic keeps them, by every writer; never returns.
async fn age(queues: &BTreeMap<Partition, WorkSender>) {
    let mut look = tokio::time::interval(AGE_INTERVAL);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let before_ms = Utc::now().timestamp_millis() - DETAIL_KEPT.as_millis() as i64;
        for queue in queues.values() {
            queue.send(Work::AttemptsTooOld(before_ms)).await;
        }
    }
}

fn record_work(event: FollowEvent) -> (Partition, Work) {
    match event {
        FollowEvent::Messages(batch) => (batch.partition, Work::Messages(batch)),
        FollowEvent::Level { partition, next } => (partition, Work::Level(next)),
        FollowEvent::Stopped(stop) => (partition_of(&stop), Work::Stopped(stop.to_string())),
    }
}

fn attempt_work(event: FollowEvent) -> (Partition, Work) {
    match event {
        FollowEvent::Messages(batch) => (batch.partition, Work::Attempts(batch)),
        FollowEvent::Level { partition, next } => (partition, Work::AttemptsLevel(next)),
        FollowEvent::Stopped(stop) => {
            (partition_of(&stop), Work::Stopped(format!("delivery attempts: {stop}")))
        }
    }
}

fn progress_work(event: FollowEvent) -> (Partition, Work) {
    match event {
        FollowEvent::Messages(batch) => (batch.partition, Work::Progress(batch)),
        FollowEvent::Level { partition, next } => (partition, Work::ProgressLevel(next)),
        FollowEvent::Stopped(stop) => (partition_of(&stop), Work::Stopped(format!("progress: {stop}"))),
    }
}

fn checkpoint_work(event: FollowEvent) -> (Partition, Work) {
    match event {
        FollowEvent::Messages(batch) => (batch.partition, Work::Checkpoints(batch)),
        FollowEvent::Level { partition, next } => (partition, Work::CheckpointsLevel(next)),
        FollowEvent::Stopped(stop) => (partition_of(&stop), Work::Stopped(format!("checkpoints: {stop}"))),
    }
}

fn partition_of(stop: &Stop) -> Partition {
    match stop {
        Stop::Replaced { partition, .. }
        | Stop::Truncated { partition, .. }
        | Stop::Overtaken { partition, .. } => *partition,
    }
}
