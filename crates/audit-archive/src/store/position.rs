//! Where each topic goes on: written in the transaction of the rows that it is past, and moved by one writer alone.

use audit_journal::{Anchor, Bookmark, Message, MessageHash, Offset};
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::Counts;
use super::{Store, StoreError};
use crate::schema::RECORDS;

/// Where one topic goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) topic: &'static str,
    pub(super) bookmark: Bookmark,
    /// The number that the next message gets.
    pub(super) seq: u64,
}

impl Place {
    pub(super) fn read(conn: &Connection, topic: &'static str) -> rusqlite::Result<Self> {
        let (bookmark, seq) = read_position(conn, topic)?;
        Ok(Self { topic, bookmark, seq })
    }

    /// Those of consecutive messages that are not archived yet, and the place after them.
    pub(super) fn after(self, messages: &[Message], epoch: u32) -> Option<(&[Message], Self)> {
        let moved = epoch > self.bookmark.epoch;
        let known = if moved { 0 } else { messages.partition_point(|m| m.offset < self.bookmark.next) };
        let messages = &messages[known..];
        let last = messages.last()?;
        let anchor = Some(Anchor { offset: last.offset, hash: last.hash() });
        let bookmark = Bookmark { next: last.offset + 1, anchor, epoch };
        Some((messages, Self { bookmark, seq: self.seq + messages.len() as u64, ..self }))
    }
}

impl Store {
    /// Where the records go on.
    pub(crate) fn bookmark(&self) -> Bookmark {
        self.records.bookmark
    }

    /// Where the delivery attempts go on.
    pub(crate) fn attempts_bookmark(&self) -> Bookmark {
        self.attempts.bookmark
    }

    /// Where the checkpoints go on.
    pub(crate) fn checkpoints_bookmark(&self) -> Bookmark {
        self.checkpoints.bookmark
    }

    /// All records before `next` were brought: the position passes what holds no message.
    pub(crate) fn advance(&mut self, next: Offset) -> Result<(), StoreError> {
        self.records = advanced(&mut self.conn, self.records, next)?;
        if self.is_missing_presumed {
            self.presume_missing(0)?;
        }
        Ok(())
    }

    /// Takes note that so many offsets of the log may be missing, where nothing of its later epoch was brought yet: until
    /// messages are, or all is known to have been.
    pub(crate) fn presume_missing(&mut self, offsets: u64) -> Result<(), StoreError> {
        let log_end = self.records.bookmark.next.saturating_add(offsets);
        self.conn.execute("UPDATE position SET log_end = ?1 WHERE topic = ?2", (log_end, RECORDS))?;
        self.is_missing_presumed = offsets > 0;
        Ok(())
    }

    /// The same of the delivery attempts.
    pub(crate) fn advance_attempts(&mut self, next: Offset) -> Result<(), StoreError> {
        self.attempts = advanced(&mut self.conn, self.attempts, next)?;
        Ok(())
    }

    /// The same of the progress of consumers.
    pub(crate) fn advance_progress(&mut self, next: Offset) -> Result<(), StoreError> {
        self.progress = advanced(&mut self.conn, self.progress, next)?;
        Ok(())
    }

    /// The same of the checkpoints.
    pub(crate) fn advance_checkpoints(&mut self, next: Offset) -> Result<(), StoreError> {
        self.checkpoints = advanced(&mut self.conn, self.checkpoints, next)?;
        Ok(())
    }
}

/// The place after a hole up to `next`, written down.
fn advanced(conn: &mut Connection, from: Place, next: Offset) -> Result<Place, StoreError> {
    let to = Place { bookmark: from.bookmark.advanced_to(next), ..from };
    if to.bookmark != from.bookmark {
        let tx = conn.transaction()?;
        move_position(&tx, from, to, next, Counts::default())?;
        tx.commit()?;
    }
    Ok(to)
}

/// Moves a position from where this writer left it. Whoever finds another position there is not alone: it
/// gives up, and its transaction with it.
pub(super) fn move_position(
    conn: &Connection,
    from: Place,
    to: Place,
    log_end: Offset,
    counts: Counts,
) -> Result<(), StoreError> {
    let changed = conn
        .prepare_cached(
            "UPDATE position SET next = ?1, seq = ?2, epoch = ?3, anchor_offset = ?4, anchor_hash = ?5,
               log_end = ?6, duplicates = duplicates + ?7, undecodable = undecodable + ?8
             WHERE topic = ?9 AND next = ?10 AND seq = ?11 AND epoch = ?12",
        )?
        .execute(params![
            to.bookmark.next,
            to.seq,
            to.bookmark.epoch,
            to.bookmark.anchor.map(|anchor| anchor.offset),
            to.bookmark.anchor.map(|anchor| *anchor.hash.as_bytes()),
            log_end.max(to.bookmark.next),
            counts.duplicates,
            counts.undecodable,
            from.topic,
            from.bookmark.next,
            from.seq,
            from.bookmark.epoch,
        ])?;
    if changed == 1 {
        return Ok(());
    }
    let found = conn
        .query_row("SELECT next FROM position WHERE topic = ?1", [from.topic], |row| row.get(0))
        .optional()?;
    Err(StoreError::Superseded { expected: from.bookmark.next, found })
}

/// Where a topic goes on, and the number that its next message gets.
pub(crate) fn read_position(conn: &Connection, topic: &str) -> rusqlite::Result<(Bookmark, u64)> {
    conn.query_row(
        "SELECT next, seq, epoch, anchor_offset, anchor_hash FROM position WHERE topic = ?1",
        [topic],
        |row| {
            let offset: Option<Offset> = row.get(3)?;
            let hash: Option<[u8; 32]> = row.get(4)?;
            let anchor =
                offset.zip(hash).map(|(offset, hash)| Anchor { offset, hash: MessageHash::from_bytes(hash) });
            Ok((Bookmark { next: row.get(0)?, anchor, epoch: row.get(2)? }, row.get(1)?))
        },
    )
}
