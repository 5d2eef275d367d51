//! What one does with an endpoint: pause it, let it go on, deliver again.

use std::collections::BTreeSet;

use audit_journal::Position;
use audit_webhook::{
    EndpointError, EndpointId, EndpointUpdate, NewReplay, Redrive, ReplayView, RetiringView, Rotation, Start,
};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{EndpointAnswer, refused, with_status};
use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::routes::asked::moment;
use crate::routes::records::ask_archive;
use crate::routes::setting::{ChangeProblems, FindProblems, current};
use crate::settings::change::author_of;
use crate::settings::etag::if_match;

/// How often a change is repeated that names no version, because somebody else changed the endpoint meanwhile.
const CHANGES_MAX: usize = 4;

/// Most records of one redrive that are named one by one.
const RECORDS_MAX: usize = 1_000;

pub(crate) fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_replays)).routes(routes!(get_replay))
}

pub(crate) fn write_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(pause_endpoint))
        .routes(routes!(resume_endpoint))
        .routes(routes!(rotate_secret))
        .routes(routes!(replay))
        .routes(routes!(redrive))
        .routes(routes!(cancel_replay))
}

/// Changes an endpoint at the version that `If-Match` names, or, without one, at whatever version it has.
async fn change(
    app: &App,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    update: impl Fn() -> EndpointUpdate,
) -> Result<Response, Problem> {
    let id = EndpointId::from(id);
    for _ in 0..CHANGES_MAX {
        let version = app.endpoints().get(&id).map_err(refused)?.version;
        let is_bound = headers.contains_key(header::IF_MATCH);
        let version = if is_bound { if_match(headers, version)? } else { version };
        match app.endpoints().update(&id, version, update(), author_of(Some(caller))).await {
            Err(EndpointError::Conflict) if !is_bound => {}
            outcome => {
                let view = outcome.map_err(refused)?;
                return Ok(current(view.version, with_status(app, view).await?));
            }
        }
    }
    Err(refused(EndpointError::Conflict))
}

/// Deliver nothing more for now
///
/// What is in flight ends; what comes meanwhile is delivered after it is resumed, from where it stands.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/pause", tag = "endpoints",
    params(
        ("id" = String, Path, description = "The endpoint's id"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the version to change; any without it"),
    ),
    responses((status = 200, body = EndpointAnswer, headers(("ETag" = String))), ChangeProblems),
)]
async fn pause_endpoint(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let update = || EndpointUpdate { paused: Some(true), ..EndpointUpdate::default() };
    change(&app, &caller, &id, &headers, update).await
}

/// Go on where it stands
///
/// After a pause, and after it was disabled, by people or by itself: nothing is left out.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/resume", tag = "endpoints",
    params(
        ("id" = String, Path, description = "The endpoint's id"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the version to change; any without it"),
    ),
    responses((status = 200, body = EndpointAnswer, headers(("ETag" = String))), ChangeProblems),
)]
async fn resume_endpoint(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let update = || EndpointUpdate { paused: Some(false), enabled: Some(true), ..EndpointUpdate::default() };
    change(&app, &caller, &id, &headers, update).await
}

/// A secret that has just taken its place.
#[derive(Serialize, ToSchema)]
struct RotatedAnswer {
    /// The new secret, shown this once.
    secret: String,
    /// What receivers verify with, where the secret is asymmetric.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    /// The old secrets that sign beside it, masked, and until when.
    #[schema(value_type = Vec<Object>)]
    retiring: Vec<RetiringView>,
    /// The endpoint's version.
    version: u64,
}

/// Sign with another secret
///
/// `grace` (a duration; a day when left out) says how long the old secrets sign beside the new one: meanwhile each
/// delivery has a signature of each. `secret` may be given; one of the same kind is made up otherwise. The answer holds
/// the new secret, once.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/rotate-secret", tag = "endpoints",
    params(("id" = String, Path, description = "The endpoint's id")),
    request_body(content = Object, content_type = "application/json"),
    responses(
        (status = 200, body = RotatedAnswer, headers(("ETag" = String))),
        (status = 400, description = "The grace is too long, or too many secrets sign already", body = ProblemBody, content_type = "application/problem+json"),
        FindProblems,
    ),
)]
async fn rotate_secret(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(rotation): Json<Rotation>,
) -> Result<Response, Problem> {
    let id = EndpointId::from(id.as_str());
    let rotated =
        app.endpoints().rotate_secret(&id, rotation, author_of(Some(&caller))).await.map_err(refused)?;
    let answer = RotatedAnswer {
        secret: rotated.secret.expose_secret().to_owned(),
        public_key: rotated.public_key,
        retiring: rotated.view.retiring,
        version: rotated.view.version,
    };
    Ok(current(rotated.view.version, answer))
}

/// Which period is to be delivered again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct ReplayForm {
    /// Records appended at this moment or later: RFC 3339, a day, or a duration back from now such as 7d; all that are
    /// kept when left out.
    from: Option<String>,
    /// Records appended before this moment; up to now when left out.
    to: Option<String>,
    /// Only deliveries of the period that were given up and have not been made since.
    only_failed: bool,
    /// The id of another endpoint to deliver to, by that one's events and filter.
    to_endpoint: Option<String>,
}

/// Replays of an endpoint.
#[derive(Serialize, ToSchema)]
struct ReplayList {
    /// Those that are under way, and the last of those that are through.
    #[schema(value_type = Vec<Object>)]
    replays: Vec<ReplayView>,
}

