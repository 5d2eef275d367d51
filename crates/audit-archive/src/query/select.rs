//! A statement of a report's own over every file, read in short sessions: in constant memory, on read-only
//! connections, interruptible between any two rows.
//!
//! Nothing that a user wrote is run here: the text is the report's, what was asked for is bound to its parameters.
//! Partitions are not merged; whoever asks does that.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use audit_journal::Partition;
use audit_record::Period;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ErrorCode, Statement as Prepared, ToSql};

use super::page::QueryError;
use super::pool::{File, Pool, Session};
use super::reader::Reader;
use crate::schema::{ATTEMPTS, RECORDS};
use crate::spans;
use crate::store::read_position;

/// Most rows read ahead.
const AHEAD_ROWS_MAX: usize = 1_024;

/// Most bytes of rows read ahead (the last row may top it).
const AHEAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Messages that one session looks at. A record costs a report some 10 µs, so that is well within the time that a
/// session has; one that runs out of it goes on where it got to.
const WINDOW_MESSAGES: u64 = 16_384;

/// A window that can't be looked at in a session's time is halved until it has this many messages; then it is too much.
const WINDOW_MESSAGES_MIN: u64 = 256;

/// A value in or out of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    /// NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text; what is no UTF-8 is replaced.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl SqlValue {
    fn read(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(bytes) => Self::Text(String::from_utf8_lossy(bytes).into_owned()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Null | Self::Integer(_) | Self::Real(_) => 8,
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
        }
    }

    /// The text, where it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, where it is one.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

impl ToSql for SqlValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Integer(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Self::Real(number) => ToSqlOutput::Owned(Value::Real(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

/// What a statement goes through, file by file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Messages of the log: the statement has `:first_seq` and `:end_seq`, selects what is numbered from the one to
    /// before the other, its first column is `seq`, and it is in rising order of that.
    Records,
    /// The same in groups: what one piece of the log gives is counted whole or not at all, so its rows come in any order,
    /// and one group comes again with every piece. A piece gives at most [`WHOLE_ROWS_MAX`] rows; what is more is not
    /// read.
    RecordGroups,
    /// Delivery attempts, as [`Over::Records`].
    Attempts,
    /// Small tables: it is run once a file, as it is, and gives at most [`WHOLE_ROWS_MAX`] rows; what is more is not read.
    Whole,
}

/// Most rows of a statement that is run once a file.
pub const WHOLE_ROWS_MAX: usize = 10_000;

/// A statement and what is bound to it.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The text: one SELECT.
    pub sql: String,
    /// What it goes through.
    pub over: Over,
    /// The period that its rows are of, so that what surely lies outside is not looked at. The statement itself has to
    /// say so, too: this is coarse. It is about messages alone.
    pub period: Period,
    /// The parameters by name, such as `:project`. One that the text does not have is passed over.
    pub parameters: Vec<(&'static str, SqlValue)>,
}

/// How far every file is looked at, so that several statements see one state of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    /// One a partition, by number.
    pub partitions: Vec<FrontierEnd>,
}

/// How far one file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontierEnd {
    /// The partition.
    pub partition: Partition,
    /// Messages before this number.
    pub records: u64,
    /// Delivery attempts before this number.
    pub attempts: u64,
}

/// One row of one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectedRow {
    /// The partition.
    pub partition: Partition,
    /// Its columns.
    pub values: Vec<SqlValue>,
}

/// The rows of a statement, partition by partition. No transaction is held between two sessions, but up to the
/// frontier the log never changes.
#[derive(Debug)]
pub struct Selection {
    pool: Arc<Pool>,
    statement: Statement,
    /// What is left to be looked at. Of [`Over::Whole`], anything that is not empty.
    left: VecDeque<(Partition, Range<u64>)>,
    window: u64,
    ahead: VecDeque<SelectedRow>,
}

impl Reader {
    /// How far every file is now.
    pub fn frontier(&self) -> Result<Frontier, QueryError> {
        let session = self.pool.session(None)?;
        let end = |file: &File| {
            let number = |topic| read_position(&file.conn, topic).map(|(_, seq)| seq);
            let read = || -> rusqlite::Result<FrontierEnd> {
                Ok(FrontierEnd {
                    partition: file.partition,
                    records: number(RECORDS)?,
                    attempts: number(ATTEMPTS)?,
                })
            };
            read().map_err(|error| file.error(error))
        };
        Ok(Frontier { partitions: session.files.iter().map(end).collect::<Result<_, _>>()? })
    }

