//! The continuous export: the log as sealed files at a destination, which a query engine reads as one table.
//!
//! A segment is what lies between two cuts ([`audit_proof::Cut`]) of one partition. Below the destination's prefix:
//!
//! ```text
//! segments/records/deployment=<uuid>/date=2026-11-21/<name>.parquet   every message of the segment, one row each
//! segments/proofs/<uuid>/p00003/<name>.hashes                         its leaf hashes, 32 bytes each, in order
//! segments/proofs/<uuid>/p00003/<name>.json                           its manifest
//! <name> = p00003-e0-n0000000012-s000000004711                        partition, epoch of the tree, number of the cut, first seq
//! ```
//!
//! Nothing but Parquet lies under `segments/records`, so that folder is a table for DuckDB, Trino, Spark and Athena, with the
//! columns of [`crate::ParquetWriter`] (those of every message, leaf header and salt among them) and `deployment` and `date` by
//! Hive's rules. `date` is the UTC day on which the log took a message (`appended_at`). A segment without messages is a
//! manifest alone.
//!
//! The manifest (`schemas/segment-manifest.v1.schema.json`) is put last: a segment whose manifest is there is there whole. It
//! holds the cut as it stands on the log, what the files are, and a signed note of the log's keys over both. The checkpoint
//! in the cut signs the root of the tree at the segment's end; its `peaks` are the tree's edge at the start. So:
//!
//! - one segment proves itself: the edge, grown by the leaf hashes, has the root that was signed; each leaf hash is that of a
//!   row's `leaf_header` (`SHA-256(0x00 ‖ header)`), and the header's `body` that of `salt ‖ json` (or `raw`);
//! - a chain proves that nothing lies between: numbers without a gap, each cut naming the one before by its SHA-256.
//!
//! Where no try can bring a segment's messages back, its manifest is put alone and says why ([`SegmentLoss`]): the chain goes on,
//! and whoever checks it is told of the hole by the chain itself.
//!
//! What stands at a destination can't be erased from here: a body erased later stays in the segments that were written before.

mod build;
mod cutting;
mod manifest;
mod measure;
mod name;
mod progress;
mod write_error;
mod writer;
mod writers;

use std::time::Duration;

use crate::destination::Destination;

pub(crate) use self::cutting::{Cutting, Part};
pub use self::manifest::{SegmentFile, SegmentLoss, SegmentManifest};
pub(crate) use self::measure::measure;
pub(crate) use self::progress::{DOCUMENT, InvalidProgress, Progress};
pub(crate) use self::writers::{Writers, Written};

/// How the log is cut into segments.
#[derive(Clone, Debug)]
pub struct SegmentsConfig {
    /// Where they go.
    pub destination: Destination,
    /// After this long a segment is cut, however small: silence is sealed too.
    pub interval: Duration,
}
