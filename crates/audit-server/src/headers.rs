//! Headers as dialects take them, and as they may be kept.

use axum::http::HeaderMap;

/// Headers that are never kept: they authenticate somebody.
const REDACTED: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token"];

/// How the names of others end that do.
const REDACTED_ENDINGS: [&str; 5] = ["token", "secret", "password", "api-key", "apikey"];

/// What stands in place of a redacted value.
const REDACTION: &str = "[REDACTED]";

/// Name and value of each header, in order.
pub(crate) fn pairs(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// The same as text to be kept, without what authenticates.
pub(crate) fn kept(pairs: &[(String, Vec<u8>)]) -> Vec<(String, String)> {
    let value = |(name, value): &(String, Vec<u8>)| {
        let lower = name.to_ascii_lowercase();
        let redacted = REDACTED.contains(&lower.as_str())
            || REDACTED_ENDINGS.iter().any(|ending| lower.ends_with(ending));
        let text = if redacted { REDACTION.to_owned() } else { String::from_utf8_lossy(value).into_owned() };
        (name.clone(), text)
    };
    pairs.iter().map(value).collect()
}
