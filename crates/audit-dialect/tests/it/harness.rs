//! A source to translate for, and the finishing touches that the server gives a draft.
#![allow(dead_code, reason = "each dialect's tests use the part they need")]

use audit_dialect::{HookRequest, Platform, Refusal, SourceContext, Translation, translate};
use audit_record::{AuditRecord, Authenticated, Draft, Ref, Timestamp};
use serde_json::Value;
use uuid::Uuid;

/// When every request of the tests comes in, unless a recording says otherwise.
pub(crate) const RECEIVED_AT: &str = "2026-09-01T12:00:00.000000Z";

/// A source, and one request to it. Set what matters, then [`Hook::translate`].
pub(crate) struct Hook {
    pub(crate) platform: Platform,
    pub(crate) organisation: Ref,
    pub(crate) project: Option<Ref>,
    pub(crate) environment: Option<Ref>,
    pub(crate) redact_keep: Vec<String>,
    pub(crate) method: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) received_at: Timestamp,
}

impl Hook {
    /// A POST of `body` to a source without hints.
    pub(crate) fn post(platform: Platform, body: impl Into<Vec<u8>>) -> Self {
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
    pub(crate) fn with_query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The request as a dialect sees it.
    pub(crate) fn request(&self) -> HookRequest<'_> {
        HookRequest {
            method: &self.method,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
            received_at: self.received_at,
        }
    }

    /// What it becomes.
    pub(crate) fn translate(&self) -> Result<Translation, Refusal> {
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
    pub(crate) fn records(&self) -> Vec<AuditRecord> {
        let drafts = self.translate().expect("refused").drafts;
        drafts.into_iter().map(|draft| finish(draft, self.received_at)).collect()
    }

    /// The one record that comes of it.
    pub(crate) fn record(&self) -> AuditRecord {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "one record");
        records.remove(0)
    }
}

/// What the server adds: an id where the dialect gave none, and the time of recording.
pub(crate) fn finish(mut draft: Draft, recorded_at: Timestamp) -> AuditRecord {
    draft.id.get_or_insert_with(|| "(made by the server)".to_owned());
    draft.recorded_at = Some(recorded_at);
    AuditRecord::try_new(draft).expect("a dialect's draft is a valid record")
}

/// The record as JSON, for snapshots.
pub(crate) fn value(record: &AuditRecord) -> Value {
    record.draft().to_value()
}

/// A draft as readable JSON, for snapshots, without what is the same in all of them.
pub(crate) fn shown(draft: Draft) -> String {
    let mut value = draft.to_value();
    let object = value.as_object_mut().unwrap();
    for always in ["schema_version", "recorded_at", "organisation"] {
        object.remove(always);
    }
    serde_json::to_string_pretty(&value).unwrap()
}

/// Compares with the snapshot `name`; `about` stands in its head.
pub(crate) fn matches_snapshot(name: &str, about: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "snapshots",
        prepend_module_to_snapshot => false,
        omit_expression => true,
        description => about,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

/// Any JSON, with the keys and words that platforms use among it.
pub(crate) fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let word = prop_oneof![
        prop::sample::select(vec![
            "data",
            "event_type",
            "FLAG_UPDATED",
            "FLAG_DELETED",
            "AUDIT_LOG_CREATED",
            "NEW_VERSION_PUBLISHED",
            "new_state",
            "previous_state",
            "feature",
            "project",
            "environment",
            "id",
            "name",
            "log",
            "author",
            "timestamp",
            "created_date",
            "related_object_type",
            "feature_states",
            "uuid",
            "type",
            "createdBy",
            "preData",
            "featureName",
            "feature-created",
            "feature_segment",
            "segment",
            "identity",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(word.clone(), inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// The record as JSON text, for snapshots: numbers as they are.
pub(crate) fn pretty(record: &AuditRecord) -> String {
    serde_json::to_string_pretty(&value(record)).expect("JSON")
}
