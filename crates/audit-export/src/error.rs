//! Why an export was not made.

use audit_archive::{EvidenceError, ExportFileError, QueryError};
use audit_journal::ReadError;
use audit_proof::InvalidKey;

use crate::destination::PutError;
use crate::payload::UnfitCompression;
use crate::state::STATE_VERSION;

/// Each names the thing and the mend. What was written stays beside the destination, and the same job goes on
/// from there.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Something stands where the export is to go.
    #[error("{0} exists already: name another destination, or remove it")]
    Exists(String),
    /// Another job was interrupted there.
    #[error("{0} holds the unfinished export of another job: finish that one, or remove the folder")]
    OtherJob(String),
    /// A later release was interrupted there.
    #[error(
        "{folder} holds an unfinished export of version {found}, this release goes on with those up to {STATE_VERSION}: finish it with the release that began it, or remove the folder"
    )]
    Newer {
        /// Where.
        folder: String,
        /// Its version.
        found: u32,
    },
    /// The archive did not pass the log's end in time.
    #[error(
        "the archive did not reach the log's end within {seconds} s: wait for it (`flagtrail archive status`), or ask again"
    )]
    ArchiveBehind {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The format does not go with the compression.
    #[error(transparent)]
    Unfit(#[from] UnfitCompression),
    /// The log can't be read.
    #[error("the log's ends can't be read: {0}")]
    Log(#[from] ReadError),
    /// The archive can't be read.
    #[error(transparent)]
    Archive(#[from] QueryError),
    /// The archive's trees don't show what the export has to.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// A key has no name that a signature can bear.
    #[error("the export can't be signed: {0}")]
    Key(#[from] InvalidKey),
    /// The SQLite file can't be written.
    #[error(transparent)]
    Sqlite(#[from] ExportFileError),
    /// The destination can't be written.
    #[error("the export can't be written: {0}")]
    Write(#[from] std::io::Error),
    /// What is made can't be brought to where it is to go.
    #[error(transparent)]
    Destination(#[from] PutError),
    /// A row of the archive is no record, although it was one when it was archived.
    #[error(
        "the archive holds something at partition {partition}, number {seq}, that is no record: `flagtrail archive check` tells more"
    )]
    Corrupt {
        /// The partition.
        partition: u32,
        /// The number in it.
        seq: u64,
    },
    /// Bodies were erased between the payload and what proves it: the payload has them still.
    #[error(
        "records of partition {partition} were erased while the export was made: ask again, and it is made anew without them"
    )]
    ErasedMeanwhile {
        /// The partition.
        partition: u32,
    },
    /// The record that tells of the export could not be appended: nothing leaves without it.
    #[error("the export could not be put on the record: {0}")]
    NotOnRecord(String),
    /// It was told to stop.
    #[error("the export was stopped; the same job goes on where it was")]
    Stopped,
}
