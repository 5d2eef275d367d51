//! `/v1/endpoints/{id}/deliveries`: the attempt log of one endpoint.

use audit_journal::{Bounds, Message, Topic};
use audit_webhook::{AttemptEntry, AttemptOutcome, EndpointId, FailureClass};
use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::routes::backwards::window;
use crate::routes::endpoints::refused;

/// Most attempts of one list.
const ATTEMPTS_MAX: usize = 500;

/// Attempts of a list unless told otherwise.
const ATTEMPTS_DEFAULT: usize = 50;

/// How many attempts of all endpoints are looked at, a partition, to find those of one.
const SCANNED_MAX: u64 = 20_000;

/// How many are looked at at a time.
const SCANNED_AT_A_TIME: u64 = 1_000;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_deliveries))
}

#[derive(Debug, Deserialize, IntoParams)]
struct ListDeliveries {
    /// At most so many, up to 500; 50 by default.
    limit: Option<usize>,
    /// Only of this record.
    record: Option<String>,
}

/// One delivery attempt.
#[derive(Serialize, ToSchema)]
struct Attempt {
    /// When it ended.
    at: String,
    /// The record's id.
    record_id: String,
    /// Which attempt, from 1.
    attempt: u32,
    /// What became of the delivery.
    #[schema(value_type = String)]
    outcome: AttemptOutcome,
    /// The status that came back.
    status: Option<u16>,
    /// Why it failed.
    #[schema(value_type = Option<String>)]
    error: Option<FailureClass>,
    /// How long it took.
    duration_ms: u64,
    /// The beginning of the answer's body.
    excerpt: String,
    /// When the next attempt is due.
    next_due: Option<String>,
    /// The record's partition.
    partition: u32,
    /// The record's offset.
    offset: u64,
}

/// Attempts, the latest first.
#[derive(Serialize, ToSchema)]
struct DeliveryList {
    /// The attempts.
    deliveries: Vec<Attempt>,
    /// Whether everything that is kept was looked at; otherwise only the latest attempts of all endpoints were.
    complete: bool,
}

/// An endpoint's latest attempts
#[utoipa::path(
    get, path = "/v1/endpoints/{id}/deliveries", tag = "endpoints",
    params(("id" = String, Path, description = "The endpoint's id"), ListDeliveries),
    responses(
        (status = 200, body = DeliveryList),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_deliveries(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<ListDeliveries>,
) -> Result<Json<DeliveryList>, Problem> {
    let _held = app.bounds().hold_query()?;
    app.endpoints().get(&EndpointId::from(id.as_str())).map_err(refused)?;
    let limit = query.limit.unwrap_or(ATTEMPTS_DEFAULT).clamp(1, ATTEMPTS_MAX);
    let unreadable =
        |error| Problem::new(Kind::Unavailable, "the log can't be read now").retry_after_s(2).cause(error);
    let pick = |message: &Message| {
        let entry: AttemptEntry = (message.key == id.as_bytes())
            .then(|| serde_json::from_slice(message.value.as_deref()?).ok())??;
        query.record.as_ref().is_none_or(|record| *record == entry.record).then_some(entry)
    };
    let mut found: Vec<AttemptEntry> = Vec::new();
    let mut complete = true;
    for Bounds { partition, start, end } in
        app.journal().bounds(Topic::Deliveries).await.map_err(unreadable)?
    {
        let oldest = start.max(end.saturating_sub(SCANNED_MAX));
        let (mut end, mut here) = (end, 0);
        while end > oldest && here < limit {
            let begin = oldest.max(end.saturating_sub(SCANNED_AT_A_TIME));
            let window = window(app.journal(), Topic::Deliveries, partition, (begin, end), pick).await;
            let window = window.map_err(unreadable)?;
            here += window.len();
            found.extend(window);
            end = begin;
        }
        complete &= end <= start;
    }
    // RFC 3339 with a fixed number of digits: text order is time order.
    found.sort_by(|a, b| b.at.cmp(&a.at));
    complete &= found.len() <= limit;
    found.truncate(limit);
    let attempt = |entry: AttemptEntry| Attempt {
        at: entry.at,
        record_id: entry.record,
        attempt: entry.attempt,
        outcome: entry.outcome,
        status: entry.status,
        error: entry.error,
        duration_ms: entry.duration_ms,
        excerpt: entry.excerpt,
        next_due: entry.next_due,
        partition: entry.partition,
        offset: entry.offset,
    };
    Ok(Json(DeliveryList { deliveries: found.into_iter().map(attempt).collect(), complete }))
}
