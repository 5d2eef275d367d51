//! `/v1/reports`: the reports that auditors ask for, answered from this machine's archive.

use audit_record::{Period, Timestamp};
use audit_report::{Definition, Format, KnownSource, LIST_BYTES_MAX, Question, ReportError, Surroundings};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::query;
use crate::readings::{ReadKind, note};
use crate::routes::asked::{moment, narrow_projects};
use crate::routes::evidence::anchored_in_words;
use crate::routes::records::{on_archive, refused};
use crate::settings::source::Source;
use crate::settings::stored::Stored;

/// Most projects of one question.
const PROJECTS_MAX: usize = 100;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_reports))
        .routes(routes!(get_report))
        .routes(routes!(compare_report))
        .layer(DefaultBodyLimit::max(LIST_BYTES_MAX))
}

/// What reports there are.
#[derive(Serialize, ToSchema)]
struct ReportList {
    /// One a report: `name`, `title`, `version`, `meaning` in plain words, `when` (`at` a moment or over a `period`), the
    /// `list` that it compares with, `columns` and `controls`.
    #[schema(value_type = Vec<Object>)]
    reports: &'static [Definition],
}

/// What was asked for, and how it is to be written.
struct Asked {
    question: Question,
    format: Format,
    /// As it was asked.
    pairs: Vec<(String, String)>,
}

/// List the reports
///
/// With what each means, its columns, and the controls that it serves.
#[utoipa::path(get, path = "/v1/reports", tag = "reports", responses((status = 200, body = ReportList)))]
async fn list_reports() -> Json<ReportList> {
    Json(ReportList { reports: audit_report::definitions() })
}

