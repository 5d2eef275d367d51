//! The writer of an archive: follows the log and hands each partition's messages to that partition's writer.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use audit_journal::{Bookmark, DETAIL_KEPT, Follow, FollowEvent, Journal, Partition, Stop, Topic};
use chrono::Utc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::alarm::{self, ALARMS_WAITING_MAX};
use crate::beginning;
use crate::config::ArchiveConfig;
use crate::former;
use crate::layout::{DirectoryLock, LockError, partition_file};
use crate::partition::{PartitionWriter, Work};
use crate::queue::{Room, WorkSender};
use crate::schema;
use crate::store::{Store, StoreError, StoreIdentity};

/// How often it is looked for delivery attempts that are too old.
const AGE_INTERVAL: Duration = Duration::from_secs(3_600);

/// Why an archive can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiverError {
    /// Another process writes it.
    #[error(
        "the archive in {0} is written by another process: stop that one, or give this one a directory of its own"
    )]
    Held(String),
    /// A file was written by a later release.
    #[error(
        "{file} was written by a later release (its version is {found}, this release knows {known}): use that release, or `flagtrail archive rebuild`"
    )]
    Newer {
        /// The file.
        file: String,
        /// What stands there.
        found: i64,
        /// What is known.
        known: i64,
    },
    /// The directory holds the archive of another log.
    #[error("{file} is not of this log: {why}")]
    OtherLog {
        /// The file.
        file: String,
        /// What differs, and the mend.
        why: String,
    },
    /// The files can't be opened or written.
    #[error("the archive's {path} can't be written: {problem}")]
    Storage {
        /// The directory or file.
        path: String,
        /// What the file system or SQLite says.
        problem: String,
    },
}

/// Writes one archive. Holds the directory's lock until [`Archiver::run`] is through.
#[derive(Debug)]
pub struct Archiver {
    config: ArchiveConfig,
    lock: DirectoryLock,
    stores: Vec<(Partition, Store)>,
}

impl Archiver {
    /// Locks the directory and opens its files, making what is missing. A file of an earlier release is moved aside and made
    /// anew, to be filled from the log.
    pub fn open(config: ArchiveConfig, journal: &Journal) -> Result<Self, ArchiverError> {
        let identity = journal.identity();
        let lock = lock(&config.dir)?;
        let mut stores = Vec::new();
        for partition in 0..identity.partitions {
            let identity = StoreIdentity {
                deployment: identity.deployment.to_string(),
                partition,
                partitions: identity.partitions,
                epoch: identity.epoch,
                full_text: config.full_text,
                log_keys: config.log_keys.clone(),
                tag_key: journal.identity().tag_key(),
            };
            let path = partition_file(&config.dir, partition);
            let store = Store::open(&path, &identity).map_err(|error| refusal(&path, error))?;
            stores.push((partition, store));
        }
        Ok(Self { config, lock, stores })
    }

    /// Follows the log until `shutdown` or until the journal is closed, then commits what is in hand and
    /// returns. A partition that can't go on is stopped by name while the others go on: the trace says so,
    /// and so does [`crate::Reader::status`].
    pub async fn run(self, journal: Journal, shutdown: CancellationToken) {
        let Self { config, lock, mut stores } = self;
        let mut refused = BTreeSet::new();
        for (partition, store) in &mut stores {
            // Where one waits the others do, too: it is the same log, and the same sealers and keys that tell where it begins.
            let begin = beginning::begin(&journal, &config.log_keys, *partition, store);
            let begun = shutdown.run_until_cancelled(begin).await;
            match begun {
                None => return,
                Some(Ok(())) => {}
                Some(Err(why)) => {
                    tracing::error!(file = store.name(), why, "archive: partition stopped");
                    beginning::say(store, Some(&why));
                    refused.insert(*partition);
                }
            }
            if let Some(former) = store.take_former() {
                former::let_go(&journal, *partition, &former).await;
            }
        }
        let records_from = bookmarks(&stores, Store::bookmark);
        let attempts_from = bookmarks(&stores, Store::attempts_bookmark);
        let checkpoints_from = bookmarks(&stores, Store::checkpoints_bookmark);
        let (alarms, untold) = mpsc::channel(ALARMS_WAITING_MAX);
        let mut writers = JoinSet::new();
        let room = Room::new();
        let mut queues = Vec::with_capacity(stores.len());
        for (partition, store) in stores {
            let (queue, work) = room.queue();
            queues.push(queue);
            // Nobody takes its work, and so it takes no room.
            if refused.contains(&partition) {
                continue;
            }
            let writer = PartitionWriter {
                store,
                dir: config.dir.clone(),
                free_bytes_min: config.free_bytes_min,
                work,
                shutdown: shutdown.clone(),
                space_seen: None,
                stopped: None,
                alarms: alarms.clone(),
                alarmed: BTreeSet::new(),
                attempts_before_ms: None,
            };
            writers.spawn_blocking(move || writer.run());
        }
        let mut records = journal.follow(Topic::Records, records_from).await;
        let mut attempts = journal.follow(Topic::Deliveries, attempts_from).await;
        let mut checkpoints = journal.follow(Topic::Checkpoints, checkpoints_from).await;
        // Compacted: from its start, always.
        let mut progress = journal.follow(Topic::Progress, Vec::new()).await;
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = alarm::tell(&journal, untold, &queues) => {}
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
        drop(queues);
        while let Some(ended) = writers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "archive: a partition's writer ended abnormally");
            }
        }
        drop(lock);
    }
}

/// Locks a directory for writing.
pub(crate) fn lock(dir: &Path) -> Result<DirectoryLock, ArchiverError> {
    DirectoryLock::acquire(dir).map_err(|error| match error {
        LockError::Held => ArchiverError::Held(dir.display().to_string()),
        LockError::Io(error) => {
            ArchiverError::Storage { path: dir.display().to_string(), problem: error.to_string() }
        }
    })
}

fn refusal(path: &Path, error: StoreError) -> ArchiverError {
    let file = path.display().to_string();
    match error {
        StoreError::Newer { found } => ArchiverError::Newer { file, found, known: schema::SCHEMA_VERSION },
        StoreError::Other(why) => ArchiverError::OtherLog { file, why },
        StoreError::NotNow(problem) | StoreError::Broken(problem) => {
            ArchiverError::Storage { path: file, problem }
        }
        StoreError::Superseded { .. } => ArchiverError::Held(file),
    }
}

/// Where a topic goes on; partitions of which nothing was archived begin at their first message.
fn bookmarks(stores: &[(Partition, Store)], of: fn(&Store) -> Bookmark) -> Vec<(Partition, Bookmark)> {
    let all = stores.iter().map(|(partition, store)| (*partition, of(store)));
    all.filter(|(_, bookmark)| *bookmark != Bookmark::default()).collect()
}

/// Hands what a follower brings to the writers of its partitions, until the journal is closed. The follower is held up
/// while the room for what waits is full, and with it the memory that waiting takes.
async fn hand_out(follow: &mut Follow, queues: &[WorkSender], work: fn(FollowEvent) -> (Partition, Work)) {
    while let Some(event) = follow.next().await {
        let (partition, work) = work(event);
        if let Some(queue) = queues.get(partition as usize) {
            queue.send(work).await;
        }
    }
}

/// Has attempts forgotten that are as old as the topic keeps them, by every writer; never returns.
async fn age(queues: &[WorkSender]) {
    let mut look = tokio::time::interval(AGE_INTERVAL);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let before_ms = Utc::now().timestamp_millis() - DETAIL_KEPT.as_millis() as i64;
        for queue in queues {
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
