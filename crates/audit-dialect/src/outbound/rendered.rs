//! What comes of a record: a request's parts, or the reason why nothing is sent.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Longest URL that is sent, in bytes. Beyond it receivers and proxies answer 414, or cut.
pub const URL_BYTES_MAX: usize = 8 * 1024;

/// The query parameter that carries the JSON of a GET.
const QUERY_PARAMETER: &str = "json";

/// Everything but the characters that RFC 3986 calls unreserved.
const QUERY_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where the text of a delivery goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carry {
    /// Into the body: POST, PUT, PATCH.
    #[default]
    Body,
    /// Into the query parameter `json`: GET.
    Query,
}

/// What becomes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This is sent.
    Rendered(Rendered),
    /// Nothing is sent: the platform has no word for it. To be counted, and passed over.
    Skipped(Skip),
}

/// What is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// What the format calls the event: `FLAG_UPDATED`, `flag.target.changed`, or the record's action.
    pub event: String,
    /// The media type of the body. A `content-type` among the endpoint's own headers stands in its place.
    pub content_type: Option<String>,
    /// Headers that belong to the format: `ce-…`, the platform's signature. Names are lower-case, values printable
    /// ASCII.
    pub headers: Vec<(&'static str, String)>,
    /// What a GET carries in its query; [`Rendered::url`] puts it there.
    pub query_json: Option<String>,
    /// What any other method carries; none for no body at all.
    pub body: Option<Bytes>,
}

impl Rendered {
    /// What is signed: the body, or for a GET the text in its query before it is encoded.
    pub fn signed_bytes(&self) -> &[u8] {
        match (&self.body, &self.query_json) {
            (Some(body), _) => body,
            (None, Some(json)) => json.as_bytes(),
            (None, None) => b"",
        }
    }

    /// The URL to send to: `base`, and for a GET the text in its query.
    pub fn url(&self, base: &str) -> Result<String, RenderError> {
        let Some(json) = &self.query_json else { return Ok(base.to_owned()) };
        let base = base.split('#').next().unwrap_or_default();
        let separator = match base.split_once('?') {
            None => "?",
            Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
            Some(_) => "&",
        };
        let encoded = utf8_percent_encode(json, QUERY_ESCAPES);
        let url = format!("{base}{separator}{QUERY_PARAMETER}={encoded}");
        if url.len() > URL_BYTES_MAX {
            return Err(RenderError::UrlTooLong { bytes: url.len() });
        }
        Ok(url)
    }
}

/// Why a record is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Skip {
    /// The platform has no such event.
    #[error("{format} has no event for {action}")]
    NoEvent {
        /// The format.
        format: &'static str,
        /// What the record tells of.
        action: String,
    },
    /// The platform's event needs something that the record does not have.
    #[error("{format} sends no {event} without {missing}")]
    Lacks {
        /// The format.
        format: &'static str,
        /// The platform's event.
        event: String,
        /// What is missing: a project, a flag.
        missing: &'static str,
    },
}

impl Skip {
    /// A word for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoEvent { .. } => "no_event",
            Self::Lacks { .. } => "lacks",
        }
    }
}

/// Why a record could not be rendered. It will not be otherwise at the next attempt: only another
/// setting of the endpoint changes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The bytes are no record that this release can read.
    #[error("the message is no audit record: {0}")]
    NotARecord(String),
    /// The GET would have a URL that receivers refuse.
    #[error(
        "the URL would have {bytes} bytes, {URL_BYTES_MAX} are allowed: use POST, or a template that sends less"
    )]
    UrlTooLong {
        /// What it would have.
        bytes: usize,
    },
    /// The template could not be filled from this record.
    #[error("the template failed{}: {problem}", .line.map(|line| format!(" in line {line}")).unwrap_or_default())]
    Template {
        /// The line, from 1, where it is known.
        line: Option<usize>,
        /// What went wrong.
        problem: String,
    },
    /// The template takes too long.
    #[error("the template took more than {steps} steps: loop over less")]
    TooManySteps {
        /// What is allowed.
        steps: u64,
    },
    /// The template makes too much.
    #[error("the template made more than {bytes} bytes: send less of the record")]
    TooLarge {
        /// What is allowed.
        bytes: usize,
    },
    /// What the template made is no JSON, though it is to be sent as such.
    #[error("the template made no valid JSON ({0}): mend it, or set content_type to what it makes")]
    NotJson(String),
}

/// Why a format can't be used as it stands in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidFormat(pub(crate) String);

impl InvalidFormat {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn with_json(json: &str) -> Rendered {
        Rendered { query_json: Some(json.to_owned()), ..Rendered::default() }
    }

    #[rstest]
    #[case("https://a.example/hook", "https://a.example/hook?json=%7B%22a%22%3A%22%C3%BC%20%26%22%7D")]
    #[case("https://a.example/hook?", "https://a.example/hook?json=%7B%22a%22%3A%22%C3%BC%20%26%22%7D")]
    #[case("https://a.example/?b=1#c", "https://a.example/?b=1&json=%7B%22a%22%3A%22%C3%BC%20%26%22%7D")]
    fn the_json_of_a_get_stands_encoded_in_its_query(#[case] base: &str, #[case] url: &str) {
        assert_eq!(with_json(r#"{"a":"ü &"}"#).url(base).as_deref(), Ok(url));
    }

    #[test]
    fn a_url_over_eight_kib_is_refused_with_its_length() {
        let base = "https://a.example/";
        let room = URL_BYTES_MAX - base.len() - "?json=".len();
        assert!(with_json(&"a".repeat(room)).url(base).is_ok());
        let error = with_json(&"a".repeat(room + 1)).url(base).unwrap_err();
        assert_eq!(error, RenderError::UrlTooLong { bytes: URL_BYTES_MAX + 1 });
        assert_eq!(Rendered::default().url(&"a".repeat(URL_BYTES_MAX + 1)).map(|url| url.len()), Ok(8193));
    }
}
