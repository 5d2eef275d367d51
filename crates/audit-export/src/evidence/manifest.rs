//! What `manifest.json` says of an export's evidence.

use std::collections::BTreeMap;

use audit_proof::NodeHash;
use audit_record::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the evidence that this release writes.
pub(crate) const EVIDENCE_VERSION: u64 = 1;

/// What proves an export, and what of it nothing proves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The version of this part.
    pub version: u64,
    /// The part of the query that leaf headers show: every leaf that it admits is accounted for.
    pub provable: Provable,
    /// What else the query asks for, in words; that it was applied rightly is asserted.
    pub asserted: Vec<String>,
    /// What this export does not prove, and why, in words.
    pub not_proven: Vec<String>,
    /// The public keys that the exporting process knew: copies, which only a comparison with those that the operator
    /// has published makes trustworthy.
    pub keys: EvidenceKeys,
    /// The range of each partition's tree that the evidence covers.
    pub partitions: Vec<PartitionEvidence>,
    /// Since when partitions are anchored outside, as the exporting process's archive has it. Of one that is not among these
    /// no known witness has cosigned any checkpoint.
    #[serde(default)]
    pub anchored: Vec<Anchored>,
    /// How many of the records delivered there are of each kind, by their leaf headers.
    pub totals: Totals,
    /// The files of the evidence.
    pub files: Vec<EvidenceFile>,
}

/// The part of a query that leaf headers show. `None`: not restricted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provable {
    /// Patterns of actions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions: Option<Vec<String>>,
    /// Object types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related_object_types: Option<Vec<String>>,
    /// First moment of event time inside, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// First moment after, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Scopes (routing keys), whose keys are in `data/keys/scopes.ndjson`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Environments, by the labels that tags are made of. Only with `scopes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environments: Option<Vec<Subject>>,
    /// Flags. Only with `scopes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<Subject>>,
    /// Authors. Only with `scopes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authors: Option<Vec<Subject>>,
}

/// What a tag is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// `id`, `key`, `name`, or for authors `email`.
    pub label: String,
    /// What it says.
    pub text: String,
}

/// Copies of public keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceKeys {
    /// The key of the manifest's signatures, as a verifier key of signed notes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<String>,
    /// The keys of the checkpoints, cosigners among them.
    pub log: Vec<String>,
}

/// The evidence of one partition: leaves `start_size` to `end_size` of its tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionEvidence {
    /// The partition.
    pub partition: u32,
    /// Which log: the first line of its checkpoints. Absent where none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The archive's number of leaf 0: `seq` in CSV files is this plus the leaf's number.
    pub first_seq: u64,
    /// The leaves before are not covered: they were appended before the period began, or the archive has none of their
    /// headers.
    pub start_size: u64,
    /// The root of the tree of these leaves.
    pub start_root: NodeHash,
    /// The roots of its perfect subtrees, largest first: what it takes to go on from there.
    pub start_peaks: Vec<NodeHash>,
    /// Every record in scope among the leaves before this one is delivered or accounted for; those from here to
    /// `end_size` came after the export was asked for.
    pub covered_size: u64,
    /// Headers are here up to this leaf.
    pub end_size: u64,
    /// The root of the tree of this size.
    pub end_root: NodeHash,
    /// How many leaves `checkpoint-end` signs; 0 where there is none.
    pub sealed_size: u64,
    /// When it was signed, in seconds since 1970, as the cosigner says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed_at_s: Option<u64>,
    /// When `checkpoint-start` was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_at_s: Option<u64>,
    /// Where the archive's tree begins, because retention had removed messages from the log before the archive was made.
    /// Absent where it has every leaf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_size: Option<u64>,
    /// Records delivered from trees before this one, or from before `base_size`, which nothing here proves.
    pub former_records: u64,
    /// What became of the leaves.
    pub population: Population,
}

/// The first checkpoint of a partition that outside witnesses cosigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchored {
    /// Which partition.
    pub partition: u32,
    /// How many leaves it signs.
    pub size: u64,
    /// Who cosigned it.
    pub by: Vec<AnchoredBy>,
}

/// A witness, and when it cosigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchoredBy {
    /// The name of its key.
    pub name: String,
    /// Seconds since 1970.
    #[serde(default)]
    pub at_s: Option<u64>,
}

impl Anchored {
    /// By whom and since when, for people.
    pub(super) fn by_whom(&self) -> String {
        let moment = |at_s: u64| {
            let micros = i64::try_from(at_s).ok()?.checked_mul(1_000_000)?;
            Timestamp::from_micros(micros).ok()
        };
        let one = |by: &AnchoredBy| match by.at_s.and_then(moment) {
            Some(at) => format!("{} at {at}", by.name),
            None => by.name.clone(),
        };
        self.by.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// What became of the leaves of a partition from `start_size` to `covered_size`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Population {
    /// All of them.
    pub in_range: u64,
    /// Those that the provable part of the query admits.
    pub in_scope: u64,
    /// Records in the payload.
    pub delivered: u64,
    /// In scope, but repeats of a record.
    pub duplicates: u64,
    /// In scope, but no longer there: erased.
    pub erased: u64,
    /// In scope, but not valid records.
    pub undecodable: u64,
    /// In scope, but not admitted by the asserted part of the query.
    pub unmatched: u64,
}

/// Control totals over what is delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// By action.
    pub by_action: BTreeMap<String, u64>,
    /// By object type.
    pub by_related_object_type: BTreeMap<String, u64>,
    /// By day of event time, in UTC.
    pub by_day: BTreeMap<String, u64>,
}

/// A file of the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceFile {
    /// Its path in the export.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
}

/// The export that this deployment's process made before this one. A chain: one that is left out shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousExport {
    /// Its id.
    pub id: String,
    /// The SHA-256 of its manifest.
    pub manifest_sha256: String,
}

/// What made an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The operating system that it ran on.
    pub os: String,
    /// The kind of processor.
    pub arch: String,
}

impl Tool {
    /// This one.
    pub(crate) fn this() -> Self {
        let text = str::to_owned;
        Self {
            name: text("flagtrail"),
            version: text(env!("CARGO_PKG_VERSION")),
            os: text(std::env::consts::OS),
            arch: text(std::env::consts::ARCH),
        }
    }
}

/// What is known of one source at the time of the export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// Its name.
    pub name: String,
    /// Records of it that are archived.
    pub records: u64,
    /// When the last one came, RFC 3339.
    pub last_appended_at: String,
    /// How often it was noted as silent.
    pub silences: u64,
    /// Requests of it that could not become records, as far as they are still kept.
    pub rejected: u64,
}
