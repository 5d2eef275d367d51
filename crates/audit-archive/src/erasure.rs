//! What an erasure says on the log: which leaves of which tree lose their bodies. Whose they were it does not say.
//!
//! The record of an erasure stands in the partition that it is about, behind everything that it erases. So a
//! partition's archive needs nothing else to follow it, in the transaction that archives the record, and a rebuilt
//! archive comes to the same.

use std::collections::BTreeMap;
use std::ops::Range;

use audit_journal::Partition;
use audit_proof::{NodeHash, TagKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The action of its record.
pub const ERASED_ACTION: &str = "flagtrail.erased";

/// The version of the order that this release writes.
const ORDER_VERSION: u32 = 1;

/// The field of an order that vouches for the others: an HMAC of them, in hex.
const MAC: &str = "mac";

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
        self.leaves.iter().fold(0_u64, |count, (start, end)| count.saturating_add(end.saturating_sub(*start)))
    }

    /// As it stands in the record, with what vouches for it: roots are public, so without that whoever may append to the
    /// records could have every archive erased.
    pub fn vouched_for(&self, key: &TagKey) -> Value {
        let mut order = json!(self);
        let mac = key.order_mac(&said(&order));
        order[MAC] = json!(hex::encode(mac));
        order
    }

    /// Reads the order of a record with [`ERASED_ACTION`].
    pub(crate) fn of_record(json: &str, key: &TagKey) -> Result<Self, NoOrder> {
        // What vouches for it comes first, and does not ask which version it is.
        let order =
            serde_json::from_str::<Wire<Value>>(json).map_err(|_| NoOrder::Unvouched)?.attributes.erasure;
        let mac = order[MAC].as_str().and_then(|mac| hex::decode(mac).ok());
        if !mac.is_some_and(|mac| key.vouches_for_order(&said(&order), &mac)) {
            return Err(NoOrder::Unvouched);
        }
        let version = order["v"].as_u64().unwrap_or(0);
        if version > u64::from(ORDER_VERSION) {
            return Err(NoOrder::Unreadable(format!("its order is of a later release (version {version})")));
        }
        let wire = serde_json::from_str::<Wire<Self>>(json);
        let unreadable = |error: serde_json::Error| {
            NoOrder::Unreadable(format!("it orders nothing that can be read: {error}"))
        };
        Ok(wire.map_err(unreadable)?.attributes.erasure)
    }
}

/// Why a record with [`ERASED_ACTION`] is not followed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoOrder {
    /// It was not made with this log's secret: whoever may append to the records can have put it there.
    Unvouched,
    /// It is an order, and this release can't read it.
    Unreadable(String),
}

/// What is vouched for: every other field, in the order of their names, whatever order they stand in.
fn said(order: &Value) -> Vec<u8> {
    let fields: BTreeMap<&String, &Value> =
        order.as_object().into_iter().flatten().filter(|(name, _)| name.as_str() != MAC).collect();
    serde_json::to_vec(&fields).expect("what came as JSON is JSON")
}

#[derive(Deserialize)]
struct Wire<E> {
    attributes: Attributes<E>,
}

#[derive(Deserialize)]
struct Attributes<E> {
    erasure: E,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TagKey {
        TagKey::derive(b"test")
    }

    fn order() -> ErasureOrder {
        ErasureOrder::new("request", 3, (40, NodeHash::from_bytes([2; 32])), &[4..6, 17..18])
    }

    fn read(order: &Value) -> Result<ErasureOrder, NoOrder> {
        let record = json!({"id": "r", "attributes": {"erasure": order, "records": 3}});
        ErasureOrder::of_record(&record.to_string(), &key())
    }

    #[test]
    fn an_order_counts_as_it_was_vouched_for_and_no_other() {
        let vouched = order().vouched_for(&key());
        assert_eq!(read(&vouched), Ok(order()));
        let mut wider = vouched.clone();
        wider["leaves"] = json!([[0, 40]]);
        let mut without = vouched;
        without[MAC] = Value::Null;
        for refused in
            [wider, without, order().vouched_for(&TagKey::derive(b"other")), json!(order()), json!(7)]
        {
            assert_eq!(read(&refused), Err(NoOrder::Unvouched), "{refused}");
        }
    }

    #[test]
    fn an_order_of_a_later_release_is_known_for_one() {
        let later = ErasureOrder { v: ORDER_VERSION + 1, ..order() }.vouched_for(&key());
        assert!(matches!(read(&later), Err(NoOrder::Unreadable(why)) if why.contains("later release")));
    }
}