    /// The rows of `statement` up to `frontier`.
    pub fn select(&self, statement: Statement, frontier: &Frontier) -> Result<Selection, QueryError> {
        let session = self.pool.session(None)?;
        let mut left = VecDeque::new();
        for end in &frontier.partitions {
            match statement.over {
                Over::Whole => left.push_back((end.partition, 0..1)),
                Over::Attempts => {
                    let file = file_of(&session, end.partition)?;
                    // Those before were forgotten.
                    let first = "SELECT coalesce(min(seq), 0) FROM attempt";
                    let first = file.conn.query_row(first, (), |row| row.get::<_, u64>(0));
                    let first = first.map_err(|error| file.error(error))?;
                    left.push_back((end.partition, first.min(end.attempts)..end.attempts));
                }
                Over::Records | Over::RecordGroups => {
                    let file = file_of(&session, end.partition)?;
                    let runs = spans::runs(&file.conn, statement.period, 0..end.records);
                    let runs = runs.map_err(|error| file.error(error))?;
                    left.extend(runs.into_iter().map(|run| (end.partition, run)));
                }
            }
        }
        drop(session);
        let pool = Arc::clone(&self.pool);
        Ok(Selection { pool, statement, left, window: WINDOW_MESSAGES, ahead: VecDeque::new() })
    }
}

fn file_of<'s>(session: &'s Session<'_>, partition: Partition) -> Result<&'s File, QueryError> {
    session.files.iter().find(|file| file.partition == partition).ok_or_else(|| QueryError::Storage {
        file: format!("partition {partition}"),
        problem: "its file is gone".to_owned(),
    })
}

impl Selection {
    /// The next row, for which the files are looked at in one short session at most: `None` inside where that found
    /// nothing and more may be left. Whoever may be told to stop asks this way.
    pub fn look_on(&mut self) -> Option<Result<Option<SelectedRow>, QueryError>> {
        if self.ahead.is_empty() {
            if self.left.is_empty() {
                return None;
            }
            if let Err(error) = self.read_ahead() {
                return Some(Err(error));
            }
        }
        Some(Ok(self.ahead.pop_front()))
    }

    fn read_ahead(&mut self) -> Result<(), QueryError> {
        let Some((partition, left)) = self.left.front_mut() else { return Ok(()) };
        let session = self.pool.session(Some(*partition))?;
        let file = file_of(&session, *partition)?;
        if self.statement.over == Over::Whole {
            let partition = *partition;
            let mut found = Found::new(partition, WHOLE_ROWS_MAX, usize::MAX);
            run(&file.conn, &self.statement, None, &mut found).map_err(|error| file.error(error))?;
            self.ahead = found.rows;
            self.left.pop_front();
            return Ok(());
        }
        let window = left.start..left.end.min(left.start.saturating_add(self.window));
        let in_groups = self.statement.over == Over::RecordGroups;
        let mut found = match in_groups {
            true => Found::new(*partition, WHOLE_ROWS_MAX, usize::MAX),
            false => Found::new(*partition, AHEAD_ROWS_MAX, AHEAD_BYTES_MAX),
        };
        let outcome = run(&file.conn, &self.statement, Some(&window), &mut found);
        if in_groups && outcome.is_err() {
            found.rows.clear();
        }
        match outcome {
            // Full: the rest of the window is for the next session.
            Ok(()) if found.is_full() && !in_groups => left.start = found.next(window.start),
            Ok(()) => {
                left.start = window.end;
                self.window = WINDOW_MESSAGES;
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                let next = found.next(window.start);
                let small = self.window <= WINDOW_MESSAGES_MIN;
                if next == window.start && small {
                    return Err(QueryError::TooLong);
                }
                left.start = next;
                self.window = (self.window / 2).max(WINDOW_MESSAGES_MIN);
            }
            Err(error) => return Err(file.error(error)),
        }
        if left.is_empty() {
            self.left.pop_front();
        }
        self.ahead = found.rows;
        Ok(())
    }
}

impl Iterator for Selection {
    type Item = Result<SelectedRow, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.look_on()?.transpose() {
                return Some(found);
            }
        }
    }
}

/// What one session found.
struct Found {
    partition: Partition,
    rows: VecDeque<SelectedRow>,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
}

impl Found {
    fn new(partition: Partition, rows_max: usize, bytes_max: usize) -> Self {
        Self { partition, rows: VecDeque::new(), bytes: 0, rows_max, bytes_max }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.rows_max || self.bytes >= self.bytes_max
    }

    fn push(&mut self, values: Vec<SqlValue>) {
        self.bytes += values.iter().map(SqlValue::bytes).sum::<usize>();
        self.rows.push_back(SelectedRow { partition: self.partition, values });
    }

    /// The number after the last row's, by its first column.
    fn next(&self, start: u64) -> u64 {
        let last = self.rows.back().and_then(|row| row.values.first()).and_then(SqlValue::as_integer);
        last.and_then(|seq| u64::try_from(seq).ok()).map_or(start, |seq| (seq + 1).max(start))
    }
}

