//! What makes an export prove itself: leaf headers, checkpoints, keys, custody, schema, signatures, and the guide that
//! says how to check all that with stock tools.
//!
//! Three things are said apart. *Proven*: every leaf of the range is here by its header, their root is the one that the
//! log's key signed, and every record delivered is the one its leaf was made of; so what the query asks for by what
//! headers show is complete. *Asserted*: the rest of the query ([`claim`]). *Not proven*: what a key or a checkpoint
//! would be needed for that the exporting process does not have. It exports without them, and says so.

mod claim;
mod file;
mod guide;
mod heads;
mod key;
mod manifest;
mod partition;
mod sources;

use std::path::Path;

use audit_archive::{PartitionEnd, Query, Reader};
use audit_journal::Journal;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::claim::Claim;
use self::file::write;
use self::guide::Guide;
use self::heads::Heads;
pub(crate) use self::key::sign;
pub use self::key::{ExportKey, ExportKeyError};
use self::manifest::EVIDENCE_VERSION;
pub(crate) use self::manifest::Tool;
pub use self::manifest::{
    Anchored, AnchoredBy, Evidence, EvidenceFile, EvidenceKeys, PartitionEvidence, Population,
    PreviousExport, Provable, SourceState, Subject, Totals,
};
use self::partition::{Delivered, PartitionWriter};
use crate::error::ExportError;
use crate::job::ExportJob;
use crate::record::{Moment, record_id};
use crate::seal::SealKeys;
use crate::state::State;

/// The contracts that an export is written to, as they stand in the bag.
const SCHEMAS: [(&str, &str); 2] = [
    ("audit-record.v1.schema.json", include_str!("../../../../schemas/audit-record.v1.schema.json")),
    ("export-manifest.v1.schema.json", include_str!("../../../../schemas/export-manifest.v1.schema.json")),
];

/// What the exporting process can vouch with. Without keys it exports too, and says what is then not proven.
#[derive(Clone, Debug, Default)]
pub struct Vouching {
    /// The keys that the log's checkpoints are signed with; only their public halves are used.
    pub log: Option<SealKeys>,
    /// The key that manifests are signed with.
    pub export: Option<ExportKey>,
    /// The export before this one.
    pub previous: Option<PreviousExport>,
}

/// What was gathered for an export's evidence before it is written.
#[derive(Debug)]
pub(crate) struct Gathered {
    heads: Vec<Heads>,
    sources: Vec<SourceState>,
}

/// Looks up what the evidence rests on: checkpoints, which may have to be waited for, and the state of the sources.
pub(crate) async fn gather(
    journal: &Journal,
    reader: &Reader,
    job: &ExportJob,
    state: &State,
    vouching: &Vouching,
    stop: &CancellationToken,
) -> Result<Gathered, ExportError> {
    let keys = vouching.log.as_ref();
    let heads = heads::find(journal, reader, keys, &state.cuts, job.period.from, stop).await?;
    Ok(Gathered { heads, sources: sources::states(journal, reader).await? })
}

/// What the evidence adds to an export.
pub(crate) struct Written {
    pub(crate) evidence: Evidence,
    pub(crate) sources: Vec<SourceState>,
    /// `VERIFY.md`.
    pub(crate) guide: String,
}

/// An export whose payload is written, and to which its evidence is added.
pub(crate) struct EvidenceWriter<'w> {
    /// Where the export is being made.
    pub(crate) root: &'w Path,
    pub(crate) journal: &'w Journal,
    pub(crate) reader: &'w Reader,
    pub(crate) job: &'w ExportJob,
    pub(crate) state: &'w State,
    pub(crate) vouching: &'w Vouching,
    pub(crate) stop: &'w CancellationToken,
}

