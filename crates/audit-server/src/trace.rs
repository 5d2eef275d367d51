//! What is logged of a request: its id, method, route, status and duration. Never the path, which may hold a
//! token, nor query, headers or body.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::app::App;
use crate::problem::{Kind, Problem};

/// Carries the id of a request, for whoever reports an error.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What stands for the route of a path that there is not.
const NO_ROUTE: &str = "-";

/// Gives the request an id, bounds its duration, and logs and counts its end.
pub(crate) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = Uuid::now_v7();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or(NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    let span = tracing::info_span!("request", %id, %method, route);
    let mut response = within(app.config().request_timeout, next.run(request)).instrument(span.clone()).await;
    let status = response.status();
    // Methods beyond the known ones are anybody's words: they must not become labels.
    let known = if method.as_str().len() <= 7 && route != NO_ROUTE { method.as_str() } else { NO_ROUTE };
    app.metrics().request(&route, known, status.as_u16());
    let duration_ms = started.elapsed().as_millis();
    span.in_scope(|| {
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), duration_ms, "request");
        } else {
            tracing::debug!(status = status.as_u16(), duration_ms, "request");
        }
    });
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The response, or 408: also for a client that sends its body too slowly. Event streams have answered by then.
async fn within(timeout: Duration, response: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout(timeout, response).await {
        Ok(response) => response,
        Err(_) => {
            let mut response = Problem::new(
                Kind::Timeout,
                format!("the request was not answered within {} s", timeout.as_secs()),
            )
            .into_response();
            // What is left of the body is not read.
            response.headers_mut().insert(axum::http::header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}
