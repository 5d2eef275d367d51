//! `/v1/sources`: installations of platforms.

mod view;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::problem::{Kind, Problem};
use crate::routes::setting::{ChangeProblems, FindProblems, MakeProblems, current, made};
use crate::routes::sources::view::{SourceList, SourceView, archived, view};
use crate::settings::etag::if_match;
use crate::settings::source::{NewSource, Source, SourcePatch};
use crate::settings::stored::{Stored, sentence};

pub(crate) fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_sources)).routes(routes!(get_source))
}

pub(crate) fn write_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_source))
        .routes(routes!(change_source, delete_source))
        .routes(routes!(rotate_source_url))
}

/// The names of sources that have a secret in clear, or sealed with another key than the current one.
pub(super) fn outdated(app: &App) -> Vec<String> {
    let sources = Stored::<Source>::list(app.control()).into_iter().map(|source| source.setting);
    sources.filter(|source| source.is_outdated(app.keyring())).map(|source| source.name).collect()
}

/// Seals the secrets of a source with the current key: a change of settings like any other, of nothing else.
pub(super) async fn reseal(app: &App, caller: &Caller, name: &str) -> Result<(), Problem> {
    let source = Stored::<Source>::find(app.control(), name)?;
    // Written with a secret that does not open, it would stay outdated.
    let opened = source.setting.open_secrets(app.keyring());
    opened.map_err(|error| Problem::new(Kind::Conflict, error.to_string()))?;
    let log = format!("The secrets of source {name} were sealed anew");
    source.change(app.control(), app.keyring(), source.setting.clone(), log, Some(caller)).await?;
    Ok(())
}

/// List sources
#[utoipa::path(get, path = "/v1/sources", tag = "sources", responses((status = 200, body = SourceList)))]
async fn list_sources(State(app): State<App>) -> Json<SourceList> {
    let archived = archived(&app).await;
    let sources = Stored::<Source>::list(app.control()).into_iter();
    Json(SourceList { sources: sources.map(|source| view(&app, source, archived.as_ref(), None)).collect() })
}

/// One source
#[utoipa::path(
    get, path = "/v1/sources/{name}", tag = "sources",
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 200, body = SourceView, headers(("ETag" = String))), FindProblems),
)]
async fn get_source(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Problem> {
    let source = Stored::<Source>::find(app.control(), &name)?;
    Ok(current(source.version, view(&app, source, archived(&app).await.as_ref(), None)))
}

/// Make a source
///
/// The answer holds the URL to paste into the platform, once.
#[utoipa::path(
    post, path = "/v1/sources", tag = "sources",
    request_body = NewSource,
    responses(
        (status = 201, body = SourceView, headers(("ETag" = String), ("Location" = String))),
        MakeProblems,
    ),
)]
async fn create_source(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<NewSource>,
) -> Result<Response, Problem> {
    let (source, token) = new.make()?;
    let name = source.name.clone();
    let source = Stored::make(app.control(), app.keyring(), &name, source, Some(&caller)).await?;
    Ok(made("/v1/sources", &name, source.version, view(&app, source, None, Some(&token))))
}

/// Change a source
#[utoipa::path(
    patch, path = "/v1/sources/{name}", tag = "sources",
    params(
        ("name" = String, Path, description = "The source's name"),
        ("If-Match" = String, Header, description = "The ETag of the version to change, or *"),
    ),
    request_body(content = SourcePatch, content_type = "application/json"),
    responses((status = 200, body = SourceView, headers(("ETag" = String))), ChangeProblems),
)]
async fn change_source(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<SourcePatch>,
) -> Result<Response, Problem> {
    let source = Stored::<Source>::find(app.control(), &name)?;
    if_match(&headers, source.version)?;
    if patch.is_configuration() {
        source.must_not_be_declared()?;
    }
    let changed = patch.apply(&source.setting)?;
    let log = sentence(&changed, "updated");
    let source = source.change(app.control(), app.keyring(), changed, log, Some(&caller)).await?;
    Ok(current(source.version, view(&app, source, archived(&app).await.as_ref(), None)))
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
    responses((status = 200, body = SourceView, headers(("ETag" = String))), ChangeProblems),
)]
async fn rotate_source_url(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let source = Stored::<Source>::find(app.control(), &name)?;
    if headers.contains_key(header::IF_MATCH) {
        if_match(&headers, source.version)?;
    }
    source.must_not_be_declared()?;
    let mut changed = source.setting.clone();
    let token = changed.rotate_token();
    let log = sentence(&changed, "given a new URL");
    let source = source.change(app.control(), app.keyring(), changed, log, Some(&caller)).await?;
    Ok(current(source.version, view(&app, source, None, Some(&token))))
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
    responses((status = 204), ChangeProblems),
)]
async fn delete_source(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let source = Stored::<Source>::find(app.control(), &name)?;
    if_match(&headers, source.version)?;
    source.must_not_be_declared()?;
    source.delete(app.control(), Some(&caller)).await?;
    app.activity().forget(&name);
    Ok(StatusCode::NO_CONTENT)
}
