//! `POST /v1/records`: records from people's own code.
//!
//! Validated all or nothing, then appended; a line is acknowledged only when it is durable.

mod answer;
mod body;
mod dry_run;
mod idempotency;
mod native;
mod parameters;
mod prepare;

pub(crate) use answer::{Appended, answer};

use audit_record::AuditRecord;
use axum::extract::{RawQuery, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::body::read_body;
use crate::clock::now;
use crate::config::INGEST_BODY_BYTES_MAX;
use crate::ingest::body::Format;
use crate::ingest::dry_run::DryRun;
use crate::ingest::idempotency::IdempotencyKey;
use crate::ingest::parameters::Parameters;
use crate::ingest::prepare::{Intake, prepare};
use crate::problem::{Kind, Problem, ProblemBody};

/// Bodies up to this size are read where they stand; larger ones would hold up other requests of the thread.
const INLINE_BYTES_MAX: usize = 16 * 1024;

/// The routes, to stand behind `records:write`.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(append_records))
}

/// Append records
///
/// One record, a list, NDJSON (one record a line), or CloudEvents (structured, batch, or binary with `ce-` headers).
/// Every record is checked before the first is appended: one that is wrong refuses all, and the answer names every
/// line and field. Absent fields are filled: `id` (a UUIDv7, or derived from `Idempotency-Key` and what was sent, so that
/// a repeated request is the same records and another body under the same key is other records), `occurred_at` (now).
/// `recorded_at`, `organisation` and most of `source` are set here; what was sent in their place is not used.
/// With `dry_run=true` all of this is done but nothing is appended: the answer holds the records as they would stand.
#[utoipa::path(
    post,
    path = "/v1/records",
    tag = "records",
    params(
        ("dry_run" = Option<bool>, Query, description = "Check and show what would be appended, and append nothing"),
        ("source" = Option<String>, Query, description = "The source in whose name the records are appended; the token's by default, and another one by the scope admin alone"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters; ids are derived from it and from the body"),
    ),
    request_body(
        description = "A record of schemas/audit-record.v1.schema.json, or several",
        content(
            (Object = "application/json"),
            (String = "application/x-ndjson"),
            (Object = "application/cloudevents+json"),
            (Object = "application/cloudevents-batch+json"),
        ),
    ),
    responses(
        (status = 200, description = "Every record is fit to be appended; none was (`dry_run`)", body = DryRun),
        (status = 201, description = "Every record is durable", body = Appended),
        (status = 400, description = "Not records: every wrong line and field is named; nothing was appended", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The token may not write that", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Unknown content type", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too much at a time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not every record is durable: `results` says what became of each line", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn append_records(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(query.as_deref())?;
    let token = parameters.token(&app, &caller)?;
    let format = Format::of(&headers)?;
    let key = IdempotencyKey::of(&headers)?;
    // Held until the answer: what is read, parsed and waited for at a time is bounded in bytes.
    let _held = app.bounds().hold_ingest(&headers)?;
    let body = read_body(request, INGEST_BODY_BYTES_MAX).await?;
    let intake = Intake {
        token_id: caller.id().to_owned(),
        token,
        format,
        key,
        headers: format.needs_headers().then_some(headers),
        namespace: app.journal().identity().namespace,
        redact_keep: app.config().redact_keep.clone(),
        received_at: now(),
    };
    let records = if body.len() <= INLINE_BYTES_MAX {
        prepare(&intake, &body)?
    } else {
        tokio::task::spawn_blocking(move || prepare(&intake, &body)).await.map_err(|error| {
            Problem::new(Kind::Internal, "the records could not be checked").cause(error)
        })??
    };
    if parameters.dry_run {
        return Ok(DryRun::of(&records)?.into_response());
    }
    Ok(append(&app, &records).await?.into_response())
}

/// Appends valid records. If we crash before the answer, some may be on the log: the client repeats the request,
/// and with ids of its own or an `Idempotency-Key` the repeats are known as such.
async fn append(app: &App, records: &[AuditRecord]) -> Result<Appended, Problem> {
    let started = std::time::Instant::now();
    let outcomes = app.journal().append_records(records).await;
    app.metrics().append_took(started.elapsed());
    let appended = answer(records, outcomes);
    app.metrics().ingested(appended.as_ref().map_or(0, |appended| appended.records.len()));
    appended
}