fn run(
    conn: &Connection,
    statement: &Statement,
    window: Option<&Range<u64>>,
    found: &mut Found,
) -> rusqlite::Result<()> {
    let mut prepared = conn.prepare_cached(&statement.sql)?;
    for (name, value) in &statement.parameters {
        bind(&mut prepared, name, value)?;
    }
    if let Some(window) = window {
        bind(&mut prepared, ":first_seq", &SqlValue::Integer(window.start.cast_signed()))?;
        bind(&mut prepared, ":end_seq", &SqlValue::Integer(window.end.cast_signed()))?;
    }
    let columns = prepared.column_count();
    let mut rows = prepared.raw_query();
    while !found.is_full() {
        let Some(row) = rows.next()? else { break };
        let values = (0..columns).map(|column| Ok(SqlValue::read(row.get_ref(column)?)));
        found.push(values.collect::<rusqlite::Result<_>>()?);
    }
    Ok(())
}

fn bind(prepared: &mut Prepared<'_>, name: &str, value: &SqlValue) -> rusqlite::Result<()> {
    match prepared.parameter_index(name)? {
        Some(index) => prepared.raw_bind_parameter(index, value),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{message, record, store};
    use audit_record::Timestamp;
    use serde_json::json;

    const BY_FLAG: &str = "SELECT seq, id FROM audit_log
        WHERE seq >= :first_seq AND seq < :end_seq AND flag_key = :flag ORDER BY seq";

    fn archived(dir: &std::path::Path, records: u64) -> Reader {
        let messages: Vec<_> = (0..records)
            .map(|n| {
                let at = Timestamp::from_micros(i64::try_from(n).unwrap() * 1_000_000).unwrap();
                let flag = if n % 2 == 0 { "even" } else { "odd" };
                let over = json!({"flag": {"key": flag}, "occurred_at": at.to_string()});
                message(n, &record(&format!("r{n}"), over))
            })
            .collect();
        store(dir).append(&messages, 0, records).expect("appended");
        Reader::open(dir)
    }

    fn odd(period: Period) -> Statement {
        let parameters = vec![(":flag", SqlValue::Text("odd".to_owned())), (":unused", SqlValue::Null)];
        Statement { sql: BY_FLAG.to_owned(), over: Over::Records, period, parameters }
    }

    fn ids(selection: Selection) -> Vec<String> {
        selection.map(|row| row.unwrap().values[1].as_text().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_row_up_to_the_frontier_comes_once_over_several_sessions() {
        let dir = tempfile::tempdir().unwrap();
        let reader = archived(dir.path(), 5_000);
        let frontier = reader.frontier().unwrap();
        let expected: Vec<String> = (0..5_000).filter(|n| n % 2 == 1).map(|n| format!("r{n}")).collect();
        assert_eq!(ids(reader.select(odd(Period::default()), &frontier).unwrap()), expected);
        let before = Frontier { partitions: vec![FrontierEnd { records: 100, ..frontier.partitions[0] }] };
        assert_eq!(ids(reader.select(odd(Period::default()), &before).unwrap()), expected[..50]);
    }

    #[test]
    fn what_lies_outside_the_period_is_not_even_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let reader = archived(dir.path(), 5_000);
        let frontier = reader.frontier().unwrap();
        let from = Some(Timestamp::from_micros(4_500 * 1_000_000).unwrap());
        let found = ids(reader.select(odd(Period { from, to: None }), &frontier).unwrap());
        assert_eq!((found[0].as_str(), found.len()), ("r4097", 452), "the block of 1,024 that it begins in");
    }

    #[test]
    fn groups_are_counted_piece_by_piece_and_every_message_once() {
        let dir = tempfile::tempdir().unwrap();
        let reader = archived(dir.path(), 5_000);
        let frontier = reader.frontier().unwrap();
        let statement = Statement {
            sql: "SELECT flag_key, count(*) FROM audit_log WHERE seq >= :first_seq AND seq < :end_seq GROUP BY 1"
                .to_owned(),
            over: Over::RecordGroups,
            period: Period::default(),
            parameters: Vec::new(),
        };
        let mut selection = reader.select(statement, &frontier).unwrap();
        selection.window = 1_000;
        let rows: Vec<_> = selection.map(|row| row.unwrap().values[1].as_integer().unwrap()).collect();
        assert_eq!(rows.iter().sum::<i64>(), 5_000);
        assert!(rows.len() >= 2, "at least one piece with both groups");
    }

    #[test]
    fn a_small_table_is_read_whole_and_nothing_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let reader = archived(dir.path(), 3);
        let frontier = reader.frontier().unwrap();
        let run = |sql: &str| {
            let statement = Statement {
                sql: sql.to_owned(),
                over: Over::Whole,
                period: Period::default(),
                parameters: Vec::new(),
            };
            reader.select(statement, &frontier).unwrap().next().unwrap()
        };
        let row = run("SELECT partition, 0.5, x'01', NULL FROM archive").unwrap();
        let expected =
            vec![SqlValue::Integer(0), SqlValue::Real(0.5), SqlValue::Blob(vec![1]), SqlValue::Null];
        assert_eq!((row.partition, row.values), (0, expected));
        assert!(matches!(run("DELETE FROM record RETURNING seq"), Err(QueryError::Storage { .. })));
    }
}
