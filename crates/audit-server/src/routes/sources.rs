//! `/v1/sources`: installations of platforms.

mod form;
mod view;

use std::sync::Arc;

use audit_journal::{Entity, SettingsChange};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::routes::sources::form::{NewSource, SourcePatch};
use crate::routes::sources::view::{SourceList, SourceView, view};
use crate::settings::change::{Told, write};
use crate::settings::etag::{etag, if_match};
use crate::settings::source::{KIND, Source};

/// Most sources; each is a path and a set of counters.
const SOURCES_MAX: usize = 1_000;

pub(crate) fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_sources)).routes(routes!(get_source))
}

pub(crate) fn write_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_source))
        .routes(routes!(change_source, delete_source))
        .routes(routes!(rotate_source_url))
}

fn find(app: &App, name: &str) -> Result<(Arc<Entity>, Source), Problem> {
    let entity = app
        .control()
        .get(KIND, name)
        .ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no source {name:?}")))?;
    let source = Source::read(&entity).ok_or_else(|| newer(name))?;
    Ok((entity, source))
}

fn newer(name: &str) -> Problem {
    Problem::new(Kind::Conflict, format!("the source {name:?} was written by a later release"))
        .hint("use that release")
}

/// List sources
#[utoipa::path(get, path = "/v1/sources", tag = "sources", responses((status = 200, body = SourceList)))]
async fn list_sources(State(app): State<App>) -> Json<SourceList> {
    let entities = app.control().list(KIND);
    let views = entities.iter().filter_map(|entity| Some(view(&app, entity, Source::read(entity)?, None)));
    Json(SourceList { sources: views.collect() })
}

/// One source
#[utoipa::path(
    get, path = "/v1/sources/{name}", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    responses(
        (status = 200, body = SourceView, headers(("ETag" = String))),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_source(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Problem> {
    let (entity, source) = find(&app, &name)?;
    Ok(([(header::ETAG, etag(entity.version))], Json(view(&app, &entity, source, None))).into_response())
}

/// Make a source
///
/// The answer holds the URL to paste into the platform, once.
#[utoipa::path(
    post, path = "/v1/sources", tag = "sources",
    request_body = NewSource,
    responses(
        (status = 201, body = SourceView, headers(("ETag" = String), ("Location" = String))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn create_source(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<NewSource>,
) -> Result<Response, Problem> {
    let (source, token) = new.make()?;
    if app.control().list(KIND).len() >= SOURCES_MAX {
        return Err(Problem::new(Kind::Conflict, format!("there may be {SOURCES_MAX} sources"))
            .hint("several webhooks of one installation may share a source"));
    }
    let log = format!("Source {} was created", source.name);
    let entity = save(&app, &caller, None, &source, "flagtrail.source.created", log).await?;
    let location = format!("/v1/sources/{}", source.name);
    let headers = [
        (header::ETAG, etag(entity.version)),
        (header::LOCATION, location.parse().expect("a name is a header value")),
    ];
    Ok((StatusCode::CREATED, headers, Json(view(&app, &entity, source, Some(&token)))).into_response())
}

/// Change a source
#[utoipa::path(
    patch, path = "/v1/sources/{name}", tag = "sources",
    params(
        ("name" = String, Path, description = "The source's name"),
        ("If-Match" = String, Header, description = "The ETag of the version to change, or *"),
    ),
    request_body(content = SourcePatch, content_type = "application/json"),
    responses(
        (status = 200, body = SourceView, headers(("ETag" = String))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Somebody else changed it at the same moment", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It was changed since", body = ProblemBody, content_type = "application/problem+json"),
        (status = 428, description = "There is no If-Match", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn change_source(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<SourcePatch>,
) -> Result<Response, Problem> {
    let (entity, source) = find(&app, &name)?;
    if_match(&headers, entity.version)?;
    let changed = patch.apply(&source)?;
    let log = format!("Source {name} was updated");
    let entity =
        save(&app, &caller, Some((&entity, &source)), &changed, "flagtrail.source.updated", log).await?;
    Ok(([(header::ETAG, etag(entity.version))], Json(view(&app, &entity, changed, None))).into_response())
}

/// Give a source a new URL
///
/// The old URL stops working at once.
#[utoipa::path(
    post, path = "/v1/sources/{name}/rotate", tag = "sources",
    params(
        ("name" = String, Path, description = "The source's name"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the version to change; whichever there is by default"),
    ),
    responses(
        (status = 200, body = SourceView, headers(("ETag" = String))),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn rotate_source_url(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (entity, source) = find(&app, &name)?;
    if headers.contains_key(header::IF_MATCH) {
        if_match(&headers, entity.version)?;
    }
    let mut changed = source.clone();
    let token = changed.rotate_token();
    let log = format!("Source {name} was given a new URL");
    let entity =
        save(&app, &caller, Some((&entity, &source)), &changed, "flagtrail.source.updated", log).await?;
    let view = view(&app, &entity, changed, Some(&token));
    Ok(([(header::ETAG, etag(entity.version))], Json(view)).into_response())
}

/// Delete a source
///
/// Its records stay; its URL stops working.
#[utoipa::path(
    delete, path = "/v1/sources/{name}", tag = "sources",
    params(
        ("name" = String, Path, description = "The source's name"),
        ("If-Match" = String, Header, description = "The ETag of the version to delete, or *"),
    ),
    responses(
        (status = 204),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn delete_source(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (entity, source) = find(&app, &name)?;
    let base_version = if_match(&headers, entity.version)?;
    let change = SettingsChange { kind: KIND.to_owned(), id: name.clone(), base_version, value: None };
    let told = Told {
        action: "flagtrail.source.deleted",
        object_type: "FLAGTRAIL_SOURCE",
        id: &name,
        name: &name,
        log: format!("Source {name} was deleted"),
        before: Some(source.told()),
        after: None,
    };
    write(app.control(), change, told, Some(&caller)).await?;
    app.activity().forget(&name);
    Ok(StatusCode::NO_CONTENT)
}

async fn save(
    app: &App,
    caller: &Caller,
    before: Option<(&Entity, &Source)>,
    after: &Source,
    action: &'static str,
    log: String,
) -> Result<Arc<Entity>, Problem> {
    let change = SettingsChange {
        kind: KIND.to_owned(),
        id: after.name.clone(),
        base_version: before.map_or(0, |(entity, _)| entity.version),
        value: Some(after.document()),
    };
    let told = Told {
        action,
        object_type: "FLAGTRAIL_SOURCE",
        id: &after.name,
        name: &after.name,
        log,
        before: before.map(|(_, source)| source.told()),
        after: Some(after.told()),
    };
    let entity = write(app.control(), change, told, Some(caller)).await?;
    entity.ok_or_else(|| Problem::new(Kind::Conflict, "it was deleted meanwhile"))
}
