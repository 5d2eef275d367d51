//! `/v1/settings/diff`: what a configuration would change, before a process starts with it.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::problem::{Kind, Problem};
use crate::routes::setting::MakeProblems;
use crate::settings::declared::{Declaration, PlannedChange, plan};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(diff_settings))
}

/// What would be done.
#[derive(Serialize, ToSchema)]
struct SettingsDiff {
    /// In the order in which it would be; empty where everything is as declared.
    changes: Vec<PlannedChange>,
}

/// Compare settings with a configuration
///
/// Shows what a process that starts with these declared settings would create, change, release or delete, and does none
/// of it. Nothing of the body is kept, and no secret is answered.
#[utoipa::path(
    post, path = "/v1/settings/diff", tag = "operations",
    request_body = Declaration,
    responses((status = 200, body = SettingsDiff), MakeProblems),
)]
async fn diff_settings(
    State(app): State<App>,
    Json(declaration): Json<Declaration>,
) -> Result<Json<SettingsDiff>, Problem> {
    let checked = declaration
        .read(app.journal().identity().namespace)
        .map_err(|error| Problem::new(Kind::BadRequest, error.to_string()))?;
    let plan = plan(app.control(), app.keyring(), app.endpoints(), checked)?;
    Ok(Json(SettingsDiff { changes: plan.into_iter().map(|(planned, _)| planned).collect() }))
}
