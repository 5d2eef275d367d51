//! `manifest.json`: what was asked, what is covered, what every file is.
//! `schemas/export-manifest.v1.schema.json` is the contract.

use audit_journal::Partition;
use audit_record::Filter;
use serde::{Deserialize, Serialize};

use crate::evidence::{Evidence, PreviousExport, SourceState, Tool};
use crate::payload::{Compression, Format, Place};

/// The version that this release writes.
pub(crate) const MANIFEST_VERSION: u64 = 1;

/// The manifest of an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this document.
    pub version: u64,
    /// The job.
    pub export_id: String,
    /// The deployment that the log belongs to.
    pub deployment: String,
    /// What wrote it.
    pub written_by: String,
    /// Who asked.
    pub asked_by: String,
    /// When, RFC 3339.
    pub asked_at: String,
    /// When the last file was complete, RFC 3339.
    pub completed_at: String,
    /// What was asked.
    pub query: QueryText,
    /// The format of the payload.
    pub format: Format,
    /// How its files are compressed.
    #[serde(default, skip_serializing_if = "Compression::is_none")]
    pub compression: Compression,
    /// For CSV: what stands in front of a value that a spreadsheet would run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formula_guard: Option<String>,
    /// Records in all files.
    pub records: u64,
    /// The payload files, in order.
    pub files: Vec<FileEntry>,
    /// Every partition of the log, those that could not be covered included.
    pub partitions: Vec<PartitionEntry>,
    /// What made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<Tool>,
    /// The sources, as far as the query is about them.
    #[serde(default)]
    pub sources: Vec<SourceState>,
    /// The export before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_export: Option<PreviousExport>,
    /// What proves it. Exports of earlier releases have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

impl Manifest {
    /// The partitions that it does not cover to their end.
    pub(crate) fn incomplete(&self) -> Vec<Partition> {
        self.partitions.iter().filter(|entry| !entry.complete).map(|entry| entry.partition).collect()
    }
}

/// A query in words of the interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueryText {
    /// The filter.
    pub filter: Filter,
    /// First moment of event time inside, RFC 3339.
    pub from: Option<String>,
    /// First moment after.
    pub to: Option<String>,
    /// Full text.
    pub text: Option<String>,
}

/// One payload file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path in the export.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
    /// How many records it holds.
    pub records: u64,
    /// The SHA-256 of the document that says what is in it, lower-case hex; the document lies in `data/schema`.
    #[serde(default)]
    pub schema_sha256: String,
    /// The media type of what is in it.
    #[serde(default)]
    pub media_type: String,
    /// How that is compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<Compression>,
    /// The first moment of event time among its records, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_min: Option<String>,
    /// The last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_max: Option<String>,
    /// Where its first record stands on the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Place>,
    /// Where its last one does: records are in order of partition and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Place>,
}

/// What of one partition is covered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionEntry {
    /// The partition.
    pub partition: u32,
    /// The first offset that the log kept when the job began.
    pub start: u64,
    /// The first offset not covered. Where `complete`, at least the log's end when the job began.
    pub end: u64,
    /// Whether it is covered whole.
    pub complete: bool,
    /// How many records of it are in the files.
    pub records: u64,
    /// How many more were asked for, whose bodies had been erased.
    #[serde(default, skip_serializing_if = "is_none")]
    pub erased: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}
