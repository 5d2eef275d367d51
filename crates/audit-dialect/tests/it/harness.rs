//! A source to translate for, and the finishing touches that the server gives a draft.
#![allow(dead_code, reason = "each dialect's tests use the part they need")]

use audit_dialect::{HookRequest, Platform, Refusal, SourceContext, Translation, translate};
use audit_record::{AuditRecord, Authenticated, Draft, Ref, Timestamp};
use serde_json::Value;
use uuid::Uuid;

/// When every request of the tests comes in, unless a recording says otherwise.
pub const RECEIVED_AT: &str = "2026-09-01T12:00:00.000000Z";

/// A source, and one request to it. Set what matters, then [`Hook::translate`].
pub struct Hook {
    pub platform: Platform,
    pub organisation: Ref,
    pub project: Option<Ref>,
    pub environment: Option<Ref>,
    pub redact_keep: Vec<String>,
    pub method: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub received_at: Timestamp,
}

impl Hook {
    /// A POST of `body` to a source without hints.
    pub fn post(platform: Platform, body: impl Into<Vec<u8>>) -> Self {
        Self {
            platform,
            organisation: Ref::by_key("acme"),
            project: None,
            environment: None,
            redact_keep: Vec::new(),
            method: "POST".to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: body.into(),
            received_at: Timestamp::parse(RECEIVED_AT).unwrap(),
        }
    }

    /// Adds a query parameter to the URL.
    pub fn with_query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The request as a dialect sees it.
    pub fn request(&self) -> HookRequest<'_> {
        HookRequest {
            method: &self.method,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
            received_at: self.received_at,
        }
    }

    /// What it becomes.
    pub fn translate(&self) -> Result<Translation, Refusal> {
        let source = SourceContext {
            name: "main",
            organisation: &self.organisation,
            project: self.project.as_ref(),
            environment: self.environment.as_ref(),
            authenticated: Authenticated::Token,
            namespace: Uuid::from_u128(0x666c_6167),
            redact_keep: &self.redact_keep,
        };
        translate(self.platform, &source, &self.request())
    }

    /// The records that come of it; panics where it is refused or a draft is not valid.
    pub fn records(&self) -> Vec<AuditRecord> {
        let drafts = self.translate().expect("refused").drafts;
        drafts.into_iter().map(|draft| finish(draft, self.received_at)).collect()
    }

    /// The one record that comes of it.
    pub fn record(&self) -> AuditRecord {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "one record");
        records.remove(0)
    }
}

/// What the server adds: an id where the dialect gave none, and the time of recording.
pub fn finish(mut draft: Draft, recorded_at: Timestamp) -> AuditRecord {
    draft.id.get_or_insert_with(|| "(made by the server)".to_owned());
    draft.recorded_at = Some(recorded_at);
    AuditRecord::try_new(draft).expect("a dialect's draft is a valid record")
}

/// The record as JSON, for snapshots.
pub fn value(record: &AuditRecord) -> Value {
    record.draft().to_value()
}
