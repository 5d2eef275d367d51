//! How far an archive is.

use audit_journal::{Offset, Partition};
use rusqlite::OptionalExtension;

use super::checkpoints::OF_THIS_TREE;
use super::page::QueryError;
use super::pool::{File, Session};
use crate::schema::RECORDS;
use crate::store::read_position;

/// How far one partition is archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionEnd {
    /// The partition.
    pub partition: Partition,
    /// The first offset not yet archived.
    pub next: Offset,
    /// The number that the next message gets: every message before it is archived.
    pub seq: u64,
}

/// One partition's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// How far it is.
    pub end: PartitionEnd,
    /// Messages archived, duplicates and undecodable ones included.
    pub messages: u64,
    /// Of those, the ones that repeat an id.
    pub duplicates: u64,
    /// Of those, the ones that are no record.
    pub undecodable: u64,
    /// When the log took the last of them, milliseconds since 1970; absent where there is none.
    pub last_appended_at_ms: Option<i64>,
    /// The end of the log as the writer last heard it. In a new epoch of which nothing is archived yet: as far behind the
    /// archive's end as the log may hold messages that are missing, for the log may be another one.
    pub log_end: Offset,
    /// Full text covers every message before this number; absent where none is kept.
    pub text_seq: Option<u64>,
    /// Whether the secondary indexes are still to be built (only in a first catch-up).
    pub unindexed: bool,
    /// Why the writer stopped or paused this partition; absent while it goes on.
    pub stopped: Option<String>,
    /// The largest signed head of its tree, as it grows now, that the tree bears out; absent where none does yet.
    pub signed: Option<SignedHead>,
    /// What somebody has to look into: a checkpoint with another root than its tree, whenever that was; an order to erase
    /// that was not followed; or that the latest checkpoint is not as it should be. Absent while nothing is.
    pub alarm: Option<String>,
    /// How many checkpoints were not as they should be, ever.
    pub alarms: u64,
    /// How many orders to erase this log gave were not followed: the bodies are still there.
    pub unfollowed: u64,
}

/// How far a partition's tree is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// How many leaves.
    pub size: u64,
    /// When, by the latest cosigner that is known, seconds since 1970; absent where no key is.
    pub at_s: Option<u64>,
}

impl PartitionStatus {
    /// Offsets between the archive and the log's end. An upper bound of the messages missing.
    pub fn lag(&self) -> u64 {
        self.log_end.saturating_sub(self.end.next)
    }
}

/// The whole archive's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Every partition, by number.
    pub partitions: Vec<PartitionStatus>,
}

/// Checkpoints that somebody has to look into; the condition of an index.
pub(super) const ALARMS: &str = "verdict NOT IN ('agrees', 'unsigned', 'pending', 'before')";

/// How far every file of a session is.
pub(crate) fn ends(session: &Session<'_>) -> Result<Vec<PartitionEnd>, QueryError> {
    let end = |file: &File| {
        let (bookmark, seq) = read_position(&file.conn, RECORDS).map_err(|error| file.error(error))?;
        Ok(PartitionEnd { partition: file.partition, next: bookmark.next, seq })
    };
    session.files.iter().map(end).collect()
}

/// The state of one file.
pub(crate) fn partition_status(file: &File) -> Result<PartitionStatus, QueryError> {
    let (signed, alarm, alarms) = judged(file).map_err(|error| file.error(error))?;
    let read = || {
        file.conn.query_row(
            "SELECT p.next, p.seq, p.duplicates, p.undecodable, p.log_end, a.full_text, a.text_seq, a.indexed,
               a.stopped, (SELECT appended_at_ms FROM record ORDER BY seq DESC LIMIT 1), p.seq - a.first_seq, a.unfollowed
             FROM position p, archive a WHERE p.topic = ?1",
            [RECORDS],
            |row| {
                let full_text: bool = row.get(5)?;
                Ok(PartitionStatus {
                    end: PartitionEnd { partition: file.partition, next: row.get(0)?, seq: row.get(1)? },
                    messages: row.get(10)?,
                    duplicates: row.get(2)?,
                    undecodable: row.get(3)?,
                    log_end: row.get(4)?,
                    text_seq: if full_text { Some(row.get(6)?) } else { None },
                    unindexed: !row.get::<_, bool>(7)?,
                    stopped: row.get(8)?,
                    last_appended_at_ms: row.get(9)?,
                    signed,
                    alarm: alarm.clone(),
                    alarms,
                    unfollowed: row.get(11)?,
                })
            },
        )
    };
    read().map_err(|error| file.error(error))
}

/// What is signed of a file's tree, what somebody has to look into now, and how many checkpoints were not right.
fn judged(file: &File) -> rusqlite::Result<(Option<SignedHead>, Option<String>, u64)> {
    let signed = file
        .conn
        .prepare_cached(&format!(
            "SELECT size, signed_at_s FROM checkpoint WHERE verdict IN ('agrees', 'unsigned') AND {OF_THIS_TREE}
             ORDER BY size DESC, seq DESC LIMIT 1"
        ))?
        .query_row((), |row| Ok(SignedHead { size: row.get(0)?, at_s: row.get(1)? }))
        .optional()?;
    let alarms =
        file.conn
            .query_row(&format!("SELECT count(*) FROM checkpoint WHERE {ALARMS}"), (), |row| row.get(0))?;
    let mismatch = "SELECT detail FROM checkpoint WHERE verdict = 'mismatch' ORDER BY seq LIMIT 1";
    let unfollowed =
        "SELECT 'an erasure is not followed: ' || unfollowed_why FROM archive WHERE unfollowed > 0";
    let latest = format!(
        "SELECT detail FROM (SELECT verdict, detail FROM checkpoint WHERE verdict <> 'pending' ORDER BY seq DESC LIMIT 1)
         WHERE {ALARMS}"
    );
    let mut alarm: Option<String> = None;
    for select in [mismatch, unfollowed, &latest] {
        if alarm.is_none() {
            alarm = file.conn.query_row(select, (), |row| row.get(0)).optional()?;
        }
    }
    Ok((signed, alarm, alarms))
}
