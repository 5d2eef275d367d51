//! In which form records come.

use axum::http::{HeaderMap, header};

use crate::problem::{Kind, Problem};

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One record, or a list of them.
    Json,
    /// One record a line.
    Ndjson,
    /// CloudEvents, of whatever mode: the headers tell.
    CloudEvents,
}

impl Format {
    /// By the `Content-Type`, or by the headers of a CloudEvent in binary mode.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if headers.contains_key("ce-specversion") {
            return Ok(Self::CloudEvents);
        }
        match media_type.to_ascii_lowercase().as_str() {
            "application/json" => Ok(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/json-lines" => {
                Ok(Self::Ndjson)
            }
            "application/cloudevents+json" | "application/cloudevents-batch+json" => Ok(Self::CloudEvents),
            other => Err(Problem::new(Kind::UnsupportedMediaType, format!("the content type {other:?} is not understood"))
                .hint("send application/json, application/x-ndjson, application/cloudevents+json or application/cloudevents-batch+json")),
        }
    }

    /// Whether the headers are part of what is read.
    pub(crate) fn needs_headers(self) -> bool {
        self == Self::CloudEvents
    }
}

/// The lines of an NDJSON body that are not blank, with their number from 1.
pub(crate) fn lines(body: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    body.split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim_ascii()))
        .filter(|(_, line)| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_count_but_are_no_records() {
        let found: Vec<_> = lines(b"{}\r\n\n  \n{\"a\":1}\n").collect();
        assert_eq!(found, [(1, b"{}".as_slice()), (4, b"{\"a\":1}".as_slice())]);
    }
}
