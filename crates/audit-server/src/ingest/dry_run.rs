//! `?dry_run=true`: everything but the append.

use audit_record::AuditRecord;
use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::problem::{Kind, Problem};
use crate::query;

/// Its name. There is no other parameter, and another one is refused: a misspelt one would append.
const PARAMETER: &str = "dry_run";

/// Whether the query string asks for one.
pub(crate) fn is_asked(query: Option<&str>) -> Result<bool, Problem> {
    let mut asked = false;
    for (name, value) in query::pairs(query)? {
        if name != PARAMETER {
            return Err(Problem::field(&name, "is no parameter here").hint(format!("there is {PARAMETER}")));
        }
        asked = value.parse().map_err(|_| Problem::field(PARAMETER, "must be true or false"))?;
    }
    Ok(asked)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_name_and_a_truth_value_are_taken() {
        assert!(!is_asked(None).unwrap() && !is_asked(Some("")).unwrap());
        assert!(is_asked(Some("dry_run=true")).unwrap());
        assert!(!is_asked(Some("dry_run=false")).unwrap());
        for wrong in ["dryrun=true", "dry_run", "dry_run=1", "dry_run=true&x=y"] {
            assert_eq!(is_asked(Some(wrong)).unwrap_err().kind(), Kind::BadRequest, "{wrong}");
        }
    }
}
