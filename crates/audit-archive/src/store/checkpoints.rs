//! Checkpoints as the log has them, each judged against this file's own tree: whoever keeps an archive is a witness.
//!
//! What is signed is compared with what was archived, and nothing else: a checkpoint changes no row and no tree. One that
//! is ahead of the archive waits as a row until the tree is that large.

use std::collections::{BTreeSet, HashMap};

use audit_journal::{Message, Partition};
use audit_proof::{
    Checkpoint, CheckpointError, Cut, InvalidSealed, LogKeys, NodeHash, Sealed, SignedNote, Unverified,
    epoch_of,
};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

use super::StoreError;
use super::rows::Counts;
use super::tree::{StoredTree, stored_trees};
use crate::schema::RECORDS;

/// Most checkpoints that are compared with the tree in one go, so that rows don't wait for them.
pub(crate) const JUDGED_AT_ONCE_MAX: usize = 64;

/// Most origins of which it is remembered which tree they are of; another one is judged anew each time.
const ORIGINS_KNOWN_MAX: usize = 64;

/// Most trees that have not begun here yet whose checkpoints wait for that: each is of an epoch that an operator began.
const ORIGINS_HELD_MAX: usize = 64;

/// What came of a checkpoint; `schema.sql` says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Agrees,
    Unsigned,
    Pending,
    Before,
    Mismatch,
    Shrunk,
    OtherLog,
    UnknownKey,
    Forged,
    Unreadable,
}

impl Verdict {
    pub(crate) const ALL: [Self; 10] = [
        Self::Agrees,
        Self::Unsigned,
        Self::Pending,
        Self::Before,
        Self::Mismatch,
        Self::Shrunk,
        Self::OtherLog,
        Self::UnknownKey,
        Self::Forged,
        Self::Unreadable,
    ];

    /// The word in `checkpoint.verdict`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Unsigned => "unsigned",
            Self::Pending => "pending",
            Self::Before => "before",
            Self::Mismatch => "mismatch",
            Self::Shrunk => "shrunk",
            Self::OtherLog => "other_log",
            Self::UnknownKey => "unknown_key",
            Self::Forged => "forged",
            Self::Unreadable => "unreadable",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == word)
    }

    /// Whether somebody has to look into it.
    pub(crate) fn is_alarm(self) -> bool {
        !matches!(self, Self::Agrees | Self::Unsigned | Self::Pending | Self::Before)
    }
}

/// A checkpoint that is not as it should be, to be put on the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) partition: Partition,
    /// Its row.
    pub(crate) seq: u64,
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
    pub(crate) origin: Option<String>,
    pub(crate) size: Option<u64>,
    /// As it was signed.
    pub(crate) root: Option<NodeHash>,
    /// As the archive has it at that size, where it has that size.
    pub(crate) own_root: Option<NodeHash>,
}

/// Judges the checkpoints of one partition.
#[derive(Debug)]
pub(super) struct Judge {
    deployment: String,
    partition: Partition,
    /// The log's, when this process opened it.
    epoch: u32,
    keys: LogKeys,
    /// By origin: which tree it is of, by its first message, because one of its checkpoints agreed with it.
    known: HashMap<String, u64>,
    /// By origin: the largest size that was signed so far, in the order of the log.
    largest: HashMap<String, u64>,
    /// The smallest size that waits for the tree, but for what is held.
    waiting: Option<u64>,
    /// Origins of which something waits, whatever its size, because they are of an epoch of which nothing is archived yet:
    /// a log that was replaced is another tree, which may be smaller than the one that is here.
    held: BTreeSet<String>,
    /// What came of the one that was judged last: the next alarm of its kind is no news.
    last: Option<Verdict>,
}

/// What is known of a checkpoint before it is compared with a tree.
struct Read {
    note: String,
    checkpoint: Checkpoint,
    epoch: u32,
    signed_at_s: Option<u64>,
    witnesses: Option<String>,
    is_verified: bool,
}

