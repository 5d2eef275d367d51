//! `GET /v1/records…`: what is in the archive.

use audit_archive::{QueryError, Reader, Row};
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::query;
use crate::readings::{ReadKind, note};
use crate::routes::asked::Asked;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(query_records)).routes(routes!(get_record))
}

/// Where a record lies.
#[derive(Serialize, ToSchema)]
struct Place {
    /// The partition.
    partition: u32,
    /// The offset in it.
    offset: u64,
    /// Its number in the partition, without holes.
    seq: u64,
    /// Whether its body was erased: then what is shown is no whole record.
    erased: bool,
}

/// A page of records.
#[derive(Serialize, ToSchema)]
struct RecordPage {
    /// The records, byte for byte as they stand on the log. Of one that was erased, what is left: `id`, `action`,
    /// `occurred_at`, `recorded_at`, `related_object_type`, and as far as it had them `organisation`, `project`, `environment`,
    /// `flag` and the `name` of its `source`; in `erased.by` the id of the record that ordered it. It has neither author nor
    /// log, and does not fit the schema of records; `positions` tells which ones these are.
    #[schema(value_type = Vec<Object>)]
    records: Vec<Box<RawValue>>,
    /// Where each of them lies, in the same order.
    positions: Vec<Place>,
    /// Where to go on; absent when nothing more matches. A page may be short, or empty, and yet more follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// Whether the page ended because the search had looked at enough.
    partial: bool,
    /// Records that a text search could not see yet.
    unsearched: u64,
}

/// A record and where it lies.
#[derive(Serialize, ToSchema)]
struct RecordView {
    /// The record, byte for byte as it stands on the log; of one that was erased, what is left of it, as in a list.
    #[schema(value_type = Object)]
    record: Box<RawValue>,
    /// Where it lies.
    position: Place,
}

fn split(row: Row) -> Result<(Box<RawValue>, Place), Problem> {
    let place = Place { partition: row.partition, offset: row.offset, seq: row.seq, erased: row.erased };
    let record = RawValue::from_string(row.json)
        .map_err(|error| Problem::new(Kind::Internal, "an archived record can't be read").cause(error))?;
    Ok((record, place))
}

/// Asks the archive one question.
pub(crate) async fn ask_archive<T: Send + 'static>(
    app: &App,
    ask: impl FnOnce(&Reader) -> Result<T, QueryError> + Send + 'static,
) -> Result<T, Problem> {
    on_archive(app, move |reader| ask(reader).map_err(refused)).await
}

/// Works on the archive, on a thread that may block, within the bound on queries.
pub(crate) async fn on_archive<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&Reader) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let reader = app.archive()?.clone();
    let held = app.bounds().hold_query()?;
    let worked = tokio::task::spawn_blocking(move || {
        let _held = held;
        work(&reader)
    });
    worked.await.map_err(|error| Problem::new(Kind::Internal, "the query failed").cause(error))?
}

pub(crate) fn refused(error: QueryError) -> Problem {
    match error {
        QueryError::Cursor(error) => Problem::field("cursor", error.to_string()),
        QueryError::NoFullText | QueryError::EmptyText(_) | QueryError::TextTooLong { .. } => {
            Problem::field("text", error.to_string())
        }
        QueryError::TextTrails { .. } => Problem::new(Kind::Unavailable, error.to_string()).retry_after_s(2),
        QueryError::TooLong => Problem::new(Kind::Unavailable, error.to_string()),
        QueryError::Busy => Problem::new(Kind::Busy, error.to_string()).retry_after_s(1),
        QueryError::NoArchive(_) => {
            Problem::new(Kind::Unavailable, "there is no archive yet").retry_after_s(2).cause(error)
        }
        QueryError::Newer { .. } | QueryError::Storage { .. } => {
            Problem::new(Kind::Unavailable, "the archive can't be read").cause(error)
        }
    }
}

/// Query records
///
/// Every condition must fit; of a condition that is given several times, one. Organisations, projects, environments,
/// flags and objects fit by id, key or name, authors by id, e-mail or name. A record whose body was erased is found by what is
/// left of it.
#[utoipa::path(
    get, path = "/v1/records", tag = "records",
    params(
        ("organisation" = Option<Vec<String>>, Query, description = "Organisations"),
        ("project" = Option<Vec<String>>, Query, description = "Projects"),
        ("environment" = Option<Vec<String>>, Query, description = "Environments"),
        ("flag" = Option<Vec<String>>, Query, description = "Flags, whatever the related object is"),
        ("author" = Option<Vec<String>>, Query, description = "Authors"),
        ("action" = Option<Vec<String>>, Query, description = "Actions: exact, a prefix such as flag.*, or *"),
        ("related_object_type" = Option<Vec<String>>, Query, description = "Types of the related object"),
        ("object" = Option<Vec<String>>, Query, description = "Related objects, by id, uuid, key or name"),
        ("source" = Option<Vec<String>>, Query, description = "Sources"),
        ("from" = Option<String>, Query, description = "First moment: RFC 3339, a day, or a duration back from now such as 7d"),
        ("to" = Option<String>, Query, description = "First moment after"),
        ("text" = Option<String>, Query, description = "Words that must all occur"),
        ("order" = Option<String>, Query, description = "newest (by default) or oldest first"),
        ("limit" = Option<usize>, Query, description = "At most so many, 1 to 1,000; 100 by default"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; the rest of the query must be the same"),
    ),
    responses(
        (status = 200, body = RecordPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The token may not read that project", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "There is no archive here", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn query_records(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<RecordPage>, Problem> {
    let pairs = query::pairs(query.as_deref())?;
    let question = Asked::page(pairs.clone(), now())?.into_query(&caller)?;
    let page = ask_archive(&app, move |reader| reader.query(&question)).await?;
    let (mut records, mut positions) = (Vec::new(), Vec::new());
    for row in page.rows {
        let (record, place) = split(row)?;
        records.push(record);
        positions.push(place);
    }
    let next = page.next.map(|cursor| cursor.to_string());
    note(&app, &caller, ReadKind::Query, "/v1/records", &pairs);
    Ok(Json(RecordPage { records, positions, next, partial: page.partial, unsearched: page.unsearched }))
}

/// One record
///
/// By its id. Where an id was used by several sources, the first that the token may read.
#[utoipa::path(
    get, path = "/v1/records/{id}", tag = "records",
    params(("id" = String, Path, description = "The record's id")),
    responses(
        (status = 200, body = RecordView),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_record(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<RecordView>, Problem> {
    let wanted = id.clone();
    let rows = ask_archive(&app, move |reader| reader.get(&wanted)).await?;
    let visible = rows.into_iter().find(|row| may_read(&caller, &row.json));
    let row = visible.ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no record {id:?}")))?;
    let (record, position) = split(row)?;
    note(&app, &caller, ReadKind::Record, &id, &[]);
    Ok(Json(RecordView { record, position }))
}

/// Whether the record is of a project that the caller may read.
pub(crate) fn may_read(caller: &Caller, json: &str) -> bool {
    let Some(projects) = caller.projects() else { return true };
    let Ok(record) = serde_json::from_str::<serde_json::Value>(json) else { return false };
    let project = &record["project"];
    ["id", "key", "name"]
        .iter()
        .filter_map(|field| project[field].as_str())
        .any(|name| projects.iter().any(|own| own == name))
}
