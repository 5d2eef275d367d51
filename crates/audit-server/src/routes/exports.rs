//! `/v1/exports`: export jobs of this process.

use std::path::{Component, PathBuf};

use audit_export::{
    Compression, ExportOrder, ExportRequest, ExportState, Format, QueryText, StateSummary, SubmitError,
};
use audit_record::Filter;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio_util::io::ReaderStream;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::readings::{ReadKind, note};
use crate::routes::asked::{moment, narrow};

/// Most jobs of one list.
const LIST_MAX: usize = 200;

/// Jobs of a list unless told otherwise.
const LIST_DEFAULT: usize = 50;

/// How much of a file is held at a time while it is sent.
const CHUNK_BYTES: usize = 64 * 1024;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_exports, request_export))
        .routes(routes!(get_export, delete_export))
        .routes(routes!(get_export_file))
}

/// An export to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewExport {
    /// Which records; all that the token may read by default.
    #[serde(default)]
    query: NewExportQuery,
    /// `ndjson` (by default): byte for byte as on the log; `csv`, `parquet`, `sqlite`; or `ocsf`: an
    /// OCSF event a line.
    #[schema(value_type = Option<String>)]
    format: Option<Format>,
    /// `none` (by default) or, of files of lines (ndjson, csv, ocsf), `zstd`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    compression: Compression,
    /// The name of a destination in the server's configuration that it is brought to as well.
    destination: Option<String>,
}

/// Which records. Every condition must fit.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct NewExportQuery {
    /// Lists of organisation, project, environment, flag, author, action, related_object_type, object, source.
    #[schema(value_type = Object)]
    filter: Filter,
    /// First moment: RFC 3339, a day, or a duration back from now such as 7d.
    from: Option<String>,
    /// First moment after.
    to: Option<String>,
    /// Words that must all occur.
    text: Option<String>,
}

/// An export job.
#[derive(Serialize, ToSchema)]
struct ExportView {
    /// What was asked: `id`, `query`, `format`, `compression`, `destination`, `asked_by`, `asked_at`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    request: ExportRequest,
    /// `state`: waiting, running (with `records`), done (with `manifest`) or failed (with `problem`).
    #[serde(flatten)]
    #[schema(value_type = Object)]
    state: ExportState,
}

#[derive(Debug, Deserialize, IntoParams)]
struct ListExports {
    /// Only older ones than this id: the last of the previous page.
    before: Option<String>,
    /// At most so many, up to 200; 50 by default.
    limit: Option<usize>,
}

/// An export job as lists have it.
#[derive(Serialize, ToSchema)]
struct ListedExport {
    /// What was asked: `id`, `query`, `format`, `compression`, `asked_by`, `asked_at`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    request: ExportRequest,
    /// `state`: waiting, running (with `records`), done (with `records`, and in `incomplete` the partitions that it does not
    /// cover to their end) or failed (with `problem`). The manifest stands in the job itself.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    state: StateSummary,
}

/// Export jobs.
#[derive(Serialize, ToSchema)]
struct ExportList {
    /// The latest first.
    exports: Vec<ListedExport>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

/// Whether the caller may see a job: one limited to projects sees what stays within them.
fn may_see(caller: &Caller, request: &ExportRequest) -> bool {
    let Some(projects) = caller.projects() else { return true };
    let asked = &request.query.filter.project;
    !asked.is_empty() && asked.iter().all(|project| projects.contains(project))
}

fn find(app: &App, caller: &Caller, id: &str) -> Result<(ExportRequest, ExportState), Problem> {
    let job = app.exports()?.get(id).filter(|(request, _)| may_see(caller, request));
    job.ok_or_else(|| {
        Problem::new(Kind::NotFound, format!("there is no export {id:?} here"))
            .hint("exports are kept by the process that made them")
    })
}

/// List exports
#[utoipa::path(
    get, path = "/v1/exports", tag = "exports",
    params(ListExports),
    responses((status = 200, body = ExportList)),
)]
async fn list_exports(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListExports>,
) -> Result<Json<ExportList>, Problem> {
    let limit = query.limit.unwrap_or(LIST_DEFAULT).clamp(1, LIST_MAX);
    let seen = |request: &ExportRequest| may_see(&caller, request);
    // One more than is shown tells whether there is another page.
    let mut jobs = app.exports()?.list(query.before.as_deref(), limit + 1, seen);
    let is_last = jobs.len() <= limit;
    jobs.truncate(limit);
    let before = jobs.last().filter(|_| !is_last).map(|(request, _)| request.id.clone());
    let exports = jobs.into_iter().map(|(request, state)| ListedExport { request, state }).collect();
    Ok(Json(ExportList { exports, before }))
}

