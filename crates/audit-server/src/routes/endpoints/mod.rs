//! `/v1/endpoints`: where records are delivered to. What an endpoint is, and what makes one valid, is the
//! webhook crate's.

mod actions;
mod dead_letters;
mod deliveries;
mod status;
mod trial;

use audit_webhook::{EndpointError, EndpointId, EndpointUpdate, EndpointView, NewEndpoint};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::status::{StatusAnswer, statuses};
use crate::app::App;
use crate::auth::Caller;
use crate::problem::{Kind, Problem, ProblemBody, items, unsealed};
use crate::routes::setting::{ChangeProblems, FindProblems, MakeProblems, current, made};
use crate::settings::change::author_of;
use crate::settings::declared::declared;
use crate::settings::etag::if_match;

pub(crate) fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_endpoints))
        .routes(routes!(get_endpoint))
        .merge(deliveries::routes())
        .merge(dead_letters::routes())
        .merge(actions::read_routes())
}

pub(crate) fn write_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_endpoint))
        .routes(routes!(change_endpoint, delete_endpoint))
        .merge(actions::write_routes())
        .merge(trial::routes())
}

/// An endpoint and how it stands.
#[derive(Serialize, ToSchema)]
struct EndpointAnswer {
    /// Its settings; secrets and header values are masked.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    endpoint: EndpointView,
    /// How it stands; absent right after it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<StatusAnswer>,
    /// The secrets that its deliveries are signed with. Shown only when it is made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signing_secrets: Vec<String>,
    /// The first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
struct ListEndpoints {
    /// false: without how they stand, which spares the archive.
    status: Option<bool>,
}

/// Every endpoint.
#[derive(Serialize, ToSchema)]
struct EndpointList {
    /// By id, which is by age.
    endpoints: Vec<EndpointAnswer>,
}

pub(super) fn refused(error: EndpointError) -> Problem {
    match error {
        EndpointError::Invalid(violations) => {
            let errors: Vec<_> = items(None, violations).collect();
            let detail = errors
                .iter()
                .map(|item| format!("{} {}", item.field.as_deref().unwrap_or_default(), item.problem));
            Problem::new(Kind::BadRequest, detail.collect::<Vec<_>>().join("; ")).with_errors(errors)
        }
        EndpointError::Replay(_) => Problem::new(Kind::BadRequest, error.to_string()),
        EndpointError::Unknown(_) => Problem::new(Kind::NotFound, error.to_string()),
        EndpointError::NameTaken(_) | EndpointError::Conflict | EndpointError::Stored(_) => {
            Problem::new(Kind::Conflict, error.to_string())
        }
        EndpointError::NoRequest(_) => Problem::new(Kind::BadRequest, error.to_string()),
        EndpointError::Client(_) => {
            Problem::new(Kind::Unavailable, "this process can't send anything").cause(error)
        }
        EndpointError::Seal(error) => unsealed(error),
        EndpointError::Declared { name, file } => declared("endpoint", &name, &file),
        EndpointError::Start(_) => {
            Problem::new(Kind::Unavailable, "the log can't be read now").retry_after_s(2).cause(error)
        }
        EndpointError::Write(_) => {
            Problem::new(Kind::Unavailable, "the change was not written, or it is not known whether it was")
                .hint("read it again: the version shows whether it was")
                .cause(error)
        }
    }
}

impl From<EndpointError> for Problem {
    fn from(error: EndpointError) -> Self {
        refused(error)
    }
}

fn answer(endpoint: EndpointView, status: Option<StatusAnswer>) -> EndpointAnswer {
    EndpointAnswer { endpoint, status, signing_secrets: Vec::new(), secret: None }
}

async fn with_status(app: &App, view: EndpointView) -> Result<EndpointAnswer, Problem> {
    let status = statuses(app, std::slice::from_ref(&view)).await?.pop();
    Ok(answer(view, status))
}

/// List endpoints
#[utoipa::path(
    get, path = "/v1/endpoints", tag = "endpoints", params(ListEndpoints),
    responses(
        (status = 200, body = EndpointList),
        (status = 429, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_endpoints(
    State(app): State<App>,
    Query(asked): Query<ListEndpoints>,
) -> Result<Json<EndpointList>, Problem> {
    let endpoints = app.endpoints().list();
    if asked.status == Some(false) {
        let endpoints = endpoints.into_iter().map(|view| answer(view, None)).collect();
        return Ok(Json(EndpointList { endpoints }));
    }
    let statuses = statuses(&app, &endpoints).await?;
    let both = endpoints.into_iter().zip(statuses);
    Ok(Json(EndpointList { endpoints: both.map(|(view, status)| answer(view, Some(status))).collect() }))
}

/// One endpoint
#[utoipa::path(
    get, path = "/v1/endpoints/{id}", tag = "endpoints",
    params(("id" = String, Path, description = "The endpoint's id")),
    responses((status = 200, body = EndpointAnswer, headers(("ETag" = String))), FindProblems),
)]
async fn get_endpoint(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let view = app.endpoints().get(&EndpointId::from(id.as_str())).map_err(refused)?;
    Ok(current(view.version, with_status(&app, view).await?))
}

/// Make an endpoint
///
/// `name` and `url` must be given. May be: `description`, `method` (POST, PUT, PATCH, GET), `headers`, `events` (actions,
/// `flag.*`, `*`), `filter`, `preset` (cache, audit), `format`, `ordered`, `collapse` (`{by, window}`, not in a platform's
/// format), `secrets` (`whsec_…`, `whsk_…`), `tls`, `max_age`, `rate_limit_per_second`, `max_in_flight`, `timeout`,
/// `enabled`, `paused` and `start` (now, earliest, a time). The answer holds the signing secrets, once.
#[utoipa::path(
    post, path = "/v1/endpoints", tag = "endpoints",
    request_body(content = Object, content_type = "application/json"),
    responses(
        (status = 201, body = EndpointAnswer, headers(("ETag" = String), ("Location" = String))),
        MakeProblems,
    ),
)]
async fn create_endpoint(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<NewEndpoint>,
) -> Result<Response, Problem> {
    let created = app.endpoints().create(new, author_of(Some(&caller))).await.map_err(refused)?;
    let secrets = created.secrets.iter().map(|secret| secret.expose_secret().to_owned());
    let (id, version) = (created.view.id.clone(), created.view.version);
    let mut body = answer(created.view, None);
    body.signing_secrets = secrets.collect();
    body.secret = body.signing_secrets.first().cloned();
    Ok(made("/v1/endpoints", &id, version, body))
}

