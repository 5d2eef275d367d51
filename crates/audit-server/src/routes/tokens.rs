//! `/v1/tokens`: who may use the administration.

use audit_journal::{Entity, SettingsChange};
use audit_record::Timestamp;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::settings::change::{Told, write};
use crate::settings::etag::{etag, if_match};
use crate::settings::named::Named;
use crate::settings::source::name_problem;
use crate::settings::token::{KIND, Scope, Token};

/// Most tokens.
const TOKENS_MAX: usize = 10_000;

/// Most projects that a token may be limited to.
const PROJECTS_MAX: usize = 1_000;

pub(crate) fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_tokens))
}

pub(crate) fn write_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create_token)).routes(routes!(revoke_token))
}

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// What people call it: `[a-z0-9][a-z0-9._-]*`.
    name: String,
    /// What it may do.
    scopes: Vec<Scope>,
    /// The organisation of records that it writes; that of the asking token by default.
    organisation: Option<Named>,
    /// The source name of records that it writes; its own name by default.
    source: Option<String>,
    /// The projects that it may read and write, by id, key or name; all by default.
    projects: Option<Vec<String>>,
    /// When it stops working, RFC 3339; never by default.
    expires_at: Option<String>,
}

/// A token, but for the token itself.
#[derive(Serialize, ToSchema)]
struct TokenView {
    /// Its id.
    id: String,
    /// What people call it.
    name: String,
    /// What it may do.
    scopes: Vec<Scope>,
    /// The organisation of records that it writes.
    organisation: Named,
    /// The source name of records that it writes.
    source: String,
    /// The projects that it is limited to.
    projects: Option<Vec<String>>,
    /// When it stops working.
    expires_at: Option<String>,
    /// When it was made.
    created_at: String,
    /// Also the `ETag`.
    version: u64,
    /// The token. Shown only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// Every token.
#[derive(Serialize, ToSchema)]
struct TokenList {
    /// By id, which is by age.
    tokens: Vec<TokenView>,
}

fn view(entity: &Entity, token: Token, shown: Option<&SecretString>) -> TokenView {
    TokenView {
        id: entity.id.clone(),
        name: token.name,
        scopes: token.scopes,
        organisation: token.organisation,
        source: token.source,
        projects: token.projects,
        expires_at: token.expires_at,
        created_at: token.created_at,
        version: entity.version,
        token: shown.map(|shown| shown.expose_secret().to_owned()),
    }
}

/// List tokens
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", responses((status = 200, body = TokenList)))]
async fn list_tokens(State(app): State<App>) -> Json<TokenList> {
    let entities = app.control().list(KIND);
    let views = entities.iter().filter_map(|entity| Some(view(entity, Token::read(entity)?, None)));
    Json(TokenList { tokens: views.collect() })
}

/// Make a token
///
/// The answer holds the token, once.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens",
    request_body = NewToken,
    responses(
        (status = 201, body = TokenView, headers(("ETag" = String))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn create_token(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<NewToken>,
) -> Result<Response, Problem> {
    if let Some(problem) = name_problem(&new.name) {
        return Err(Problem::field("name", problem));
    }
    let source = new.source.unwrap_or_else(|| new.name.clone());
    if let Some(problem) = name_problem(&source) {
        return Err(Problem::field("source", problem));
    }
    if new.scopes.is_empty() {
        return Err(Problem::field(
            "scopes",
            "must name one at least: records:write, records:read, settings:read, settings:write, exports or admin",
        ));
    }
    let organisation = new.organisation.unwrap_or_else(|| caller.token().organisation.clone());
    if let Some(problem) = organisation.problem() {
        return Err(Problem::field("organisation", problem));
    }
    if new.projects.as_ref().is_some_and(|projects| projects.is_empty() || projects.len() > PROJECTS_MAX) {
        return Err(Problem::field(
            "projects",
            format!("must be 1 to {PROJECTS_MAX}, or be left out for all"),
        ));
    }
    if let Some(scope) = new.scopes.iter().find(|scope| new.projects.is_some() && !scope.fits_projects()) {
        return Err(Problem::field(
            "scopes",
            format!("must not hold {scope} where projects are given: it reaches all projects"),
        ));
    }
    let expires_at = match new.expires_at.as_deref().map(Timestamp::parse) {
        None => None,
        Some(Ok(at)) if at > now() => Some(at),
        Some(Ok(_)) => return Err(Problem::field("expires_at", "must lie in the future")),
        Some(Err(error)) => return Err(Problem::field("expires_at", error.to_string())),
    };
    if app.control().list(KIND).len() >= TOKENS_MAX {
        return Err(Problem::new(Kind::Conflict, format!("there may be {TOKENS_MAX} tokens"))
            .hint("revoke those that are not used"));
    }
    let made = Token::make(new.name, new.scopes, organisation, source, new.projects, expires_at, now());
    let change = SettingsChange {
        kind: KIND.to_owned(),
        id: made.id.clone(),
        base_version: 0,
        value: Some(made.token.document()),
    };
    let told = Told {
        action: "flagtrail.token.created",
        object_type: "FLAGTRAIL_TOKEN",
        id: &made.id,
        name: &made.token.name,
        log: format!("Token {} was created", made.token.name),
        before: None,
        after: Some(made.token.told()),
    };
    let entity = write(app.control(), change, told, Some(&caller)).await?;
    let entity = entity.ok_or_else(|| Problem::new(Kind::Conflict, "it was revoked meanwhile"))?;
    let view = view(&entity, made.token, Some(&made.shown));
    Ok((StatusCode::CREATED, [(header::ETAG, etag(entity.version))], Json(view)).into_response())
}

/// Revoke a token
///
/// It stops working at once; in other processes as soon as they have read it from the log.
#[utoipa::path(
    delete, path = "/v1/tokens/{id}", tag = "tokens",
    params(
        ("id" = String, Path, description = "The token's id"),
        ("If-Match" = String, Header, description = "The ETag of the version to revoke, or *"),
    ),
    responses(
        (status = 204),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn revoke_token(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let missing = || Problem::new(Kind::NotFound, format!("there is no token {id:?}"));
    let entity = app.control().get(KIND, &id).ok_or_else(missing)?;
    let token = Token::read(&entity).ok_or_else(missing)?;
    let base_version = if_match(&headers, entity.version)?;
    let change = SettingsChange { kind: KIND.to_owned(), id: id.clone(), base_version, value: None };
    let told = Told {
        action: "flagtrail.token.revoked",
        object_type: "FLAGTRAIL_TOKEN",
        id: &id,
        name: &token.name,
        log: format!("Token {} was revoked", token.name),
        before: Some(token.told()),
        after: None,
    };
    write(app.control(), change, told, Some(&caller)).await?;
    Ok(StatusCode::NO_CONTENT)
}
