//! Parquet files of records: one row a message, typed columns, row groups that a reader of little memory reads.
//!
//! The `parquet` crate is used below its Arrow layer: records go from their bytes straight into columns. Every column
//! is compressed with zstd; text is dictionary encoded as long as that pays; pages carry statistics, and the columns that
//! people ask for exact values of have bloom filters. Rows stand in order of (partition, seq), and the file says so.

mod group;
mod read;
mod schema;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;

use self::group::RowGroup;
pub use self::read::{ParquetCell, read_parquet};
use super::columns::Row;
use super::record::{FileSummary, LogMessage, Messages, Place};
use super::view::RecordView;

/// A row group is written once its values take this many bytes, before encoding (the last row may top it). A reader
/// holds one row group of the columns it reads; the writer holds one, once.
pub const ROW_GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most rows of a row group, however small they are.
pub const ROW_GROUP_ROWS_MAX: usize = 64 * 1024;

/// Why a Parquet file is not written.
#[derive(Debug, thiserror::Error)]
pub enum ParquetWriteError {
    /// A file of [`Messages::Records`] was given something else.
    #[error("partition {}, number {}, is no record: {problem}", .place.partition, .place.seq)]
    NoRecord {
        /// Where it stands on the log.
        place: Place,
        /// What is wrong with it.
        problem: String,
    },
    /// The sink does not take it.
    #[error("the Parquet file can't be written: {0}")]
    Write(#[from] io::Error),
}

impl From<ParquetError> for ParquetWriteError {
    fn from(error: ParquetError) -> Self {
        Self::Write(match error {
            ParquetError::External(cause) => match cause.downcast::<io::Error>() {
                Ok(error) => *error,
                Err(cause) => io::Error::other(cause),
            },
            other => io::Error::other(other),
        })
    }
}

/// Writes one Parquet file into a sink, row group by row group.
///
/// Nothing is durable, nor a file, before [`ParquetWriter::finish`] has returned and the sink is synced: a file that was
/// cut short has no footer, and no reader takes it for a whole one.
pub struct ParquetWriter<W: Write + Send> {
    file: SerializedFileWriter<Sink<W>>,
    messages: Messages,
    group: RowGroup,
    summary: FileSummary,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins a file. `metadata` goes into its footer, beside the version of the columns.
    pub fn try_new(
        sink: W,
        messages: Messages,
        metadata: &[(&str, &str)],
    ) -> Result<Self, ParquetWriteError> {
        let schema = schema::schema(messages)?;
        let properties = schema::properties(messages, metadata)?;
        let file = SerializedFileWriter::new(Sink(Some(sink)), schema, Arc::new(properties))?;
        Ok(Self { file, messages, group: RowGroup::new(messages), summary: FileSummary::default() })
    }

    /// Appends a message as the next row.
    pub fn append(&mut self, message: &LogMessage<'_>) -> Result<(), ParquetWriteError> {
        let place = Place { partition: message.partition, seq: message.seq };
        let read = read(message.value);
        let (json, record) = match (read, self.messages) {
            (Ok((json, record)), _) => (Some(json), Some(record)),
            (Err(_), Messages::All) => (None, None),
            (Err(problem), Messages::Records) => {
                return Err(ParquetWriteError::NoRecord { place, problem });
            }
        };
        self.summary.count(place, record.as_ref().map(|record| record.occurred_at.0));
        self.group.push(&Row { message, json, record });
        if self.group.is_full() {
            self.group.write(&mut self.file)?;
        }
        Ok(())
    }

    /// Bytes that the sink was given so far; what the row group in hand will take is not among them.
    pub fn bytes_written(&self) -> u64 {
        self.file.bytes_written() as u64
    }

    /// Writes what is in hand and the footer, and gives the sink back.
    pub fn finish(mut self) -> Result<(W, FileSummary), ParquetWriteError> {
        if !self.group.is_empty() {
            self.group.write(&mut self.file)?;
        }
        // Not `into_inner`: it would write the footer once more, and tell an error of the sink as text.
        self.file.finish()?;
        let summary = FileSummary { bytes: self.file.bytes_written() as u64, ..self.summary };
        let sink = self.file.inner_mut().0.take().ok_or_else(finished)?;
        Ok((sink, summary))
    }
}

/// A sink that can be taken back from the file's writer.
struct Sink<W>(Option<W>);

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.as_mut().ok_or_else(finished)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Write::flush)
    }
}

fn finished() -> io::Error {
    io::Error::other("the file is finished")
}

impl<W: Write + Send> std::fmt::Debug for ParquetWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { messages, summary, .. } = self;
        f.debug_struct("ParquetWriter")
            .field("messages", messages)
            .field("summary", summary)
            .finish_non_exhaustive()
    }
}

fn read(value: Option<&[u8]>) -> Result<(&str, RecordView<'_>), String> {
    let value = value.ok_or("the message has no value")?;
    let json = std::str::from_utf8(value).map_err(|error| error.to_string())?;
    let record = serde_json::from_str(json).map_err(|error| error.to_string())?;
    Ok((json, record))
}
