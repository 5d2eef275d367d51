//! Trying an endpoint out: a test that is sent, and a request that is only shown.

use audit_dialect::outbound::sample_record;
use audit_record::AuditRecord;
use audit_webhook::{EndpointId, EndpointUpdate, NewEndpoint, Shown, ShownRequest, TestAnswer};
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::refused;
use crate::app::App;
use crate::problem::{Kind, Problem, ProblemBody, items};
use crate::routes::records::ask_archive;
use crate::routes::setting::FindProblems;

/// What an endpoint is called that is only previewed.
const PREVIEWED: &str = "preview";

/// Where it delivers, unless that is said.
const PREVIEWED_URL: &str = "https://receiver.example/hook";

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(test_endpoint)).routes(routes!(preview))
}

/// Send one signed delivery of type webhook.test
///
/// It is in no log and changes nothing of how the endpoint stands; one that is paused or disabled is tested, too. The
/// answer says what came back, within 20 seconds.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/test", tag = "endpoints",
    params(("id" = String, Path, description = "The endpoint's id")),
    responses(
        (status = 200, description = "What came back: status, duration, error class, excerpt", body = Object),
        FindProblems,
        (status = 429, description = "Too many tests at a time", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn test_endpoint(State(app): State<App>, Path(id): Path<String>) -> Result<Json<TestAnswer>, Problem> {
    let _held = app.bounds().hold_test()?;
    let answer = app.endpoints().test(&EndpointId::from(id.as_str())).await.map_err(refused)?;
    Ok(Json(answer))
}

/// What is to be shown.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct PreviewForm {
    /// The id of an endpoint; a new one when left out.
    endpoint: Option<String>,
    /// Fields of an endpoint, as for making or changing one: what is said here is not written.
    #[schema(value_type = Object)]
    with: Option<Value>,
    /// A record, whole.
    #[schema(value_type = Option<Object>)]
    record: Option<Value>,
    /// The id of a record in the archive. Without either the record is a sample.
    record_id: Option<String>,
}

/// Show a request without sending it
///
/// The exact request by which a record would be delivered to an endpoint that is there, or to one that is only
/// described. Nothing is sent or written; secret headers are masked.
#[utoipa::path(
    post, path = "/v1/endpoints/preview", tag = "endpoints",
    request_body = PreviewForm,
    responses(
        (status = 200, description = "Method, URL, headers and body", body = Object),
        (status = 400, description = "A field of the endpoint or the record is wrong, or no request can be made of the record", body = ProblemBody, content_type = "application/problem+json"),
        FindProblems,
    ),
)]
async fn preview(
    State(app): State<App>,
    Json(form): Json<PreviewForm>,
) -> Result<Json<ShownRequest>, Problem> {
    let record = record(&app, form.record, form.record_id).await?;
    let with = form.with.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let unread = |error: serde_json::Error| Problem::field("with", error.to_string());
    let shown = match form.endpoint {
        Some(id) => {
            let update: EndpointUpdate = serde_json::from_value(with).map_err(unread)?;
            Shown::Existing(EndpointId::from(id.as_str()), Box::new(update))
        }
        None => {
            let mut new: NewEndpoint = serde_json::from_value(with).map_err(unread)?;
            for (field, default) in [(&mut new.name, PREVIEWED), (&mut new.url, PREVIEWED_URL)] {
                if field.is_empty() {
                    default.clone_into(field);
                }
            }
            Shown::New(Box::new(new))
        }
    };
    Ok(Json(app.endpoints().preview(shown, &record).map_err(refused)?))
}

/// The record to show.
async fn record(app: &App, given: Option<Value>, id: Option<String>) -> Result<AuditRecord, Problem> {
    let wrong = |error: audit_record::RecordError| match error {
        audit_record::RecordError::Invalid(violations) => {
            Problem::new(Kind::BadRequest, "the record is none")
                .with_errors(items(None, violations).collect())
        }
        error => Problem::field("record", error.to_string()),
    };
    match (given, id) {
        (Some(_), Some(_)) => Err(Problem::field("record_id", "must be left out where a record is given")),
        (None, None) => Ok(sample_record()),
        (Some(record), None) => AuditRecord::from_json(record.to_string().as_bytes()).map_err(wrong),
        (None, Some(id)) => {
            let wanted = id.clone();
            let rows = ask_archive(app, move |reader| reader.get(&wanted)).await?;
            let row = rows.first();
            let row =
                row.ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no record {id:?}")))?;
            AuditRecord::from_json(row.json.as_bytes()).map_err(wrong)
        }
    }
}
