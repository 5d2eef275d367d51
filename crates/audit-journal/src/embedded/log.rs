//! Messages as rows: where they go, how they are written and read. One connection at a time; nothing
//! here begins or ends a transaction.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::header::HeaderName;
use crate::identity::identity_key;
use crate::message::{Message, NewMessage, Placement};
use crate::partitioner::partition_of;
use crate::position::{Bounds, Offset, Partition, Position};
use crate::read::{Range, ReadError, ReadLimit};
use crate::topic::Topic;

/// The largest message taken: what the topics on Kafka take.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One partition of one topic, and the statements of its table.
///
/// A table for each partition grows at its end only, so its pages are filled and never split, and a range
/// of a partition is a run of pages. Rows of 1.1 kB in transactions of 64, fsynced, on 2 cores: 34,000/s;
/// one table keyed (topic, partition, offset) WITHOUT ROWID 24,000/s and three times the size, with the
/// three packed into one integer key or as a unique index 15,000/s.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) topic: Topic,
    pub(crate) partition: Partition,
    insert: String,
    read: String,
    one: String,
    remove: String,
    remove_below: String,
    first_since: String,
}

impl Table {
    fn new(topic: Topic, partition: Partition) -> Self {
        let name = format!("{}_{partition}", topic.suffix());
        let columns = "offset, appended_at_ms, key, headers, value";
        Self {
            topic,
            partition,
            insert: format!("INSERT INTO {name} ({columns}) VALUES (?, ?, ?, ?, ?)"),
            read: format!("SELECT {columns} FROM {name} WHERE offset >= ? ORDER BY offset"),
            one: format!("SELECT {columns} FROM {name} WHERE offset = ?"),
            remove: format!("DELETE FROM {name} WHERE offset = ?"),
            remove_below: format!("DELETE FROM {name} WHERE offset < ?"),
            first_since: format!(
                "SELECT offset, appended_at_ms FROM {name} WHERE offset >= ? ORDER BY offset LIMIT 1"
            ),
        }
    }