/// Why a checkpoint is compared with no tree.
struct Refused {
    verdict: Verdict,
    detail: String,
    read: Option<(Checkpoint, String)>,
}

impl Judge {
    pub(super) fn open(
        conn: &Connection,
        deployment: &str,
        partition: Partition,
        epoch: u32,
        keys: &LogKeys,
    ) -> rusqlite::Result<Self> {
        let mut judge = Self {
            deployment: deployment.to_owned(),
            partition,
            epoch,
            keys: keys.clone(),
            known: HashMap::new(),
            largest: HashMap::new(),
            waiting: None,
            held: BTreeSet::new(),
            last: None,
        };
        judge.look_up(conn)?;
        Ok(judge)
    }

    /// Reads what stands in the file: after opening it, and after a transaction that came to nothing.
    pub(super) fn look_up(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let archived = archived_epoch(conn)?;
        // Mostly there is no later one, and a first catch-up may have many that wait.
        let mut waiting = if archived < self.epoch { waiting_origins(conn)? } else { Vec::new() };
        waiting.retain(|origin| {
            let epoch = epoch_of(origin, &self.deployment, self.partition);
            epoch.is_some_and(|epoch| archived < epoch && epoch <= self.epoch)
        });
        self.held = waiting.into_iter().take(ORIGINS_HELD_MAX).collect();
        self.waiting = self.smallest_waiting(conn)?;
        let last = "SELECT verdict FROM checkpoint WHERE verdict <> 'pending' ORDER BY seq DESC LIMIT 1";
        let last: Option<String> = conn.query_row(last, (), |row| row.get(0)).optional()?;
        self.last = last.as_deref().and_then(Verdict::parse);
        self.known.clear();
        self.largest.clear();
        Ok(())
    }

    /// Whether one that waits can be judged, now that the tree has `size` leaves.
    pub(super) fn can_go_on(&self, size: u64) -> bool {
        self.waiting.is_some_and(|waiting| waiting <= size)
    }

    /// The first message of an epoch was archived: what waited for it is looked at again.
    pub(super) fn epoch_began(&mut self) {
        self.held.clear();
        self.waiting = Some(0);
    }

    /// Writes messages of the topic, numbered from `first` on, in the transaction that is open on `conn`. Counts those
    /// that can't be read, and as duplicates those that are no checkpoints but cuts, which get no row.
    pub(super) fn write(
        &mut self,
        conn: &Connection,
        first: u64,
        messages: &[Message],
    ) -> Result<Counts, StoreError> {
        let trees = stored_trees(conn)?;
        let mut counts = Counts::default();
        for (seq, message) in (first..).zip(messages) {
            let value = message.value.as_deref().unwrap_or_default();
            // Where the log is cut into segments is said beside the checkpoints, each of which stands there itself, too.
            if Cut::is_one(value) {
                counts.duplicates += 1;
                continue;
            }
            let mut row = match self.read(value) {
                Ok(read) => self.compare(conn, &trees, read)?,
                Err(refused) => Row::refused(refused, value),
            };
            counts.undecodable += u64::from(row.verdict == Verdict::Unreadable);
            self.in_order(conn, &mut row)?;
            if row.verdict == Verdict::Pending {
                if row.origin.as_ref().is_none_or(|origin| !self.held.contains(origin)) {
                    self.waiting = Some(self.waiting.map_or(row.size(), |size| size.min(row.size())));
                }
            } else {
                self.settle(&mut row, seq);
            }
            row.insert(conn, seq, message)?;
        }
        Ok(counts)
    }

