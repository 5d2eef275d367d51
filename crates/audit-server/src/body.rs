//! Reading a request's body, bounded.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::problem::{Kind, Problem};

/// How much of a body that is too large is read and thrown away, so that a client that sends before it
/// listens gets to read why it was refused.
const DISCARDED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What came of reading a body up to a bound.
pub(crate) enum Read {
    /// All of it.
    Whole(Bytes),
    /// It goes on past the bound; this is its beginning.
    Cut(Bytes),
}

/// The length that the client declares; `None` for a chunked body.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads at most `bytes_max` bytes. Never holds more than that and one frame.
pub(crate) async fn read_up_to(body: Body, declared: Option<u64>, bytes_max: usize) -> Result<Read, Problem> {
    let mut body = body;
    let mut held = BytesMut::new();
    let mut single: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::new(Kind::BadRequest, "the body was cut short")
                .hint("send as many bytes as Content-Length says")
                .cause(error)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if held.is_empty() && single.is_none() {
            // Most bodies are one frame: then nothing is copied.
            single = Some(data);
        } else {
            if let Some(first) = single.take() {
                let expected = declared.unwrap_or(0).min(bytes_max as u64) as usize;
                held.reserve(expected.max(first.len() + data.len()));
                held.extend_from_slice(&first);
            }
            held.extend_from_slice(&data);
        }
        let length = single.as_ref().map_or(held.len(), Bytes::len);
        if length > bytes_max {
            let mut kept = single.unwrap_or_else(|| held.freeze());
            kept.truncate(bytes_max);
            discard(body).await;
            return Ok(Read::Cut(kept));
        }
    }
    Ok(Read::Whole(single.unwrap_or_else(|| held.freeze())))
}

async fn discard(mut body: Body) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > DISCARDED_BYTES_MAX {
            return;
        }
    }
}

/// Reads a body whole, or refuses it as too large.
pub(crate) async fn read_body(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(Kind::TooLarge, format!("the body may have {bytes_max} bytes"))
            .hint("send less at a time")
    };
    let declared = declared_length(request.headers());
    if declared.is_some_and(|length| length > bytes_max as u64) {
        // Who asks first (`Expect: 100-continue`) is told at once.
        if !request.headers().contains_key(header::EXPECT) {
            discard(request.into_body()).await;
        }
        return Err(too_large());
    }
    match read_up_to(request.into_body(), declared, bytes_max).await? {
        Read::Whole(body) => Ok(body),
        Read::Cut(_) => Err(too_large()),
    }
}
