//! Why a journal can't be opened.

/// Each names the thing and the mend.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// The log can't be reached; opening may be tried again.
    #[error("the log can't be reached: {0}")]
    Unavailable(String),
    /// A topic, file or setting is wrong and stays wrong until somebody mends it.
    #[error("{0}")]
    Refused(String),
    /// Another process holds the file.
    #[error(
        "{0} is held by another process: the embedded log is for one process; stop the other one, or use Kafka"
    )]
    Held(String),
    /// The log was written by a later release.
    #[error(
        "the log was written by a later release (its version is {found}, this release reads up to {known}): use that release"
    )]
    Newer {
        /// What stands there.
        found: u32,
        /// What is known.
        known: u32,
    },
}
