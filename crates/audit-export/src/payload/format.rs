//! In which formats records are exported, and what a file of each is called.

use serde::{Deserialize, Serialize};

/// The format of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One canonical record a line, byte for byte what stands on the log.
    Ndjson,
    /// One row a record.
    Csv,
    /// One row a record, in typed columns.
    Parquet,
    /// One row a record, in one SQLite file with indexes.
    Sqlite,
    /// One OCSF event a line, for a SIEM or a security data lake.
    Ocsf,
}

/// How files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not, beyond what the format itself does.
    #[default]
    None,
    /// Each file as a zstd frame (RFC 8878) with a checksum.
    Zstd,
}

impl Compression {
    /// Whether files are as the format makes them.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// A compression that a format does not go with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} files are not compressed as a whole, because they are read from the middle: leave out the compression", .0.as_str())]
pub struct UnfitCompression(pub Format);

impl Format {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Sqlite => "sqlite",
            Self::Ocsf => "ocsf",
        }
    }

    /// Whether files of this format are made with that compression: those of lines are. Parquet is compressed within, column
    /// by column.
    pub fn fits(self, compression: Compression) -> Result<(), UnfitCompression> {
        match (self, compression) {
            (_, Compression::None) | (Self::Ndjson | Self::Csv | Self::Ocsf, Compression::Zstd) => Ok(()),
            (Self::Parquet | Self::Sqlite, Compression::Zstd) => Err(UnfitCompression(self)),
        }
    }

    /// The media type of what is in a file, without compression.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            // Not registered, but what everybody says.
            Self::Ndjson | Self::Ocsf => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Sqlite => "application/vnd.sqlite3",
        }
    }

    /// What a file's name ends with.
    pub(crate) fn file_end(self, compression: Compression) -> &'static str {
        match (self, compression) {
            (Self::Ndjson, Compression::None) => "ndjson",
            (Self::Ndjson, Compression::Zstd) => "ndjson.zst",
            (Self::Csv, Compression::None) => "csv",
            (Self::Csv, Compression::Zstd) => "csv.zst",
            (Self::Ocsf, Compression::None) => "ocsf.ndjson",
            (Self::Ocsf, Compression::Zstd) => "ocsf.ndjson.zst",
            (Self::Parquet, _) => "parquet",
            (Self::Sqlite, _) => "sqlite",
        }
    }
}
