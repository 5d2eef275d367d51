//! One partition's file, as its one writer has it open.

mod attempts;
pub(crate) mod checkpoints;
mod erasure;
mod heard;
mod progress;
mod rows;
pub(crate) mod tree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use audit_journal::{Anchor, Bookmark, Message, MessageHash, Offset, Partition};
use audit_proof::{Frontier, LogKeys, TagKey};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use self::checkpoints::{Alarm, Judge};
use self::heard::HeardUpdate;
use self::rows::{Counts, RowWriter};
use self::tree::TreeWriter;
use crate::access::AccessUpdate;
use crate::erasure::{ERASED_ACTION, ErasureOrder, NoOrder};
use crate::former::move_aside;
use crate::layout::{remove_if_there, side_files};
use crate::schema::{self, ATTEMPTS, CHECKPOINTS, FileIdentity, PROGRESS, RECORDS};
use crate::spans::SpanUpdate;
use crate::text::{self, TextWriter};
use crate::things::Things;

/// Up to this many rows a transaction also makes its records searchable, where full text is level.
const INLINE_TEXT_ROWS_MAX: usize = 2_048;

/// SQLite's cache of a file while it is written, in KiB.
const CACHE_KIB: i64 = 8 * 1024;

/// Prepared statements kept: more than a writer has. With rusqlite's usual sixteen they were parsed anew for every record.
const STATEMENTS_MAX: usize = 128;

/// The write-ahead log is cut back to this after a checkpoint.
const WAL_BYTES_KEPT: i64 = 32 * 1024 * 1024;

/// How long a statement waits for another connection's lock. Only backups and checkpoints ever hold one.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Why a file can't be used.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// Written by a later release.
    Newer { found: i64 },
    /// Not the archive of this partition of this log.
    Other(String),
    /// The disk is full, or another connection holds a lock for very long: trying again later may do.
    NotNow(String),
    /// Somebody else moved the position.
    Superseded { expected: Offset, found: Option<Offset> },
    /// SQLite or the file system.
    Broken(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::NotNow(error.to_string())
            }
            _ => Self::Broken(error.to_string()),
        }
    }
}

/// What a new or reopened file has to belong to.
#[derive(Clone, Debug)]
pub(crate) struct StoreIdentity {
    pub(crate) deployment: String,
    pub(crate) partition: Partition,
    pub(crate) partitions: u32,
    /// The log's epoch.
    pub(crate) epoch: u32,
    pub(crate) full_text: bool,
    /// By which checkpoints are checked.
    pub(crate) log_keys: LogKeys,
    /// With which orders to erase are vouched for.
    pub(crate) tag_key: TagKey,
}

/// Where one topic goes on.
#[derive(Clone, Copy, Debug)]
struct Place {
    topic: &'static str,
    bookmark: Bookmark,
    /// The number that the next message gets.
    seq: u64,
}

impl Place {
    fn read(conn: &Connection, topic: &'static str) -> rusqlite::Result<Self> {
        let (bookmark, seq) = read_position(conn, topic)?;
        Ok(Self { topic, bookmark, seq })
    }

    /// Those of consecutive messages that are not archived yet, and the place after them.
    fn after(self, messages: &[Message], epoch: u32) -> Option<(&[Message], Self)> {
        let moved = epoch > self.bookmark.epoch;
        let known = if moved { 0 } else { messages.partition_point(|m| m.offset < self.bookmark.next) };
        let messages = &messages[known..];
        let last = messages.last()?;
        let anchor = Some(Anchor { offset: last.offset, hash: last.hash() });
        let bookmark = Bookmark { next: last.offset + 1, anchor, epoch };
        Some((messages, Self { bookmark, seq: self.seq + messages.len() as u64, ..self }))
    }
}

/// A file that an earlier release wrote.
struct Earlier {
    version: i64,
}

/// A partition's file, open for writing.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    /// What an earlier release wrote, where it was moved when this file was opened.
    former: Option<PathBuf>,
    partition: Partition,
    conn: Connection,
    things: Things,
    tree: TreeWriter,
    records: Place,
    attempts: Place,
    progress: Place,
    checkpoints: Place,
    judge: Judge,
    tag_key: TagKey,
    /// Whether nothing of an erased body can be left in the write-ahead log.
    is_scrubbed: bool,
    /// The number of the first message that this file can have.
    first_seq: u64,
    full_text: bool,
    text_seq: u64,
    /// The index was merged when it reached up to here. Not written down: after a restart it is merged once more.
    text_merged_to: u64,
    indexed: bool,
    stopped: Option<String>,
}

