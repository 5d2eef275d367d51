//! Exit codes, after sysexits.h where it has one. They are part of the interface: scripts branch on them.

use std::process::ExitCode;

/// Why the process ends without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for failed or, for a check, was found wrong.
    Failed = 1,
    /// The command line or the configuration is wrong (`EX_USAGE`).
    Usage = 64,
    /// The server or the log can't be reached (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// The server refused for want of permission (`EX_NOPERM`).
    NotPermitted = 77,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows its exit code; travels inside `anyhow::Error`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Stop {
    /// The code.
    pub(crate) exit: Exit,
    /// What to tell.
    pub(crate) message: String,
}

impl Stop {
    /// An error with this code.
    pub(crate) fn error(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        Self { exit, message: message.into() }.into()
    }
}

/// The code of any error: that of the first [`Stop`] in its chain.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    error.chain().find_map(|cause| cause.downcast_ref::<Stop>()).map_or(Exit::Failed, |stop| stop.exit)
}
