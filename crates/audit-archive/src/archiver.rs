//! The writer of an archive: has each partition begin, and followed and written once it has begun.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use audit_journal::{Journal, Partition};
use audit_proof::LogKeys;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::alarm::{self, ALARMS_WAITING_MAX};
use crate::beginning;
use crate::config::ArchiveConfig;
use crate::following::Following;
use crate::former;
use crate::layout::{DirectoryLock, LockError, partition_file};
use crate::partition::PartitionWriter;
use crate::queue::{Room, WorkQueue, WorkSender};
use crate::schema;
use crate::store::checkpoints::Alarm;
use crate::store::{Store, StoreError, StoreIdentity};

/// How long a partition that has begun waits for others to begin, so that the same followers serve for all of them: longer
/// than one pauses before it looks again.
const TOGETHER_WITHIN: Duration = Duration::from_secs(2);

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
    /// returns. Each partition begins on its own: one that has to wait until it can be told where its log begins holds up no
    /// other. A partition that can't go on is stopped by name while the others go on: the trace says so,
    /// and so does [`crate::Reader::status`].
    pub async fn run(self, journal: Journal, shutdown: CancellationToken) {
        let Self { config, lock, stores } = self;
        let (alarms, untold) = mpsc::channel(ALARMS_WAITING_MAX);
        let room = Room::new();
        let mut queues = Vec::with_capacity(stores.len());
        let mut beginnings = JoinSet::new();
        for (partition, store) in stores {
            let (queue, work) = room.queue();
            queues.push(queue.clone());
            let waiting = Waiting { partition, store, queue, work };
            beginnings.spawn(waiting.begin(journal.clone(), config.log_keys.clone()));
        }
        let shutting = shutdown.clone();
        let mut at_work = AtWork {
            config,
            shutdown,
            alarms,
            beginnings,
            followers: JoinSet::new(),
            writers: JoinSet::new(),
        };
        tokio::select! {
            () = shutting.cancelled() => {}
            () = alarm::tell(&journal, untold, &queues) => {}
            () = at_work.follow(&journal) => {}
        }
        drop(queues);
        at_work.end().await;
        drop(lock);
    }
}

/// A partition that has not begun: its file, and both ends of its queue, into which nothing is put yet.
struct Waiting {
    partition: Partition,
    store: Store,
    queue: WorkSender,
    work: WorkQueue,
}

impl Waiting {
    /// Waits until the partition can begin. `None` where it must not, which the trace and the file say.
    async fn begin(mut self, journal: Journal, keys: LogKeys) -> Option<Self> {
        let begun = beginning::begin(&journal, &keys, self.partition, &mut self.store).await;
        if let Err(why) = &begun {
            tracing::error!(file = self.store.name(), why, "archive: partition stopped");
            beginning::say(&mut self.store, Some(why));
        }
        if let Some(former) = self.store.take_former() {
            former::let_go(&journal, self.partition, &former).await;
        }
        begun.is_ok().then_some(self)
    }
}

/// All that is done for the partitions of an archive.
struct AtWork {
    config: ArchiveConfig,
    /// Whoever pauses heeds it.
    shutdown: CancellationToken,
    /// What writers found out about checkpoints; taken by [`alarm::tell`].
    alarms: mpsc::Sender<Alarm>,
    /// Partitions that have not begun, one a task.
    beginnings: JoinSet<Option<Waiting>>,
    /// Partitions that are followed, those that began together in one task: no more tasks than partitions, and one where
    /// none had to wait. Over Kafka each task has four consumers of its own for as long as the archive is written; after a
    /// restart those that have begun are followed together.
    followers: JoinSet<()>,
    /// The writers of all partitions that have begun.
    writers: JoinSet<()>,
}

impl AtWork {
    /// Follows partitions as they begin; returns when the journal is closed.
    async fn follow(&mut self, journal: &Journal) {
        let (mut begun, mut first_at) = (Following::default(), Instant::now());
        loop {
            if self.beginnings.is_empty() && !begun.is_empty() {
                self.followers.spawn(std::mem::take(&mut begun).run(journal.clone()));
            }
            tokio::select! {
                Some(ended) = self.beginnings.join_next() => {
                    if let Some(waiting) = ended.unwrap_or_else(passed_on) {
                        if begun.is_empty() {
                            first_at = Instant::now();
                        }
                        self.write(waiting, &mut begun);
                    }
                }
                () = tokio::time::sleep_until(first_at + TOGETHER_WITHIN), if !begun.is_empty() => {
                    self.followers.spawn(std::mem::take(&mut begun).run(journal.clone()));
                }
                Some(ended) = self.followers.join_next() => {
                    ended.unwrap_or_else(passed_on);
                    // They end with the journal alone, which is the same for all.
                    if self.followers.is_empty() {
                        return;
                    }
                }
                // No partition may begin: what is wrong with each stands in its file.
                else => std::future::pending::<()>().await,
            }
        }
    }

    /// Starts the writer of a partition that has begun.
    fn write(&mut self, waiting: Waiting, begun: &mut Following) {
        let Waiting { partition, store, queue, work } = waiting;
        begun.add(partition, &store, queue);
        let writer = PartitionWriter {
            store,
            dir: self.config.dir.clone(),
            free_bytes_min: self.config.free_bytes_min,
            work,
            shutdown: self.shutdown.clone(),
            space_seen: None,
            stopped: None,
            alarms: self.alarms.clone(),
            alarmed: BTreeSet::new(),
            attempts_before_ms: None,
        };
        self.writers.spawn_blocking(move || writer.run());
    }

    /// Ends what brings work, then waits until every writer has committed what it has in hand.
    async fn end(mut self) {
        self.beginnings.shutdown().await;
        self.followers.shutdown().await;
        while let Some(ended) = self.writers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "archive: a partition's writer ended abnormally");
            }
        }
    }
}

/// A task's panic is that of whoever waits for it; one that was aborted came to nothing.
fn passed_on<T: Default>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => T::default(),
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
