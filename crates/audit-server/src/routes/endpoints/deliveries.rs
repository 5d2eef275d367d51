//! `/v1/endpoints/{id}/deliveries`: the attempts at one endpoint.

use std::collections::BTreeMap;

use audit_archive::{ATTEMPTS_PAGE_MAX, AttemptQuery, AttemptRow};
use audit_webhook::{AttemptEntry, AttemptOutcome, EndpointId, FailureClass};
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::clock::now;
use crate::problem::Problem;
use crate::query::pairs;
use crate::routes::asked::{cursor, limit, moment};
use crate::routes::endpoints::refused;
use crate::routes::records::ask_archive;
use crate::routes::setting::PageProblems;

/// Attempts of a page unless told otherwise.
const ATTEMPTS_DEFAULT: usize = 50;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_deliveries))
}

/// One delivery attempt.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Attempt {
    /// When it ended.
    at: String,
    /// The record's id.
    record_id: String,
    /// Which attempt, from 1.
    attempt: u32,
    /// What became of the delivery: `delivered`, `retry`, `dead_lettered`, `disabled`.
    #[schema(value_type = String)]
    outcome: AttemptOutcome,
    /// The status that came back.
    status: Option<u16>,
    /// Why it failed.
    #[schema(value_type = Option<String>)]
    error: Option<FailureClass>,
    /// How long it took.
    duration_ms: u64,
    /// What went wrong in words, where there was no answer.
    detail: Option<String>,
    /// The headers that were sent, secret ones masked.
    request_headers: BTreeMap<String, String>,
    /// The beginning of the answer's body.
    excerpt: String,
    /// When the next attempt is due.
    next_due: Option<String>,
    /// The record's partition.
    partition: u32,
    /// The record's offset.
    offset: u64,
}

impl Attempt {
    /// Whether the delivery arrived by it.
    pub(super) fn is_delivered(&self) -> bool {
        self.outcome == AttemptOutcome::Delivered
    }

    /// From the archive; `None` where a later release wrote it.
    pub(super) fn read(row: &AttemptRow) -> Option<Self> {
        let entry: AttemptEntry = serde_json::from_str(&row.json).ok()?;
        Some(Self {
            at: entry.at,
            record_id: entry.record,
            attempt: entry.attempt,
            outcome: entry.outcome,
            status: entry.status,
            error: entry.error,
            duration_ms: entry.duration_ms,
            detail: entry.detail,
            request_headers: entry.request_headers,
            excerpt: entry.excerpt,
            next_due: entry.next_due,
            partition: entry.partition,
            offset: entry.offset,
        })
    }
}

/// A page of attempts, the latest first.
#[derive(Serialize, ToSchema)]
struct DeliveryPage {
    /// The attempts.
    deliveries: Vec<Attempt>,
    /// Where to go on; absent when nothing more matches. A page may be short, or empty, and yet more follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// An endpoint's attempts
///
/// The latest first, as this process's archive has them: a moment after they were made.
#[utoipa::path(
    get, path = "/v1/endpoints/{id}/deliveries", tag = "endpoints",
    params(
        ("id" = String, Path, description = "The endpoint's id"),
        ("record" = Option<String>, Query, description = "Only at the record of this id"),
        ("outcome" = Option<Vec<String>>, Query, description = "Only with this outcome: delivered, retry, dead_lettered or disabled; several: one of them"),
        ("from" = Option<String>, Query, description = "First moment: RFC 3339, a day, or a duration back from now such as 7d"),
        ("to" = Option<String>, Query, description = "First moment after"),
        ("limit" = Option<usize>, Query, description = "At most so many, 1 to 500; 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; the rest of the query must be the same"),
    ),
    responses((status = 200, body = DeliveryPage), PageProblems),
)]
async fn list_deliveries(
    State(app): State<App>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<DeliveryPage>, Problem> {
    app.endpoints().get(&EndpointId::from(id.as_str())).map_err(refused)?;
    let question = question(id, pairs(query.as_deref())?)?;
    let page = ask_archive(&app, move |reader| reader.attempts(&question)).await?;
    let deliveries = page.rows.iter().filter_map(Attempt::read).collect();
    Ok(Json(DeliveryPage { deliveries, next: page.next.map(|cursor| cursor.to_string()) }))
}

fn question(endpoint: String, pairs: Vec<(String, String)>) -> Result<AttemptQuery, Problem> {
    let mut question = AttemptQuery { endpoint, limit: ATTEMPTS_DEFAULT, ..AttemptQuery::default() };
    let now = now();
    let millis =
        |name: &str, value: &str| Ok::<_, Problem>(moment(name, value, now)?.micros().div_euclid(1_000));
    for (name, value) in pairs {
        match name.as_str() {
            "record" => question.record = Some(value),
            "outcome" => {
                if serde_json::from_value::<AttemptOutcome>(value.as_str().into()).is_err() {
                    return Err(Problem::field(
                        "outcome",
                        "must be delivered, retry, dead_lettered or disabled",
                    ));
                }
                question.outcomes.push(value);
            }
            "from" => question.from_ms = Some(millis("from", &value)?),
            "to" => question.to_ms = Some(millis("to", &value)?),
            "limit" => question.limit = limit(&value, ATTEMPTS_PAGE_MAX)?,
            "cursor" => question.cursor = Some(cursor(&value)?),
            other => {
                return Err(Problem::field(other, "is no parameter here")
                    .hint("there are record, outcome, from, to, limit and cursor"));
            }
        }
    }
    Ok(question)
}
