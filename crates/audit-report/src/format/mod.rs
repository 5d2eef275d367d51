//! A report as a file.

mod csv;
mod html;
mod xlsx;

use std::fmt;
use std::str::FromStr;

use crate::report::Report;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The whole document.
    Json,
    /// The rows alone, with their header: RFC 4180, guarded against formulas.
    Csv,
    /// A workbook: rows, definition, coverage.
    Xlsx,
    /// One file to read and to print.
    Html,
}

/// The name of no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be json, csv, xlsx or html")]
pub struct FormatError;

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Json, Self::Csv, Self::Xlsx, Self::Html];

    /// Its name, which is also the ending of its files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
            Self::Html => "html",
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = FormatError;
    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or(FormatError)
    }
}

/// Why a report can't be written in a format.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The library for workbooks refused.
    #[error("the workbook can't be written: {0}")]
    Xlsx(#[from] rust_xlsxwriter::XlsxError),
    /// The document can't be serialised.
    #[error("the report can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The report in that format, whole: rows are bounded, and so is this.
pub fn write(report: &Report, format: Format) -> Result<Vec<u8>, WriteError> {
    match format {
        Format::Json => Ok(serde_json::to_vec(report)?),
        Format::Csv => Ok(csv::write(report)),
        Format::Xlsx => xlsx::write(report),
        Format::Html => Ok(html::write(report).into_bytes()),
    }
}