impl Store {
    /// Opens the file, making it where it is missing; one of an earlier release is moved aside first (see
    /// [`Store::take_former`]). The caller holds the directory's lock.
    pub(crate) fn open(path: &Path, identity: &StoreIdentity) -> Result<Self, StoreError> {
        if !path.exists() {
            make(path, identity)?;
        }
        let mut store = match Self::open_existing(path, identity)? {
            Ok(store) => store,
            Err(Earlier { version }) => {
                // If we crash behind this, the file is missing, and made next time.
                let former =
                    move_aside(path, version).map_err(|error| StoreError::Broken(error.to_string()))?;
                make(path, identity)?;
                let new = Self::open_existing(path, identity)?;
                let new = new.map_err(|_| StoreError::Broken("a new file has an old version".to_owned()))?;
                Self { former: Some(former), ..new }
            }
        };
        store.set_stopped(None)?;
        store.progress = progress::begin_anew(&mut store.conn)?;
        Ok(store)
    }

    fn open_existing(path: &Path, identity: &StoreIdentity) -> Result<Result<Self, Earlier>, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        let found = schema::version(&conn)?;
        if found > schema::SCHEMA_VERSION {
            return Err(StoreError::Newer { found });
        }
        if found < schema::SCHEMA_VERSION {
            return Ok(Err(Earlier { version: found }));
        }
        conn.busy_timeout(BUSY_TIMEOUT)?;
        // NORMAL: after a power cut the last transactions may be gone, but whole, rows and position together,
        // and the log brings them again. A killed process loses none.
        conn.pragma_update(None, "synchronous", "normal")?;
        // What is erased, and what SQLite moves elsewhere, is overwritten with zeros. It costs nothing where rows are
        // only added.
        conn.pragma_update(None, "secure_delete", true)?;
        conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
        conn.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        crate::schema::keep_plans(&conn)?;
        let (deployment, partition, partitions, text_seq, indexed, stopped, first_seq, unscrubbed) = conn.query_row(
            "SELECT deployment, partition, partitions, text_seq, indexed, stopped, first_seq, unscrubbed FROM archive",
            (),
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, u32>(1)?,
                    row.get::<_, u32>(2)?,
                    row.get::<_, u64>(3)?,
                    row.get::<_, bool>(4)?,
                    row.get::<_, Option<String>>(5)?,
                    row.get::<_, u64>(6)?,
                    row.get::<_, bool>(7)?,
                ))
            },
        )?;
        if deployment != identity.deployment {
            return Err(StoreError::Other(format!(
                "it archives the log {deployment}, not {}: give this log's archive a directory of its own",
                identity.deployment
            )));
        }
        if (partition, partitions) != (identity.partition, identity.partitions) {
            return Err(StoreError::Other(format!(
                "it archives partition {partition} of {partitions}, not {} of {}: run `flagtrail archive rebuild`",
                identity.partition, identity.partitions
            )));
        }
        conn.execute("UPDATE archive SET full_text = ?1 WHERE full_text <> ?1", [identity.full_text])?;
        let (records, attempts) = (Place::read(&conn, RECORDS)?, Place::read(&conn, ATTEMPTS)?);
        let tree = TreeWriter::read(&conn, records.seq)?;
        let (progress, checkpoints) = (Place::read(&conn, PROGRESS)?, Place::read(&conn, CHECKPOINTS)?);
        let StoreIdentity { deployment, partition: of, epoch, log_keys, .. } = identity;
        let judge = Judge::open(&conn, deployment, *of, *epoch, log_keys)?;
        Ok(Ok(Self {
            path: path.to_owned(),
            former: None,
            partition,
            conn,
            things: Things::default(),
            tree,
            records,
            attempts,
            progress,
            checkpoints,
            judge,
            tag_key: identity.tag_key.clone(),
            is_scrubbed: !unscrubbed,
            first_seq,
            full_text: identity.full_text,
            text_seq,
            text_merged_to: 0,
            indexed,
            stopped,
        }))
    }

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

    /// Where the file of an earlier release is that stood in the place of this one, told once.
    pub(crate) fn take_former(&mut self) -> Option<PathBuf> {
        self.former.take()
    }

    /// Whether no message was archived yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.seq == self.first_seq
    }

    /// Begins an empty file above what retention removed from the log: message `first_seq` is the first one that is kept,
    /// at offset `next`; the tree goes on from `base`, as a checkpoint told it, under the name that it has there. If we
    /// crash before the commit, the file is empty and begins this way next time.
    pub(crate) fn take_up(
        &mut self,
        first_seq: u64,
        next: Offset,
        base: &Frontier,
        epoch: u32,
    ) -> Result<(), StoreError> {
        let tx = self.conn.transaction()?;
        tx.execute("UPDATE archive SET first_seq = ?1, text_seq = ?1", [first_seq])?;
        tx.execute("UPDATE position SET next = ?1, seq = ?2 WHERE topic = ?3", (next, first_seq, RECORDS))?;
        tree::take_up(&tx, base, epoch)?;
        tx.commit()?;
        self.records = Place::read(&self.conn, RECORDS)?;
        self.tree = TreeWriter::read(&self.conn, first_seq)?;
        (self.first_seq, self.text_seq) = (first_seq, first_seq);
        Ok(())
    }

    /// Archives consecutive messages: rows, things, spans, access, tree and position in one transaction, and the words too
    /// where full text is level; in several, each of which ends with an order to erase, where there are any. Messages of
    /// this epoch before the position are archived already and are passed over.
    ///
    /// If we crash before a commit, nothing of it is there and the log brings it again; after it, all is
    /// there and the position is past it.
    pub(crate) fn append(
        &mut self,
        messages: &[Message],
        epoch: u32,
        log_end: Offset,
    ) -> Result<(), StoreError> {
        let mut rest = messages;
        while !rest.is_empty() {
            // What an archive comes to must not depend on where its transactions ended.
            let end = rest.iter().position(erasure::may_be_order).map_or(rest.len(), |order| order + 1);
            let (now, later) = rest.split_at(end);
            self.append_together(now, epoch, log_end)?;
            rest = later;
        }
        Ok(())
    }

    /// Archives messages in one transaction; none but the last may be an order to erase.
    fn append_together(
        &mut self,
        messages: &[Message],
        epoch: u32,
        log_end: Offset,
    ) -> Result<(), StoreError> {
        let Some((messages, to)) = self.records.after(messages, epoch) else { return Ok(()) };
        let inline_text =
            self.full_text && self.text_seq == self.records.seq && messages.len() <= INLINE_TEXT_ROWS_MAX;
        let mut tree = self.tree.clone();
        let written = self.append_in_transaction(messages, to, log_end, inline_text, &mut tree);
        if written.is_err() {
            self.things.forget();
            return written;
        }
        let is_of_later_epoch = to.bookmark.epoch > self.records.bookmark.epoch;
        self.records = to;
        self.tree = tree;
        if is_of_later_epoch {
            self.judge.epoch_began();
        }
        if inline_text {
            self.text_seq = to.seq;
        }
        if self.judge.can_go_on(self.tree.size()) {
            self.judge_more()?;
        }
        Ok(())
    }

    /// Compares some of the checkpoints that waited for the tree; whether more can be compared. If we crash before the
    /// commit, they wait still.
    pub(crate) fn judge_more(&mut self) -> Result<bool, StoreError> {
        if !self.judge.can_go_on(self.tree.size()) {
            return Ok(false);
        }
        let tx = self.conn.transaction()?;
        let judged = self.judge.go_on(&tx).and_then(|more| {
            tx.commit()?;
            Ok(more)
        });
        if judged.is_err() {
            self.judge.look_up(&self.conn)?;
        }
        judged
    }

    /// Archives checkpoints, each with what came of it, and their position.
    pub(crate) fn append_checkpoints(
        &mut self,
        messages: &[Message],
        epoch: u32,
        log_end: Offset,
    ) -> Result<(), StoreError> {
        let from = self.checkpoints;
        let Some((messages, to)) = from.after(messages, epoch) else { return Ok(()) };
        let tx = self.conn.transaction()?;
        let written = self.judge.write(&tx, from.seq, messages).and_then(|counts| {
            move_position(&tx, from, to, log_end, counts)?;
            tx.commit()?;
            Ok(())
        });
        match written {
            Ok(()) => self.checkpoints = to,
            Err(_) => self.judge.look_up(&self.conn)?,
        }
        written
    }

    /// All checkpoints before `next` were brought.
    pub(crate) fn advance_checkpoints(&mut self, next: Offset) -> Result<(), StoreError> {
        self.checkpoints = advanced(&mut self.conn, self.checkpoints, next)?;
        Ok(())
    }

    /// An alarm about a checkpoint that is not on the record yet, other than these.
    pub(crate) fn untold_alarm(&self, but: &BTreeSet<u64>) -> Result<Option<Alarm>, StoreError> {
        checkpoints::untold(&self.conn, self.partition, but)
    }

    /// An alarm is on the record.
    pub(crate) fn alarm_told(&mut self, seq: u64) -> Result<(), StoreError> {
        Ok(checkpoints::told(&self.conn, seq)?)
    }

    fn append_in_transaction(
        &mut self,
        messages: &[Message],
        to: Place,
        log_end: Offset,
        inline_text: bool,
        tree: &mut TreeWriter,
    ) -> Result<(), StoreError> {
        let from = self.records;
        let tx = self.conn.transaction()?;
        if to.bookmark.epoch > from.bookmark.epoch {
            tx.execute(
                "INSERT INTO epoch (epoch, first_seq) VALUES (?1, ?2)",
                (to.bookmark.epoch, from.seq),
            )?;
            // An archive that begins in this epoch has only what the log has now: where that is not what stood
            // there before, the tree begins with it, as theirs does. An empty one is named by the epoch of its first
            // leaf, as the sealer does it.
            if tree.size() == 0 || messages.first().is_some_and(|first| first.offset < from.bookmark.next) {
                tree.begin(from.seq, to.bookmark.epoch);
            }
        }
        let leaves_before = tree.size();
        let mut counts = Counts::default();
        let mut order = None;
        {
            let mut text = if inline_text { Some(TextWriter::new(&tx)?) } else { None };
            let mut spans = SpanUpdate::default();
            let mut heard = HeardUpdate::default();
            let mut access = AccessUpdate::default();
            let mut rows = RowWriter {
                conn: &tx,
                things: &mut self.things,
                tree: &mut *tree,
                counts: &mut counts,
                heard: &mut heard,
            };
            for (seq, message) in (from.seq..).zip(messages) {
                let Some(fields) = rows.write(seq, message)? else { continue };
                if fields.action == ERASED_ACTION && erasure::may_be_order(message) {
                    order = Some((seq, ErasureOrder::of_record(fields.json, &self.tag_key)));
                }
                spans.add(seq, fields.occurred_at);
                access.add(&tx, &self.tag_key, seq, &fields)?;
                if let Some(text) = &mut text {
                    text.add(seq, fields.json)?;
                }
            }
            spans.write(&tx)?;
            heard.write(&tx)?;
            access.write(&tx)?;
        }
        tree.write(&tx, leaves_before)?;
        if inline_text {
            tx.prepare_cached("UPDATE archive SET text_seq = ?1")?.execute([to.seq])?;
        }
        let erased = match order {
            Some((by, order)) => follow_order(&tx, &self.path, &self.tag_key, (self.partition, by), order)?,
            None => 0,
        };
        move_position(&tx, from, to, log_end, counts)?;
        tx.commit()?;
        self.is_scrubbed &= erased == 0 && counts.erased == 0;
        Ok(())
    }

    /// Archives delivery attempts, as [`Store::append`] does records, with a position of their own.
    pub(crate) fn append_attempts(
        &mut self,
        messages: &[Message],
        epoch: u32,
        log_end: Offset,
    ) -> Result<(), StoreError> {
        let from = self.attempts;
        let Some((messages, to)) = from.after(messages, epoch) else { return Ok(()) };
        let tx = self.conn.transaction()?;
        let undecodable = attempts::write(&tx, from.seq, messages)?;
        move_position(&tx, from, to, log_end, Counts { undecodable, ..Counts::default() })?;
        tx.commit()?;
        self.attempts = to;
        Ok(())
    }

    /// Takes in what consumers wrote of how far they are: the latest document of each key stays.
    pub(crate) fn append_progress(
        &mut self,
        messages: &[Message],
        epoch: u32,
        log_end: Offset,
    ) -> Result<(), StoreError> {
        let from = self.progress;
        let Some((messages, to)) = from.after(messages, epoch) else { return Ok(()) };
        let tx = self.conn.transaction()?;
        let undecodable = progress::write(&tx, messages)?;
        move_position(&tx, from, to, log_end, Counts { undecodable, ..Counts::default() })?;
        tx.commit()?;
        self.progress = to;
        Ok(())
    }

    /// All records before `next` were brought: the position passes what holds no message.
    pub(crate) fn advance(&mut self, next: Offset) -> Result<(), StoreError> {
        self.records = advanced(&mut self.conn, self.records, next)?;
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

    /// Builds the secondary indexes where they do not stand yet: the first catch-up is over.
    pub(crate) fn finish_catch_up(&mut self) -> Result<(), StoreError> {
        if !self.indexed {
            schema::build_indexes(&mut self.conn)?;
            self.indexed = true;
        }
        Ok(())
    }

    /// Makes some more records searchable, or the index over them quicker; whether anything is left to do.
    pub(crate) fn improve_text(&mut self) -> Result<bool, StoreError> {
        let end = self.records.seq;
        if !self.full_text {
            return Ok(false);
        }
        if self.text_seq >= end {
            return self.merge_text();
        }
        let more = text::catch_up(&mut self.conn, end)?;
        self.text_seq = end.min(self.text_seq + text::TRAILING_ROWS_MAX as u64);
        Ok(more || self.text_seq >= self.text_merged_to + text::MERGED_AFTER_ROWS)
    }

    /// One step of making the index quicker, if enough has come since the last time that was done.
    fn merge_text(&mut self) -> Result<bool, StoreError> {
        if self.text_seq < self.text_merged_to + text::MERGED_AFTER_ROWS {
            return Ok(false);
        }
        let more = text::merge(&mut self.conn)?;
        if !more {
            self.text_merged_to = self.text_seq;
        }
        Ok(more)
    }

    /// Does away with some of what is left of erased bodies elsewhere in the file; whether there is more to do that can be
    /// done now.
    pub(crate) fn clear_up(&mut self) -> Result<bool, StoreError> {
        // Without its indexes, whether a row names a thing is a question to the whole file.
        if !self.is_to_be_cleared_up() {
            return Ok(false);
        }
        let more = erasure::forget_orphans(&mut self.conn)?;
        // A thing that is gone must not be known by its number.
        self.things.forget();
        if more {
            return Ok(true);
        }
        self.is_scrubbed = erasure::scrub(&self.conn)?;
        Ok(false)
    }

    /// Whether anything of erased bodies may be left that [`Store::clear_up`] does away with.
    pub(crate) fn is_to_be_cleared_up(&self) -> bool {
        !self.is_scrubbed && self.indexed
    }

    /// Writes down why the writer does not go on, for readers in any process; `None`: it does.
    pub(crate) fn set_stopped(&mut self, why: Option<&str>) -> Result<(), StoreError> {
        if self.stopped.as_deref() != why {
            self.conn.execute("UPDATE archive SET stopped = ?1", [why])?;
            self.stopped = why.map(str::to_owned);
        }
        Ok(())
    }

    /// The file's name, for messages.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// Follows the order of message `by`, if it is one. Returns how many bodies were dropped.
fn follow_order(
    conn: &Connection,
    path: &Path,
    key: &TagKey,
    (partition, by): (Partition, u64),
    order: Result<ErasureOrder, NoOrder>,
) -> Result<u64, StoreError> {
    let file = path.display();
    let followed = match order {
        Ok(order) => erasure::follow(conn, key, partition, by, &order)?,
        Err(NoOrder::Unreadable(why)) => Err(why),
        Err(NoOrder::Unvouched) => {
            // Whoever may append to the records can put any number of them there: it is no duty of ours.
            tracing::error!(%file, seq = by, "archive: a record that orders an erasure was not made with this log's secret");
            return Ok(0);
        }
    };
    match followed {
        Ok(dropped) => Ok(dropped),
        Err(why) => {
            tracing::error!(%file, seq = by, why, "archive: an erasure is not followed");
            erasure::not_followed(conn, by, &why)?;
            Ok(0)
        }
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
fn move_position(
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

/// Makes the file under another name and moves it into place whole, so that a file in place has all its
/// tables. If we crash before the rename, the remnant is removed next time.
fn make(path: &Path, identity: &StoreIdentity) -> Result<(), StoreError> {
    let broken = |error: std::io::Error| StoreError::Broken(error.to_string());
    let beside = path.with_extension("new");
    remove(&beside)?;
    // A write-ahead log left by a file that was removed would be taken for this one's.
    remove(path)?;
    let mut conn = Connection::open(&beside)?;
    schema::create(
        &mut conn,
        &FileIdentity {
            deployment: &identity.deployment,
            partition: identity.partition,
            partitions: identity.partitions,
            full_text: identity.full_text,
        },
    )?;
    // Closing the only connection moves the write-ahead log into the file.
    conn.close().map_err(|(_, error)| error)?;
    std::fs::rename(&beside, path).map_err(broken)
}

/// Removes a file and what SQLite left beside it. If we crash in between, the file is missing, and
/// [`make`] removes the rest before it makes a new one.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    let [wal, shm] = side_files(path);
    [path, &wal, &shm]
        .into_iter()
        .try_for_each(remove_if_there)
        .map_err(|error| StoreError::Broken(error.to_string()))
}

#[cfg(test)]
mod tests;
