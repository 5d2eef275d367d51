//! What `?dry_run=true` answers.

use audit_record::AuditRecord;
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::problem::{Kind, Problem};

/// What would be appended, in the order sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DryRun {
    /// One for each record sent.
    records: Vec<DryRunRecord>,
}

/// A record that would be appended.
#[derive(Debug, Serialize, ToSchema)]
struct DryRunRecord {
    /// Its id. One that was made up (neither sent nor derived from an `Idempotency-Key`) is another the next time.
    id: String,
    /// The record, byte for byte as it would stand on the log now.
    #[schema(value_type = Object)]
    record: Box<RawValue>,
}

impl DryRun {
    /// Of records that were checked.
    pub(crate) fn of(records: &[AuditRecord]) -> Result<Self, Problem> {
        let shown = |record: &AuditRecord| {
            let stands = serde_json::from_slice(record.canonical()).map_err(|error| {
                Problem::new(Kind::Internal, "a checked record can't be shown").cause(error)
            })?;
            Ok(DryRunRecord { id: record.id().to_owned(), record: stands })
        };
        Ok(Self { records: records.iter().map(shown).collect::<Result<_, Problem>>()? })
    }
}

impl IntoResponse for DryRun {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}
