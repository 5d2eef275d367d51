//! The checkpoints of a partition, and what the archive's own tree says of each.

use audit_journal::{Offset, Partition};
use audit_proof::NodeHash;
use rusqlite::{OptionalExtension, Row};

use super::page::QueryError;
use super::reader::Reader;
use super::status::ALARMS;
use crate::store::checkpoints::Verdict;

/// Most checkpoints of one answer.
pub const CHECKPOINTS_PAGE_MAX: usize = 1_000;

/// The columns of a [`CheckpointRow`].
const COLUMNS: &str =
    "seq, log_offset, appended_at_ms, origin, size, root, signed_at_s, witnesses, verdict, detail, note";

/// Those of the tree that grows: heads of a log that was replaced may be larger for long.
pub(super) const OF_THIS_TREE: &str = "origin = (SELECT origin FROM tree ORDER BY first_seq DESC LIMIT 1)";

/// A checkpoint as archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRow {
    /// Its partition.
    pub partition: Partition,
    /// Its number among the messages of the partition's topic of checkpoints.
    pub seq: u64,
    /// Its offset on the topic of checkpoints.
    pub offset: Offset,
    /// When the log took it, milliseconds since 1970.
    pub appended_at_ms: i64,
    /// Which tree it says it is of; absent where it can't be read.
    pub origin: Option<String>,
    /// Of how many leaves.
    pub size: Option<u64>,
    /// Which root.
    pub root: Option<NodeHash>,
    /// When it was signed, by the latest cosigner that is known; seconds since 1970.
    pub signed_at_s: Option<u64>,
    /// Which known witnesses cosigned it, as a JSON list of name and time.
    pub witnesses: Option<String>,
    /// What came of it: a word that `schema.sql` explains, such as `agrees` or `mismatch`.
    pub verdict: &'static str,
    /// Whether somebody has to look into it.
    pub is_alarm: bool,
    /// In words, where it is not as it should be.
    pub detail: Option<String>,
    /// The signed note.
    pub note: Option<String>,
}

impl Reader {
    /// Checkpoints of a partition in the order of the log, from number `from` on: at most `limit`, and at most
    /// [`CHECKPOINTS_PAGE_MAX`].
    pub fn checkpoints(
        &self,
        partition: Partition,
        from: u64,
        limit: usize,
    ) -> Result<Vec<CheckpointRow>, QueryError> {
        let session = self.pool.session(Some(partition))?;
        let Some(file) = session.files.first() else { return Ok(Vec::new()) };
        let read = || -> rusqlite::Result<Vec<CheckpointRow>> {
            file.conn
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM checkpoint WHERE seq >= ?1 ORDER BY seq LIMIT ?2"
                ))?
                .query_map((from, limit.min(CHECKPOINTS_PAGE_MAX)), |row| read_row(partition, row))?
                .collect()
        };
        read().map_err(|error| file.error(error))
    }

    /// The smallest checkpoint that covers the first `size` leaves of a partition's tree, as it grows now, and that the tree
    /// bears out; `None` where none does yet.
    pub fn checkpoint_covering(
        &self,
        partition: Partition,
        size: u64,
    ) -> Result<Option<CheckpointRow>, QueryError> {
        self.one(
            partition,
            &format!(
                "verdict IN ('agrees', 'unsigned') AND {OF_THIS_TREE} AND size >= ?1 ORDER BY size, seq LIMIT 1"
            ),
            size,
        )
    }

    /// The largest checkpoint of a partition that its tree, as it grows now, bears out, by a key that is known; of several
    /// of that size the latest.
    pub fn latest_checkpoint(&self, partition: Partition) -> Result<Option<CheckpointRow>, QueryError> {
        self.one(
            partition,
            // The first words are those of the index.
            &format!(
                "verdict IN ('agrees', 'unsigned') AND verdict = 'agrees' AND {OF_THIS_TREE} AND size >= ?1
                 ORDER BY size DESC, seq DESC LIMIT 1"
            ),
            0,
        )
    }

    /// The first checkpoint of a partition that its tree, as it grows now, bears out and that a known witness cosigned:
    /// since then it is anchored outside.
    pub fn first_witnessed(&self, partition: Partition) -> Result<Option<CheckpointRow>, QueryError> {
        self.one(
            partition,
            &format!(
                "verdict = 'agrees' AND witnesses IS NOT NULL AND {OF_THIS_TREE} AND seq >= ?1 ORDER BY seq LIMIT 1"
            ),
            0,
        )
    }

    /// The first checkpoint of a partition that has another root than the partition's tree had, while that stands: none that
    /// came later covers as much and is borne out, which would show that the tree's leaves are the signed ones. The alarm
    /// about it stays either way.
    pub fn standing_mismatch(&self, partition: Partition) -> Result<Option<CheckpointRow>, QueryError> {
        self.one(
            partition,
            // The first words are those of the index.
            &format!(
                "{ALARMS} AND verdict = 'mismatch' AND seq >= ?1 AND NOT EXISTS (
                   SELECT 1 FROM checkpoint later
                   WHERE later.verdict IN ('agrees', 'unsigned') AND later.origin = checkpoint.origin
                     AND later.size >= checkpoint.size AND later.seq > checkpoint.seq)
                 ORDER BY seq LIMIT 1"
            ),
            0,
        )
    }

    fn one(
        &self,
        partition: Partition,
        which: &str,
        parameter: u64,
    ) -> Result<Option<CheckpointRow>, QueryError> {
        let session = self.pool.session(Some(partition))?;
        let Some(file) = session.files.first() else { return Ok(None) };
        file.conn
            .prepare_cached(&format!("SELECT {COLUMNS} FROM checkpoint WHERE {which}"))
            .and_then(|mut select| select.query_row([parameter], |row| read_row(partition, row)).optional())
            .map_err(|error| file.error(error))
    }
}

pub(super) fn read_row(partition: Partition, row: &Row<'_>) -> rusqlite::Result<CheckpointRow> {
    let root: Option<[u8; 32]> = row.get(5)?;
    let verdict = Verdict::parse(row.get_ref(8)?.as_str()?).unwrap_or(Verdict::Unreadable);
    Ok(CheckpointRow {
        partition,
        seq: row.get(0)?,
        offset: row.get(1)?,
        appended_at_ms: row.get(2)?,
        origin: row.get(3)?,
        size: row.get(4)?,
        root: root.map(NodeHash::from_bytes),
        signed_at_s: row.get(6)?,
        witnesses: row.get(7)?,
        verdict: verdict.as_str(),
        is_alarm: verdict.is_alarm(),
        detail: row.get(9)?,
        note: row.get(10)?,
    })
}

#[cfg(test)]
mod tests;