impl EvidenceWriter<'_> {
    /// Writes the files of the evidence.
    pub(crate) fn write(self, gathered: Gathered) -> Result<Written, ExportError> {
        let Self { root, journal, reader, job, state, vouching, stop } = self;
        let identity = journal.identity();
        let deployment = identity.deployment;
        let Gathered { heads, mut sources } = gathered;
        let named = reader.named(&job.filter, &|| stop.is_cancelled())?.ok_or(ExportError::Stopped)?;
        let claim = Claim::of(job, named, |scope| identity.scope_key(scope));
        let mut files = Vec::new();
        let mut totals = Totals::default();
        let ends = state.cuts.iter().map(|cut| PartitionEnd {
            partition: cut.partition,
            next: cut.end,
            seq: cut.seq,
        });
        let query = Query {
            filter: job.filter.clone(),
            period: job.period,
            text: job.text.clone(),
            ..Query::default()
        };
        let mut delivered = Delivered::new(reader.scan(&query, ends.collect(), None)?, stop);
        let mut partitions = Vec::new();
        for cut in &state.cuts {
            let delivered_of_it = match heads.iter().find(|heads| heads.partition == cut.partition) {
                Some(heads) => {
                    let writer = PartitionWriter {
                        root,
                        reader,
                        claim: &claim,
                        heads,
                        totals: &mut totals,
                        files: &mut files,
                    };
                    let part = writer.write(&mut delivered)?;
                    let records = part.former_records + part.population.delivered;
                    partitions.push(part);
                    records
                }
                // Its tree began after the cut: nothing here proves these.
                None => delivered.skip_to(cut.partition, u64::MAX)?,
            };
            // What matched once matches again, unless it was erased in between: then its body is in the files.
            if delivered_of_it != cut.records {
                return Err(ExportError::ErasedMeanwhile { partition: cut.partition });
            }
        }
        let keys = public_keys(&partitions, deployment, vouching)?;
        write_keys(root, &keys, &claim, vouching, deployment, &mut files)?;
        files.push(write(root, "data/custody.ndjson", custody(journal, reader, job)?)?);
        for (name, schema) in SCHEMAS {
            files.push(write(root, format!("data/schema/{name}"), schema)?);
        }
        let described = job.format.schema();
        if SCHEMAS.iter().all(|(name, _)| *name != described.name) {
            files.push(write(root, format!("data/schema/{}", described.name), described.text)?);
        }
        if let Some(scopes) = &claim.provable.scopes {
            // Whoever may see some projects alone is told of their sources alone.
            let of_scopes: Vec<String> = claim.keys.iter().map(|(scope, _)| scope.parts().source).collect();
            debug_assert_eq!(scopes.len(), of_scopes.len());
            sources.retain(|source| of_scopes.contains(&source.name));
        }
        let not_proven = not_proven(&partitions, state, &keys);
        let anchored = anchored(reader, &partitions)?;
        let evidence = Evidence {
            version: EVIDENCE_VERSION,
            provable: claim.provable,
            asserted: claim.asserted,
            not_proven,
            keys,
            partitions,
            anchored,
            totals,
            files,
        };
        let guide = Guide {
            export_id: &job.id,
            format: job.format,
            compression: job.compression,
            evidence: &evidence,
        }
        .write();
        Ok(Written { evidence, sources, guide })
    }
}

/// Which partitions outside witnesses vouch for, and since when.
fn anchored(reader: &Reader, partitions: &[PartitionEvidence]) -> Result<Vec<Anchored>, ExportError> {
    let mut found = Vec::new();
    for PartitionEvidence { partition, .. } in partitions {
        let Some(first) = reader.first_witnessed(*partition)? else { continue };
        let by: Vec<_> =
            first.witnesses.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        if by.is_empty() {
            continue;
        }
        found.push(Anchored { partition: *partition, size: first.size.unwrap_or(0), by });
    }
    Ok(found)
}

fn public_keys(
    partitions: &[PartitionEvidence],
    deployment: Uuid,
    vouching: &Vouching,
) -> Result<EvidenceKeys, ExportError> {
    let unusable = |error: audit_proof::InvalidKey| ExportError::Key(error);
    let mut keys = EvidenceKeys::default();
    if let Some(export) = &vouching.export {
        keys.export = Some(export.signer(&deployment).map_err(unusable)?.verifier().to_string());
    }
    if let Some(log) = &vouching.log {
        for origin in partitions.iter().filter_map(|partition| partition.origin.as_ref()) {
            for verifier in log.log_keys().verifiers(origin, &deployment).map_err(unusable)? {
                let verifier = verifier.to_string();
                if !keys.log.contains(&verifier) {
                    keys.log.push(verifier);
                }
            }
        }
    }
    Ok(keys)
}