    /// Makes the table and its line in `partitions`.
    fn create(&self, connection: &Connection) -> rusqlite::Result<()> {
        let name = format!("{}_{}", self.topic.suffix(), self.partition);
        connection.execute_batch(&format!(
            "CREATE TABLE {name} (
               offset INTEGER PRIMARY KEY,
               appended_at_ms INTEGER NOT NULL,
               key BLOB NOT NULL,
               headers BLOB NOT NULL,
               value BLOB
             ) STRICT"
        ))?;
        connection.execute(
            "INSERT INTO partitions VALUES (?, ?, 0, 0, 0)",
            params![self.topic.suffix(), self.partition],
        )?;
        Ok(())
    }

    /// Writes one message at `offset`.
    pub(crate) fn insert(
        &self,
        connection: &Connection,
        offset: Offset,
        appended_at_ms: i64,
        message: &NewMessage,
    ) -> rusqlite::Result<()> {
        connection.prepare_cached(&self.insert)?.execute(params![
            as_sql(offset),
            appended_at_ms,
            message.key.as_ref(),
            encode_headers(&message.headers),
            message.value.as_deref(),
        ])?;
        Ok(())
    }

    /// Takes one message away (the compacted topic).
    pub(crate) fn remove(&self, connection: &Connection, offset: Offset) -> rusqlite::Result<()> {
        connection.prepare_cached(&self.remove)?.execute([as_sql(offset)])?;
        Ok(())
    }

    /// Takes away every message before `offset` (retention).
    pub(crate) fn remove_below(&self, connection: &Connection, offset: Offset) -> rusqlite::Result<()> {
        connection.prepare_cached(&self.remove_below)?.execute([as_sql(offset)])?;
        Ok(())
    }

    /// The message at `offset`.
    pub(crate) fn one(&self, connection: &Connection, offset: Offset) -> rusqlite::Result<Option<Message>> {
        let mut statement = connection.prepare_cached(&self.one)?;
        statement.query_row([as_sql(offset)], |row| self.message(row)).optional()
    }

    /// What the partition holds now.
    pub(crate) fn bounds(&self, connection: &Connection) -> rusqlite::Result<Bounds> {
        connection
            .prepare_cached(
                "SELECT first_offset, next_offset FROM partitions WHERE topic = ? AND partition = ?",
            )?
            .query_row(params![self.topic.suffix(), self.partition], |row| {
                let (start, end): (i64, i64) = (row.get(0)?, row.get(1)?);
                Ok(Bounds { partition: self.partition, start: from_sql(start), end: from_sql(end) })
            })
    }

    /// Reads from `from` on, in a state of the file that does not change meanwhile.
    pub(crate) fn read(
        &self,
        connection: &Connection,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Range, ReadError> {
        let broken = |e: rusqlite::Error| ReadError::Unavailable(e.to_string());
        let snapshot = connection.unchecked_transaction().map_err(broken)?;
        let Bounds { start, end, .. } = self.bounds(&snapshot).map_err(broken)?;
        if from < start || from > end {
            return Err(ReadError::OutOfRange { from, start, end });
        }
        let mut range = Range { messages: Vec::new(), next: end, end };
        let mut statement = snapshot.prepare_cached(&self.read).map_err(broken)?;
        let mut rows = statement.query([as_sql(from)]).map_err(broken)?;
        let mut bytes = 0;
        while let Some(row) = rows.next().map_err(broken)? {
            let message = self.message(row).map_err(broken)?;
            bytes += message.bytes();
            let is_full = range.messages.len() >= limit.messages || bytes > limit.bytes;
            if is_full && !range.messages.is_empty() {
                range.next = range.messages.last().map_or(from, |last| last.offset + 1);
                break;
            }
            range.messages.push(message);
        }
        Ok(range)
    }

    /// The first offset whose message was appended at or after `at_ms`; the end where there is none.
    /// Append times never fall, so this is a binary search. To be called inside a transaction.
    pub(crate) fn first_since(&self, connection: &Connection, at_ms: i64) -> rusqlite::Result<Offset> {
        let Bounds { start, end, .. } = self.bounds(connection)?;
        let (mut low, mut high) = (start, end);
        let mut statement = connection.prepare_cached(&self.first_since)?;
        while low < high {
            let middle = low + (high - low) / 2;
            let found: Option<(i64, i64)> =
                statement.query_row([as_sql(middle)], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            match found {
                Some((offset, appended_at_ms)) if appended_at_ms < at_ms => low = from_sql(offset) + 1,
                // Nothing stands between `middle` and this message, or at all: look before `middle`.
                _ => high = middle,
            }
        }
        Ok(low)
    }

    fn message(&self, row: &Row<'_>) -> rusqlite::Result<Message> {
        let offset: i64 = row.get(0)?;
        let headers = row.get_ref(3)?.as_blob()?;
        Ok(Message {
            partition: self.partition,
            offset: from_sql(offset),
            appended_at_ms: row.get(1)?,
            key: Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?),
            headers: decode_headers(headers).ok_or_else(|| {
                let reason = "the headers of a message are cut short".into();
                rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Blob, reason)
            })?,
            value: row.get_ref(4)?.as_blob_or_null()?.map(Bytes::copy_from_slice),
        })
    }
}

/// Every table of a log of N partitions.
#[derive(Debug)]
pub(crate) struct Tables {
    partitions: u32,
    tables: Vec<Table>,
    /// Where the tables of each topic begin, in the order of [`Topic::ALL`].
    begins: [usize; Topic::ALL.len()],
}

impl Tables {
    pub(crate) fn new(partitions: u32) -> Self {
        let mut tables = Vec::new();
        let begins = Topic::ALL.map(|topic| {
            let begin = tables.len();
            let count = if topic.is_single_partition() { 1 } else { partitions };
            tables.extend((0..count).map(|partition| Table::new(topic, partition)));
            begin
        });
        Self { partitions, tables, begins }
    }

    /// Makes them all, and a view of all messages for people with `sqlite3`.
    pub(crate) fn create(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.tables.iter().try_for_each(|table| table.create(connection))?;
        let selects: Vec<String> = (self.tables.iter())
            .map(|Table { topic, partition, .. }| {
                let topic = topic.suffix();
                format!(
                    "SELECT '{topic}' AS topic, {partition} AS partition, offset, appended_at_ms,
                     CAST(key AS TEXT) AS key, CAST(value AS TEXT) AS value FROM {topic}_{partition}"
                )
            })
            .collect();
        connection.execute_batch(&format!("CREATE VIEW messages AS {}", selects.join(" UNION ALL ")))
    }

    /// The tables of a topic, by partition.
    pub(crate) fn of(&self, topic: Topic) -> &[Table] {
        let begin = self.begin(topic);
        let count = if topic.is_single_partition() { 1 } else { self.partitions as usize };
        &self.tables[begin..begin + count]
    }

