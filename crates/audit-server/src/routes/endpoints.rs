//! `/v1/endpoints`: where records are delivered to. What an endpoint is, and what makes one valid, is the
//! webhook crate's.

use audit_webhook::{EndpointError, EndpointId, EndpointStatus, EndpointUpdate, EndpointView, NewEndpoint};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::problem::{Kind, Problem, items};
use crate::routes::setting::{ChangeProblems, FindProblems, MakeProblems, current, made};
use crate::settings::change::author_of;
use crate::settings::etag::if_match;

pub(crate) fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_endpoints)).routes(routes!(get_endpoint))
}

pub(crate) fn write_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create_endpoint)).routes(routes!(change_endpoint, delete_endpoint))
}

/// An endpoint and how it stands.
#[derive(Serialize, ToSchema)]
struct EndpointAnswer {
    /// Its settings; secrets and header values are masked.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    endpoint: EndpointView,
    /// How it stands in the process that answers; absent where that process does not deliver.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    status: Option<StatusAnswer>,
    /// The secrets that its deliveries are signed with. Shown only when it is made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signing_secrets: Vec<String>,
    /// The first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// How an endpoint stands.
#[derive(Serialize)]
struct StatusAnswer {
    #[serde(flatten)]
    status: EndpointStatus,
    last_error: Option<audit_webhook::LastError>,
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

fn answer(endpoint: EndpointView, status: Option<EndpointStatus>) -> EndpointAnswer {
    let status = status.map(|status| StatusAnswer { last_error: status.totals.last_error.clone(), status });
    EndpointAnswer { endpoint, status, signing_secrets: Vec::new(), secret: None }
}

async fn with_status(app: &App, endpoint: EndpointView) -> EndpointAnswer {
    let statuses = match app.deliverer() {
        Some(deliverer) => deliverer.status().await,
        None => Vec::new(),
    };
    let status = statuses.into_iter().find(|status| status.id.as_str() == endpoint.id);
    answer(endpoint, status)
}

/// List endpoints
#[utoipa::path(get, path = "/v1/endpoints", tag = "endpoints", responses((status = 200, body = EndpointList)))]
async fn list_endpoints(State(app): State<App>) -> Json<EndpointList> {
    let mut statuses = match app.deliverer() {
        Some(deliverer) => deliverer.status().await,
        None => Vec::new(),
    };
    let one = |endpoint: EndpointView| {
        let index = statuses.iter().position(|status| status.id.as_str() == endpoint.id);
        answer(endpoint, index.map(|index| statuses.swap_remove(index)))
    };
    Json(EndpointList { endpoints: app.endpoints().list().into_iter().map(one).collect() })
}

/// One endpoint
#[utoipa::path(
    get, path = "/v1/endpoints/{id}", tag = "endpoints",
    params(("id" = String, Path, description = "The endpoint's id")),
    responses((status = 200, body = EndpointAnswer, headers(("ETag" = String))), FindProblems),
)]
async fn get_endpoint(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let view = app.endpoints().get(&EndpointId::from(id.as_str())).map_err(refused)?;
    Ok(current(view.version, with_status(&app, view).await))
}

/// Make an endpoint
///
/// `name` and `url` must be given; `description`, `method` (POST, PUT, PATCH), `headers`, `events` (actions, `flag.*`, `*`),
/// `filter`, `secrets` (`whsec_…`), `max_age`, `max_in_flight`, `timeout` and `start` (now, earliest, a time) may be. The
/// answer holds the signing secrets, once.
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
    Ok(current(view.version, with_status(&app, view).await))
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