/// Writes `data/keys/`: public keys, and the keys of the scopes that the export is about.
fn write_keys(
    root: &Path,
    keys: &EvidenceKeys,
    claim: &Claim,
    vouching: &Vouching,
    deployment: Uuid,
    files: &mut Vec<EvidenceFile>,
) -> Result<(), ExportError> {
    if let (Some(vkey), Some(export)) = (&keys.export, &vouching.export) {
        let signer = export.signer(&deployment)?;
        files.push(write(root, "data/keys/export.vkey", format!("{vkey}\n"))?);
        files.push(write(root, "data/keys/export.pem", key::pem(signer.verifier()))?);
    }
    // Cosigners sign in another way, which few tools for notes know: they have a file of their own.
    let is_cosigner = |vkey: &&String| {
        audit_proof::NoteVerifier::parse(vkey)
            .is_ok_and(|verifier| verifier.kind() == audit_proof::SignatureKind::Cosignature)
    };
    let lines = |vkeys: Vec<&String>| vkeys.into_iter().map(|vkey| format!("{vkey}\n")).collect::<String>();
    let (clock, log): (Vec<&String>, Vec<&String>) = keys.log.iter().partition(is_cosigner);
    for (name, vkeys) in [("log", log), ("cosigner", clock)] {
        if !vkeys.is_empty() {
            files.push(write(root, format!("data/keys/{name}.vkey"), lines(vkeys))?);
        }
    }
    if claim.provable.scopes.is_some() {
        let line = |(scope, key): &(audit_record::RoutingKey, audit_proof::ScopeKey)| {
            let line = serde_json::json!({"scope": scope.as_str(), "key": hex::encode(key.as_bytes())});
            format!("{line}\n")
        };
        let scopes: String = claim.keys.iter().map(line).collect();
        files.push(write(root, "data/keys/scopes.ndjson", scopes)?);
    }
    Ok(())
}

/// The records about this export that are on the log when it is made: that it was asked for. That it is done is on
/// the record once it is.
fn custody(journal: &Journal, reader: &Reader, job: &ExportJob) -> Result<String, ExportError> {
    let id = record_id(journal.identity().namespace, job, Moment::Requested).to_string();
    Ok(reader.get(&id)?.into_iter().map(|row| row.json + "\n").collect())
}

/// What the bag does not prove for want of a key or a checkpoint, in words.
fn not_proven(partitions: &[PartitionEvidence], state: &State, keys: &EvidenceKeys) -> Vec<String> {
    let mut said = Vec::new();
    if keys.export.is_none() {
        said.push(
            "The manifest is not signed: no export key is configured where it was made (seal.export_key_file)."
                .to_owned(),
        );
    }
    if keys.log.is_empty() {
        said.push("The log's keys are not known where the export was made: its checkpoints were not checked, and their keys are not here.".to_owned());
    }
    for part in partitions {
        let PartitionEvidence { partition, start_size, covered_size, sealed_size, base_size, .. } = part;
        if *sealed_size == 0 && *covered_size > 0 {
            said.push(format!("No checkpoint of partition {partition} is at hand: that its headers are those of the log is asserted."));
        } else if sealed_size < covered_size {
            said.push(format!(
                "Leaves {sealed_size} to {} of partition {partition} are covered by no checkpoint yet: that they are those of the log is asserted.",
                covered_size - 1
            ));
        }
        if *start_size > 0 {
            let why = if *base_size == Some(*start_size) {
                "retention had removed messages from the log when the archive was made, and its tree begins with the checkpoint that ends there"
            } else {
                "a checkpoint says that they were appended before the period began"
            };
            said.push(format!(
                "Leaves 0 to {} of partition {partition} are not looked at: {why}.",
                start_size - 1
            ));
        }
        if part.former_records > 0 {
            let whence = if base_size.is_some() {
                "come from before the archive's tree begins, or from a log that was replaced since"
            } else {
                "come from a log that was replaced since"
            };
            said.push(format!(
                "{} records of partition {partition} {whence}: nothing here proves them.",
                part.former_records
            ));
        }
    }
    for cut in state.cuts.iter().filter(|cut| !partitions.iter().any(|part| part.partition == cut.partition))
    {
        said.push(format!(
            "Partition {} has no tree that covers the export: nothing of it is proven.",
            cut.partition
        ));
    }
    said
}