/// Deliver a period again
///
/// Beside everything else, at the endpoint's rate, each delivery marked by the header `x-flagtrail-replay`. It is durable
/// once answered, and goes on after a restart.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/replay", tag = "endpoints",
    params(("id" = String, Path, description = "The endpoint's id")),
    request_body = ReplayForm,
    responses(
        (status = 202, description = "The replay", body = Object),
        (status = 400, description = "The form is wrong, there is nothing to deliver, or too many replays are under way", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn replay(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(form): Json<ReplayForm>,
) -> Result<Response, Problem> {
    let id = EndpointId::from(id.as_str());
    app.endpoints().get(&id).map_err(refused)?;
    let now = now();
    let edge = |field: &str, edge: Option<String>| {
        edge.map(|edge| moment(field, &edge, now).map(Start::At)).transpose()
    };
    let new =
        NewReplay { from: edge("from", form.from)?, to: edge("to", form.to)?, only_failed: form.only_failed };
    let author = author_of(Some(&caller));
    let ordered = match form.to_endpoint {
        None => app.endpoints().replay(&id, new, author).await,
        Some(other) if new.only_failed => {
            app.endpoints().replay_failed_of(&id, &EndpointId::from(other.as_str()), new, author).await
        }
        Some(other) => app.endpoints().replay(&EndpointId::from(other.as_str()), new, author).await,
    };
    Ok((StatusCode::ACCEPTED, Json(ordered.map_err(refused)?)).into_response())
}

/// What is to be delivered again of what was given up.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct RedriveForm {
    /// The ids of records: of each what was given up and has not been delivered since.
    records: Vec<String>,
    /// Everything that was given up and has not been delivered since.
    all: bool,
}

/// Deliver again what was given up
///
/// Some records by their ids, or all dead letters; but what another such replay is about to deliver. A replay like any
/// other: durable once answered.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/redrive", tag = "endpoints",
    params(("id" = String, Path, description = "The endpoint's id")),
    request_body = RedriveForm,
    responses(
        (status = 202, description = "The replay", body = Object),
        (status = 400, description = "The form is wrong, there is nothing to deliver, or too many replays are under way", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such endpoint, or no such record", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "There is no archive here to find records in", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn redrive(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(form): Json<RedriveForm>,
) -> Result<Response, Problem> {
    let id = EndpointId::from(id.as_str());
    app.endpoints().get(&id).map_err(refused)?;
    let what = match (form.all, form.records.len()) {
        (true, 0) => Redrive::All,
        (false, 1..=RECORDS_MAX) => Redrive::Records(positions(&app, form.records).await?),
        _ => {
            let problem = format!("must be 1 to {RECORDS_MAX} ids, or left out with all = true");
            return Err(Problem::field("records", problem));
        }
    };
    let ordered = app.endpoints().redrive(&id, what, author_of(Some(&caller))).await.map_err(refused)?;
    Ok((StatusCode::ACCEPTED, Json(ordered)).into_response())
}

/// Where records stand on the log.
async fn positions(app: &App, records: Vec<String>) -> Result<Vec<Position>, Problem> {
    let wanted: BTreeSet<String> = records.into_iter().collect();
    let asked = wanted.clone();
    let found = ask_archive(app, move |reader| {
        asked.iter().map(|id| Ok((id.clone(), reader.get(id)?))).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    let mut positions = Vec::with_capacity(wanted.len());
    for (id, rows) in found {
        if rows.is_empty() {
            return Err(Problem::new(Kind::NotFound, format!("there is no record {id:?}"))
                .hint("the archive is a moment behind the log"));
        }
        positions.extend(rows.iter().map(|row| Position { partition: row.partition, offset: row.offset }));
    }
    Ok(positions)
}

/// Replays of an endpoint
#[utoipa::path(
    get, path = "/v1/endpoints/{id}/replays", tag = "endpoints",
    params(("id" = String, Path, description = "The endpoint's id")),
    responses((status = 200, body = ReplayList), FindProblems),
)]
async fn list_replays(State(app): State<App>, Path(id): Path<String>) -> Result<Json<ReplayList>, Problem> {
    let replays = app.endpoints().replays(&EndpointId::from(id.as_str())).await.map_err(refused)?;
    Ok(Json(ReplayList { replays }))
}

/// One replay
#[utoipa::path(
    get, path = "/v1/endpoints/{id}/replays/{replay}", tag = "endpoints",
    params(
        ("id" = String, Path, description = "The endpoint's id"),
        ("replay" = String, Path, description = "The replay's id"),
    ),
    responses((status = 200, body = Object), FindProblems),
)]
async fn get_replay(
    State(app): State<App>,
    Path((id, replay)): Path<(String, String)>,
) -> Result<Json<ReplayView>, Problem> {
    Ok(Json(find_replay(&app, &EndpointId::from(id.as_str()), &replay).await?))
}

async fn find_replay(app: &App, id: &EndpointId, replay: &str) -> Result<ReplayView, Problem> {
    let replays = app.endpoints().replays(id).await.map_err(refused)?;
    let found = replays.into_iter().find(|view| view.id == replay);
    found.ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no replay {replay:?}")))
}

/// End a replay where it is
///
/// What of it waits to be tried again is forgotten.
#[utoipa::path(
    delete, path = "/v1/endpoints/{id}/replays/{replay}", tag = "endpoints",
    params(
        ("id" = String, Path, description = "The endpoint's id"),
        ("replay" = String, Path, description = "The replay's id"),
    ),
    responses((status = 204), FindProblems),
)]
async fn cancel_replay(
    State(app): State<App>,
    caller: Caller,
    Path((id, replay)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id = EndpointId::from(id.as_str());
    find_replay(&app, &id, &replay).await?;
    app.endpoints().cancel_replay(&id, &replay, author_of(Some(&caller))).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}
