//! The query side of an archive.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use audit_journal::Bounds;

use super::budget::Budget;
use super::cursor::{Cursor, Left};
use super::erased;
use super::heard::{self, SourceHeard};
use super::page::{Order, PAGE_ROWS_MAX, Page, Query, QueryError, Row};
use super::pool::{File, Pool, Session};
use super::scan::{Scan, ScanPosition};
use super::status::{PartitionEnd, Status, ends, partition_status};
use super::walk::{Step, Walk};
use crate::text::{SEARCH_BYTES_MAX, match_expression};

/// Reads an archive, in this process or another than the writer's. Blocking: async callers use
/// `spawn_blocking`. Cheap to clone; clones share a bounded number of connections.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) pool: Arc<Pool>,
}

impl Reader {
    /// A reader of the archive in `dir`, which may come to be later: until then every question is
    /// answered [`QueryError::NoArchive`].
    pub fn open(dir: impl AsRef<Path>) -> Self {
        Self { pool: Arc::new(Pool::new(dir.as_ref())) }
    }

    /// One page. Pages of one question never repeat a row and never leave one out, whatever arrives
    /// meanwhile: the first page fixes how far the log is looked at.
    pub fn query(&self, query: &Query) -> Result<Page, QueryError> {
        let expression = expression(query)?;
        let session = self.pool.session(None)?;
        // A read transaction a file: all statements of this page see one state of it.
        let transactions = Transactions::begin(&session)?;
        let (left, unsearched) = match &query.cursor {
            Some(cursor) => (cursor.left(query)?, 0),
            None => everything(&session, query)?,
        };
        let mut merge = Merge::plan(&session, query, expression.as_deref(), left)?;
        let mut budget = Budget::of_a_page();
        let rows = merge.take(query.limit.clamp(1, PAGE_ROWS_MAX), &mut budget)?;
        let left = merge.left();
        drop(transactions);
        let ended = left.iter().all(|(_, left)| left.is_empty());
        Ok(Page {
            rows,
            next: (!ended).then(|| Cursor::new(query, &left)),
            partial: budget.is_spent() && !ended,
            unsearched,
        })
    }

    /// The record of that id. More than one where the id was used under several routing keys.
    pub fn get(&self, id: &str) -> Result<Vec<Row>, QueryError> {
        let session = self.pool.session(None)?;
        let mut found = Vec::new();
        for file in &session.files {
            found.extend(with_id(file, id).map_err(|error| file.error(error))?);
        }
        found.sort_by_key(|row: &Row| (row.appended_at_ms, row.partition, row.seq));
        Ok(found)
    }

    /// How far every partition is archived.
    pub fn ends(&self) -> Result<Vec<PartitionEnd>, QueryError> {
        ends(&self.pool.session(None)?)
    }

    /// Whether everything before the given ends of a log of this epoch is archived. After a new epoch an archive may have
    /// been further on the log before: of the one in its place it then has nothing yet.
    pub fn is_level(&self, epoch: u32, log: &[Bounds]) -> Result<bool, QueryError> {
        let archived = self.since(&[])?;
        Ok(log.iter().all(|bounds| {
            bounds.end <= bounds.start || archived.iter().any(|since| since.place.is_past(epoch, bounds))
        }))
    }

    /// [`Reader::is_level`] of a log that never was replaced.
    pub fn covers(&self, log: &[Bounds]) -> Result<bool, QueryError> {
        let archived = self.ends()?;
        Ok(log.iter().all(|bounds| {
            bounds.end <= bounds.start
                || archived.iter().any(|end| end.partition == bounds.partition && end.next >= bounds.end)
        }))
    }

    /// Everything that matches (order, limit and cursor aside) before `ends`, from `from` or from the
    /// first message on.
    pub fn scan(
        &self,
        query: &Query,
        ends: Vec<PartitionEnd>,
        from: Option<ScanPosition>,
    ) -> Result<Scan, QueryError> {
        let expression = expression(query)?;
        if expression.is_some() {
            let missing = unsearched(&self.pool.session(None)?, &ends)?;
            if missing > 0 {
                return Err(QueryError::TextTrails { missing });
            }
        }
        Ok(Scan::new(Arc::clone(&self.pool), query.clone(), expression, ends, from))
    }

    /// What came from each source, by its name.
    pub fn sources(&self) -> Result<BTreeMap<String, SourceHeard>, QueryError> {
        heard::sources(&self.pool.session(None)?)
    }

    /// The state of every partition.
    pub fn status(&self) -> Result<Status, QueryError> {
        let session = self.pool.session(None)?;
        let partitions = session.files.iter().map(partition_status).collect::<Result<_, _>>()?;
        Ok(Status { partitions })
    }
}

fn expression(query: &Query) -> Result<Option<String>, QueryError> {
    let Some(text) = &query.text else { return Ok(None) };
    if text.len() > SEARCH_BYTES_MAX {
        return Err(QueryError::TextTooLong { bytes: text.len(), max: SEARCH_BYTES_MAX });
    }
    match_expression(text).map(Some).ok_or_else(|| QueryError::EmptyText(text.clone()))
}

