//! What an export is asked for.

use std::path::PathBuf;

use audit_record::{Filter, Period};

use crate::manifest::QueryText;
use crate::payload::{Compression, Format};

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
    /// How its files are compressed; it must [fit](Format::fits) the format.
    pub compression: Compression,
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
