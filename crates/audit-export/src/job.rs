//! What an export is asked for.

use std::path::PathBuf;

use audit_record::{Filter, Period};
use serde::{Deserialize, Serialize};

use crate::manifest::QueryText;

/// The format of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One canonical record a line, byte for byte what stands on the log.
    Ndjson,
    /// One row a record.
    Csv,
}

impl Format {
    /// The word for it, which is also its file name's end.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }
}

/// An export to be made. The same job asked again goes on where it was interrupted.
#[derive(Clone, Debug)]
pub struct ExportJob {
    /// Its id: also the idempotency key of the records that tell of it.
    pub id: String,
    /// Which records.
    pub filter: Filter,
    /// Which period of event time.
    pub period: Period,
    /// Full text.
    pub text: Option<String>,
    /// The format.
    pub format: Format,
    /// The directory that will hold the export; must not exist yet.
    pub destination: PathBuf,
    /// Who asks, in words.
    pub asked_by: String,
}

impl ExportJob {
    /// What is asked, as the manifest has it.
    pub(crate) fn query_text(&self) -> QueryText {
        QueryText {
            filter: self.filter.clone(),
            from: self.period.from.map(|at| at.to_string()),
            to: self.period.to.map(|at| at.to_string()),
            text: self.text.clone(),
        }
    }
}
