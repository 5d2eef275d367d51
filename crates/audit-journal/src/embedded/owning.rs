//! What owning does to the file: claims, commits, releases, and the compaction of `progress`.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::log::Tables;
use super::writer::Desk;
use crate::message::{Message, NewMessage, Placement};
use crate::owned::{CommitError, OwnedCommit};
use crate::position::{Bookmark, Offset, Partition};
use crate::progress::{WATERMARK_KEY, WATERMARK_VERSION, Watermark, document_key, document_of};
use crate::topic::Topic;

/// An owner takes a partition over.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) group: String,
    pub(crate) partition: Partition,
}

/// What the new owner finds.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) generation: u64,
    pub(crate) bookmark: Option<Bookmark>,
    pub(crate) documents: Vec<(Bytes, Bytes)>,
    pub(crate) clean: bool,
}

/// Why a partition can't be taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClaimError {
    /// Now; it may be tried again.
    #[error("the file can't be written: {0}")]
    NotWritten(String),
    /// What stands there can't be read by this release, and is not touched.
    #[error("{0}")]
    Refused(String),
}

/// An owner gives a partition up.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) group: String,
    pub(crate) partition: Partition,
    pub(crate) generation: u64,
    pub(crate) clean: bool,
}

/// Begins a new generation. From here on commits of older ones are refused.
pub(crate) fn claim(desk: &mut Desk<'_>, claim: &Claim) -> rusqlite::Result<Result<Claimed, ClaimError>> {
    let Claim { group, partition } = claim;
    let found = match watermark(desk.connection, desk.tables, group, *partition)? {
        Ok(found) => found,
        Err(refused) => return Ok(Err(ClaimError::Refused(refused))),
    };
    let documents = documents(desk.connection, desk.tables, group, *partition)?;
    let generation = found.generation + 1;
    write_watermark(desk, group, *partition, &Watermark { generation, clean: false, ..found.clone() })?;
    Ok(Ok(Claimed { generation, bookmark: found.bookmark, documents, clean: found.clean }))
}

/// Writes all of a commit, or nothing where one partition's generation is not the present one.
pub(crate) fn commit(
    desk: &mut Desk<'_>,
    group: &str,
    commit: &OwnedCommit,
) -> rusqlite::Result<Result<(), CommitError>> {
    let mut fenced = Vec::new();
    for partition in &commit.partitions {
        match watermark(desk.connection, desk.tables, group, partition.partition)? {
            Ok(found) if found.generation == partition.generation => {}
            _ => fenced.push(partition.partition),
        }
    }
    if !fenced.is_empty() {
        return Ok(Err(CommitError::Fenced(fenced)));
    }
    for partition in &commit.partitions {
        for (key, value) in &partition.documents {
            write_document(desk, group, partition.partition, key, value.clone())?;
        }
        let watermark = Watermark {
            v: WATERMARK_VERSION,
            generation: partition.generation,
            clean: false,
            bookmark: Some(partition.bookmark),
        };
        write_watermark(desk, group, partition.partition, &watermark)?;
    }
    for (topic, message) in &commit.messages {
        desk.append(*topic, message)?;
    }
    Ok(Ok(()))
}

/// Ends a generation, unless a later one began meanwhile.
pub(crate) fn release(desk: &mut Desk<'_>, release: &Release) -> rusqlite::Result<()> {
    let Release { group, partition, generation, clean } = release;
    let found = watermark(desk.connection, desk.tables, group, *partition)?;
    if let Ok(found) = found
        && found.generation == *generation
    {
        // One higher, so that what the owner commits after it gave up is refused, too.
        let ended = Watermark { generation: generation + 1, clean: *clean, ..found };
        write_watermark(desk, group, *partition, &ended)?;
    }
    Ok(())
}

/// Keeps the last message of a key: takes the one before it away. Called for every message of
/// `progress`, in the transaction that writes it.
pub(crate) fn compact(
    desk: &Desk<'_>,
    partition: Partition,
    key: &[u8],
    offset: Offset,
) -> rusqlite::Result<()> {
    if let Some(before) = last_offset(desk.connection, partition, key)? {
        desk.tables.of(Topic::Progress)[partition as usize].remove(desk.connection, before)?;
    }
    desk.connection.prepare_cached("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)")?.execute(params![
        partition,
        key,
        offset as i64
    ])?;
    Ok(())
}

/// Every live document of a group in a partition, without the watermark.
pub(crate) fn documents(
    connection: &Connection,
    tables: &Tables,
    group: &str,
    partition: Partition,
) -> rusqlite::Result<Vec<(Bytes, Bytes)>> {
    let table = &tables.of(Topic::Progress)[partition as usize];
    let mut statement = connection.prepare_cached(
        "SELECT message_offset FROM documents WHERE partition = ? AND key >= ? AND key < ? ORDER BY key",
    )?;
    // A group's keys lie between `group/` and `group0`: `0` is the byte after `/`.
    let (from, to) = (format!("{group}/"), format!("{group}0"));
    let offsets =
        statement.query_map(params![partition, from.as_bytes(), to.as_bytes()], |row| row.get(0))?;
    let offsets: Vec<i64> = offsets.collect::<rusqlite::Result<_>>()?;
    let mut documents = Vec::with_capacity(offsets.len());
    for offset in offsets {
        if let Some(Message { key, value: Some(value), .. }) = table.one(connection, offset as u64)?
            && let Some(document) = document_of(group, &key)
            && document != WATERMARK_KEY
        {
            documents.push((Bytes::copy_from_slice(document), value));
        }
    }
    Ok(documents)
}

/// A group's watermark. One that nobody wrote yet is clean: no owner is on his way.
fn watermark(
    connection: &Connection,
    tables: &Tables,
    group: &str,
    partition: Partition,
) -> rusqlite::Result<Result<Watermark, String>> {
    let none = Watermark { v: WATERMARK_VERSION, generation: 0, clean: true, bookmark: None };
    let Some(table) = tables.get(Topic::Progress, partition) else {
        return Ok(Err(format!("there is no partition {partition}")));
    };
    let key = document_key(group, WATERMARK_KEY);
    let Some(offset) = last_offset(connection, partition, &key)? else { return Ok(Ok(none)) };
    let Some(Message { value: Some(value), .. }) = table.one(connection, offset)? else {
        return Ok(Ok(none));
    };
    Ok(Watermark::read(&value).map_err(|e| format!("the watermark of {group} in partition {partition}: {e}")))
}

fn write_watermark(
    desk: &mut Desk<'_>,
    group: &str,
    partition: Partition,
    watermark: &Watermark,
) -> rusqlite::Result<()> {
    write_document(desk, group, partition, WATERMARK_KEY, Some(watermark.bytes()))
}

fn write_document(
    desk: &mut Desk<'_>,
    group: &str,
    partition: Partition,
    key: &[u8],
    value: Option<Bytes>,
) -> rusqlite::Result<()> {
    let key = document_key(group, key);
    let message = NewMessage { key, headers: Vec::new(), value, placement: Placement::Fixed(partition) };
    desk.append(Topic::Progress, &message)?;
    Ok(())
}

fn last_offset(
    connection: &Connection,
    partition: Partition,
    key: &[u8],
) -> rusqlite::Result<Option<Offset>> {
    connection
        .prepare_cached("SELECT message_offset FROM documents WHERE partition = ? AND key = ?")?
        .query_row(params![partition, key], |row| row.get::<_, i64>(0))
        .optional()
        .map(|offset| offset.map(|offset| offset as u64))
}
