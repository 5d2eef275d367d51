//! One partition's file, as its one writer has it open.

use std::path::{Path, PathBuf};

use audit_journal::{Anchor, Bookmark, Message, MessageHash, Offset, Partition};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::decode::Fields;
use crate::layout::{remove_if_there, side_files};
use crate::schema::{self, FileIdentity, RECORDS};
use crate::spans::SpanUpdate;
use crate::text::{self, TextWriter};
use crate::things::{Kind, ThingError, Things};

/// Up to this many rows a transaction also makes its records searchable, where full text is level.
const INLINE_TEXT_ROWS_MAX: usize = 2_048;

/// SQLite's cache of a file while it is written, in KiB.
const CACHE_KIB: i64 = 8 * 1024;

/// The write-ahead log is cut back to this after a checkpoint.
const WAL_BYTES_KEPT: i64 = 32 * 1024 * 1024;

/// `record.routing_key` of a message without a key.
const NO_KEY: i64 = 0;

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
    pub(crate) full_text: bool,
}

/// A partition's file, open for writing.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    conn: Connection,
    things: Things,
    bookmark: Bookmark,
    seq: u64,
    full_text: bool,
    text_seq: u64,
    indexed: bool,
    stopped: Option<String>,
}

impl Store {
    /// Opens the file, making it where it is missing. The caller holds the directory's lock.
    pub(crate) fn open(path: &Path, identity: &StoreIdentity) -> Result<Self, StoreError> {
        if !path.exists() {
            make(path, identity)?;
        }
        let mut store = match Self::open_existing(path, identity)? {
            Some(store) => store,
            // Written by an earlier release: the log has all that stood in it.
            None => {
                remove(path)?;
                make(path, identity)?;
                Self::open_existing(path, identity)?
                    .ok_or_else(|| StoreError::Broken("a new file has an old version".to_owned()))?
            }
        };
        store.set_stopped(None)?;
        Ok(store)
    }

    fn open_existing(path: &Path, identity: &StoreIdentity) -> Result<Option<Self>, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        let found = schema::version(&conn)?;
        if found > schema::SCHEMA_VERSION {
            return Err(StoreError::Newer { found });
        }
        if found < schema::SCHEMA_VERSION {
            return Ok(None);
        }
        conn.busy_timeout(BUSY_TIMEOUT)?;
        // NORMAL: after a power cut the last transactions may be gone, but whole, rows and position together,
        // and the log brings them again. A killed process loses none.
        conn.pragma_update(None, "synchronous", "normal")?;
        conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
        conn.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
        let (deployment, partition, partitions, text_seq, indexed, stopped) = conn.query_row(
            "SELECT deployment, partition, partitions, text_seq, indexed, stopped FROM archive",
            (),
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, u32>(1)?,
                    row.get::<_, u32>(2)?,
                    row.get::<_, u64>(3)?,
                    row.get::<_, bool>(4)?,
                    row.get::<_, Option<String>>(5)?,
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
        let (bookmark, seq) = read_position(&conn)?;
        Ok(Some(Self {
            path: path.to_owned(),
            conn,
            things: Things::default(),
            bookmark,
            seq,
            full_text: identity.full_text,
            text_seq,
            indexed,
            stopped,
        }))
    }

    /// Where the log goes on.
    pub(crate) fn bookmark(&self) -> Bookmark {
        self.bookmark
    }

    /// Archives consecutive messages: rows, things, spans and position in one transaction, and the words too
    /// where full text is level. Messages of this epoch before the position are archived already and are
    /// passed over.
    ///
    /// If we crash before the commit, nothing of it is there and the log brings it again; after it, all is
    /// there and the position is past it.
    pub(crate) fn append(
        &mut self,
        messages: &[Message],
        epoch: u32,
        log_end: Offset,
    ) -> Result<(), StoreError> {
        let moved = epoch > self.bookmark.epoch;
        let known = if moved { 0 } else { messages.partition_point(|m| m.offset < self.bookmark.next) };
        let messages = &messages[known..];
        let Some(last) = messages.last() else { return Ok(()) };
        let bookmark = Bookmark {
            next: last.offset + 1,
            anchor: Some(Anchor { offset: last.offset, hash: last.hash() }),
            epoch,
        };
        let inline_text =
            self.full_text && self.text_seq == self.seq && messages.len() <= INLINE_TEXT_ROWS_MAX;
        let result = self.append_in_transaction(messages, bookmark, log_end, inline_text);
        match result {
            Ok(()) => {
                self.bookmark = bookmark;
                self.seq += messages.len() as u64;
                if inline_text {
                    self.text_seq = self.seq;
                }
                Ok(())
            }
            Err(error) => {
                self.things.forget();
                Err(error)
            }
        }
    }

