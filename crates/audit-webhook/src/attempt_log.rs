//! One attempt as it stands in `deliveries`, version 1: key = endpoint id, beside the record's partition.
//!
//! Secrets are never in it: of requests the headers are logged with secret ones masked, and what an answer echoes
//! of those is masked, too.

use std::collections::BTreeMap;

use audit_journal::{NewMessage, Offset, Partition, Placement};
use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::clock::rfc3339;
use crate::endpoint::Endpoint;
use crate::live::Live;
use crate::send::{Answer, FailureClass};

/// The version of the entry that this release writes.
pub const ATTEMPT_VERSION: u32 = 1;

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEntry {
    /// The version of this entry.
    pub v: u32,
    /// Which endpoint.
    pub endpoint: String,
    /// The record's id: `webhook-id`.
    pub record: String,
    /// Where the record stands.
    pub partition: Partition,
    /// Where in the partition.
    pub offset: Offset,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When it ended, RFC 3339.
    pub at: String,
    /// How long it took.
    pub duration_ms: u64,
    /// What became of the delivery.
    pub outcome: AttemptOutcome,
    /// The status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<FailureClass>,
    /// What went wrong in words, where there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The headers that were sent, secret ones as `***`; empty where no request could be made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub request_headers: BTreeMap<String, String>,
    /// The beginning of the answer's body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub excerpt: String,
    /// When the next attempt is due, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_due: Option<String>,
}

/// What an attempt did to its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// It arrived.
    Delivered,
    /// It will be tried again.
    Retry,
    /// It was given up.
    DeadLettered,
    /// The receiver wants nothing more (410), or every delivery has failed for too long: the endpoint is
    /// disabled, the delivery waits.
    Disabled,
}

/// Where the record of an attempt stands, and which attempt it was.
#[derive(Clone, Debug)]
pub(crate) struct AttemptOf<'a> {
    pub(crate) record: &'a str,
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    pub(crate) attempt: u32,
}

/// The message for `deliveries`.
pub(crate) fn attempt_message(
    live: &Live,
    of: &AttemptOf<'_>,
    answer: &Answer,
    outcome: AttemptOutcome,
    next_due_ms: Option<i64>,
    now_ms: i64,
) -> NewMessage {
    let entry = AttemptEntry {
        v: ATTEMPT_VERSION,
        endpoint: live.endpoint.id.to_string(),
        record: of.record.to_owned(),
        partition: of.partition,
        offset: of.offset,
        attempt: of.attempt,
        at: rfc3339(now_ms),
        duration_ms: answer.took.as_millis() as u64,
        outcome,
        status: answer.status,
        error: answer.verdict.failure(),
        detail: answer.detail.clone(),
        request_headers: masked(&answer.sent).collect(),
        excerpt: excerpt(&live.endpoint, &answer.excerpt),
        next_due: next_due_ms.map(rfc3339),
    };
    NewMessage {
        key: Bytes::copy_from_slice(live.endpoint.id.as_str().as_bytes()),
        headers: Vec::new(),
        value: Some(serde_json::to_vec(&entry).expect("an entry of strings and numbers").into()),
        placement: Placement::Fixed(of.partition),
    }
}

/// What stands in the place of a secret.
const MASK: &str = "***";

/// Headers as they are shown, secret ones masked.
pub(crate) fn masked(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> {
    headers.iter().map(|(name, value)| {
        let shown =
            if value.is_sensitive() { MASK.into() } else { String::from_utf8_lossy(value.as_bytes()) };
        (name.as_str().to_owned(), shown.into_owned())
    })
}

/// Shorter header values are no credentials, and masking them would garble the excerpt.
const MASKED_BYTES_MIN: usize = 6;

/// Long enough, and no secret.
const BEARER: &str = "bearer";

/// The beginning of an answer, without what it echoes of the endpoint's secret headers: of the whole value, or
/// of a part of it that stands by itself, as the token does behind `Bearer`.
pub(crate) fn excerpt(endpoint: &Endpoint, bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for (_, value) in &endpoint.headers {
        let value = value.expose();
        for secret in std::iter::once(value).chain(value.split_ascii_whitespace()) {
            if secret.len() >= MASKED_BYTES_MIN && !secret.eq_ignore_ascii_case(BEARER) {
                text = text.replace(secret, MASK);
            }
        }
    }
    text
}
