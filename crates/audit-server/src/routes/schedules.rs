//! `/v1/schedules`: exports that are made again and again.

use audit_export::{NewSchedule, RUN_KIND, Schedule};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{Problem, ProblemBody};
use crate::routes::setting::{ChangeProblems, FindProblems, MakeProblems, current, made};
use crate::settings::etag::if_match;
use crate::settings::schedule::make;
use crate::settings::stored::Stored;
use crate::settings::token::Scope;

pub(crate) fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_schedules)).routes(routes!(get_schedule))
}

pub(crate) fn write_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create_schedule)).routes(routes!(delete_schedule))
}

/// A schedule.
#[derive(Serialize, ToSchema)]
struct ScheduleView {
    /// What was asked for: `name`, `cron`, `time_zone`, `destination`, `filter`, `text`, `covers`, `format`; `created_at`,
    /// and `declared_in` of one that stands in a configuration.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    schedule: Schedule,
    /// When an export was due last that is being made or is done.
    last_due: Option<String>,
    /// Up to when the exports that are done hold together everything that happened since it was made, or since the first of them
    /// begins; of a schedule with `covers`, of the times that its exports cover. What came to the log later is in the next one.
    /// Absent while none is done, or none since filter, text, covers or destination were changed.
    covered_until: Option<String>,
    /// When one is due next, in the schedule's time zone.
    next_due: Option<String>,
    /// Also the `ETag`.
    version: u64,
}

/// Every schedule.
#[derive(Serialize, ToSchema)]
struct ScheduleList {
    /// By name.
    schedules: Vec<ScheduleView>,
}

fn view(app: &App, stored: Stored<Schedule>) -> ScheduleView {
    let Stored { id, version, setting: schedule } = stored;
    // One of the same name that was deleted may have left its run, which is forgotten soon.
    let run = app.control().get(RUN_KIND, &id).filter(|run| run.value["of"] == schedule.created_at.as_str());
    let last_due = run.as_ref().and_then(|run| run.value["due"].as_str()).map(str::to_owned);
    let covered_until = run.as_ref().and_then(|run| schedule.covered_until(&run.value));
    let next_due = schedule.next_due(now());
    ScheduleView { schedule, last_due, covered_until, next_due, version }
}

/// List schedules
#[utoipa::path(get, path = "/v1/schedules", tag = "exports", responses((status = 200, body = ScheduleList)))]
async fn list_schedules(State(app): State<App>) -> Json<ScheduleList> {
    let schedules = Stored::<Schedule>::list(app.control());
    Json(ScheduleList { schedules: schedules.into_iter().map(|schedule| view(&app, schedule)).collect() })
}

/// One schedule
#[utoipa::path(
    get, path = "/v1/schedules/{name}", tag = "exports",
    params(("name" = String, Path, description = "The schedule's name")),
    responses((status = 200, body = ScheduleView, headers(("ETag" = String))), FindProblems),
)]
async fn get_schedule(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Problem> {
    let schedule = Stored::<Schedule>::find(app.control(), &name)?;
    Ok(current(schedule.version, view(&app, schedule)))
}

/// Make a schedule
///
/// From then on, exports are made at its times and brought to its destination: `name`, `cron` (five fields), `time_zone` (an IANA
/// name) and `destination` are needed; `filter`, `text`, `covers` and `format` say which records and how. Without `covers`, each
/// export begins where the last that is done ended, or earlier, so that what came late is in it too: together they hold every
/// record of what happens from now on. With `covers`, such as `30d`, each begins so long before its due time, and earlier only
/// where one was missed, or a record that happened in the time of those before came to the log after them.
#[utoipa::path(
    post, path = "/v1/schedules", tag = "exports",
    request_body(content = Object, content_type = "application/json"),
    responses(
        (status = 201, body = ScheduleView, headers(("ETag" = String), ("Location" = String))),
        (status = 403, description = "It takes the scope `exports` beside `settings:write`: what a schedule brings away is asked for by whoever makes it", body = ProblemBody, content_type = "application/problem+json"),
        MakeProblems,
    ),
)]
async fn create_schedule(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<NewSchedule>,
) -> Result<Response, Problem> {
    caller.must_have(Scope::Exports)?;
    let schedule = make(new)?;
    // A process that makes no exports can't tell which destinations those have that do.
    if let Ok(jobs) = app.exports()
        && jobs.destinations().get(&schedule.asked.destination).is_none()
    {
        let known = jobs.destinations().names().join(", ");
        let problem = format!("is not in the configuration of this process; there are: {known}");
        return Err(Problem::field("destination", problem));
    }
    let name = schedule.asked.name.clone();
    let made_one = Stored::make(app.control(), app.keyring(), &name, schedule, Some(&caller)).await?;
    Ok(made("/v1/schedules", &name, made_one.version, view(&app, made_one)))
}

/// Delete a schedule
///
/// What it has exported stays.
#[utoipa::path(
    delete, path = "/v1/schedules/{name}", tag = "exports",
    params(
        ("name" = String, Path, description = "The schedule's name"),
        ("If-Match" = String, Header, description = "The ETag of the version to delete, or *"),
    ),
    responses((status = 204), ChangeProblems),
)]
async fn delete_schedule(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let schedule = Stored::<Schedule>::find(app.control(), &name)?;
    if_match(&headers, schedule.version)?;
    schedule.must_not_be_declared()?;
    schedule.delete(app.control(), Some(&caller)).await?;
    Ok(StatusCode::NO_CONTENT)
}