    fn append_in_transaction(
        &mut self,
        messages: &[Message],
        bookmark: Bookmark,
        log_end: Offset,
        inline_text: bool,
    ) -> Result<(), StoreError> {
        let tx = self.conn.transaction()?;
        let end = self.seq + messages.len() as u64;
        if bookmark.epoch > self.bookmark.epoch {
            tx.execute("INSERT INTO epoch (epoch, first_seq) VALUES (?1, ?2)", (bookmark.epoch, self.seq))?;
        }
        let mut counts = Counts::default();
        {
            let mut text = if inline_text { Some(TextWriter::new(&tx)?) } else { None };
            let mut spans = SpanUpdate::default();
            let mut rows = RowWriter { conn: &tx, things: &mut self.things, counts: &mut counts };
            for (seq, message) in (self.seq..).zip(messages) {
                let Some(fields) = rows.write(seq, message)? else { continue };
                spans.add(seq, fields.occurred_at);
                if let Some(text) = &mut text {
                    text.add(seq, fields.json)?;
                }
            }
            spans.write(&tx)?;
        }
        if inline_text {
            tx.prepare_cached("UPDATE archive SET text_seq = ?1")?.execute([end])?;
        }
        move_position(&tx, self.bookmark, self.seq, bookmark, end, log_end, counts)?;
        tx.commit()?;
        Ok(())
    }

    /// Everything before `next` was brought: the position passes what holds no message.
    pub(crate) fn advance(&mut self, next: Offset) -> Result<(), StoreError> {
        let bookmark = self.bookmark.advanced_to(next);
        if bookmark == self.bookmark {
            return Ok(());
        }
        let tx = self.conn.transaction()?;
        move_position(&tx, self.bookmark, self.seq, bookmark, self.seq, next, Counts::default())?;
        tx.commit()?;
        self.bookmark = bookmark;
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

    /// Makes some more records searchable; whether any are left.
    pub(crate) fn catch_up_text(&mut self) -> Result<bool, StoreError> {
        if !self.full_text || self.text_seq >= self.seq {
            return Ok(false);
        }
        let more = text::catch_up(&mut self.conn, self.seq)?;
        self.text_seq = self.seq.min(self.text_seq + text::TRAILING_ROWS_MAX as u64);
        Ok(more)
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

/// Rows of this kind among those that one transaction adds.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    duplicates: u64,
    undecodable: u64,
}

/// Moves the position from where this writer left it. Whoever finds another position there is not alone: it
/// gives up, and its transaction with it.
fn move_position(
    conn: &Connection,
    from: Bookmark,
    from_seq: u64,
    to: Bookmark,
    to_seq: u64,
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
            to.next,
            to_seq,
            to.epoch,
            to.anchor.map(|anchor| anchor.offset),
            to.anchor.map(|anchor| *anchor.hash.as_bytes()),
            log_end.max(to.next),
            counts.duplicates,
            counts.undecodable,
            RECORDS,
            from.next,
            from_seq,
            from.epoch,
        ])?;
    if changed == 1 {
        return Ok(());
    }
    let found = conn
        .query_row("SELECT next FROM position WHERE topic = ?1", [RECORDS], |row| row.get(0))
        .optional()?;
    Err(StoreError::Superseded { expected: from.next, found })
}