    /// Judges some of those that waited, in the transaction that is open on `conn`. Returns whether more can be.
    pub(super) fn go_on(&mut self, conn: &Connection) -> Result<bool, StoreError> {
        let trees = stored_trees(conn)?;
        let size = trees.last().map_or(0, |tree| tree.frontier.size());
        let waiting: Vec<(u64, String)> = conn
            .prepare_cached(
                "SELECT seq, note FROM checkpoint
                 WHERE verdict = 'pending' AND size <= ?1 AND origin NOT IN (SELECT value FROM json_each(?3))
                 ORDER BY size, seq LIMIT ?2",
            )?
            .query_map((size, JUDGED_AT_ONCE_MAX, self.held_json()), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut update = conn.prepare_cached(
            "UPDATE checkpoint SET signed_at_s = ?2, witnesses = ?3, verdict = ?4, detail = ?5, told = ?6 WHERE seq = ?1",
        )?;
        for (seq, note) in &waiting {
            let mut row = match self.read_note(note) {
                Ok(read) => self.compare(conn, &trees, read)?,
                Err(refused) => Row::refused(refused, note.as_bytes()),
            };
            self.settle(&mut row, *seq);
            update.execute(params![
                seq,
                row.signed_at_s,
                row.witnesses,
                row.verdict.as_str(),
                row.detail,
                row.told
            ])?;
        }
        self.waiting = self.smallest_waiting(conn)?;
        Ok(self.can_go_on(size))
    }

    /// The smallest size that waits for the tree, but for what is held.
    fn smallest_waiting(&self, conn: &Connection) -> rusqlite::Result<Option<u64>> {
        let smallest = "SELECT min(size) FROM checkpoint
             WHERE verdict = 'pending' AND origin NOT IN (SELECT value FROM json_each(?1))";
        conn.query_row(smallest, [self.held_json()], |row| row.get(0))
    }

    /// What is held, as a parameter of a query.
    fn held_json(&self) -> String {
        json!(self.held).to_string()
    }

    /// Whether a checkpoint is of a log in whose epoch nothing is archived yet. Such a one is compared once the first message
    /// of the epoch is: until then it is not known whether that begins another tree.
    fn holds(&mut self, conn: &Connection, read: &Read) -> rusqlite::Result<bool> {
        let is_later = archived_epoch(conn)? < read.epoch && read.epoch <= self.epoch;
        let origin = &read.checkpoint.origin;
        if !is_later || (self.held.len() >= ORIGINS_HELD_MAX && !self.held.contains(origin)) {
            return Ok(false);
        }
        self.held.insert(origin.clone());
        Ok(true)
    }

    /// Whether one comes after a larger one of the same tree, in the order of the log.
    fn in_order(&mut self, conn: &Connection, row: &mut Row) -> rusqlite::Result<()> {
        let (Some(origin), Some(size)) = (&row.origin, row.size) else { return Ok(()) };
        if !matches!(row.verdict, Verdict::Agrees | Verdict::Unsigned | Verdict::Pending) {
            return Ok(());
        }
        let largest = match self.largest.get(origin) {
            Some(largest) => *largest,
            None => largest_of(conn, origin)?,
        };
        // The same head may come again, with the signature of a witness who took his time.
        if size < largest && !is_known_head(conn, origin, size, row.root)? {
            row.verdict = Verdict::Shrunk;
            row.detail = Some(format!(
                "it is of {size} leaves, though one of {largest} was signed before it: a sealer began anew"
            ));
        }
        if self.largest.len() < ORIGINS_KNOWN_MAX || self.largest.contains_key(origin) {
            self.largest.insert(origin.clone(), size.max(largest));
        }
        Ok(())
    }

    /// Whether a row is an alarm that was not told yet; says so in the trace.
    fn settle(&mut self, row: &mut Row, seq: u64) {
        let is_news = row.verdict.is_alarm() && self.last != Some(row.verdict);
        self.last = Some(row.verdict);
        row.told = is_news.then_some(0);
        if is_news {
            tracing::error!(
                partition = self.partition,
                checkpoint = seq,
                size = row.size,
                signed_root = row.root.map(|root| root.to_string()),
                own_root = row.own_root.map(|root| root.to_string()),
                verdict = row.verdict.as_str(),
                "archive: a checkpoint is not as it should be: {}",
                row.detail.as_deref().unwrap_or_default()
            );
        }
    }

    fn read(&self, value: &[u8]) -> Result<Read, Refused> {
        let unreadable = |error: InvalidSealed| Refused {
            verdict: Verdict::Unreadable,
            detail: error.to_string(),
            read: None,
        };
        let (sealed, ..) = Sealed::read(value).map_err(unreadable)?;
        self.read_note(&sealed.note)
    }

    fn read_note(&self, text: &str) -> Result<Read, Refused> {
        let unreadable = |detail: String| Refused { verdict: Verdict::Unreadable, detail, read: None };
        let note = SignedNote::parse(text.as_bytes()).map_err(|error| unreadable(error.to_string()))?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|error| unreadable(error.to_string()))?;
        let refused = |verdict, detail: String| Refused {
            verdict,
            detail,
            read: Some((checkpoint.clone(), text.to_owned())),
        };
        let Some(epoch) = epoch_of(&checkpoint.origin, &self.deployment, self.partition) else {
            let detail = format!("it is of {}, which is not the log of this partition", checkpoint.origin);
            return Err(refused(Verdict::OtherLog, detail));
        };
        let mut read = Read {
            note: text.to_owned(),
            epoch,
            signed_at_s: None,
            witnesses: None,
            is_verified: !self.keys.is_empty(),
            checkpoint: checkpoint.clone(),
        };
        if i64::try_from(checkpoint.size).is_err() {
            return Err(refused(Verdict::Unreadable, format!("no log has {} leaves", checkpoint.size)));
        }
        if self.keys.is_empty() {
            return Ok(read);
        }
        let known = self
            .keys
            .verifiers(&checkpoint.origin, &self.deployment)
            .map_err(|error| refused(Verdict::UnknownKey, error.to_string()))?;
        match Checkpoint::open(&note, &checkpoint.origin, &known) {
            Ok((_, at_s)) => read.signed_at_s = at_s.filter(|at_s| i64::try_from(*at_s).is_ok()),
            Err(CheckpointError::Unverified(error @ Unverified::Wrong(_))) => {
                return Err(refused(Verdict::Forged, error.to_string()));
            }
            Err(error) => return Err(refused(Verdict::UnknownKey, error.to_string())),
        }
        read.witnesses = self.witnesses(&note);
        Ok(read)
    }

