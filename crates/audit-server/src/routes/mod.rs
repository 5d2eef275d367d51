//! The two routers. Who may call what is decided here and nowhere else.

mod access;
mod asked;
mod backwards;
mod declared;
mod endpoints;
mod erasures;
mod evidence;
mod exports;
pub(crate) mod health;
mod keys;
mod openapi;
mod records;
mod rejected;
mod reports;
mod reviews;
mod schedules;
mod setting;
mod sources;
mod standby;
mod stream;
mod tokens;

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::auth::authorise;
use crate::config::SETTINGS_BODY_BYTES_MAX;
use crate::settings::token::Scope;
use crate::trace::observe;
use crate::{hooks, ingest};

pub use standby::standby_router;

/// What platforms call.
pub(crate) fn hooks_router(app: &App) -> Router {
    let (router, _) = hooks::routes().routes(utoipa_axum::routes!(health::healthz)).split_for_parts();
    finished(router, app)
}

/// The administration.
pub(crate) fn admin_router(app: &App) -> Router {
    let behind = |routes: OpenApiRouter<App>, scope: Scope| {
        routes.route_layer(from_fn_with_state((app.clone(), scope), authorise))
    };
    let metrics_scope = app.config().metrics_need_token.then_some(Scope::SettingsRead);
    let metrics = match metrics_scope {
        Some(scope) => behind(health::metrics_routes(), scope),
        None => health::metrics_routes(),
    };
    let (router, mut api) = OpenApiRouter::with_openapi(openapi::Api::openapi())
        .merge(health::routes())
        .merge(metrics)
        .merge(behind(ingest::routes(), Scope::RecordsWrite))
        .merge(behind(records::routes(), Scope::RecordsRead))
        .merge(behind(stream::routes(), Scope::RecordsRead))
        .merge(behind(access::routes(), Scope::RecordsRead))
        .merge(behind(evidence::routes(), Scope::RecordsRead))
        .merge(behind(reports::routes(), Scope::RecordsRead))
        .merge(behind(reviews::routes(), Scope::RecordsWrite))
        .merge(behind(exports::routes(), Scope::Exports))
        .merge(behind(erasures::routes(), Scope::Admin))
        .merge(behind(sources::read_routes(), Scope::SettingsRead))
        .merge(behind(sources::write_routes(), Scope::SettingsWrite))
        .merge(behind(schedules::read_routes(), Scope::SettingsRead))
        .merge(behind(schedules::write_routes(), Scope::SettingsWrite))
        .merge(behind(tokens::read_routes(), Scope::SettingsRead))
        .merge(behind(tokens::write_routes(), Scope::Admin))
        .merge(behind(declared::routes(), Scope::Admin))
        .merge(behind(endpoints::read_routes(), Scope::SettingsRead))
        .merge(behind(endpoints::write_routes(), Scope::SettingsWrite))
        .merge(behind(keys::read_routes(), Scope::SettingsRead))
        .merge(behind(keys::write_routes(), Scope::Admin))
        .merge(behind(rejected::read_routes(), Scope::SettingsRead))
        .merge(behind(rejected::write_routes(), Scope::SettingsWrite))
        .split_for_parts();
    // Served by the other listener, described with the rest.
    api.merge(hooks::routes().into_openapi());
    let api = std::sync::Arc::new(api);
    let router = router.route("/openapi.json", get(async move || Json(api.clone())));
    finished(router, app)
}

fn finished(router: Router<App>, app: &App) -> Router {
    router
        .fallback(openapi::no_such_path)
        .method_not_allowed_fallback(openapi::no_such_method)
        .layer(DefaultBodyLimit::max(SETTINGS_BODY_BYTES_MAX))
        .layer(from_fn(openapi::problems_only))
        .layer(from_fn_with_state(app.clone(), observe))
        .with_state(app.clone())
}
