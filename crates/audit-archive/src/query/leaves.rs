//! Leaves in the order of the tree, for those who hand all of them on: exports.

use std::borrow::Cow;
use std::ops::Range;

use audit_journal::Partition;
use audit_proof::{Leaf, LeafRecord, Tags};

use super::evidence::EvidenceError;
use super::reader::Reader;

/// Most leaves of one answer: some megabytes of records are read for it, in one short session.
pub const LEAVES_MAX: usize = 4_096;

/// A leaf, and what the archive knows of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafRow {
    /// The leaf; its `seq` is its place in the tree.
    pub leaf: Leaf<'static>,
    /// What stands before the message's value where its body is hashed.
    pub salt: Option<Vec<u8>>,
    /// Which leaf first brought this record, where this one repeats it. `None` also where that one stands in a former
    /// tree, for which `is_duplicate` is still set.
    pub duplicate_of: Option<u64>,
    /// Whether the message repeats a record.
    pub is_duplicate: bool,
    /// Whether the message is a record.
    pub is_record: bool,
    /// Whether its body was erased: then there is no salt either.
    pub is_erased: bool,
}

impl Reader {
    /// The first [`LEAVES_MAX`] leaves among those numbered `leaves` in the tree whose leaf 0 is message `first_seq`, in
    /// order. Fewer than that: the archive holds no more of them. An archive that begins after a retention lacks the first
    /// ones, so what comes first is not always what was asked for first: [`LeafRow::leaf`] says which it is.
    pub fn leaves(
        &self,
        partition: Partition,
        first_seq: u64,
        leaves: Range<u64>,
    ) -> Result<Vec<LeafRow>, EvidenceError> {
        let session = self.pool.session(Some(partition))?;
        let file = session.files.first().ok_or(EvidenceError::NoSuchPartition(partition))?;
        let read = || -> rusqlite::Result<Vec<LeafRow>> {
            let mut select = file.conn.prepare_cached(
                "SELECT seq, salt, tags, body_hash, duplicate_of, problem IS NULL, coalesce(CAST(json AS BLOB), raw),
                   header
                 FROM record WHERE seq >= ?1 AND seq < ?2 ORDER BY seq LIMIT ?3",
            )?;
            let (from, to) = (first_seq + leaves.start, first_seq + leaves.end);
            let mut rows = select.query((from, to, LEAVES_MAX as u64))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let bytes = |column| row.get_ref(column)?.as_bytes_or_null().map_err(rusqlite::Error::from);
                let duplicate_of: Option<u64> = row.get(4)?;
                // Of an erased message the header is left, which says the same.
                let header = bytes(7)?.and_then(|header| Leaf::parse(header).ok());
                let is_erased = header.is_some();
                let record = header.map_or(bytes(6)?.and_then(LeafRecord::read), |header| header.record);
                let leaf = Leaf {
                    seq: row.get::<_, u64>(0)? - first_seq,
                    record: record.map(owned),
                    tags: bytes(2)?.map(Tags::from_header).unwrap_or_default(),
                    body: row.get(3)?,
                };
                found.push(LeafRow {
                    leaf,
                    salt: bytes(1)?.map(<[u8]>::to_vec),
                    duplicate_of: duplicate_of.and_then(|first| first.checked_sub(first_seq)),
                    is_duplicate: duplicate_of.is_some(),
                    is_record: row.get(5)?,
                    is_erased,
                });
            }
            Ok(found)
        };
        Ok(read().map_err(|error| file.error(error))?)
    }
}

fn owned(record: LeafRecord<'_>) -> LeafRecord<'static> {
    let LeafRecord { id, action, related_object_type, occurred_at, recorded_at } = record;
    let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    LeafRecord {
        id: own(id),
        action: own(action),
        related_object_type: own(related_object_type),
        occurred_at,
        recorded_at,
    }
}
