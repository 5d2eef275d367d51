//! The spool: where a hook's raw request is kept, fsynced and in order, while the log does not answer.

use std::path::PathBuf;

use bytes::Bytes;

/// Where and how much.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// The file.
    pub path: PathBuf,
    /// Most bytes of payload kept.
    pub bytes_max: u64,
}

/// Why a request can't be spooled.
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
}

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    /// Rises with every request.
    pub number: u64,
    /// The source it belongs to.
    pub source: String,
    /// When it came in, microseconds since 1970.
    pub received_at_us: i64,
    /// The request, in the caller's encoding.
    pub request: Bytes,
}

/// The spool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Spool {}

impl Spool {
    /// Opens the file, making it where it is missing.
    pub async fn open(_config: SpoolConfig) -> Result<Self, SpoolError> {
        todo!()
    }

    /// Keeps a request. When it returns the number, the request is fsynced.
    pub async fn push(
        &self,
        _source: &str,
        _received_at_us: i64,
        _request: Bytes,
    ) -> Result<u64, SpoolError> {
        todo!()
    }

    /// Whether anything of `source` waits: then its next request must wait behind it.
    pub fn holds(&self, _source: &str) -> bool {
        todo!()
    }

    /// How many requests and bytes wait.
    pub fn backlog(&self) -> (u64, u64) {
        todo!()
    }

    /// The oldest requests, in order, at most `count`.
    pub async fn oldest(&self, _count: usize) -> Result<Vec<Spooled>, SpoolError> {
        todo!()
    }

    /// Forgets a request that is on the log by now (or in `rejected`).
    pub async fn remove(&self, _number: u64) -> Result<(), SpoolError> {
        todo!()
    }
}
