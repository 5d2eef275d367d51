//! The payload: files of bounded size, one module a format, each hashed as it is written.
//!
//! A file is begun, appended to and closed. Only what is closed survives an interruption: an open one is begun again, over
//! itself. Nothing here decides which records there are, or remembers how far it got: that is `run`.

mod columns;
mod csv;
mod format;
mod hashed;
mod lines;
mod parquet;
mod record;
mod schema;
mod sqlite;
mod view;

use std::path::{Path, PathBuf};

use audit_archive::Row;
use audit_digest::Sha256;
use audit_record::Timestamp;

pub use self::format::{Compression, Format, UnfitCompression};
use self::hashed::HashedFile;
use self::lines::{Line, Lines};
pub use self::parquet::{
    ParquetCell, ParquetWriteError, ParquetWriter, ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX, read_parquet,
};
pub use self::record::{FileSummary, LeafParts, LogMessage, Messages, Place};
pub use self::schema::SchemaDocument;
use self::sqlite::SqliteFile;
use crate::durable::sync_folder;
use crate::error::ExportError;
use crate::manifest::FileEntry;

/// A payload file is closed once it has this many bytes. What is closed survives an interruption.
pub(crate) const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The payload file that is being written.
pub(crate) struct PayloadFile {
    path: String,
    place: PathBuf,
    format: Format,
    compression: Compression,
    writer: Writer,
    summary: FileSummary,
}

enum Writer {
    Lines(Box<Lines>),
    Parquet(Box<ParquetWriter<HashedFile>>),
    Sqlite(Box<SqliteFile>),
}

impl PayloadFile {
    /// Begins file `number` under `root`, over what an interrupted run may have left there.
    pub(crate) fn create(
        root: &Path,
        number: usize,
        format: Format,
        compression: Compression,
    ) -> Result<Self, ExportError> {
        format.fits(compression)?;
        let path = format!("data/records-{number:05}.{}", format.file_end(compression));
        let place = root.join(&path);
        let writer = match format {
            Format::Ndjson => Writer::Lines(Box::new(Lines::create(&place, Line::Record, compression)?)),
            Format::Csv => Writer::Lines(Box::new(Lines::create(&place, Line::Cells, compression)?)),
            Format::Ocsf => Writer::Lines(Box::new(Lines::create(&place, Line::Event, compression)?)),
            Format::Sqlite => Writer::Sqlite(Box::new(SqliteFile::create(&place)?)),
            Format::Parquet => {
                let file = HashedFile::create(&place)?;
                Writer::Parquet(Box::new(ParquetWriter::try_new(file, Messages::Records, &[])?))
            }
        };
        Ok(Self { path, place, format, compression, writer, summary: FileSummary::default() })
    }

    /// Appends a record.
    pub(crate) fn append(&mut self, row: &Row) -> Result<(), ExportError> {
        match &mut self.writer {
            Writer::Lines(lines) => lines.append(row)?,
            Writer::Sqlite(sqlite) => sqlite.append(row)?,
            Writer::Parquet(parquet) => parquet.append(&LogMessage {
                partition: row.partition,
                seq: row.seq,
                offset: row.offset,
                appended_at_ms: row.appended_at_ms,
                value: Some(row.json.as_bytes()),
                leaf: None,
            })?,
        }
        let place = Place { partition: row.partition, seq: row.seq };
        self.summary.count(place, Timestamp::from_micros(row.occurred_at_us).ok());
        Ok(())
    }

    /// Whether the file is to be closed.
    pub(crate) fn is_full(&self) -> bool {
        let bytes = match &self.writer {
            Writer::Lines(lines) => lines.bytes(),
            Writer::Parquet(parquet) => parquet.bytes_written(),
            // One file is what people want of it.
            Writer::Sqlite(_) => 0,
        };
        bytes >= FILE_BYTES
    }

    /// Makes the file durable and says what it is.
    pub(crate) fn close(self) -> Result<FileEntry, ExportError> {
        let (sha256, bytes) = match self.writer {
            Writer::Lines(lines) => lines.close()?,
            Writer::Parquet(parquet) => parquet.finish()?.0.close()?,
            Writer::Sqlite(sqlite) => sqlite.close()?,
        };
        sync_folder(&self.place)?;
        let occurred = self.summary.occurred.map(|(first, last)| (first.to_string(), last.to_string()));
        let (occurred_min, occurred_max) = occurred.unzip();
        let (first, last) = self.summary.places.unzip();
        Ok(FileEntry {
            path: self.path,
            bytes,
            sha256,
            records: self.summary.rows,
            schema_sha256: hex::encode(Sha256::digest(self.format.schema().text)),
            media_type: self.format.media_type().to_owned(),
            content_encoding: (!self.compression.is_none()).then_some(self.compression),
            occurred_min,
            occurred_max,
            first,
            last,
        })
    }
}

/// Where an unfinished export lies: beside its destination.
pub(crate) fn unfinished(destination: &Path) -> PathBuf {
    let mut name = destination.file_name().unwrap_or_default().to_os_string();
    name.push(".unfinished");
    destination.with_file_name(name)
}

impl From<ParquetWriteError> for ExportError {
    fn from(error: ParquetWriteError) -> Self {
        match error {
            ParquetWriteError::NoRecord { place, .. } => {
                Self::Corrupt { partition: place.partition, seq: place.seq }
            }
            ParquetWriteError::Write(error) => Self::Write(error),
        }
    }
}
