//! The description of the interface, and what holds for every path of it.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::problem::{Kind, Problem};

/// The head of the OpenAPI document; the paths come from the routers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Flagtrail",
        description = "Changes of feature flags and access, as an append-only audit log. Errors are application/problem+json."
    ),
    modifiers(&Bearer),
    security(("token" = [])),
    tags(
        (name = "records", description = "Append, query and follow audit records"),
        (name = "access", description = "Who had access to what, and when"),
        (name = "proofs", description = "That nothing was changed, left out or put in"),
        (name = "reports", description = "What auditors ask for, with definition, coverage and SQL"),
        (name = "exports", description = "Files that check themselves"),
        (name = "hooks", description = "What platforms call; served by the hooks listener"),
        (name = "sources", description = "Installations of platforms"),
        (name = "endpoints", description = "Where records are delivered to"),
        (name = "tokens", description = "Who may use this interface"),
        (name = "keys", description = "What secrets among the settings are sealed with"),
        (name = "rejected", description = "Webhooks that could not become records"),
        (name = "operations", description = "Health and figures"),
    ),
)]
pub(crate) struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        api.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// 404 for every path that there is not.
pub(crate) async fn no_such_path() -> Problem {
    Problem::new(Kind::NotFound, "there is no such path")
        .hint("/openapi.json of the administration lists them")
}

/// 405 for every method that a path does not have.
pub(crate) async fn no_such_method() -> Problem {
    Problem::new(Kind::MethodNotAllowed, "the path does not have that method")
}

/// Answers of the framework's own (a body that is no JSON, a path that is no UTF-8) become problems too.
pub(crate) async fn problems_only(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let is_plain = response
        .headers()
        .get(axum::http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    if !response.status().is_client_error() || !is_plain {
        return response;
    }
    let status = response.status();
    let kind = match status.as_u16() {
        404 => Kind::NotFound,
        408 => Kind::Timeout,
        413 => Kind::TooLarge,
        415 => Kind::UnsupportedMediaType,
        _ => Kind::BadRequest,
    };
    // Rejections of extractors are one short line.
    const DETAIL_BYTES_MAX: usize = 4096;
    let detail = match axum::body::to_bytes(response.into_body(), DETAIL_BYTES_MAX).await {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(_) => status.to_string(),
    };
    Problem::new(kind, detail).into_response()
}
