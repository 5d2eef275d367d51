//! One attempt: build the request, send it, read the answer up to a cap, say what became of it.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::time::Instant;

use super::egress::Egress;
use super::failure::FailureClass;
use super::marks::Marks;
use super::retry_after::retry_after;
use crate::live::Live;

/// Most bytes read of an answer's body, after which its connection is closed rather than reused.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Most bytes of an answer kept in the attempt log.
pub(crate) const EXCERPT_BYTES_MAX: usize = 1024;

/// What is sent: a record, ready.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    /// The record's id: `webhook-id`, the same on every attempt.
    pub(crate) id: String,
    /// The body.
    pub(crate) body: Bytes,
}

/// What became of an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// What it means.
    pub(crate) verdict: Verdict,
    /// The status, where there was one.
    pub(crate) status: Option<u16>,
    /// From the start to the end of the answer.
    pub(crate) took: Duration,
    /// The beginning of the answer's body.
    pub(crate) excerpt: Vec<u8>,
    /// When the receiver wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
}

/// What an answer means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 2xx.
    Delivered,
    /// To be tried again.
    Failed(FailureClass),
    /// 410: nothing more is wanted.
    Unwanted,
}

impl Verdict {
    /// Why it failed, if it did.
    pub(crate) fn failure(self) -> Option<FailureClass> {
        match self {
            Self::Delivered => None,
            Self::Failed(class) => Some(class),
            Self::Unwanted => Some(FailureClass::Status),
        }
    }
}

/// Sends one parcel. Never fails: whatever happens is an answer, within the endpoint's timeout.
pub(crate) async fn attempt(
    client: &reqwest::Client,
    egress: &Egress,
    live: &Live,
    parcel: &Parcel,
    marks: &Marks,
    now_s: i64,
) -> Answer {
    let began = Instant::now();
    let mut answer = Answer {
        verdict: Verdict::Failed(FailureClass::Timeout),
        status: None,
        took: Duration::ZERO,
        excerpt: Vec::new(),
        retry_after: None,
    };
    // What is known when the timeout strikes stays: a status that came decides, even if its body did not end.
    let exchange = exchange(client, egress, live, (parcel, marks), now_s, &mut answer);
    let _ = tokio::time::timeout(live.endpoint.timeout, exchange).await;
    answer.took = began.elapsed();
    answer
}

async fn exchange(
    client: &reqwest::Client,
    egress: &Egress,
    live: &Live,
    what: (&Parcel, &Marks),
    now_s: i64,
    answer: &mut Answer,
) {
    // The client skips its resolver for a host that is an address, so that is checked here.
    if egress.check_url(&live.endpoint.url).is_err() {
        answer.verdict = Verdict::Failed(FailureClass::NotAllowed);
        return;
    }
    let Some(request) = request(live, what, now_s) else {
        answer.verdict = Verdict::Failed(FailureClass::Other);
        return;
    };
    let mut response = match client.execute(request).await {
        Ok(response) => response,
        Err(error) => {
            answer.verdict = Verdict::Failed(FailureClass::of(&error));
            return;
        }
    };
    let status = response.status();
    answer.status = Some(status.as_u16());
    answer.retry_after = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value, now_s));
    answer.verdict = match status.as_u16() {
        200..=299 => Verdict::Delivered,
        410 => Verdict::Unwanted,
        _ => Verdict::Failed(FailureClass::Status),
    };
    // The status has decided. The body is read for the excerpt, and so that the connection can be used
    // again; one that breaks off or is too long changes nothing but that.
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = EXCERPT_BYTES_MAX - answer.excerpt.len();
        answer.excerpt.extend_from_slice(&chunk[..chunk.len().min(room)]);
        read += chunk.len();
        if read > ANSWER_BYTES_MAX {
            break;
        }
    }
}

fn request(live: &Live, (parcel, marks): (&Parcel, &Marks), now_s: i64) -> Option<reqwest::Request> {
    let mut request = reqwest::Request::new(live.method.clone(), live.endpoint.url.clone());
    let timestamp = now_s.to_string();
    let signature = live.signer.sign(&parcel.id, &timestamp, &parcel.body);
    let mut headers: HeaderMap = live.headers.clone();
    // A record's id has no control characters, but it may leave ASCII: its UTF-8 bytes are sent.
    headers.insert("webhook-id", HeaderValue::from_bytes(parcel.id.as_bytes()).ok()?);
    headers.insert("webhook-timestamp", HeaderValue::try_from(timestamp).ok()?);
    headers.insert("webhook-signature", HeaderValue::try_from(signature).ok()?);
    marks.add_to(&mut headers);
    *request.headers_mut() = headers;
    if live.method == reqwest::Method::GET {
        let json = std::str::from_utf8(&parcel.body).ok()?;
        request.url_mut().query_pairs_mut().append_pair("json", json);
    } else {
        *request.body_mut() = Some(parcel.body.clone().into());
    }
    Some(request)
}