    /// One table; `None` where the topic has no such partition.
    pub(crate) fn get(&self, topic: Topic, partition: Partition) -> Option<&Table> {
        self.of(topic).get(partition as usize)
    }

    /// The index of a partition among all, for arrays beside the tables.
    pub(crate) fn index(&self, topic: Topic, partition: Partition) -> usize {
        self.begin(topic) + partition as usize
    }

    /// The messages of `control` that concern the log's identity.
    pub(crate) fn identity_messages(&self, connection: &Connection) -> rusqlite::Result<Vec<Message>> {
        let table = &self.of(Topic::Control)[0];
        let mut statement = connection.prepare(
            "SELECT offset, appended_at_ms, key, headers, value FROM control_0 WHERE key = ? ORDER BY offset",
        )?;
        statement.query_map([identity_key().as_bytes()], |row| table.message(row))?.collect()
    }

    pub(crate) fn all(&self) -> &[Table] {
        &self.tables
    }

    /// Which partition a new message goes to, or why it can't be taken.
    pub(crate) fn place(&self, topic: Topic, message: &NewMessage) -> Result<Partition, String> {
        let bytes = message.bytes();
        if bytes > MESSAGE_BYTES_MAX {
            return Err(format!("the message has {bytes} bytes; at most {MESSAGE_BYTES_MAX} are taken"));
        }
        match message.placement {
            _ if topic.is_single_partition() => Ok(0),
            Placement::ByKey => Ok(partition_of(&message.key, self.partitions)),
            Placement::Fixed(partition) if partition < self.partitions => Ok(partition),
            Placement::Fixed(partition) => {
                Err(format!("there is no partition {partition}: the log has {}", self.partitions))
            }
        }
    }

    fn begin(&self, topic: Topic) -> usize {
        let index = Topic::ALL.iter().position(|other| *other == topic);
        self.begins[index.expect("Topic::ALL has every topic")]
    }
}

/// Where every partition stands, in the order of [`Tables::all`]: first offset kept, next offset, time of
/// the last append.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PartitionState {
    pub(crate) first: Offset,
    pub(crate) next: Offset,
    pub(crate) last_appended_at_ms: i64,
}

impl PartitionState {
    pub(crate) fn load(connection: &Connection, table: &Table) -> rusqlite::Result<Self> {
        connection.query_row(
            "SELECT first_offset, next_offset, last_appended_at_ms FROM partitions
             WHERE topic = ? AND partition = ?",
            params![table.topic.suffix(), table.partition],
            |row| {
                let (first, next): (i64, i64) = (row.get(0)?, row.get(1)?);
                let last_appended_at_ms = row.get(2)?;
                Ok(Self { first: from_sql(first), next: from_sql(next), last_appended_at_ms })
            },
        )
    }

    pub(crate) fn store(&self, connection: &Connection, table: &Table) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "UPDATE partitions SET first_offset = ?, next_offset = ?, last_appended_at_ms = ?
                 WHERE topic = ? AND partition = ?",
            )?
            .execute(params![
                as_sql(self.first),
                as_sql(self.next),
                self.last_appended_at_ms,
                table.topic.suffix(),
                table.partition
            ])?;
        Ok(())
    }
}

/// Where a message went.
pub(crate) fn position(table: &Table, offset: Offset) -> Position {
    Position { partition: table.partition, offset }
}

/// Headers in a blob: for each name and value, its length (u32, big endian) and its bytes.
fn encode_headers(headers: &[(HeaderName, Bytes)]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(headers.iter().map(|(n, v)| 8 + n.len() + v.len()).sum());
    let mut part = |bytes: &[u8]| {
        // Messages are at most MESSAGE_BYTES_MAX long, so a part's length fits.
        blob.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        blob.extend_from_slice(bytes);
    };
    for (name, value) in headers {
        part(name.as_bytes());
        part(value);
    }
    blob
}

fn decode_headers(mut blob: &[u8]) -> Option<Vec<(HeaderName, Bytes)>> {
    let mut headers = Vec::new();
    while !blob.is_empty() {
        let name = HeaderName::read(str::from_utf8(take_part(&mut blob)?).ok()?);
        headers.push((name, Bytes::copy_from_slice(take_part(&mut blob)?)));
    }
    Some(headers)
}

fn take_part<'a>(blob: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *blob = rest;
    Some(part)
}

/// Offsets stay far below 2^63: at a million messages a second that takes 290,000 years.
fn as_sql(offset: Offset) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

fn from_sql(offset: i64) -> Offset {
    u64::try_from(offset).unwrap_or(0)
}
