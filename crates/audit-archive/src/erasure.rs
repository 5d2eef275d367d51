//! What an erasure says on the log: which leaves of which tree lose their bodies. Whose they were it does not say.
//!
//! The record of an erasure stands in the partition that it is about, behind everything that it erases. So a
//! partition's archive needs nothing else to follow it, in the transaction that archives the record, and a rebuilt
//! archive comes to the same.

use std::ops::Range;

use audit_journal::Partition;
use audit_proof::NodeHash;
use serde::{Deserialize, Serialize};

/// The action of its record.
pub const ERASED_ACTION: &str = "flagtrail.erased";

/// The version of the order that this release writes.
const ORDER_VERSION: u32 = 1;

/// Most runs of leaves that one record lists: some tens of kilobytes.
pub const ORDER_RUNS_MAX: usize = 2_000;

/// Which leaves of one partition lose their bodies: `attributes.erasure` of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureOrder {
    /// The version of this document; a higher one is not followed.
    pub v: u32,
    /// What was asked for, which may have taken several records.
    pub request: String,
    /// The partition.
    pub partition: Partition,
    /// The tree that the leaves are of: how many it had …
    pub size: u64,
    /// … and its root then.
    pub root: NodeHash,
    /// The leaves, as runs of indexes, each with its end left out.
    pub leaves: Vec<(u64, u64)>,
}

impl ErasureOrder {
    /// Of these leaves of the tree that has this root at this size. They are in rising order.
    pub fn new(
        request: &str,
        partition: Partition,
        (size, root): (u64, NodeHash),
        leaves: &[Range<u64>],
    ) -> Self {
        let leaves = leaves.iter().map(|run| (run.start, run.end)).collect();
        Self { v: ORDER_VERSION, request: request.to_owned(), partition, size, root, leaves }
    }

    /// How many leaves it names.
    pub fn count(&self) -> u64 {
        self.leaves.iter().map(|(start, end)| end.saturating_sub(*start)).sum()
    }

    /// Reads the order of a record with [`ERASED_ACTION`].
    pub(crate) fn of_record(json: &str) -> Result<Self, String> {
        let Wire { attributes: Attributes { erasure } } = serde_json::from_str(json)
            .map_err(|error| format!("it orders nothing that can be read: {error}"))?;
        if erasure.v > ORDER_VERSION {
            return Err(format!("its order is of a later release (version {})", erasure.v));
        }
        Ok(erasure)
    }
}

#[derive(Deserialize)]
struct Wire {
    attributes: Attributes,
}

#[derive(Deserialize)]
struct Attributes {
    erasure: ErasureOrder,
}
