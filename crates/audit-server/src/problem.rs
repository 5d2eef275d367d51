//! Errors as `application/problem+json` (RFC 9457): the client gets what is wrong and the mend, the log gets
//! the cause, once.

use std::borrow::Cow;

use audit_record::Violation;
use audit_secret::SealError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Most errors listed in one answer; the others are counted.
pub(crate) const ERRORS_LISTED_MAX: usize = 100;

/// What went wrong, as far as a client may branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request can't be read: syntax, parameters.
    BadRequest,
    /// Records that are no records.
    InvalidRecords,
    /// A webhook that fits no record.
    UnfitHook,
    /// No token, or not a valid one.
    Unauthenticated,
    /// A webhook whose signature is missing or wrong.
    BadSignature,
    /// The token may not do that.
    Forbidden,
    /// Nothing there.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The request did not arrive in time.
    Timeout,
    /// It exists already, or was changed meanwhile.
    Conflict,
    /// The `If-Match` names an older version.
    StaleVersion,
    /// The change needs an `If-Match`.
    VersionRequired,
    /// Too large.
    TooLarge,
    /// A content type that is not understood.
    UnsupportedMediaType,
    /// A bound on work under way is reached.
    Busy,
    /// The log, the spool or the archive does not answer.
    Unavailable,
    /// A defect of ours.
    Internal,
}

impl Kind {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "The request can't be read"),
            Self::InvalidRecords => (StatusCode::BAD_REQUEST, "invalid-records", "Not valid audit records"),
            Self::UnfitHook => {
                (StatusCode::UNPROCESSABLE_ENTITY, "unfit-hook", "The webhook does not fit its source")
            }
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "A valid token is needed"),
            Self::BadSignature => {
                (StatusCode::UNAUTHORIZED, "bad-signature", "The signature is missing or wrong")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "The token does not allow that"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method does not fit the path")
            }
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "It conflicts with what is there"),
            Self::StaleVersion => {
                (StatusCode::PRECONDITION_FAILED, "stale-version", "It was changed since you read it")
            }
            Self::VersionRequired => {
                (StatusCode::PRECONDITION_REQUIRED, "version-required", "An If-Match header is needed")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Unknown content type")
            }
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "busy", "Too much at a time"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available now"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something broke inside"),
        }
    }
}

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ErrorItem {
    /// The line of NDJSON or the item of a list, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    /// The dotted path of the field, or the name of the parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// What is wrong and how to mend it.
    pub(crate) problem: String,
}

/// What became of one line of a request that was not appended whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct LineResult {
    /// The line or item, from 1.
    pub(crate) line: usize,
    /// The record's id.
    pub(crate) id: String,
    /// `appended`, `not_appended`, or `unknown`: it may or may not be on the log.
    pub(crate) outcome: &'static str,
    /// The partition, when appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) partition: Option<u32>,
    /// The offset, when appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<u64>,
}

/// The body of an error (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// A URN that names the kind of problem: branch on this.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong this time.
    detail: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<Cow<'static, str>>,
    /// Every field or line that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorItem>,
    /// How many more errors there were.
    #[serde(skip_serializing_if = "is_zero")]
    errors_left_out: usize,
    /// What became of each line, where some were appended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    results: Vec<LineResult>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// An error on its way to the client. Boxed, because it is the rare end of most functions here.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    detail: String,
    hint: Option<Cow<'static, str>>,
    errors: Vec<ErrorItem>,
    errors_left_out: usize,
    results: Vec<LineResult>,
    retry_after_s: Option<u32>,
    cause: Option<String>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            detail: detail.into(),
            hint: None,
            errors: Vec::new(),
            errors_left_out: 0,
            results: Vec::new(),
            retry_after_s: None,
            cause: None,
        }))
    }

    /// One field or parameter is wrong.
    pub(crate) fn field(field: &str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self::new(Kind::BadRequest, format!("{field} {problem}")).with_errors(vec![ErrorItem {
            line: None,
            field: Some(field.to_owned()),
            problem,
        }])
    }

    /// How to mend it.
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Names fields and lines, the first [`ERRORS_LISTED_MAX`] of them.
    pub(crate) fn with_errors(mut self, mut errors: Vec<ErrorItem>) -> Self {
        self.0.errors_left_out = errors.len().saturating_sub(ERRORS_LISTED_MAX);
        errors.truncate(ERRORS_LISTED_MAX);
        self.0.errors = errors;
        self
    }

    /// Adds errors that were counted but not kept.
    pub(crate) fn left_out(mut self, count: usize) -> Self {
        self.0.errors_left_out += count;
        self
    }

    /// What became of each line.
    pub(crate) fn with_results(mut self, results: Vec<LineResult>) -> Self {
        self.0.results = results;
        self
    }

    /// When it is worth trying again.
    pub(crate) fn retry_after_s(mut self, seconds: u32) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// What the log is told and the client is not.
    pub(crate) fn cause(mut self, cause: impl std::fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// What is wrong this time.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// As far as a caller may branch on it.
    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }
}

/// Violations of a record as items.
pub(crate) fn items(line: Option<usize>, violations: Vec<Violation>) -> impl Iterator<Item = ErrorItem> {
    violations.into_iter().map(move |v| ErrorItem { line, field: Some(v.field), problem: v.problem })
}

/// A secret that can't be stored, because there is no key to seal it with.
pub(crate) fn unsealed(error: SealError) -> Problem {
    Problem::new(Kind::Conflict, error.to_string())
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let inner = *self.0;
        let (status, name, title) = inner.kind.parts();
        if let Some(cause) = &inner.cause {
            tracing::warn!(status = status.as_u16(), problem = name, cause, "a request failed");
        }
        let body = ProblemBody {
            kind: format!("urn:flagtrail:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: inner.detail,
            hint: inner.hint,
            errors: inner.errors,
            errors_left_out: inner.errors_left_out,
            results: inner.results,
        };
        // A struct of strings and numbers always serialises.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = inner.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED && inner.kind == Kind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"flagtrail\""));
        }
        response
    }
}