    /// Which known witnesses cosigned, and when, as a JSON list; `None` where none did.
    fn witnesses(&self, note: &SignedNote) -> Option<String> {
        let by = note.verify(self.keys.witnesses()).ok()?;
        let names =
            by.iter().map(|by| json!({"name": self.keys.witnesses()[by.verifier].name(), "at_s": by.at_s}));
        Some(serde_json::Value::Array(names.collect()).to_string())
    }

    fn compare(&mut self, conn: &Connection, trees: &[StoredTree], read: Read) -> Result<Row, StoreError> {
        let Checkpoint { origin, size, root } = &read.checkpoint;
        let good = if read.is_verified { Verdict::Agrees } else { Verdict::Unsigned };
        let mut row = Row::of(&read, good);
        let newest = trees.last().ok_or_else(|| StoreError::Broken("it has no tree".to_owned()))?;
        let known = self.known_of(conn, origin)?;
        // Of an origin that never agreed with any tree yet it is not known which tree it is of: the one that grows, else
        // a former one.
        let candidates: Vec<&StoredTree> = match known {
            Some(first_seq) => trees.iter().filter(|tree| tree.first_seq == first_seq).collect(),
            None => trees.iter().rev().collect(),
        };
        let mut own = None;
        for tree in candidates {
            if *size > tree.frontier.size() || *size < tree.base.size() {
                continue;
            }
            let found =
                tree.prover(conn, *size).root().map_err(|error| StoreError::Broken(error.to_string()))?;
            if found == *root {
                super::tree::signed_as(conn, tree.first_seq, origin)?;
                if self.known.len() < ORIGINS_KNOWN_MAX {
                    self.known.insert(origin.clone(), tree.first_seq);
                }
                return Ok(row);
            }
            own.get_or_insert(found);
        }
        let is_ahead =
            known.is_none_or(|first_seq| first_seq == newest.first_seq) && *size > newest.frontier.size();
        if known.is_none() && (own.is_some() || !is_ahead) && self.holds(conn, &read)? {
            row.verdict = Verdict::Pending;
            return Ok(row);
        }
        match own {
            None if is_ahead => row.verdict = Verdict::Pending,
            // Of a former log, beyond what was archived of it, or before the place where the tree was taken up.
            None => row.verdict = Verdict::Before,
            // An archive that was filled in a later epoch never saw the logs before.
            Some(_) if known.is_none() && read.epoch < newest.epoch => row.verdict = Verdict::Before,
            Some(found) => {
                row.verdict = Verdict::Mismatch;
                row.own_root = Some(found);
                row.detail = Some(format!(
                    "partition {} had the root {found} at {size} leaves, but {root} was signed: the log or this archive was altered, or one key signs for two histories",
                    self.partition
                ));
            }
        }
        Ok(row)
    }

