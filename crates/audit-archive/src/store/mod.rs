//! One partition's file, as its one writer has it open: opened, and appended to with records.

mod attempts;
mod beside;
pub(crate) mod checkpoints;
mod erasure;
mod error;
mod heard;
mod new_file;
mod position;
mod progress;
mod rows;
pub(crate) mod tree;
mod upkeep;

use std::path::{Path, PathBuf};

use audit_journal::{Message, Offset, Partition};
use audit_proof::{Frontier, LogKeys, TagKey};
use rusqlite::{Connection, OpenFlags};

use self::checkpoints::Judge;
pub(crate) use self::error::StoreError;
use self::heard::HeardUpdate;
use self::new_file::make;
pub(crate) use self::new_file::remove;
pub(crate) use self::position::read_position;
use self::position::{Place, move_position};
use self::rows::{Counts, RowWriter};
use self::tree::TreeWriter;
use crate::access::AccessUpdate;
use crate::erasure::{ERASED_ACTION, ErasureOrder};
use crate::former::move_aside;
use crate::schema::{self, ATTEMPTS, CHECKPOINTS, PROGRESS, RECORDS};
use crate::spans::SpanUpdate;
use crate::text::TextWriter;
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
    /// Whether the log's end that is written down says what may be missing ([`Store::presume_missing`]), not where it ends.
    is_missing_presumed: bool,
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
            is_missing_presumed: false,
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
            Some((by, order)) => {
                erasure::follow_order(&tx, &self.path, &self.tag_key, (self.partition, by), order)?
            }
            None => 0,
        };
        move_position(&tx, from, to, log_end, counts)?;
        tx.commit()?;
        self.is_scrubbed &= erased == 0 && counts.erased == 0;
        Ok(())
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

#[cfg(test)]
mod tests;
