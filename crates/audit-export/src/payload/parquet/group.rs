//! The row group in hand: its values, column by column, until it is written.

use std::io::Write;

use bytes::Bytes;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::Result;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};

use super::schema::is_required;
use super::{ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX};
use crate::payload::columns::{Column, Content, Row, columns};
use crate::payload::record::Messages;

/// Levels of an optional column that is no list: absent, present.
const ABSENT: i16 = 0;
const PRESENT: i16 = 1;

/// Rows that wait for their group to be full.
pub(super) struct RowGroup {
    columns: Vec<Buffer>,
    rows: usize,
    bytes: usize,
}

/// The values of one column.
struct Buffer {
    column: &'static Column,
    /// Whether each row has a value; empty where every row has one.
    levels: Vec<i16>,
    is_required: bool,
    values: Values,
}

enum Values {
    /// One after the other, and where each ends.
    Bytes {
        all: Vec<u8>,
        ends: Vec<usize>,
    },
    Numbers(Vec<i64>),
}

impl RowGroup {
    pub(super) fn new(messages: Messages) -> Self {
        let buffer = |column: &'static Column| Buffer {
            column,
            levels: Vec::new(),
            is_required: is_required(column, messages),
            values: match column.content {
                Content::Text(_) | Content::Json(_) | Content::Bytes(_) => {
                    Values::Bytes { all: Vec::new(), ends: Vec::new() }
                }
                Content::Moment(_) | Content::Number(_) => Values::Numbers(Vec::new()),
            },
        };
        Self { columns: columns(messages).map(buffer).collect(), rows: 0, bytes: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows >= ROW_GROUP_ROWS_MAX || self.bytes >= ROW_GROUP_BYTES_MAX
    }

    /// What the values take in memory.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        let held = |column: &Buffer| {
            let values = match &column.values {
                Values::Bytes { all, ends } => all.capacity() + ends.capacity() * size_of::<usize>(),
                Values::Numbers(values) => values.capacity() * size_of::<i64>(),
            };
            values + column.levels.capacity() * size_of::<i16>()
        };
        self.columns.iter().map(held).sum()
    }

    pub(super) fn push(&mut self, row: &Row<'_>) {
        self.rows += 1;
        self.bytes += self.columns.iter_mut().map(|column| column.push(row)).sum::<usize>();
    }

    /// Writes the rows as one row group, and holds none any more.
    pub(super) fn write<W: Write + Send>(&mut self, file: &mut SerializedFileWriter<W>) -> Result<()> {
        let mut group = file.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else { break };
            column.write(&mut writer)?;
            writer.close()?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl Buffer {
    /// Takes the row's value; answers with the bytes that it takes here.
    fn push(&mut self, row: &Row<'_>) -> usize {
        let (is_present, bytes) = match (&self.column.content, &mut self.values) {
            (Content::Text(cell) | Content::Json(cell), Values::Bytes { all, ends }) => {
                push_bytes(cell(row).map(str::as_bytes), all, ends)
            }
            (Content::Bytes(cell), Values::Bytes { all, ends }) => push_bytes(cell(row), all, ends),
            (Content::Moment(cell) | Content::Number(cell), Values::Numbers(values)) => match cell(row) {
                Some(value) => {
                    values.push(value);
                    (true, size_of::<i64>())
                }
                None => (false, 0),
            },
            // `new` pairs them.
            _ => (false, 0),
        };
        if self.is_required {
            return bytes;
        }
        self.levels.push(if is_present { PRESENT } else { ABSENT });
        bytes + size_of::<i16>()
    }

    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let levels = (!self.is_required).then_some(self.levels.as_slice());
        match &mut self.values {
            Values::Bytes { all, ends } => {
                // Not cleared but handed over: the values are slices of it.
                let all = Bytes::from(std::mem::take(all));
                let starts = std::iter::once(0).chain(ends.iter().copied());
                let values: Vec<ByteArray> =
                    starts.zip(ends.iter()).map(|(start, end)| all.slice(start..*end).into()).collect();
                writer.typed::<ByteArrayType>().write_batch(&values, levels, None)?;
                ends.clear();
            }
            Values::Numbers(values) => {
                writer.typed::<Int64Type>().write_batch(values, levels, None)?;
                values.clear();
            }
        }
        self.levels.clear();
        Ok(())
    }
}

fn push_bytes(value: Option<&[u8]>, all: &mut Vec<u8>, ends: &mut Vec<usize>) -> (bool, usize) {
    let Some(value) = value else { return (false, 0) };
    all.extend_from_slice(value);
    ends.push(all.len());
    (true, value.len() + size_of::<ByteArray>())
}
