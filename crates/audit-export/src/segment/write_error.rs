//! Why a segment is not written, or not yet.

use audit_journal::ReadError;
use audit_proof::{InvalidKey, InvalidNote};

use super::manifest::SegmentLoss;
use crate::destination::PutError;
use crate::payload::ParquetWriteError;

/// Why a segment is not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// May pass.
    #[error("the log can't be read: {0}")]
    Log(#[from] ReadError),
    /// May pass, or wants somebody who moves things at the destination.
    #[error(transparent)]
    Put(PutError),
    /// Passes when somebody has mended it.
    #[error("{0}")]
    Refused(String),
    /// Its messages are gone for good.
    #[error("{1}")]
    Gone(SegmentLoss, String),
    #[error("it was stopped")]
    Stopped,
}

impl WriteError {
    /// Whether it may pass by itself.
    pub(super) fn may_pass(&self) -> bool {
        let away = |error: &PutError| matches!(error, PutError::NotWritten { .. } | PutError::NotRead { .. });
        matches!(self, Self::Log(_)) || matches!(self, Self::Put(error) if away(error))
    }
}

impl From<PutError> for WriteError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Stopped => Self::Stopped,
            // Other bytes among them: of two writers that overlap, or of two releases, each signs a manifest of its own, and
            // which of them stands is found by the next try.
            error => Self::Put(error),
        }
    }
}

impl From<ParquetWriteError> for WriteError {
    fn from(error: ParquetWriteError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<InvalidKey> for WriteError {
    fn from(error: InvalidKey) -> Self {
        Self::Refused(format!("the log's keys can't be used: {error}"))
    }
}

impl From<InvalidNote> for WriteError {
    fn from(error: InvalidNote) -> Self {
        Self::Refused(format!("the manifest can't be signed: {error}"))
    }
}

impl From<tokio::task::JoinError> for WriteError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Refused(error.to_string())
    }
}
