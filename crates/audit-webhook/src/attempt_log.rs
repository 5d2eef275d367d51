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
use crate::live::Live;
use crate::send::{Answer, CHECKPOINT, EXCERPT_BYTES_MAX, FailureClass};

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
    /// Until when this attempt left the endpoint alone but for probes, in the process that made it, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_open_until: Option<String>,
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
        excerpt: excerpt(&answer.sent, &answer.excerpt),
        circuit_open_until: live.gate.open_until_ms().filter(|until| *until > now_ms).map(rfc3339),
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

/// What is shown of a checkpoint, which stands on the log itself and would double an attempt.
const CHECKPOINT_SHOWN: &str = "(the latest of the partition)";

/// Headers as they are shown, secret ones masked.
pub(crate) fn masked(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> {
    headers.iter().map(|(name, value)| {
        let shown = if value.is_sensitive() {
            MASK.into()
        } else if *name == CHECKPOINT {
            CHECKPOINT_SHOWN.into()
        } else {
            String::from_utf8_lossy(value.as_bytes())
        };
        (name.as_str().to_owned(), shown.into_owned())
    })
}

/// Shorter header values are no credentials, and masking them would garble the excerpt.
const MASKED_BYTES_MIN: usize = 6;

/// Long enough, and no secret.
const BEARER: &str = "bearer";

/// The beginning of an answer, without what it echoes of the secrets that were sent.
pub(crate) fn excerpt(sent: &HeaderMap, bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    let secrets = secrets(sent);
    for secret in &secrets {
        text = text.replace(secret, MASK);
    }
    // The bound may have cut a secret anywhere; an answer that broke off earlier seldom ends in one.
    let least = if bytes.len() < EXCERPT_BYTES_MAX { MASKED_BYTES_MIN } else { 1 };
    if let Some(at) = secrets.iter().filter_map(|secret| begins_at_end(&text, secret, least)).min() {
        text.truncate(at);
        text.push_str(MASK);
    }
    text
}

/// The secret values among headers, the longest first, so that none is left of one that holds another. Of
/// `Authorization` what follows the scheme is a secret by itself, too.
fn secrets(sent: &HeaderMap) -> Vec<&str> {
    let sensitive =
        sent.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
    let mut secrets: Vec<&str> = sensitive
        .flat_map(|value| std::iter::once(value).chain(value.split_ascii_whitespace()))
        .filter(|secret| secret.len() >= MASKED_BYTES_MIN && !secret.eq_ignore_ascii_case(BEARER))
        .collect();
    secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

/// Where a secret begins of which a text ends in the first `least` bytes or more. A secret is ASCII.
fn begins_at_end(text: &str, secret: &str, least: usize) -> Option<usize> {
    let length = (least..secret.len()).rev().find(|length| text.ends_with(&secret[..*length]))?;
    Some(text.len() - length)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, USER_AGENT};

    use super::{EXCERPT_BYTES_MAX, excerpt};

    fn sent() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("flagtrail/0"));
        let key = HeaderName::from_static("x-key");
        for (name, text) in [(AUTHORIZATION, "Bearer s3cr3t-token"), (key, "s3cr3t-token-of-more")] {
            let mut value = HeaderValue::from_static(text);
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers
    }

    #[test]
    fn whatever_an_answer_echoes_of_a_secret_that_was_sent_is_masked() {
        let text = |answer: &str| excerpt(&sent(), answer.as_bytes());
        assert_eq!(text("flagtrail/0 sent Bearer s3cr3t-token!"), "flagtrail/0 sent ***!");
        assert_eq!(text("unknown token s3cr3t-token"), "unknown token ***");
        assert_eq!(text("x-key: s3cr3t-token-of-more"), "x-key: ***");
        assert_eq!(text("it broke off after s3cr3t-to"), "it broke off after ***");
        assert_eq!(text("this one was whole: s"), "this one was whole: s");
    }

    #[test]
    fn a_secret_that_the_bound_cuts_is_masked_wherever_it_is_cut() {
        for length in 1.."Bearer s3cr3t-token".len() {
            let mut answer = "-".repeat(EXCERPT_BYTES_MAX - length);
            let before = format!("{answer}***");
            answer.push_str(&"Bearer s3cr3t-token"[..length]);
            assert_eq!(answer.len(), EXCERPT_BYTES_MAX);
            assert_eq!(excerpt(&sent(), answer.as_bytes()), before, "{length}");
        }
    }
}
