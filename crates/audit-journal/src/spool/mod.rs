//! The spool: where what is to reach the log is kept, fsynced and in order, while the log does not answer. An
//! entry is what the hook that spools it has made of a request: the messages, with their ids and marks. To
//! this file it is opaque bytes. One SQLite file of its own, for one process.

mod backlog;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::oneshot;

use self::backlog::Backlog;
use self::writer::{Job, Writer};
use crate::error::OpenError;
use crate::read::{ReadError, ReadLimit};
use crate::sqlite::file::{self, WriteLock};
use crate::sqlite::queue::Queue;
use crate::sqlite::readers::Readers;

/// Where and how much.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// The file.
    pub path: PathBuf,
    /// Most bytes of payload kept.
    pub bytes_max: u64,
}

/// Why an entry can't be spooled.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The bound is reached.
    #[error("the spool is full: {bytes} of {bytes_max} bytes wait for the log")]
    Full {
        /// What waits.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// The file can't be written.
    #[error("the spool can't be written: {0}")]
    Broken(String),
    /// Another process holds the file.
    #[error(
        "the spool {0} is held by another process: of those that take webhooks in, each needs a data_dir of its own"
    )]
    Held(String),
    /// The file was written by a later release.
    #[error(
        "the spool was written by a later release (its version is {found}, this release reads up to {known}): use that release"
    )]
    Newer {
        /// What stands there.
        found: u32,
        /// What is known.
        known: u32,
    },
}

/// An entry that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    /// Rises with every entry.
    pub number: u64,
    /// The source it belongs to.
    pub source: String,
    /// When it came in, microseconds since 1970.
    pub received_at_us: i64,
    /// The messages that the request became, in the caller's encoding.
    pub request: Bytes,
}

/// The spool. Cheap to clone; the file is let go of with the last clone.
///
/// An entry is removed after its messages are on the log. If the process dies in between, the entry is still
/// here when they are there: so whoever spools them fixes their ids and a mark of each *before* that, inside
/// the entry. Who drains the spool appends under its id ([`crate::NamedAppender`]), which ends what a dead
/// process had under way, looks for the marks on the log, and appends only what is missing.
#[derive(Clone, Debug)]
pub struct Spool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: String,
    queue: Arc<Queue<Job>>,
    readers: Readers,
    backlog: Arc<Backlog>,
    /// The writing thread, until it is waited for.
    writer: Option<JoinHandle<()>>,
}

impl Spool {
    /// Opens the file, making it where it is missing, and counts what waits in it.
    pub async fn open(config: SpoolConfig) -> Result<Self, SpoolError> {
        let opening = tokio::task::spawn_blocking(move || Self::open_blocking(&config));
        opening.await.unwrap_or_else(|e| Err(SpoolError::Broken(e.to_string())))
    }

    fn open_blocking(config: &SpoolConfig) -> Result<Self, SpoolError> {
        let lock = WriteLock::take(&config.path)?;
        let connection = file::open_writer(&config.path, &writer::SCHEMA)?;
        let id = writer::id(&connection).map_err(|e| SpoolError::Broken(e.to_string()))?;
        let waiting = writer::count(&connection).map_err(|e| SpoolError::Broken(e.to_string()))?;
        let backlog = Arc::new(Backlog::new(config.bytes_max, waiting));
        let queue = Arc::new(Queue::new());
        let writer = Writer::new(connection, Arc::clone(&queue), Arc::clone(&backlog), lock);
        let thread = std::thread::Builder::new()
            .name("spool-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|e| SpoolError::Broken(e.to_string()))?;
        let readers = Readers::new(config.path.clone());
        Ok(Self { inner: Arc::new(Inner { id, queue, readers, backlog, writer: Some(thread) }) })
    }

    /// Which spool this is: made up with the file and part of it, so the same in every process that opens it.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Keeps an entry. When it returns the number, the entry is fsynced. Entries of one source that are
    /// pushed one after the other keep their order.
    pub async fn push(&self, source: &str, received_at_us: i64, request: Bytes) -> Result<u64, SpoolError> {
        let bytes = request.len();
        let place = Backlog::reserve(&self.inner.backlog, source, bytes as u64)?;
        let (answer, outcome) = oneshot::channel();
        let job = Job::Push { place, received_at_us, request, answer };
        self.inner.queue.push(job, bytes).await.map_err(|_| closed())?;
        outcome.await.map_err(|_| closed())?.map_err(SpoolError::Broken)
    }

    /// Whether anything of `source` waits, or is being pushed: then its next entry must wait behind it.
    pub fn holds(&self, source: &str) -> bool {
        self.inner.backlog.holds(source)
    }

    /// How many entries and bytes wait.
    pub fn backlog(&self) -> (u64, u64) {
        self.inner.backlog.total()
    }

    /// The oldest entries, in order, up to the bounds: at least one where there is one. None while all that
    /// [`Spool::backlog`] counts is still being pushed.
    pub async fn oldest(&self, limit: ReadLimit) -> Result<Vec<Spooled>, SpoolError> {
        let reading = self.inner.readers.read(move |connection| {
            writer::oldest(connection, limit).map_err(|e| ReadError::Unavailable(e.to_string()))
        });
        reading.await.map_err(|e| SpoolError::Broken(e.to_string()))
    }

    /// Forgets entries that are on the log by now, all together. When it returns, that is durable; those that
    /// are not there are forgotten already.
    pub async fn remove(&self, numbers: Vec<u64>) -> Result<(), SpoolError> {
        let (answer, outcome) = oneshot::channel();
        self.inner.queue.push(Job::Remove { numbers, answer }, 0).await.map_err(|_| closed())?;
        outcome.await.map_err(|_| closed())?.map_err(SpoolError::Broken)
    }
}

fn closed() -> SpoolError {
    SpoolError::Broken("its writing thread ended".to_owned())
}

impl Drop for Inner {
    /// Waits for the writing thread, so that the file can be opened again at once.
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl From<OpenError> for SpoolError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Held(path) => Self::Held(path),
            OpenError::Newer { found, known } => Self::Newer { found, known },
            OpenError::Unavailable(reason) | OpenError::Refused(reason) => Self::Broken(reason),
        }
    }
}
