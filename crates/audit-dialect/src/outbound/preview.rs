//! What an endpoint would send, to be looked at before it is sent.

use audit_record::AuditRecord;
use bytes::Bytes;
use serde::Serialize;

use super::rendered::{Carry, InvalidFormat, Outcome, RenderError};
use super::{BodyFormat, Renderer};

/// The record that is shown where none is chosen: a flag switched on, with everything that such a record has.
const SAMPLE: &str = include_str!("../../assets/sample-record.json");

/// A request as it would be sent, but for the headers that only a delivery has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Preview {
    /// This would be sent.
    Sent {
        /// What the format calls the event.
        event: String,
        /// Where to: for a GET with the query that carries the event.
        url: String,
        /// The headers that the format brings, `content-type` among them.
        headers: Vec<(String, String)>,
        /// The body as text; none for a GET, or where the format has none.
        body: Option<String>,
    },
    /// Nothing would be sent.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// Why there is nothing to look at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreviewError {
    /// The format can't be used as it is.
    #[error(transparent)]
    Format(#[from] InvalidFormat),
    /// It can, but not with this record.
    #[error(transparent)]
    Render(#[from] RenderError),
}

/// Renders `stored`, a record as it stands on the log, or [`sample_record`], for an endpoint at `url`. With a
/// `secret` the platform's signature is made with it.
pub fn preview(
    format: &BodyFormat,
    carry: Carry,
    url: &str,
    stored: Option<&Bytes>,
    secret: Option<&[u8]>,
) -> Result<Preview, PreviewError> {
    let renderer = Renderer::try_new(format, carry)?;
    let sample;
    let stored = match stored {
        Some(stored) => stored,
        None => {
            sample = Bytes::copy_from_slice(sample_record().canonical());
            &sample
        }
    };
    let rendered = match renderer.render(stored, secret)? {
        Outcome::Rendered(rendered) => rendered,
        Outcome::Skipped(skip) => return Ok(Preview::Skipped { reason: skip.to_string() }),
    };
    let url = rendered.url(url)?;
    let content_type = rendered.content_type.map(|value| ("content-type".to_owned(), value));
    let others = rendered.headers.into_iter().map(|(name, value)| (name.to_owned(), value));
    Ok(Preview::Sent {
        event: rendered.event,
        url,
        headers: content_type.into_iter().chain(others).collect(),
        body: rendered.body.map(|body| String::from_utf8_lossy(&body).into_owned()),
    })
}

/// A record to try a format with.
pub fn sample_record() -> AuditRecord {
    AuditRecord::from_json(SAMPLE.as_bytes()).expect("the sample is a valid record; a test renders it")
}
