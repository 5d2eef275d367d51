//! `manifest.json` as a reader sees it: only what the check needs, unknown fields ignored.
//! `schemas/export-manifest.v1.schema.json` is the contract.

use serde::Deserialize;

/// The version that this release reads.
pub(crate) const MANIFEST_VERSION: u64 = 1;

/// The manifest of an export.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) version: u64,
    pub(crate) format: String,
    pub(crate) records: u64,
    pub(crate) files: Vec<File>,
    pub(crate) partitions: Vec<Partition>,
}

/// One payload file.
#[derive(Debug, Deserialize)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) records: u64,
}

/// What of one partition the export covers.
#[derive(Debug, Deserialize)]
pub(crate) struct Partition {
    pub(crate) partition: u32,
    pub(crate) complete: bool,
    pub(crate) records: u64,
}