    /// Which tree an origin is of, by its first message.
    fn known_of(&mut self, conn: &Connection, origin: &str) -> rusqlite::Result<Option<u64>> {
        if let Some(known) = self.known.get(origin) {
            return Ok(Some(*known));
        }
        let found: Option<(u64, [u8; 32])> = conn
            .prepare_cached(
                "SELECT size, root FROM checkpoint WHERE verdict IN ('agrees', 'unsigned') AND origin = ?1
                 ORDER BY size DESC LIMIT 1",
            )?
            .query_row([origin], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((size, root)) = found else { return Ok(None) };
        let root = NodeHash::from_bytes(root);
        for tree in stored_trees(conn)?.iter().rev() {
            let fits = (tree.base.size()..=tree.frontier.size()).contains(&size);
            if fits && tree.prover(conn, size).root().is_ok_and(|own| own == root) {
                self.known.insert(origin.to_owned(), tree.first_seq);
                return Ok(Some(tree.first_seq));
            }
        }
        // It agreed once and does so no more: the tree was altered since. It is the one that grows.
        Ok(stored_trees(conn)?.last().map(|newest| newest.first_seq))
    }
}

/// A row in the making.
struct Row {
    origin: Option<String>,
    size: Option<u64>,
    root: Option<NodeHash>,
    own_root: Option<NodeHash>,
    signed_at_s: Option<u64>,
    witnesses: Option<String>,
    verdict: Verdict,
    detail: Option<String>,
    told: Option<u8>,
    note: Option<String>,
    raw: Option<Vec<u8>>,
}

impl Row {
    fn of(read: &Read, verdict: Verdict) -> Self {
        let Checkpoint { origin, size, root } = &read.checkpoint;
        Self {
            origin: Some(origin.clone()),
            size: Some(*size),
            root: Some(*root),
            own_root: None,
            signed_at_s: read.signed_at_s,
            witnesses: read.witnesses.clone(),
            verdict,
            detail: None,
            told: None,
            note: Some(read.note.clone()),
            raw: None,
        }
    }

    fn refused(refused: Refused, value: &[u8]) -> Self {
        let Refused { verdict, detail, read } = refused;
        let raw = if read.is_none() { Some(value.to_owned()) } else { None };
        let (checkpoint, note) = read.unzip();
        Self {
            size: checkpoint
                .as_ref()
                .map(|checkpoint| checkpoint.size)
                .filter(|size| i64::try_from(*size).is_ok()),
            root: checkpoint.as_ref().map(|checkpoint| checkpoint.root),
            origin: checkpoint.map(|checkpoint| checkpoint.origin),
            own_root: None,
            signed_at_s: None,
            witnesses: None,
            verdict,
            detail: Some(detail),
            told: None,
            note,
            raw,
        }
    }

    fn size(&self) -> u64 {
        self.size.unwrap_or(0)
    }

