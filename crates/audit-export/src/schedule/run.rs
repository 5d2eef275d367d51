//! One run of a schedule: whose it is, and which export it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::Schedule;

/// The kind of setting that the latest run of each schedule is, under the schedule's name.
pub const RUN_KIND: &str = "schedule_run";

/// How long a run that was claimed may take until it is asked for; then somebody else may do it.
pub const CLAIM_MAX: Duration = Duration::from_secs(3_600);

/// The version of the document that this release writes; a higher one is not touched.
const RUN_VERSION: u32 = 1;

/// The latest run of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) v: u32,
    /// When its schedule was made: one of the same name that was made later is another.
    pub(super) of: String,
    /// Where it begins to cover, RFC 3339.
    pub(super) from: String,
    /// When it was due, and where it ends to cover, RFC 3339.
    pub(super) due: String,
    /// The process that asks for the export, by what its directory is called.
    pub(super) by: Uuid,
    /// When it said so, milliseconds since 1970.
    pub(super) claimed_at_ms: i64,
    /// Whether it has asked for the export.
    pub(super) is_asked_for: bool,
}

impl Run {
    pub(super) fn claim(schedule: &Schedule, from: String, due: String, by: Uuid, now_ms: i64) -> Self {
        let of = schedule.created_at.clone();
        Self { v: RUN_VERSION, of, from, due, by, claimed_at_ms: now_ms, is_asked_for: false }
    }

    /// Reads a document of `Control`; `None` when a later release wrote it.
    pub(super) fn read(document: &serde_json::Value) -> Option<Self> {
        let run: Self = serde_json::from_value(document.clone()).ok()?;
        (run.v <= RUN_VERSION).then_some(run)
    }

    /// Whether whoever claimed it has had his time.
    pub(super) fn is_abandoned(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.claimed_at_ms) > CLAIM_MAX.as_millis() as i64
    }

    /// The export's id: the same in every process, and in the order of time among others.
    pub(super) fn export_id(&self, schedule: &Schedule, namespace: Uuid, due_ms: i64) -> Uuid {
        let digest = Sha256::new()
            .chain_update(namespace.as_bytes())
            .chain_update(format!("{}\n{}\n{}", schedule.asked.name, self.of, self.due))
            .finalize();
        let mut random = [0; 10];
        random.copy_from_slice(&digest[..10]);
        Builder::from_unix_timestamp_millis(u64::try_from(due_ms).unwrap_or(0), &random).into_uuid()
    }
}
