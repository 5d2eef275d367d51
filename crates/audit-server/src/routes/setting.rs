//! What the routes of sources, endpoints and tokens have in common: how a setting is answered with, and what a
//! change of one may be refused with.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::IntoResponses;

use crate::problem::ProblemBody;
use crate::settings::etag::etag;

/// 200 with a setting at its version.
pub(super) fn current<T: Serialize>(version: u64, view: T) -> Response {
    ([(header::ETAG, etag(version))], Json(view)).into_response()
}

/// 201 with a setting that was made, and where it is from now on. `id` is made of letters, digits, `.`, `_`, `-`.
pub(super) fn made<T: Serialize>(path: &str, id: &str, version: u64, view: T) -> Response {
    let location = HeaderValue::try_from(format!("{path}/{id}")).expect("letters, digits, dots and dashes");
    (StatusCode::CREATED, [(header::ETAG, etag(version)), (header::LOCATION, location)], Json(view))
        .into_response()
}

/// What asking for one may be refused with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers; problems make them")]
pub(super) enum FindProblems {
    /// There is none
    #[response(status = 404, content_type = "application/problem+json")]
    Missing(ProblemBody),
}

/// What asking for what was delivered to one may be refused with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers; problems make them")]
pub(super) enum PageProblems {
    /// A parameter is wrong; it is named
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(ProblemBody),
    /// There is none
    #[response(status = 404, content_type = "application/problem+json")]
    Missing(ProblemBody),
    /// Too many queries at a time
    #[response(status = 429, content_type = "application/problem+json")]
    Busy(ProblemBody),
    /// There is no archive here
    #[response(status = 503, content_type = "application/problem+json")]
    NoArchive(ProblemBody),
}

/// What making one may be refused with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers; problems make them")]
pub(super) enum MakeProblems {
    /// A field is wrong; each is named
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(ProblemBody),
    /// The name is taken, or there are as many as there may be
    #[response(status = 409, content_type = "application/problem+json")]
    Taken(ProblemBody),
}

/// What changing or deleting one may be refused with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers; problems make them")]
pub(super) enum ChangeProblems {
    /// A field is wrong; each is named
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(ProblemBody),
    /// There is none
    #[response(status = 404, content_type = "application/problem+json")]
    Missing(ProblemBody),
    /// Somebody else changed it at the same moment
    #[response(status = 409, content_type = "application/problem+json")]
    Raced(ProblemBody),
    /// It was changed since
    #[response(status = 412, content_type = "application/problem+json")]
    Stale(ProblemBody),
    /// There is no `If-Match`
    #[response(status = 428, content_type = "application/problem+json")]
    Unversioned(ProblemBody),
}
