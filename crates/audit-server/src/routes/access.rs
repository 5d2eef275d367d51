//! `GET /v1/access…`: who had access to what, at a moment and over time.

use audit_archive::{
    AccessFilter, AccessHistoryQuery, AccessQuery, AccessRow, AccessStatement, CalledThing, Person,
};
use audit_record::Timestamp;
use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{Problem, ProblemBody};
use crate::query;
use crate::readings::{ReadKind, note};
use crate::routes::asked::{cursor, limit, moment, narrow_projects, take_one_of};
use crate::routes::records::ask_archive;

/// Rows of a page unless told otherwise.
const LIMIT_DEFAULT: usize = 100;

/// The names of parameters that choose access; they may be repeated, and then one must fit.
const FILTERS: &str = "organisation, project, environment, subject, role, source, scope";

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(access_at)).routes(routes!(access_history))
}

/// A person, group, key or service, as a record called it.
#[derive(Serialize, ToSchema)]
struct PersonView {
    /// `user`, `group`, `api_key`, …
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// An organisation, project or environment, as a record called it.
#[derive(Serialize, ToSchema)]
struct CalledView {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// A record that began or ended access, or did not fit.
#[derive(Serialize, ToSchema)]
struct StatementView {
    /// When it happened.
    at: String,
    /// The record's id.
    record: String,
    /// Who did it; absent where the record's body was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<PersonView>,
    /// Whether a record of what happened later came earlier.
    late: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The record's `approval`.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Box<RawValue>>,
}

/// What somebody held, from when until when.
#[derive(Serialize, ToSchema)]
struct AccessView {
    /// Whose access.
    subject: PersonView,
    /// `account`, `project` or `environment`.
    scope: String,
    /// The scope's id, else its key; empty for an account that has none.
    scope_id: String,
    organisation: CalledView,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<CalledView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<CalledView>,
    /// Absent where the platform named none.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// The source that tells of it.
    source: String,
    /// Whether it begins with a snapshot: held since then at the latest, by whose hand is not known.
    baseline: bool,
    /// What began it.
    granted: StatementView,
    /// What ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<StatementView>,
    /// As of when a snapshot of the whole source does not have it, and no record affirmed it since: it contradicts the
    /// records, and somebody has to look.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_from_snapshot: Option<String>,
    /// When the subject's access to the account was removed, where no record says what that means for this.
    #[serde(skip_serializing_if = "Option::is_none")]
    account_access_removed: Option<String>,
    /// When it ended by a record of another scope or partition: the subject was deleted, or a removal was routed elsewhere.
    /// In histories only.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_elsewhere: Option<String>,
    /// Records in other partitions that grant the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also_granted_by: Vec<String>,
}

/// A page of what was held at a moment.
#[derive(Serialize, ToSchema)]
struct AccessPageView {
    /// The moment.
    at: String,
    /// In no order that means anything.
    access: Vec<AccessView>,
    /// Where to go on; absent when nothing more matches. A page may be short, or empty, and yet more follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A record that did not fit what was known.
#[derive(Serialize, ToSchema)]
struct FindingView {
    /// `removal_without_grant`: what is removed was not held; `granted_again`: what is granted was held already.
    kind: String,
    source: String,
    /// What the subject is known by: `id:…`, `email:…` or `name:…`.
    subject: String,
    scope: String,
    scope_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    said: StatementView,
}

/// A page of somebody's access over time.
#[derive(Serialize, ToSchema)]
struct AccessHistoryView {
    access: Vec<AccessView>,
    /// On the first page: what did not fit.
    findings: Vec<FindingView>,
    /// How many findings there are beyond those listed.
    findings_left_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl From<Person> for PersonView {
    fn from(Person { kind, id, email, name }: Person) -> Self {
        Self { kind, id, email, name }
    }
}

impl From<CalledThing> for CalledView {
    fn from(CalledThing { id, key, name }: CalledThing) -> Self {
        Self { id, key, name }
    }
}

impl From<AccessStatement> for StatementView {
    fn from(said: AccessStatement) -> Self {
        Self {
            at: time(said.at_us),
            record: said.record,
            by: said.author.map(PersonView::from),
            late: said.late,
            ticket: said.ticket,
            reason: said.reason,
            approval: said.approval.and_then(|approval| RawValue::from_string(approval).ok()),
        }
    }
}

impl From<AccessRow> for AccessView {
    fn from(row: AccessRow) -> Self {
        Self {
            subject: row.subject.into(),
            scope: row.scope,
            scope_id: row.scope_identity,
            organisation: row.organisation.into(),
            project: row.project.map(CalledView::from),
            environment: row.environment.map(CalledView::from),
            role: row.role,
            source: row.source,
            baseline: row.baseline,
            granted: row.begun.into(),
            removed: row.ended.map(StatementView::from),
            missing_from_snapshot: row.missing_from_snapshot_us.map(time),
            account_access_removed: row.account_removed_us.map(time),
            ended_elsewhere: row.ended_elsewhere_us.map(time),
            also_granted_by: row.also,
        }
    }
}

/// Times in the archive come from records, which were checked.
fn time(us: i64) -> String {
    Timestamp::from_micros(us).map(|at| at.to_string()).unwrap_or_default()
}

/// What is asked for, as parameters.
#[derive(Default)]
struct Asked {
    filter: AccessFilter,
    at: Option<Timestamp>,
    limit: Option<usize>,
    cursor: Option<audit_archive::AccessCursor>,
}

impl Asked {
    fn read(pairs: Vec<(String, String)>, takes_moment: bool) -> Result<Self, Problem> {
        let mut asked = Self::default();
        for (name, value) in pairs {
            let filter = &mut asked.filter;
            let values = match name.as_str() {
                "organisation" => &mut filter.organisation,
                "project" => &mut filter.project,
                "environment" => &mut filter.environment,
                "subject" => &mut filter.subject,
                "role" => &mut filter.role,
                "source" => &mut filter.source,
                "scope" => &mut filter.scope,
                "at" if takes_moment => {
                    asked.at = Some(moment("at", &value, now())?);
                    continue;
                }
                "limit" => {
                    asked.limit = Some(limit(&value, audit_archive::ACCESS_PAGE_MAX)?);
                    continue;
                }
                "cursor" => {
                    asked.cursor = Some(cursor(&value)?);
                    continue;
                }
                other => {
                    let moment = if takes_moment { "at, " } else { "" };
                    return Err(Problem::field(other, "is no parameter here")
                        .hint(format!("there are {FILTERS}, {moment}limit, cursor")));
                }
            };
            take_one_of(&name, values, value)?;
        }
        if let Some(other) = asked
            .filter
            .scope
            .iter()
            .find(|scope| !["account", "project", "environment"].contains(&scope.as_str()))
        {
            return Err(Problem::field(
                "scope",
                format!("must be account, project or environment, not {other:?}"),
            ));
        }
        Ok(asked)
    }
}

/// Who had access at a moment
///
/// From the intervals that the records of access give. Every condition must fit; of a condition that is given several
/// times, one. A project's access is that to it and to its environments; access to the account has no project, and a token
/// that is limited to projects does not see it.
#[utoipa::path(
    get, path = "/v1/access", tag = "access",
    params(
        ("at" = Option<String>, Query, description = "The moment: RFC 3339, a day (its midnight UTC), or a duration back from now such as 30d; now by default"),
        ("organisation" = Option<Vec<String>>, Query, description = "Organisations, by id, key or name"),
        ("project" = Option<Vec<String>>, Query, description = "Projects, by id, key or name"),
        ("environment" = Option<Vec<String>>, Query, description = "Environments: access to that environment alone"),
        ("subject" = Option<Vec<String>>, Query, description = "Whose, by id, e-mail or name"),
        ("role" = Option<Vec<String>>, Query, description = "Roles"),
        ("source" = Option<Vec<String>>, Query, description = "Sources"),
        ("scope" = Option<Vec<String>>, Query, description = "account, project or environment"),
        ("limit" = Option<usize>, Query, description = "At most so many, 1 to 1,000; 100 by default"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; the filter must be the same, the moment is the first page's"),
    ),
    responses(
        (status = 200, body = AccessPageView),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The token may not read that project", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "There is no archive here", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn access_at(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<AccessPageView>, Problem> {
    let pairs = query::pairs(query.as_deref())?;
    let mut asked = Asked::read(pairs.clone(), true)?;
    narrow_projects(&mut asked.filter.project, &caller)?;
    let question = AccessQuery {
        at: asked.at.unwrap_or_else(now),
        filter: asked.filter,
        limit: asked.limit.unwrap_or(LIMIT_DEFAULT),
        cursor: asked.cursor,
    };
    let page = ask_archive(&app, move |reader| reader.access(&question)).await?;
    note(&app, &caller, ReadKind::Access, "/v1/access", &pairs);
    Ok(Json(AccessPageView {
        at: page.at.to_string(),
        access: page.rows.into_iter().map(AccessView::from).collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}

/// Somebody's access over time
///
/// Every interval of the subject, ended ones too, and the records that did not fit.
#[utoipa::path(
    get, path = "/v1/access/history", tag = "access",
    params(
        ("subject" = Vec<String>, Query, description = "Whose, by id, e-mail or name; one at least"),
        ("organisation" = Option<Vec<String>>, Query, description = "Organisations, by id, key or name"),
        ("project" = Option<Vec<String>>, Query, description = "Projects, by id, key or name"),
        ("environment" = Option<Vec<String>>, Query, description = "Environments: access to that environment alone"),
        ("role" = Option<Vec<String>>, Query, description = "Roles"),
        ("source" = Option<Vec<String>>, Query, description = "Sources"),
        ("scope" = Option<Vec<String>>, Query, description = "account, project or environment"),
        ("limit" = Option<usize>, Query, description = "At most so many, 1 to 1,000; 100 by default"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; the rest of the query must be the same"),
    ),
    responses(
        (status = 200, body = AccessHistoryView),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The token may not read that project", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "There is no archive here", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn access_history(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<AccessHistoryView>, Problem> {
    let pairs = query::pairs(query.as_deref())?;
    let mut asked = Asked::read(pairs.clone(), false)?;
    if asked.filter.subject.is_empty() {
        return Err(Problem::field("subject", "is missing: whose access, by id, e-mail or name"));
    }
    narrow_projects(&mut asked.filter.project, &caller)?;
    let question = AccessHistoryQuery {
        filter: asked.filter,
        limit: asked.limit.unwrap_or(LIMIT_DEFAULT),
        cursor: asked.cursor,
    };
    let page = ask_archive(&app, move |reader| reader.access_history(&question)).await?;
    let findings = page.findings.into_iter().map(|finding| FindingView {
        kind: finding.kind,
        source: finding.source,
        subject: finding.identity,
        scope: finding.scope,
        scope_id: finding.scope_identity,
        role: finding.role,
        said: finding.said.into(),
    });
    note(&app, &caller, ReadKind::Access, "/v1/access/history", &pairs);
    Ok(Json(AccessHistoryView {
        access: page.rows.into_iter().map(AccessView::from).collect(),
        findings: findings.collect(),
        findings_left_out: page.findings_left_out,
        next: page.next.map(|next| next.to_string()),
    }))
}
