//! Versions of settings as entity tags, and `If-Match`.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::problem::{Kind, Problem};

/// The `ETag` of a version.
pub(crate) fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits in quotes are a header value")
}

/// Checks the request's `If-Match` against the `current` version and returns the version to build on.
pub(crate) fn if_match(headers: &HeaderMap, current: u64) -> Result<u64, Problem> {
    let Some(wanted) = headers.get(header::IF_MATCH) else {
        return Err(Problem::new(Kind::VersionRequired, "a change names the version that it changes")
            .hint(format!("send the ETag that you read, such as If-Match: \"{current}\", or If-Match: *")));
    };
    let wanted = wanted.to_str().unwrap_or_default();
    let current_tag = format!("\"{current}\"");
    if wanted.split(',').any(|tag| tag.trim() == "*" || tag.trim() == current_tag) {
        return Ok(current);
    }
    Err(Problem::new(Kind::StaleVersion, format!("the version is {current_tag}, not {wanted}"))
        .hint("read it again and repeat the change"))
}
