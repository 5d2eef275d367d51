//! `/v1/rejected`: webhooks that could not become records, to be looked at and taken in again.

use audit_journal::{Message, Offset, ReadError, ReadLimit, Topic};
use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::hooks::rejected::{Rejected, Why};
use crate::hooks::translation::{Ids, Unfit, translated};
use crate::ingest::{Appended, answer};
use crate::problem::{Kind, Problem, ProblemBody};
use crate::routes::backwards::window;
use crate::settings::source::Source;
use crate::settings::stored::Setting;

/// The topic has this partition only.
const PARTITION: u32 = 0;

/// Most entries of one list.
const LIST_MAX: usize = 200;

/// Entries of a list unless told otherwise.
const LIST_DEFAULT: usize = 50;

/// How far one step backwards goes at least where only those of one source are wanted: others may lie between them.
const SOURCE_STEP_MIN: usize = 200;

/// How much is read to find one.
const READ_BYTES: usize = 4 * 1024 * 1024;

pub(crate) fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_rejected)).routes(routes!(get_rejected))
}

pub(crate) fn write_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(redrive_rejected))
}

#[derive(Debug, Deserialize, IntoParams)]
struct ListRejected {
    /// Only of this source.
    source: Option<String>,
    /// Only older ones than this id: the last of the previous page.
    before: Option<String>,
    /// At most so many, up to 200; 50 by default.
    limit: Option<usize>,
}

/// A rejected request without its body.
#[derive(Serialize, ToSchema)]
struct RejectedSummary {
    /// Its id: partition and offset.
    id: String,
    /// When it came in.
    at: String,
    /// The source.
    source: String,
    /// The source's platform.
    platform: String,
    /// The kind of reason.
    why: Why,
    /// What does not fit, and the mend.
    reason: String,
    /// The status it was answered with.
    status: u16,
    /// The method.
    method: String,
    /// The size of the body that was kept.
    body_bytes: usize,
    /// Whether the body is only the beginning of what came.
    is_cut: bool,
}

/// Rejected requests, the youngest first.
#[derive(Serialize, ToSchema)]
struct RejectedList {
    /// The entries.
    rejected: Vec<RejectedSummary>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

/// A rejected request, whole.
#[derive(Serialize, ToSchema)]
struct RejectedView {
    /// Its id.
    id: String,
    /// What came in.
    #[serde(flatten)]
    rejected: Rejected,
    /// The name of the key that the raw body is sealed with, where it is shown redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed_with: Option<String>,
}

fn id_of(offset: Offset) -> String {
    format!("{PARTITION}-{offset}")
}

fn offset_of(field: &str, id: &str) -> Result<Offset, Problem> {
    id.split_once('-')
        .filter(|(partition, _)| partition.parse() == Ok(PARTITION))
        .and_then(|(_, offset)| offset.parse().ok())
        .ok_or_else(|| Problem::field(field, "must be an id of a rejected request, such as 0-17"))
}

fn unreadable(error: ReadError) -> Problem {
    Problem::new(Kind::Unavailable, "the log can't be read now").retry_after_s(2).cause(error)
}

fn read_message(message: &Message) -> Option<Rejected> {
    serde_json::from_slice(message.value.as_deref()?).ok()
}

/// List rejected webhooks
#[utoipa::path(
    get, path = "/v1/rejected", tag = "rejected",
    params(ListRejected),
    responses((status = 200, body = RejectedList)),
)]
async fn list_rejected(
    State(app): State<App>,
    Query(query): Query<ListRejected>,
) -> Result<Json<RejectedList>, Problem> {
    let _held = app.bounds().hold_query()?;
    let limit = query.limit.unwrap_or(LIST_DEFAULT).clamp(1, LIST_MAX);
    let bounds = app.journal().bounds(Topic::Rejected).await.map_err(unreadable)?;
    let Some(bounds) = bounds.first().copied() else {
        return Ok(Json(RejectedList { rejected: Vec::new(), before: None }));
    };
    let mut end = match &query.before {
        Some(id) => offset_of("before", id)?.clamp(bounds.start, bounds.end),
        None => bounds.end,
    };
    let mut listed = Vec::new();
    let step = if query.source.is_some() { limit.max(SOURCE_STEP_MIN) } else { limit };
    // Backwards in windows, because the log is read forwards.
    while end > bounds.start && listed.len() < limit {
        let start = end.saturating_sub(step as u64).max(bounds.start);
        let mut window = summaries(&app, start, end).await?;
        window.retain(|(_, summary)| query.source.as_ref().is_none_or(|source| *source == summary.source));
        listed.extend(window.into_iter().rev());
        end = start;
    }
    let is_last = listed.len() <= limit && end <= bounds.start;
    listed.truncate(limit);
    let before = listed.last().filter(|_| !is_last).map(|(offset, _)| id_of(*offset));
    Ok(Json(RejectedList { rejected: listed.into_iter().map(|(_, summary)| summary).collect(), before }))
}