/// All that a first page may look at, and how many messages a text query can't see.
fn everything(session: &Session<'_>, query: &Query) -> Result<(Left, u64), QueryError> {
    let mut left = Vec::with_capacity(session.files.len());
    let mut unseen = 0;
    for (file, end) in session.files.iter().zip(ends(session)?) {
        let seen = if query.text.is_some() { text_seq(file)?.min(end.seq) } else { end.seq };
        unseen += end.seq - seen;
        left.push((file.partition, 0..seen));
    }
    Ok((left, unseen))
}

fn unsearched(session: &Session<'_>, ends: &[PartitionEnd]) -> Result<u64, QueryError> {
    let mut missing = 0;
    for file in &session.files {
        let end = ends.iter().find(|end| end.partition == file.partition).map_or(0, |end| end.seq);
        missing += end.saturating_sub(text_seq(file)?);
    }
    Ok(missing)
}

fn text_seq(file: &File) -> Result<u64, QueryError> {
    let (full_text, seq): (bool, u64) = file
        .conn
        .query_row("SELECT full_text, text_seq FROM archive", (), |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|error| file.error(error))?;
    if full_text { Ok(seq) } else { Err(QueryError::NoFullText) }
}

fn with_id(file: &File, id: &str) -> rusqlite::Result<Vec<Row>> {
    let mut rows: Vec<Row> = file
        .conn
        .prepare_cached(
            "SELECT seq, log_offset, appended_at_ms, json, occurred_at_us, recorded_at_us FROM record
             WHERE id = ?1 AND duplicate_of IS NULL AND id IS NOT NULL",
        )?
        .query_map([id], |row| {
            Ok(Row {
                partition: file.partition,
                seq: row.get(0)?,
                offset: row.get(1)?,
                appended_at_ms: row.get(2)?,
                json: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
                occurred_at_us: row.get(4)?,
                recorded_at_us: row.get(5)?,
                erased: false,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    rows.iter_mut().try_for_each(|row| erased::fill_in(&file.conn, row))?;
    Ok(rows)
}

/// Read transactions on every file of a session, ended on drop.
pub(super) struct Transactions<'s> {
    _open: Vec<rusqlite::Transaction<'s>>,
}

impl<'s> Transactions<'s> {
    pub(super) fn begin(session: &'s Session<'_>) -> Result<Self, QueryError> {
        let begin = |file: &'s File| file.conn.unchecked_transaction().map_err(|error| file.error(error));
        Ok(Self { _open: session.files.iter().map(begin).collect::<Result<_, _>>()? })
    }
}

/// The walks of all partitions, merged by time.
struct Merge<'s> {
    order: Order,
    lanes: Vec<Lane<'s>>,
    /// What is left of partitions that have no file here; a later page may find one.
    elsewhere: Left,
}

struct Lane<'s> {
    file: &'s File,
    walk: Walk,
    /// The lane's next match, where it is known.
    head: Option<Row>,
    ended: bool,
}

impl<'s> Merge<'s> {
    fn plan(
        session: &'s Session<'_>,
        query: &Query,
        expression: Option<&str>,
        left: Left,
    ) -> Result<Self, QueryError> {
        let mut merge = Self { order: query.order, lanes: Vec::new(), elsewhere: Vec::new() };
        for (partition, left) in left {
            let Some(file) = session.files.iter().find(|file| file.partition == partition) else {
                merge.elsewhere.push((partition, left));
                continue;
            };
            let walk = Walk::plan(&file.conn, partition, query, expression, query.order, left)
                .map_err(|error| file.error(error))?;
            merge.lanes.push(Lane { file, walk, head: None, ended: false });
        }
        Ok(merge)
    }

    /// The next rows: up to `limit`, fewer where nothing is left or the budget is spent.
    fn take(&mut self, limit: usize, budget: &mut Budget) -> Result<Vec<Row>, QueryError> {
        let mut rows = Vec::new();
        while rows.len() < limit {
            for lane in self.lanes.iter_mut().filter(|lane| lane.head.is_none() && !lane.ended) {
                match lane.walk.step(&lane.file.conn, budget).map_err(|error| lane.file.error(error))? {
                    Step::Match(row) => lane.head = Some(row),
                    Step::End => lane.ended = true,
                    // Which row comes next can't be told without this lane.
                    Step::Spent => return Ok(rows),
                }
            }
            let order = self.order;
            let first = self.lanes.iter_mut().filter(|lane| lane.head.is_some()).min_by(|a, b| {
                let key = |lane: &Lane<'_>| lane.head.as_ref().map(|row| (row.appended_at_ms, row.partition));
                match order {
                    Order::Oldest => key(a).cmp(&key(b)),
                    Order::Newest => key(b).cmp(&key(a)),
                }
            });
            match first.and_then(|lane| lane.head.take()) {
                Some(row) => rows.push(row),
                None => break,
            }
        }
        Ok(rows)
    }

    /// What is left of every partition, heads that were not taken included.
    fn left(&self) -> Left {
        let lanes = self.lanes.iter().map(|lane| {
            let left = lane.walk.left();
            let left = match (&lane.head, self.order) {
                (None, _) => left,
                (Some(head), Order::Newest) => left.start..head.seq + 1,
                (Some(head), Order::Oldest) => head.seq..left.end,
            };
            (lane.file.partition, left)
        });
        lanes.chain(self.elsewhere.iter().cloned()).collect()
    }
}
