//! `/v1/hooks/{source}/{token}`: what platforms call.
//!
//! A platform hardly retries, so what is taken here must not be lost: it is on the log, in the spool, or in
//! `rejected` before it is answered; a 5xx is the last resort.

pub(crate) mod acknowledge;
pub(crate) mod activity;
pub(crate) mod drain;
pub(crate) mod receive;
pub(crate) mod rejected;
pub(crate) mod remembered;
mod repeats;
pub(crate) mod request;
pub(crate) mod translation;
mod waiting;

pub(crate) use repeats::Repeats;

use audit_record::AuditRecord;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::settings::secret::TokenHash;
use crate::settings::source::Source;
use crate::settings::stored::Setting;

/// The routes, for the hooks listener.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(hook))
}

/// What a webhook became.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Taken {
    /// The records that it became, in order. A webhook that tells of no change becomes none.
    pub(crate) records: Vec<TakenRecord>,
    /// Whether the records wait in the spool for the log to come back.
    pub(crate) spooled: bool,
}

/// A record that a webhook became.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TakenRecord {
    /// Its id.
    pub(crate) id: String,
}

impl Taken {
    pub(crate) fn new(records: &[AuditRecord], spooled: bool) -> Self {
        let records = records.iter().map(|record| TakenRecord { id: record.id().to_owned() }).collect();
        Self { records, spooled }
    }
}

impl IntoResponse for Taken {
    fn into_response(self) -> Response {
        let status = if self.spooled { StatusCode::ACCEPTED } else { StatusCode::OK };
        (status, Json(self)).into_response()
    }
}

/// Take a webhook in
///
/// What a platform calls, in the platform's own form. The query may hold `project` and `environment` for what the body
/// lacks; a platform that sends GET puts its JSON into `json`.
#[utoipa::path(
    method(get, post, put, patch),
    path = "/v1/hooks/{source}/{token}",
    tag = "hooks",
    security(()),
    params(
        ("source" = String, Path, description = "The source's name"),
        ("token" = String, Path, description = "The token of the source's URL"),
        ("project" = Option<String>, Query, description = "The project, where the body names none"),
        ("environment" = Option<String>, Query, description = "The environment, where the body names none"),
        ("json" = Option<String>, Query, description = "The body of a GET"),
    ),
    responses(
        (status = 200, description = "The records are durable on the log", body = Taken),
        (status = 202, description = "The log does not answer; the records are durable in the spool", body = Taken),
        (status = 401, description = "The signature is missing or wrong; the request is kept in `rejected`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The source is disabled", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such source, or a wrong token", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large; its beginning is kept in `rejected`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It fits no record; the request is kept in `rejected`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Neither the log nor the spool takes it; or the signature can't be checked for want of a key, and the request is kept in `rejected`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn hook(
    State(app): State<App>,
    Path((name, token)): Path<(String, String)>,
    request: Request,
) -> Result<Taken, Problem> {
    let source = find(&app, &name, &token)?;
    if !source.enabled {
        return Err(Problem::new(Kind::Forbidden, format!("the source {name} is disabled"))
            .hint(format!("flagtrail source enable {name}")));
    }
    let under_way = app.spooling().begin();
    // Held until it is durable: what is read and waited for at a time is bounded in bytes.
    let room = app.bounds().hold_hook(request.headers()).await?;
    let received = receive::read(&app, &source, request).await?;
    let worker = app.clone();
    let taking = app.spooling().carry_through(async move {
        let taken = receive::take(&worker, &source, received).await;
        drop(room);
        taken
    });
    let taken = taking
        .await
        .map_err(|error| Problem::new(Kind::Internal, "the webhook could not be taken").cause(error))?;
    drop(under_way);
    taken
}

/// The source, if the token is its own. An unknown source and a wrong token look alike and take as long.
fn find(app: &App, name: &str, token: &str) -> Result<Source, Problem> {
    let entity = app.control().get(Source::KIND, name);
    let source = entity.as_deref().and_then(Source::read);
    let fits = match &source {
        Some(source) => source.fits(token),
        None => TokenHash::of_nothing().fits(token),
    };
    source.filter(|_| fits).ok_or_else(|| Problem::new(Kind::NotFound, "there is no such hook"))
}
