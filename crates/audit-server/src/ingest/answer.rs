//! What a client learns of its records.

use audit_journal::AppendOutcome;
use audit_record::AuditRecord;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Kind, LineResult, Problem};

/// Where a record lies.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppendedRecord {
    /// Its id.
    pub(crate) id: String,
    /// The partition.
    pub(crate) partition: u32,
    /// The offset in it.
    pub(crate) offset: u64,
}

/// Every record of the request, durable, in the order sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Appended {
    /// One for each record sent.
    pub(crate) records: Vec<AppendedRecord>,
}

impl IntoResponse for Appended {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self)).into_response()
    }
}

/// 201 when every record is durable, else 503 with a result for each.
pub(crate) fn answer(records: &[AuditRecord], outcomes: Vec<AppendOutcome>) -> Result<Appended, Problem> {
    let mut appended = Vec::with_capacity(records.len());
    for (record, outcome) in records.iter().zip(&outcomes) {
        if let AppendOutcome::Appended(position) = outcome {
            let (partition, offset) = (position.partition, position.offset);
            appended.push(AppendedRecord { id: record.id().to_owned(), partition, offset });
        }
    }
    if appended.len() == records.len() {
        return Ok(Appended { records: appended });
    }
    let cause = outcomes.iter().find_map(|outcome| match outcome {
        AppendOutcome::NotAppended(cause) | AppendOutcome::Unknown(cause) => Some(cause.clone()),
        AppendOutcome::Appended(_) => None,
    });
    let detail = format!("{} of {} records are known to be durable", appended.len(), records.len());
    let results = records.iter().zip(outcomes).enumerate().map(|(index, (record, outcome))| {
        let (outcome, position) = match outcome {
            AppendOutcome::Appended(position) => ("appended", Some(position)),
            AppendOutcome::NotAppended(_) => ("not_appended", None),
            AppendOutcome::Unknown(_) => ("unknown", None),
        };
        LineResult {
            line: index + 1,
            id: record.id().to_owned(),
            outcome,
            partition: position.map(|p| p.partition),
            offset: position.map(|p| p.offset),
        }
    });
    Err(Problem::new(Kind::Unavailable, detail)
        .hint("send those that were not appended again, with the ids given here: a record that is on the log already is then known by its id")
        .with_results(results.collect())
        .retry_after_s(2)
        .cause(cause.unwrap_or_else(|| "the log gave fewer answers than it was given records".to_owned())))
}