/// Run a report
///
/// The answer has at most 100,000 rows, and says so where it leaves some out. JSON is the whole document: definition,
/// parameters, coverage, SQL, totals, and each row an object by column; CSV is the rows alone. The format is that of the
/// parameter, else of `Accept`, else JSON.
#[utoipa::path(
    get, path = "/v1/reports/{name}", tag = "reports",
    params(
        ("name" = String, Path, description = "Such as change_log"),
        ("project" = Option<Vec<String>>, Query, description = "Projects, by id, key or name; all that the token may read by default"),
        ("from" = Option<String>, Query, description = "First moment: RFC 3339, a day, or a duration back from now such as 90d"),
        ("to" = Option<String>, Query, description = "First moment after"),
        ("at" = Option<String>, Query, description = "The moment, for reports of one; now by default"),
        ("format" = Option<String>, Query, description = "json, csv, xlsx or html"),
    ),
    responses(
        (status = 200, description = "The report", content(
            (Object = "application/json"), (String = "text/csv"), (String = "text/html"),
            (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        )),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The token may not read that project", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such report", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "There is no archive here, or the report takes too long", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn get_report(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = asked(query.as_deref(), &headers, &caller, None)?;
    answer(&app, &caller, name, asked).await
}

/// Run a report that compares with a list
///
/// The body is the list, as CSV with a header line. What the list holds stands in the report's definition.
#[utoipa::path(
    post, path = "/v1/reports/{name}", tag = "reports",
    params(
        ("name" = String, Path, description = "Such as leavers"),
        ("project" = Option<Vec<String>>, Query, description = "Projects, by id, key or name; all that the token may read by default"),
        ("from" = Option<String>, Query, description = "First moment: RFC 3339, a day, or a duration back from now such as 90d"),
        ("to" = Option<String>, Query, description = "First moment after"),
        ("at" = Option<String>, Query, description = "The moment, for reports of one; now by default"),
        ("format" = Option<String>, Query, description = "json, csv, xlsx or html"),
    ),
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 200, description = "The report", content(
            (Object = "application/json"), (String = "text/csv"), (String = "text/html"),
            (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        )),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The token may not read that project", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such report", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The list is larger than 8 MiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "There is no archive here, or the report takes too long", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn compare_report(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let list = String::from_utf8(body.into()).map_err(|_| {
        Problem::new(Kind::BadRequest, "the list is not UTF-8").hint("save it as CSV in UTF-8")
    })?;
    let asked = asked(query.as_deref(), &headers, &caller, Some(list))?;
    answer(&app, &caller, name, asked).await
}

fn asked(
    query: Option<&str>,
    headers: &HeaderMap,
    caller: &Caller,
    list: Option<String>,
) -> Result<Asked, Problem> {
    let asked_at = now();
    let mut question = Question {
        projects: Vec::new(),
        limited: caller.projects().is_some(),
        period: Period::default(),
        at: asked_at,
        list,
        asked_by: format!("token {} ({})", caller.name(), caller.id()),
        asked_at,
    };
    let mut format = accepted(headers);
    let pairs = query::pairs(query)?;
    for (name, value) in pairs.clone() {
        let time = || moment(&name, &value, asked_at);
        match name.as_str() {
            "project" if question.projects.len() >= PROJECTS_MAX => {
                return Err(Problem::field("project", format!("may be given {PROJECTS_MAX} times")));
            }
            "project" if value.is_empty() => return Err(Problem::field("project", "must not be empty")),
            "project" => question.projects.push(value),
            "from" => question.period.from = Some(time()?),
            "to" => question.period.to = Some(time()?),
            "at" => question.at = time()?,
            "format" => {
                let read = value.parse().map_err(|error| Problem::field("format", format!("{error}")));
                format = read?;
            }
            other => {
                return Err(Problem::field(other, "is no parameter here")
                    .hint("there are project, from, to, at, format"));
            }
        }
    }
    narrow_projects(&mut question.projects, caller)?;
    Ok(Asked { question, format, pairs })
}

/// The first format of ours that `Accept` names.
fn accepted(headers: &HeaderMap) -> Format {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let bare = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let named = accept
        .split(',')
        .find_map(|wanted| Format::ALL.into_iter().find(|format| bare(format.media_type()) == bare(wanted)));
    named.unwrap_or(Format::Json)
}

async fn answer(app: &App, caller: &Caller, name: String, asked: Asked) -> Result<Response, Problem> {
    let Some(definition) = audit_report::definition(&name) else {
        return Err(not_made(ReportError::Unknown(name)));
    };
    let mut surroundings = surroundings(app);
    let Asked { question, format, pairs } = asked;
    let day = question.asked_at.to_string().chars().take(10).collect::<String>();
    let body = on_archive(app, move |reader| {
        if let Some(anchored) = anchored_in_words(reader, surroundings.partitions)? {
            surroundings.anchored = anchored;
        }
        let report = audit_report::run(reader, &name, &question, &surroundings).map_err(not_made)?;
        audit_report::write(&report, format)
            .map_err(|error| Problem::new(Kind::Internal, "the report can't be written").cause(error))
    })
    .await?;
    note(app, caller, ReadKind::Report, &definition.name, &pairs);
    let file = format!("attachment; filename=\"{}-{day}.{format}\"", definition.name);
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if matches!(format, Format::Csv | Format::Xlsx)
        && let Ok(file) = HeaderValue::from_str(&file)
    {
        headers.insert(header::CONTENT_DISPOSITION, file);
    }
    Ok(response)
}

/// What this process knows beside the archive.
fn surroundings(app: &App) -> Surroundings {
    let rejected = |name: &str| {
        // Counted by whoever takes the webhooks in.
        app.spool().map(|_| {
            let counts = app.activity().counts(name);
            counts.rejected + counts.bad_signatures
        })
    };
    let known = |source: Source| KnownSource {
        system: source.platform().as_str().to_owned(),
        rejected: rejected(&source.name),
        connected_since: rfc3339(&source.created_at),
        name: source.name,
    };
    let sources = Stored::<Source>::list(app.control()).into_iter().map(|stored| known(stored.setting));
    Surroundings {
        compliance: app.config().compliance.clone(),
        sources: sources.collect(),
        endpoints: app.endpoints().list().into_iter().map(|view| (view.id, view.name)).collect(),
        partitions: app.journal().identity().partitions,
        anchored:
            "No checkpoint is known to be kept outside: keep one of /v1/checkpoints, and `flagtrail verify \
                   --against` shows later that nothing before it changed."
                .to_owned(),
    }
}

/// In the form of every other time.
fn rfc3339(text: &str) -> String {
    Timestamp::parse(text).map_or_else(|_| text.to_owned(), |at| at.to_string())
}

fn not_made(error: ReportError) -> Problem {
    match error {
        ReportError::Unknown(_) => {
            Problem::new(Kind::NotFound, error.to_string()).hint("/v1/reports lists them")
        }
        ReportError::Asked(problem) => Problem::new(Kind::BadRequest, problem),
        ReportError::Archive(error) => refused(error),
        ReportError::TooLong | ReportError::TooMuch(_) => Problem::new(Kind::Unavailable, error.to_string()),
    }
}
