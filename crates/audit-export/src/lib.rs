//! Consumer: seals the log with signed checkpoints; and jobs: exports read through the archive's query side.
//!
//! An export is a BagIt bag: payload files, what proves them ([`Evidence`]), a signed `manifest.json`, and checksums for
//! `sha256sum -c`. It covers every partition up to an end of the log that was read when the job began, or says which it
//! does not. Nothing here checks an export: that is `audit-verify`, which shares no code with this but what a leaf, a
//! tree and a signed note are (`audit-proof`).

mod bag;
mod destination;
mod durable;
mod error;
mod evidence;
mod job;
mod jobs;
mod manifest;
mod payload;
mod record;
mod request;
mod run;
mod schedule;
mod seal;
mod segment;
mod sending;
mod state;

pub use destination::{
    Content, Destination, Destinations, Directory, InvalidS3, LockMode, ObjectLock, Put, PutError, S3,
    S3Config, S3Credentials, Store, StoreError,
};
pub use error::ExportError;
pub use evidence::{
    Anchored, AnchoredBy, Evidence, EvidenceFile, EvidenceKeys, ExportKey, ExportKeyError, PartitionEvidence,
    Population, PreviousExport, Provable, SourceState, Subject, Totals, Vouching,
};
pub use job::ExportJob;
pub use jobs::{EXPORTS_KEPT_MAX, ExportJobs, ExportRunner, JOBS_WAITING_MAX};
pub use manifest::{FileEntry, Manifest, PartitionEntry, QueryText};
pub use payload::{
    Compression, FileSummary, Format, LeafParts, LogMessage, Messages, ParquetCell, ParquetWriteError,
    ParquetWriter, Place, ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX, SchemaDocument, UnfitCompression,
    read_parquet,
};
pub use request::{ExportOrder, ExportRequest, ExportState, StateSummary, SubmitError};
pub use run::{ARCHIVE_WAIT_MAX, Progress, run_export, run_export_to};
pub use schedule::{
    Asked as AskedSchedule, CLAIM_MAX, InvalidSchedule, NewSchedule, RUN_KIND, RUN_MAX, SCHEDULE_KIND,
    Schedule, Scheduler,
};
pub use seal::{
    KeyFileError, PartitionStanding, PublicKeys, SEALER_GROUP, SealKeys, SealStanding, Sealer, SealerConfig,
    WITNESSES_MAX, WitnessAnswer, WitnessTransport, Witnessing, record_keys,
};
pub use segment::{SegmentFile, SegmentLoss, SegmentManifest, SegmentsConfig};
