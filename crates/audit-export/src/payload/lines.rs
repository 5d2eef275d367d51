//! Files of lines, one a record: NDJSON, CSV and OCSF events, plain or compressed.

use std::io::{self, Write};
use std::path::Path;

use audit_archive::Row;
use audit_dialect::outbound::ocsf::{LogPlace, ocsf_event};
use audit_record::AuditRecord;

use super::csv;
use super::format::Compression;
use super::hashed::HashedFile;
use crate::error::ExportError;

/// How hard zstd tries. 3 is its own default: beyond it, time grows faster than size shrinks.
const ZSTD_LEVEL: i32 = 3;

/// What a line is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Line {
    /// The record's bytes.
    Record,
    /// The cells of a row.
    Cells,
    /// The event that the record is in OCSF.
    Event,
}

/// The file.
pub(super) struct Lines {
    line: Line,
    out: Out,
    /// A line in the making.
    scratch: Vec<u8>,
}

enum Out {
    Plain(HashedFile),
    Zstd(zstd::stream::write::Encoder<'static, HashedFile>),
}

impl Lines {
    pub(super) fn create(place: &Path, line: Line, compression: Compression) -> io::Result<Self> {
        let file = HashedFile::create(place)?;
        let out = match compression {
            Compression::None => Out::Plain(file),
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(file, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Out::Zstd(encoder)
            }
        };
        let mut lines = Self { line, out, scratch: Vec::new() };
        if let Line::Cells = line {
            csv::header(&mut lines.scratch);
            lines.write_scratch()?;
        }
        Ok(lines)
    }

    pub(super) fn append(&mut self, row: &Row) -> Result<(), ExportError> {
        match self.line {
            Line::Record => {
                self.scratch.extend_from_slice(row.json.as_bytes());
                self.scratch.push(b'\n');
            }
            Line::Event => {
                let place = LogPlace { partition: row.partition, seq: row.seq };
                let event = ocsf_event(&record(row)?, &row.json, Some(place));
                serde_json::to_writer(&mut self.scratch, &event).map_err(io::Error::from)?;
                self.scratch.push(b'\n');
            }
            Line::Cells => csv::row(&record(row)?, row.partition, row.seq, &mut self.scratch),
        }
        Ok(self.write_scratch()?)
    }

    /// Bytes of the file so far; a little less than it will be.
    pub(super) fn bytes(&self) -> u64 {
        match &self.out {
            Out::Plain(file) => file.bytes(),
            Out::Zstd(encoder) => encoder.get_ref().bytes(),
        }
    }

    /// Makes the file durable, and answers with its SHA-256 and its size.
    pub(super) fn close(self) -> io::Result<(String, u64)> {
        match self.out {
            Out::Plain(file) => file.close(),
            Out::Zstd(encoder) => encoder.finish()?.close(),
        }
    }

    fn write_scratch(&mut self) -> io::Result<()> {
        match &mut self.out {
            Out::Plain(file) => file.write_all(&self.scratch)?,
            Out::Zstd(encoder) => encoder.write_all(&self.scratch)?,
        }
        self.scratch.clear();
        Ok(())
    }
}

fn record(row: &Row) -> Result<AuditRecord, ExportError> {
    AuditRecord::from_json(row.json.as_bytes())
        .map_err(|_| ExportError::Corrupt { partition: row.partition, seq: row.seq })
}
