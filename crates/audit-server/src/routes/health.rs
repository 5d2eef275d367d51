//! Liveness, readiness by role, figures.

use audit_archive::{PartitionStatus, Status};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::routes::records::refused;

/// How many messages the archive may be behind the log and yet be ready.
const ARCHIVE_LAG_MAX: u64 = 10_000;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

pub(crate) fn metrics_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Whether the process answers
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()), responses((status = 200, body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready for what.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Role {
    /// A webhook that came now would be kept.
    #[default]
    Ingest,
    /// Every partition of this process is delivered from.
    Deliver,
    /// The archive is near the log's end, and is what was signed.
    Archive,
    /// Every partition of this process is sealed and, where segments go somewhere, cut and written.
    Seal,
}

#[derive(Debug, Deserialize, IntoParams)]
struct Ready {
    /// Which role; `ingest` by default.
    #[serde(default)]
    #[param(inline)]
    role: Role,
}

/// Whether a role can do its work now
///
/// `ingest`: a webhook that came now would be kept, on the log or in the spool. `deliver`: every partition that this process
/// has is delivered from, whatever receivers do. `archive`: the archive is near the log's end, and its tree is the one that was
/// signed. `seal`: every partition that this process has is sealed and, where segments go somewhere, cut, and nothing stood
/// against its next segment when that was last tried.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    security(()),
    params(Ready),
    responses(
        (status = 200, description = "Ready", body = String),
        (status = 503, description = "Not ready; the detail says why", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn readyz(State(app): State<App>, Query(ready): Query<Ready>) -> Result<&'static str, Problem> {
    match ready.role {
        Role::Ingest if app.is_ready() => Ok("ready\n"),
        Role::Ingest => Err(Problem::new(
            Kind::Unavailable,
            "the log does not answer, and no spool takes anything in its place",
        )),
        Role::Deliver => match app.delivering()?.problem() {
            None => Ok("ready\n"),
            Some((partition, why)) => Err(Problem::new(
                Kind::Unavailable,
                format!("partition {partition}: it is delivered from no further: {why}"),
            )),
        },
        Role::Archive => {
            let status = archive_status(&app).await?;
            if let Some(stopped) = status.partitions.iter().find_map(|partition| partition.stopped.as_ref()) {
                return Err(Problem::new(Kind::Unavailable, stopped.clone()));
            }
            if let Some(alarm) = status.partitions.iter().find_map(|partition| partition.alarm.as_ref()) {
                return Err(Problem::new(Kind::Unavailable, alarm.clone()).hint(
                    "`flagtrail archive check` tells more; of a checkpoint there is a record, flagtrail.checkpoint.mismatch or .rejected",
                ));
            }
            match lag(&status) {
                lag if lag <= ARCHIVE_LAG_MAX => Ok("ready\n"),
                lag => Err(Problem::new(
                    Kind::Unavailable,
                    format!("the archive is {lag} messages behind the log"),
                )),
            }
        }
        Role::Seal => {
            let partitions = app.sealing()?.partitions();
            let problem = partitions
                .iter()
                .find_map(|(partition, standing)| standing.problem().map(|problem| (*partition, problem)));
            match problem {
                None => Ok("ready\n"),
                Some((partition, problem)) => {
                    Err(Problem::new(Kind::Unavailable, format!("partition {partition}: {problem}")))
                }
            }
        }
    }
}

async fn archive_status(app: &App) -> Result<Status, Problem> {
    let reader = app.archive()?.clone();
    tokio::task::spawn_blocking(move || reader.status())
        .await
        .map_err(|error| Problem::new(Kind::Internal, "the archive's state can't be read").cause(error))?
        .map_err(refused)
}

pub(crate) fn lag(status: &Status) -> u64 {
    status.partitions.iter().map(PartitionStatus::lag).sum()
}

/// Figures in the OpenMetrics text format
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()), responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    if let Some(spool) = app.spool() {
        let (entries, bytes) = spool.backlog();
        app.metrics().spool(entries, bytes);
    }
    // Without an archive here there is no lag to tell of.
    if let Ok(status) = archive_status(&app).await {
        app.metrics().archive(&status);
    }
    if let Some(deliverer) = app.deliverer() {
        app.metrics().endpoints(deliverer.status().await);
    }
    let text = app
        .metrics()
        .encode()
        .map_err(|error| Problem::new(Kind::Internal, "the figures can't be written").cause(error))?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, content_type)], text).into_response())
}
