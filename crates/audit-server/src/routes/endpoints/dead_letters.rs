//! `/v1/endpoints/{id}/dead-letters`: deliveries that were given up, from the records that tell of it.

use audit_archive::{Cursor, Query};
use audit_record::{ActionPattern, Filter};
use audit_webhook::EndpointId;
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::deliveries::Attempt;
use crate::app::App;
use crate::clock::now;
use crate::problem::Problem;
use crate::query::pairs;
use crate::routes::asked::{cursor, limit, moment};
use crate::routes::endpoints::refused;
use crate::routes::records::ask_archive;
use crate::routes::setting::PageProblems;

/// The action of the records that tell of a delivery that was given up.
const DEAD_LETTERED: &str = "webhook.dead_lettered";

/// Dead letters of a page unless told otherwise.
const LIMIT_DEFAULT: usize = 50;

/// Most dead letters of a page.
const LIMIT_MAX: usize = 500;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_dead_letters))
}

/// A delivery that was given up.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetter {
    /// The id of the record that was not delivered.
    pub(crate) record_id: String,
    /// Its action.
    action: Option<String>,
    /// When the delivery was given up.
    at: String,
    /// How many attempts there were.
    attempts: Option<u64>,
    /// Why the last of them failed.
    error: Option<String>,
    /// The status that came back.
    status: Option<u64>,
    /// The record's partition.
    pub(crate) partition: u32,
    /// The record's offset.
    pub(crate) offset: u64,
    /// The latest attempt at the record, which may be later than the end of the schedule: a redrive's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    latest: Option<Attempt>,
    /// Whether it was delivered after all.
    pub(crate) delivered_since: bool,
}

/// A page of dead letters, the latest first.
#[derive(Serialize, ToSchema)]
struct DeadLetterPage {
    /// The dead letters; those that were delivered after all are left out unless they are asked for.
    dead_letters: Vec<DeadLetter>,
    /// Where to go on; absent when there are no more. A page may be short, or empty, and yet more follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What is asked.
struct Asked {
    query: Query,
    delivered_too: bool,
}

/// An endpoint's dead letters
///
/// Deliveries that were given up at the end of their schedule, the latest first, without those that a redrive has
/// delivered since.
#[utoipa::path(
    get, path = "/v1/endpoints/{id}/dead-letters", tag = "endpoints",
    params(
        ("id" = String, Path, description = "The endpoint's id"),
        ("all" = Option<bool>, Query, description = "true: those that were delivered since, too"),
        ("from" = Option<String>, Query, description = "Given up at this moment or later: RFC 3339, a day, or a duration back from now such as 7d"),
        ("to" = Option<String>, Query, description = "Given up before this moment"),
        ("limit" = Option<usize>, Query, description = "At most so many, 1 to 500; 50 by default"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; the rest of the query must be the same"),
    ),
    responses((status = 200, body = DeadLetterPage), PageProblems),
)]
async fn list_dead_letters(
    State(app): State<App>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<DeadLetterPage>, Problem> {
    app.endpoints().get(&EndpointId::from(id.as_str())).map_err(refused)?;
    let Asked { query, delivered_too } = asked(&id, pairs(query.as_deref())?)?;
    let (mut dead_letters, next) = page(&app, id, query).await?;
    dead_letters.retain(|letter| delivered_too || !letter.delivered_since);
    Ok(Json(DeadLetterPage { dead_letters, next: next.map(|cursor| cursor.to_string()) }))
}

/// The question for the dead letters of an endpoint.
pub(super) fn all_of(endpoint: &str) -> Query {
    let action = ActionPattern::try_new(DEAD_LETTERED).expect("an action is a pattern");
    Query {
        filter: Filter { action: vec![action], object: vec![endpoint.to_owned()], ..Filter::default() },
        limit: LIMIT_DEFAULT,
        ..Query::default()
    }
}

/// One page of dead letters, those that were delivered since included.
pub(super) async fn page(
    app: &App,
    endpoint: String,
    query: Query,
) -> Result<(Vec<DeadLetter>, Option<Cursor>), Problem> {
    ask_archive(app, move |reader| {
        let page = reader.query(&query)?;
        let mut letters: Vec<DeadLetter> = page.rows.iter().filter_map(|row| read(&row.json)).collect();
        let records: Vec<String> = letters.iter().map(|letter| letter.record_id.clone()).collect();
        let latest = reader.latest_attempt_at(&endpoint, &records)?;
        for (letter, latest) in letters.iter_mut().zip(latest) {
            letter.latest = latest.as_ref().and_then(Attempt::read);
            letter.delivered_since = letter.latest.as_ref().is_some_and(Attempt::is_delivered);
        }
        Ok((letters, page.next))
    })
    .await
}

/// The dead letter that a record tells of.
fn read(json: &str) -> Option<DeadLetter> {
    let record: Value = serde_json::from_str(json).ok()?;
    let detail = &record["attributes"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(DeadLetter {
        record_id: text(&detail["record"])?,
        action: text(&detail["action"]),
        at: text(&record["occurred_at"])?,
        attempts: detail["attempts"].as_u64(),
        error: text(&detail["error"]),
        status: detail["status"].as_u64(),
        partition: u32::try_from(detail["partition"].as_u64()?).ok()?,
        offset: detail["offset"].as_u64()?,
        latest: None,
        delivered_since: false,
    })
}

fn asked(endpoint: &str, pairs: Vec<(String, String)>) -> Result<Asked, Problem> {
    let mut asked = Asked { query: all_of(endpoint), delivered_too: false };
    let now = now();
    for (name, value) in pairs {
        match name.as_str() {
            "all" => {
                let all = value.parse::<bool>();
                asked.delivered_too = all.map_err(|_| Problem::field("all", "must be true or false"))?;
            }
            "from" => asked.query.period.from = Some(moment("from", &value, now)?),
            "to" => asked.query.period.to = Some(moment("to", &value, now)?),
            "limit" => asked.query.limit = limit(&value, LIMIT_MAX)?,
            "cursor" => asked.query.cursor = Some(cursor(&value)?),
            other => {
                return Err(Problem::field(other, "is no parameter here")
                    .hint("there are all, from, to, limit and cursor"));
            }
        }
    }
    Ok(asked)
}