    fn insert(&self, conn: &Connection, seq: u64, message: &Message) -> rusqlite::Result<()> {
        conn.prepare_cached(
            "INSERT INTO checkpoint (seq, log_offset, appended_at_ms, origin, size, root, signed_at_s, witnesses, verdict,
               detail, told, note, raw)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            seq,
            message.offset,
            message.appended_at_ms,
            self.origin,
            self.size,
            self.root.map(|root| *root.as_bytes()),
            self.signed_at_s,
            self.witnesses,
            self.verdict.as_str(),
            self.detail,
            self.told,
            self.note,
            self.raw,
        ])
        .map(drop)
    }
}

/// Whether this head was signed before.
fn is_known_head(
    conn: &Connection,
    origin: &str,
    size: u64,
    root: Option<NodeHash>,
) -> rusqlite::Result<bool> {
    for which in ["verdict IN ('agrees', 'unsigned')", "verdict = 'pending'"] {
        let select = format!(
            "SELECT EXISTS (SELECT 1 FROM checkpoint WHERE {which} AND size = ?1 AND origin = ?2 AND root = ?3)"
        );
        if conn.query_row(&select, (size, origin, root.map(|root| *root.as_bytes())), |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The largest size that was signed of an origin, as far as the file has it.
fn largest_of(conn: &Connection, origin: &str) -> rusqlite::Result<u64> {
    let mut largest = 0;
    for which in ["verdict IN ('agrees', 'unsigned')", "verdict = 'pending'"] {
        let select =
            format!("SELECT size FROM checkpoint WHERE {which} AND origin = ?1 ORDER BY size DESC LIMIT 1");
        let size: Option<u64> = conn.query_row(&select, [origin], |row| row.get(0)).optional()?;
        largest = largest.max(size.unwrap_or(0));
    }
    Ok(largest)
}

/// The epoch of the last message that is archived.
fn archived_epoch(conn: &Connection) -> rusqlite::Result<u32> {
    Ok(super::read_position(conn, RECORDS)?.0.epoch)
}

/// Every origin of which something waits.
fn waiting_origins(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let origins = "SELECT DISTINCT origin FROM checkpoint WHERE verdict = 'pending' AND origin IS NOT NULL";
    conn.prepare(origins)?.query_map((), |row| row.get(0))?.collect()
}

/// The first alarm that is not on the record yet, but for these.
pub(super) fn untold(
    conn: &Connection,
    partition: Partition,
    but: &BTreeSet<u64>,
) -> Result<Option<Alarm>, StoreError> {
    let seqs = conn
        .prepare_cached("SELECT seq FROM checkpoint WHERE told = 0 ORDER BY seq LIMIT ?1")?
        .query_map([but.len() + 1], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<u64>>>()?;
    let Some(seq) = seqs.into_iter().find(|seq| !but.contains(seq)) else { return Ok(None) };
    let found = conn
        .prepare_cached(
            "SELECT seq, verdict, coalesce(detail, ''), origin, size, root FROM checkpoint WHERE seq = ?1",
        )?
        .query_row([seq], |row| {
            let verdict = Verdict::parse(row.get_ref(1)?.as_str()?).unwrap_or(Verdict::Unreadable);
            let root: Option<[u8; 32]> = row.get(5)?;
            Ok(Alarm {
                partition,
                seq: row.get(0)?,
                verdict,
                detail: row.get(2)?,
                origin: row.get(3)?,
                size: row.get(4)?,
                root: root.map(NodeHash::from_bytes),
                own_root: None,
            })
        })
        .optional()?;
    let Some(mut alarm) = found else { return Ok(None) };
    if alarm.verdict == Verdict::Mismatch
        && let (Some(size), Some(newest)) = (alarm.size, stored_trees(conn)?.pop())
        && size <= newest.frontier.size()
    {
        alarm.own_root = newest.prover(conn, size).root().ok();
    }
    Ok(Some(alarm))
}

/// An alarm is on the record.
pub(super) fn told(conn: &Connection, seq: u64) -> rusqlite::Result<()> {
    conn.execute("UPDATE checkpoint SET told = 1 WHERE seq = ?1", [seq]).map(drop)
}