/// Ask for an export
///
/// It is made in the background: ask for it by its id until it is done, then fetch its files.
#[utoipa::path(
    post, path = "/v1/exports", tag = "exports",
    request_body = NewExport,
    responses(
        (status = 202, body = ExportView, headers(("Location" = String))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The token may not read that project", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Too many are kept: delete one", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many wait", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "This process makes no exports", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn request_export(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<NewExport>,
) -> Result<Response, Problem> {
    let jobs = app.exports()?.clone();
    let mut filter = new.query.filter;
    narrow(&mut filter, &caller)?;
    let at = now();
    let time = |field: &str, text: Option<String>| {
        text.map(|text| moment(field, &text, at).map(|at| at.to_string())).transpose()
    };
    let query = QueryText {
        filter,
        from: time("query.from", new.query.from)?,
        to: time("query.to", new.query.to)?,
        text: new.query.text,
    };
    let format = new.format.unwrap_or(Format::Ndjson);
    let asked_by = format!("token {} ({})", caller.name(), caller.id());
    let order = ExportOrder {
        id: None,
        query,
        format,
        compression: new.compression,
        destination: new.destination,
        is_kept: true,
        asked_by,
    };
    // Writes a small file and fsyncs it.
    let submitted = tokio::task::spawn_blocking(move || jobs.submit_order(order)).await;
    let request = submitted
        .map_err(|error| Problem::new(Kind::Internal, "the export could not be written down").cause(error))?
        .map_err(|error| match error {
            SubmitError::Full => Problem::new(Kind::Busy, error.to_string()).retry_after_s(10),
            SubmitError::TooManyKept => Problem::new(Kind::Conflict, error.to_string()),
            SubmitError::Write(_) => {
                Problem::new(Kind::Unavailable, "the export could not be written down").cause(error)
            }
            SubmitError::Destination { .. } => Problem::field("destination", error.to_string()),
            SubmitError::Unfit(_) => Problem::field("compression", error.to_string()),
            SubmitError::Query { field, problem } => Problem::field(&format!("query.{field}"), problem),
        })?;
    let location = format!("/v1/exports/{}", request.id);
    let view = ExportView { request, state: ExportState::Waiting };
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(view)).into_response())
}

/// One export
#[utoipa::path(
    get, path = "/v1/exports/{id}", tag = "exports",
    params(("id" = String, Path, description = "The export's id")),
    responses(
        (status = 200, body = ExportView),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_export(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ExportView>, Problem> {
    let (request, state) = find(&app, &caller, &id)?;
    Ok(Json(ExportView { request, state }))
}

/// Delete an export
///
/// And its files. Not while it waits or is being made.
#[utoipa::path(
    delete, path = "/v1/exports/{id}", tag = "exports",
    params(("id" = String, Path, description = "The export's id")),
    responses(
        (status = 204),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is being made", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn delete_export(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    find(&app, &caller, &id)?;
    let jobs = app.exports()?.clone();
    let removed = tokio::task::spawn_blocking(move || jobs.remove(&id)).await;
    match removed {
        Ok(Ok(true)) => Ok(StatusCode::NO_CONTENT),
        Ok(Ok(false)) => Err(Problem::new(Kind::Conflict, "the export is still to be made")
            .hint("wait until it is done or failed")),
        Ok(Err(error)) => Err(Problem::new(Kind::Unavailable, "the files can't be deleted").cause(error)),
        Err(error) => Err(Problem::new(Kind::Internal, "the files can't be deleted").cause(error)),
    }
}

/// One file of an export
///
/// `manifest-sha256.txt` names every file under `data/`, `tagmanifest-sha256.txt` those beside it; `VERIFY.md` says how to
/// check them.
#[utoipa::path(
    get, path = "/v1/exports/{id}/files/{*path}", tag = "exports",
    params(
        ("id" = String, Path, description = "The export's id"),
        ("path" = String, Path, description = "The file's path in the export"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_export_file(
    State(app): State<App>,
    caller: Caller,
    Path((id, path)): Path<(String, String)>,
) -> Result<Response, Problem> {
    find(&app, &caller, &id)?;
    let missing = || Problem::new(Kind::NotFound, format!("export {id} has no file {path:?}"));
    let bag = app.exports()?.bag(&id).ok_or_else(|| {
        Problem::new(Kind::NotFound, format!("export {id} is not done")).hint("wait until its state is done")
    })?;
    let relative = PathBuf::from(&path);
    // Nothing may lead out of the bag; there are no links in it.
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(missing());
    }
    let file = tokio::fs::File::open(bag.join(relative)).await.map_err(|_| missing())?;
    let metadata = file.metadata().await.map_err(|_| missing())?;
    if !metadata.is_file() {
        return Err(missing());
    }
    note(&app, &caller, ReadKind::Export, &id, &[]);
    let body = Body::from_stream(ReaderStream::with_capacity(file, CHUNK_BYTES));
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, metadata.len().to_string()),
    ];
    Ok((headers, body).into_response())
}
