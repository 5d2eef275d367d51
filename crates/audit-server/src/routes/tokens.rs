//! `/v1/tokens`: who may use the administration.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::routes::setting::{ChangeProblems, FindProblems, MakeProblems, current, made};
use crate::settings::etag::if_match;
use crate::settings::named::Named;
use crate::settings::stored::Stored;
use crate::settings::token::{NewToken, Scope, Token};

pub(crate) fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_tokens)).routes(routes!(get_token))
}

pub(crate) fn write_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create_token)).routes(routes!(revoke_token))
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
    /// The configuration that it stands in. Then only that changes and revokes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    declared_in: Option<String>,
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

fn view(stored: Stored<Token>, shown: Option<&SecretString>) -> TokenView {
    let Stored { id, version, setting: token } = stored;
    TokenView {
        id,
        name: token.name,
        scopes: token.scopes,
        organisation: token.organisation,
        source: token.source,
        projects: token.projects,
        expires_at: token.expires_at,
        declared_in: token.declared_in,
        created_at: token.created_at,
        version,
        token: shown.map(|shown| shown.expose_secret().to_owned()),
    }
}

/// List tokens
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", responses((status = 200, body = TokenList)))]
async fn list_tokens(State(app): State<App>) -> Json<TokenList> {
    let tokens = Stored::<Token>::list(app.control());
    Json(TokenList { tokens: tokens.into_iter().map(|token| view(token, None)).collect() })
}

/// One token
#[utoipa::path(
    get, path = "/v1/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "The token's id")),
    responses((status = 200, body = TokenView, headers(("ETag" = String))), FindProblems),
)]
async fn get_token(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let token = Stored::<Token>::find(app.control(), &id)?;
    Ok(current(token.version, view(token, None)))
}

/// Make a token
///
/// The answer holds the token, once.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens",
    request_body = NewToken,
    responses(
        (status = 201, body = TokenView, headers(("ETag" = String), ("Location" = String))),
        MakeProblems,
    ),
)]
async fn create_token(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<NewToken>,
) -> Result<Response, Problem> {
    let new = new.make(&caller.token().organisation)?;
    let token = Stored::make(app.control(), app.keyring(), &new.id, new.token, Some(&caller)).await?;
    Ok(made("/v1/tokens", &new.id, token.version, view(token, Some(&new.shown))))
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
    responses((status = 204), ChangeProblems),
)]
async fn revoke_token(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let token = Stored::<Token>::find(app.control(), &id)?;
    if_match(&headers, token.version)?;
    token.must_not_be_declared()?;
    token.delete(app.control(), Some(&caller)).await?;
    Ok(StatusCode::NO_CONTENT)
}
