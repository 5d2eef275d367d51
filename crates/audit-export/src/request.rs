//! What is asked for, where it is, and why it may not be taken.

use audit_journal::Partition;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::jobs::{EXPORTS_KEPT_MAX, JOBS_WAITING_MAX};
use crate::manifest::{Manifest, QueryText};
use crate::payload::{Compression, Format, UnfitCompression};

/// The version of `job.json` that this release writes.
pub(crate) const JOB_VERSION: u32 = 1;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportRequest {
    pub(crate) v: u32,
    /// The job's id.
    pub id: String,
    /// Which records.
    pub query: QueryText,
    /// The format.
    pub format: Format,
    /// How its files are compressed.
    #[serde(default, skip_serializing_if = "Compression::is_none")]
    pub compression: Compression,
    /// The destination that it is brought to; kept in the server's own directory alone where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Whether it stays in the server's directory, to be fetched, after it was brought to its destination.
    #[serde(default = "usually", skip_serializing_if = "is_usual")]
    pub is_kept: bool,
    /// Who asks, in words.
    pub asked_by: String,
    /// When, RFC 3339.
    pub asked_at: String,
}

fn usually() -> bool {
    true
}

fn is_usual(is_kept: &bool) -> bool {
    *is_kept
}

/// What a job is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportOrder {
    /// Its id, where whoever asks may ask again for the same; made up where there is none. Ids sort by time.
    pub id: Option<Uuid>,
    /// Which records.
    pub query: QueryText,
    /// The format.
    pub format: Format,
    /// How its files are compressed; it must [fit](Format::fits) the format.
    pub compression: Compression,
    /// The name of the destination that it is brought to.
    pub destination: Option<String>,
    /// Whether it stays in this process's directory after it was brought to its destination.
    pub is_kept: bool,
    /// Who asks, in words.
    pub asked_by: String,
}

/// Where a job is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum ExportState {
    /// Behind others.
    Waiting,
    /// Being made.
    Running {
        /// Records written so far.
        records: u64,
    },
    /// There, whole.
    Done {
        /// What it holds.
        manifest: Box<Manifest>,
    },
    /// Given up; a restart of the process tries again. So does this one where only the destination was away, or where the
    /// export is not kept here: then nobody waits for it who would ask again.
    Failed {
        /// Why, and the mend.
        problem: String,
    },
}

/// Where a job is, as lists have it: without what its manifest says of every file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum StateSummary {
    /// Behind others.
    Waiting,
    /// Being made.
    Running {
        /// Records written so far.
        records: u64,
    },
    /// There, whole.
    Done {
        /// Records in all files.
        records: u64,
        /// The partitions that it does not cover to their end.
        incomplete: Vec<Partition>,
    },
    /// Given up; a restart of the process tries again. So does this one where only the destination was away, or where the
    /// export is not kept here: then nobody waits for it who would ask again.
    Failed {
        /// Why, and the mend.
        problem: String,
    },
}

impl ExportState {
    pub(crate) fn summary(&self) -> StateSummary {
        match self {
            Self::Waiting => StateSummary::Waiting,
            Self::Running { records } => StateSummary::Running { records: *records },
            Self::Done { manifest } => {
                StateSummary::Done { records: manifest.records, incomplete: manifest.incomplete() }
            }
            Self::Failed { problem } => StateSummary::Failed { problem: problem.clone() },
        }
    }
}

/// Why a job is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Too many wait.
    #[error("{JOBS_WAITING_MAX} exports wait already: ask again when one is done")]
    Full,
    /// Too many are kept.
    #[error(
        "{EXPORTS_KEPT_MAX} exports are kept already: delete those that are no longer needed here (`flagtrail export delete ID`), and ask again"
    )]
    TooManyKept,
    /// Nobody has configured that destination.
    #[error("there is no destination {asked:?} in the configuration; there are: {}", .known.join(", "))]
    Destination {
        /// What was asked for.
        asked: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The request can't be written down.
    #[error("the export can't be written down: {0}")]
    Write(#[from] std::io::Error),
    /// The format does not go with the compression.
    #[error(transparent)]
    Unfit(#[from] UnfitCompression),
    /// A time in the query is none.
    #[error("query.{field} {problem}")]
    Query {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}
