//! `manifest.json` as a reader sees it: only what the check needs, unknown fields ignored.
//! `schemas/export-manifest.v1.schema.json` is the contract.

use std::collections::BTreeMap;

use audit_proof::NodeHash;
use audit_record::Filter;
use serde::Deserialize;

/// The version that this release reads.
pub(crate) const MANIFEST_VERSION: u64 = 1;

/// The version of the evidence that this release reads.
pub(crate) const EVIDENCE_VERSION: u64 = 1;

/// The manifest of an export.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) version: u64,
    #[serde(default)]
    pub(crate) deployment: String,
    #[serde(default)]
    pub(crate) asked_at: String,
    pub(crate) format: String,
    pub(crate) records: u64,
    pub(crate) files: Vec<File>,
    pub(crate) partitions: Vec<Partition>,
    #[serde(default)]
    pub(crate) query: Query,
    pub(crate) evidence: Option<Evidence>,
}

/// What was asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Query {
    pub(crate) filter: Filter,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) text: Option<String>,
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

/// What proves the export.
#[derive(Debug, Deserialize)]
pub(crate) struct Evidence {
    pub(crate) version: u64,
    pub(crate) provable: Provable,
    pub(crate) asserted: Vec<String>,
    pub(crate) partitions: Vec<PartitionEvidence>,
    /// Since when partitions are anchored outside; absent in exports of a release that did not say.
    #[serde(default)]
    pub(crate) anchored: Option<Vec<Anchored>>,
    pub(crate) totals: Totals,
    pub(crate) files: Vec<EvidenceFile>,
}

/// The part of the query that headers show.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Provable {
    pub(crate) actions: Option<Vec<String>>,
    pub(crate) related_object_types: Option<Vec<String>>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) environments: Option<Vec<Subject>>,
    pub(crate) flags: Option<Vec<Subject>>,
    pub(crate) authors: Option<Vec<Subject>>,
}

/// What a tag is made of.
#[derive(Debug, Deserialize)]
pub(crate) struct Subject {
    pub(crate) label: String,
    pub(crate) text: String,
}

/// The evidence of one partition.
#[derive(Debug, Deserialize)]
pub(crate) struct PartitionEvidence {
    pub(crate) partition: u32,
    pub(crate) origin: Option<String>,
    /// How many messages of former logs the export's archive has before leaf 0.
    #[serde(default)]
    pub(crate) first_seq: u64,
    pub(crate) start_size: u64,
    pub(crate) start_peaks: Vec<NodeHash>,
    pub(crate) covered_size: u64,
    pub(crate) end_size: u64,
    pub(crate) end_root: NodeHash,
    pub(crate) sealed_size: u64,
    /// Where the tree of the export's archive begins, if it lacks what retention removed.
    #[serde(default)]
    pub(crate) base_size: Option<u64>,
    pub(crate) former_records: u64,
    pub(crate) population: Population,
}

/// The first checkpoint of a partition that outside witnesses cosigned, as the exporter says.
#[derive(Debug, Deserialize)]
pub(crate) struct Anchored {
    pub(crate) partition: u32,
    pub(crate) size: u64,
    pub(crate) by: Vec<AnchoredBy>,
}

/// A witness.
#[derive(Debug, Deserialize)]
pub(crate) struct AnchoredBy {
    pub(crate) name: String,
}

/// What became of the leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Population {
    pub(crate) in_range: u64,
    pub(crate) in_scope: u64,
    pub(crate) delivered: u64,
    pub(crate) duplicates: u64,
    pub(crate) erased: u64,
    pub(crate) undecodable: u64,
    pub(crate) unmatched: u64,
}

/// Control totals.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Totals {
    pub(crate) by_action: BTreeMap<String, u64>,
    pub(crate) by_related_object_type: BTreeMap<String, u64>,
    pub(crate) by_day: BTreeMap<String, u64>,
}

/// A file of the evidence.
#[derive(Debug, Deserialize)]
pub(crate) struct EvidenceFile {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}
