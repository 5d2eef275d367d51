//! `/v1/reviews`: what reviewers decided on the lines of a report, put on the record.

use audit_journal::AppendOutcome;
use audit_record::{AuditRecord, Authenticated, Draft, Map, OwnRecord, Ref, Timestamp};
use audit_report::{DecisionLine, LIST_BYTES_MAX, read_decisions};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{ErrorItem, Kind, Problem, ProblemBody};
use crate::query;
use crate::settings::change::author_of;

/// What stands in the log of a decision.
const DECIDED: &str = "flagtrail.review.decided";

/// What the record is about.
const OBJECT_TYPE: &str = "FLAGTRAIL_REVIEW";

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(import_decisions)).layer(DefaultBodyLimit::max(LIST_BYTES_MAX))
}

/// What was recorded.
#[derive(Serialize, ToSchema)]
struct Imported {
    /// Decisions that are on the log now, those that were there already included.
    recorded: usize,
    /// Lines without a decision.
    undecided: usize,
}

/// Record a review
///
/// The body is the CSV of user_access_review, change_log, emergency_changes or sod_exceptions with the columns reviewer,
/// decision (keep, modify, revoke, approve, reject), decision_at and, where there is something to say, rationale,
/// remediation_record_id and remediation_at filled in; lines without a decision are passed over. It is taken as a whole
/// or not at all, and the same file again changes nothing: each decision has an id that comes from what it says.
#[utoipa::path(
    post, path = "/v1/reviews", tag = "reports",
    params(("report" = Option<String>, Query, description = "The report that it is a review of; told from the columns by default")),
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 200, body = Imported),
        (status = 400, description = "Every line that is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The token is limited to projects", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not all are on the log: send the file again", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn import_decisions(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Json<Imported>, Problem> {
    if caller.projects().is_some() {
        return Err(Problem::new(Kind::Forbidden, "the token is limited to projects, a review is of all")
            .hint("use a token with the scope records:write and without projects"));
    }
    let mut report = None;
    for (name, value) in query::pairs(query.as_deref())? {
        match name.as_str() {
            "report" if audit_report::definition(&value).is_none() => {
                return Err(Problem::field("report", format!("{value:?} is none; /v1/reports lists them")));
            }
            "report" => report = Some(value),
            other => return Err(Problem::field(other, "is no parameter here").hint("there is report")),
        }
    }
    let text = std::str::from_utf8(&body).map_err(|_| {
        Problem::new(Kind::BadRequest, "the file is not UTF-8").hint("save it as CSV in UTF-8")
    })?;
    let at = now();
    let decisions = read_decisions(text, report.as_deref(), at).map_err(|wrong| {
        let item = |wrong: &audit_report::WrongLine| ErrorItem {
            line: usize::try_from(wrong.line).ok().filter(|line| *line > 0),
            field: (!wrong.column.is_empty()).then(|| wrong.column.to_owned()),
            problem: wrong.problem.clone(),
        };
        let items = wrong.wrong.iter().map(item).collect();
        Problem::new(Kind::InvalidRecords, wrong.to_string()).with_errors(items).left_out(wrong.left_out)
    })?;
    let namespace = app.journal().identity().namespace;
    let records = decisions.decided.iter().map(|decided| record(decided, &caller, namespace, at));
    let records = records.collect::<Result<Vec<_>, _>>()?;
    // If we crash here, some are on the log and the client has no answer: the same file again completes it.
    let outcomes = app.journal().append_records(&records).await;
    let recorded = outcomes.iter().filter(|outcome| matches!(outcome, AppendOutcome::Appended(_))).count();
    if recorded < records.len() {
        let cause = outcomes.into_iter().find_map(|outcome| match outcome {
            AppendOutcome::NotAppended(cause) | AppendOutcome::Unknown(cause) => Some(cause),
            AppendOutcome::Appended(_) => None,
        });
        let detail = format!("{recorded} of {} decisions are known to be on the log", records.len());
        return Err(Problem::new(Kind::Unavailable, detail)
            .hint("send the same file again: what is there already is not recorded twice")
            .retry_after_s(2)
            .cause(cause.unwrap_or_default()));
    }
    Ok(Json(Imported { recorded, undecided: decisions.undecided }))
}

/// The decision's record. Its id comes from what it says, so that the same file again is the same records.
fn record(
    decided: &DecisionLine,
    caller: &Caller,
    namespace: Uuid,
    at: Timestamp,
) -> Result<AuditRecord, Problem> {
    let mut attributes = Map::new();
    attributes.insert("report".to_owned(), decided.report.clone().into());
    for (name, cell) in &decided.cells {
        attributes.insert((*name).to_owned(), cell.clone().into());
    }
    let said = serde_json::Value::Object(attributes.clone()).to_string();
    let id = Uuid::new_v5(&namespace, format!("{DECIDED}\0{said}").as_bytes());
    let cell = |name: &str| decided.cells.get(name).map(String::as_str);
    let subject =
        ["change_id", "email", "user_id", "user_name"].into_iter().find_map(cell).unwrap_or_default();
    let (reviewer, decision) = (cell("reviewer").unwrap_or_default(), cell("decision").unwrap_or_default());
    let told = OwnRecord {
        id: id.to_string(),
        action: DECIDED,
        log: format!("{reviewer} decided to {decision} {subject} ({})", decided.report),
        at,
        author: author_of(Some(caller)),
        authenticated: Authenticated::Token,
        object_type: OBJECT_TYPE,
        object: Ref::by_id(subject),
        attributes,
    };
    let draft = Draft {
        occurred_at: Some(decided.decided_at),
        project: cell("project").map(Ref::by_name),
        environment: cell("environment").map(Ref::by_name),
        reason: cell("rationale").map(str::to_owned),
        ..told.into_draft()
    };
    AuditRecord::try_new(draft).map_err(|error| {
        let item =
            ErrorItem { line: usize::try_from(decided.line).ok(), field: None, problem: error.to_string() };
        Problem::new(Kind::InvalidRecords, "a decision can't be recorded").with_errors(vec![item])
    })
}