pub(crate) fn read_position(conn: &Connection) -> rusqlite::Result<(Bookmark, u64)> {
    conn.query_row(
        "SELECT next, seq, epoch, anchor_offset, anchor_hash FROM position WHERE topic = ?1",
        [RECORDS],
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

/// Writes the rows of one transaction.
struct RowWriter<'t> {
    conn: &'t Connection,
    things: &'t mut Things,
    counts: &'t mut Counts,
}

/// The columns of `record` that a readable record fills beside those every message has.
struct Numbers {
    organisation: Option<i64>,
    project: Option<i64>,
    environment: Option<i64>,
    flag: Option<i64>,
    object: Option<i64>,
    author: Option<i64>,
    action: Option<i64>,
    object_type: Option<i64>,
    source: Option<i64>,
    routing_key: i64,
}

impl RowWriter<'_> {
    /// Writes one message, whatever it holds. Returns what was read of it where it is a record that was not
    /// seen before.
    fn write<'m>(&mut self, seq: u64, message: &'m Message) -> Result<Option<Fields<'m>>, StoreError> {
        let value = message.value.as_deref();
        match Fields::read(value).and_then(|fields| Ok((self.numbers(&fields, message)?, fields))) {
            Ok((numbers, fields)) => self.write_record(seq, message, numbers?, fields),
            Err(problem) => self.write_undecodable(seq, message, &problem).map(|()| None),
        }
    }

    /// `Err` where the record does not describe its things readably; inside, what SQLite says.
    fn numbers(
        &mut self,
        fields: &Fields<'_>,
        message: &Message,
    ) -> Result<Result<Numbers, StoreError>, String> {
        let key = String::from_utf8_lossy(&message.key);
        let mut number = |kind, text: Option<&str>| match text {
            None => Ok(None),
            Some(text) => self.things.number(self.conn, kind, text),
        };
        let mut all = || {
            Ok::<_, ThingError>(Numbers {
                organisation: number(Kind::Organisation, Some(fields.organisation))?,
                project: number(Kind::Project, fields.project)?,
                environment: number(Kind::Environment, fields.environment)?,
                flag: number(Kind::Flag, fields.flag)?,
                object: number(Kind::Object, fields.object)?,
                author: number(Kind::Author, Some(fields.author))?,
                action: number(Kind::Action, Some(&fields.action))?,
                object_type: number(Kind::ObjectType, Some(&fields.object_type))?,
                source: number(Kind::Source, Some(&fields.source))?,
                routing_key: number(Kind::RoutingKey, Some(&key))?.unwrap_or(NO_KEY),
            })
        };
        match all() {
            Ok(numbers) => Ok(Ok(numbers)),
            Err(ThingError::Unreadable(problem)) => Err(problem),
            Err(ThingError::Sqlite(error)) => Ok(Err(error.into())),
        }
    }

    fn write_record<'m>(
        &mut self,
        seq: u64,
        message: &'m Message,
        numbers: Numbers,
        fields: Fields<'m>,
    ) -> Result<Option<Fields<'m>>, StoreError> {
        match self.insert(seq, message, &numbers, &fields, None) {
            Ok(()) => Ok(Some(fields)),
            Err(error) if is_repeated_id(&error) => {
                let first: u64 = self
                    .conn
                    .prepare_cached(
                        "SELECT seq FROM record WHERE id = ?1 AND routing_key = ?2 AND duplicate_of IS NULL",
                    )?
                    .query_row((&fields.id, numbers.routing_key), |row| row.get(0))?;
                self.insert(seq, message, &numbers, &fields, Some(first))?;
                self.counts.duplicates += 1;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn insert(
        &self,
        seq: u64,
        message: &Message,
        numbers: &Numbers,
        fields: &Fields<'_>,
        duplicate_of: Option<u64>,
    ) -> rusqlite::Result<()> {
        let headers = Headers::of(message, true);
        self.conn
            .prepare_cached(
                "INSERT INTO record (seq, log_offset, appended_at_ms, occurred_at_us, recorded_at_us, duplicate_of,
                   organisation, project, environment, flag, object, author, action, object_type, source,
                   routing_key, id, salt, tags, body_hash, headers, json)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
                   ?20, ?21, ?22)",
            )?
            .execute(params![
                seq,
                message.offset,
                message.appended_at_ms,
                fields.occurred_at.micros(),
                fields.recorded_at.micros(),
                duplicate_of,
                numbers.organisation,
                numbers.project,
                numbers.environment,
                numbers.flag,
                numbers.object,
                numbers.author,
                numbers.action,
                numbers.object_type,
                numbers.source,
                numbers.routing_key,
                fields.id,
                headers.salt,
                headers.tags,
                body_hash(message),
                headers.others,
                fields.json,
            ])
            .map(drop)
    }

    fn write_undecodable(&mut self, seq: u64, message: &Message, problem: &str) -> Result<(), StoreError> {
        let key = String::from_utf8_lossy(&message.key);
        let routing_key = match self.things.number(self.conn, Kind::RoutingKey, &key) {
            Ok(number) => number.unwrap_or(NO_KEY),
            Err(ThingError::Sqlite(error)) => return Err(error.into()),
            Err(ThingError::Unreadable(problem)) => return Err(StoreError::Broken(problem)),
        };
        let headers = Headers::of(message, false);
        self.conn
            .prepare_cached(
                "INSERT INTO record (seq, log_offset, appended_at_ms, routing_key, salt, tags, body_hash, problem,
                   headers, raw, key)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                seq,
                message.offset,
                message.appended_at_ms,
                routing_key,
                headers.salt,
                headers.tags,
                body_hash(message),
                problem,
                headers.others,
                message.value.as_deref(),
                std::str::from_utf8(&message.key).err().map(|_| &message.key[..]),
            ])?;
        self.counts.undecodable += 1;
        Ok(())
    }
}

fn is_repeated_id(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE)
}

/// SHA-256 of salt and value: what the leaf keeps of the body, and what remains of it once it is erased.
pub(crate) fn body_hash(message: &Message) -> [u8; 32] {
    let mut hasher = Sha256::new();
    if let Some(salt) = message.header("salt") {
        hasher.update(salt);
    }
    hasher.update(message.value.as_deref().unwrap_or_default());
    hasher.finalize().into()
}

/// A message's headers as they are kept.
struct Headers<'m> {
    salt: Option<&'m [u8]>,
    tags: Option<&'m [u8]>,
    /// The others, each as length, name, length, value (lengths of four bytes, big-endian); `None` where
    /// there are none.
    others: Option<Vec<u8>>,
}

impl<'m> Headers<'m> {
    /// Of a record the CloudEvents headers are left out: they are made from it.
    fn of(message: &'m Message, of_record: bool) -> Self {
        let mut others = Vec::new();
        for (name, value) in &message.headers {
            let derived = of_record && (name.starts_with("ce_") || name == "content-type");
            if derived || name == "salt" || name == "tags" {
                continue;
            }
            for part in [name.as_bytes(), value] {
                others.extend_from_slice(&(part.len() as u32).to_be_bytes());
                others.extend_from_slice(part);
            }
        }
        Self {
            salt: message.header("salt").map(|salt| &salt[..]),
            tags: message.header("tags").map(|tags| &tags[..]),
            others: Some(others).filter(|others| !others.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests;