/// Change an endpoint
///
/// What is given replaces, what is left out stays. With `start` it is moved: its progress so far no longer counts.
#[utoipa::path(
    patch, path = "/v1/endpoints/{id}", tag = "endpoints",
    params(
        ("id" = String, Path, description = "The endpoint's id"),
        ("If-Match" = String, Header, description = "The ETag of the version to change, or *"),
    ),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 200, body = EndpointAnswer, headers(("ETag" = String))), ChangeProblems),
)]
async fn change_endpoint(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(update): Json<EndpointUpdate>,
) -> Result<Response, Problem> {
    let id = EndpointId::from(id.as_str());
    let version = if_match(&headers, app.endpoints().get(&id).map_err(refused)?.version)?;
    let view =
        app.endpoints().update(&id, version, update, author_of(Some(&caller))).await.map_err(refused)?;
    Ok(current(view.version, with_status(&app, view).await?))
}

/// Delete an endpoint
///
/// What was not delivered to it never will be.
#[utoipa::path(
    delete, path = "/v1/endpoints/{id}", tag = "endpoints",
    params(
        ("id" = String, Path, description = "The endpoint's id"),
        ("If-Match" = String, Header, description = "The ETag of the version to delete, or *"),
    ),
    responses((status = 204), ChangeProblems),
)]
async fn delete_endpoint(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let id = EndpointId::from(id.as_str());
    let version = if_match(&headers, app.endpoints().get(&id).map_err(refused)?.version)?;
    app.endpoints().delete(&id, version, author_of(Some(&caller))).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}