async fn summaries(app: &App, start: Offset, end: Offset) -> Result<Vec<(Offset, RejectedSummary)>, Problem> {
    let summary = |message: &Message| {
        let rejected = read_message(message)?;
        let summary = RejectedSummary {
            id: id_of(message.offset),
            body_bytes: decoded_bytes(&rejected.body),
            at: rejected.at,
            source: rejected.source,
            platform: rejected.platform,
            why: rejected.why,
            reason: rejected.reason,
            status: rejected.status,
            method: rejected.method,
            is_cut: rejected.is_cut,
        };
        Some((message.offset, summary))
    };
    window(app.journal(), Topic::Rejected, PARTITION, (start, end), summary).await.map_err(unreadable)
}

/// How many bytes a base64 text stands for.
fn decoded_bytes(base64: &str) -> usize {
    let padding = base64.bytes().rev().take_while(|byte| *byte == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding)
}

async fn find(app: &App, id: &str) -> Result<Rejected, Problem> {
    let missing = || {
        Problem::new(Kind::NotFound, format!("there is no rejected request {id:?}"))
            .hint("they are kept for 400 days")
    };
    let offset = offset_of("id", id)?;
    let limit = ReadLimit { messages: 1, bytes: READ_BYTES };
    let range = match app.journal().read(Topic::Rejected, PARTITION, offset, limit).await {
        Ok(range) => range,
        Err(ReadError::OutOfRange { .. }) => return Err(missing()),
        Err(error) => return Err(unreadable(error)),
    };
    let message = range.messages.first().filter(|message| message.offset == offset);
    message.and_then(read_message).ok_or_else(missing)
}

/// One rejected webhook, whole
#[utoipa::path(
    get, path = "/v1/rejected/{id}", tag = "rejected",
    params(("id" = String, Path, description = "The id, such as 0-17")),
    responses(
        (status = 200, body = RejectedView),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_rejected(State(app): State<App>, Path(id): Path<String>) -> Result<Json<RejectedView>, Problem> {
    let mut rejected = find(&app, &id).await?;
    let sealed_with = rejected.raw.take().map(|raw| raw.key().to_string());
    Ok(Json(RejectedView { id, rejected, sealed_with }))
}

/// Take a rejected webhook in again
///
/// With the source's settings of now: after its secret or project was mended, or after an upgrade. Doing it twice gives
/// the same records. It stays in the list.
#[utoipa::path(
    post, path = "/v1/rejected/{id}/redrive", tag = "rejected",
    params(("id" = String, Path, description = "The id, such as 0-17")),
    responses(
        (status = 200, body = Appended),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It can't be re-driven: the source is gone, or only the beginning was kept", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It still does not fit", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not every record is known to be durable", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn redrive_rejected(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Appended>, Problem> {
    let rejected = find(&app, &id).await?;
    let request = rejected
        .request(app.keyring())
        .map_err(|error| Problem::new(Kind::Conflict, format!("the request can't be re-driven: {error}")))?;
    let entity = app.control().get(Source::KIND, &rejected.source);
    let source = entity.as_deref().and_then(Source::read).ok_or_else(|| {
        Problem::new(Kind::Conflict, format!("there is no source {:?} any more", rejected.source))
            .hint("make one of that name")
    })?;
    let (worker, origin) = (app.clone(), id.clone());
    let records =
        tokio::task::spawn_blocking(move || translated(&worker, &source, &request, Ids::Redriven(origin)))
            .await
            .map_err(|error| Problem::new(Kind::Internal, "the request could not be read").cause(error))?
            .map_err(|unfit| match unfit {
                Unfit::Signature(detail) => Problem::new(Kind::UnfitHook, detail)
                    .hint("the request was signed with a secret that the source does not have"),
                Unfit::Locked(error) => Problem::new(Kind::Conflict, error.to_string()),
                Unfit::Refused(reason) => Problem::new(Kind::UnfitHook, reason),
            })?;
    // If we crash before the answer, re-driving it again gives records of the same ids.
    let outcomes = app.journal().append_records(&records).await;
    let appended = answer(&records, outcomes)?;
    tracing::info!(
        rejected = id,
        records = records.len(),
        token = caller.name(),
        "a rejected webhook was re-driven"
    );
    Ok(Json(appended))
}
