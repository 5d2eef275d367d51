//! Flagtrail's own records: they are made in one place, and look like the example that the schema shows.

use audit_record::{
    AuditRecord, Authenticated, Author, AuthorKind, Map, OWN, OwnRecord, Ref, RoutingKey, Timestamp,
};
use serde_json::{Value, json};

fn reading() -> OwnRecord<'static> {
    let attributes: Value =
        json!({"kind": "report", "what": "change_log", "query": {"from": ["90d"], "project": ["shop"]}});
    OwnRecord {
        id: "6f0d1f3c-8f3a-5a1e-9c55-0b8f1c2d3e4f".to_owned(),
        action: "flagtrail.log.read",
        log: "auditor ran the report change_log".to_owned(),
        at: Timestamp::parse("2026-11-21T12:34:00.000000Z").expect("a time"),
        author: Author {
            id: Some("0198c8f67a3e7c119d553f0f6c1f2b7a".to_owned()),
            name: Some("auditor".to_owned()),
            ..Author::new(AuthorKind::ApiKey)
        },
        authenticated: Authenticated::Token,
        object_type: "FLAGTRAIL_LOG",
        object: Ref::by_id("report/change_log"),
        attributes: attributes.as_object().cloned().expect("an object"),
    }
}

#[test]
fn a_record_of_our_own_is_the_one_that_the_example_shows() {
    let example = include_bytes!("../../../../schemas/examples/valid/own-reading-of-the-log.json");
    let example = AuditRecord::from_json(example).expect("valid");
    let made = AuditRecord::try_new(reading().into_draft()).expect("valid");
    assert_eq!(String::from_utf8_lossy(made.canonical()), String::from_utf8_lossy(example.canonical()));
}

#[test]
fn a_record_of_our_own_is_of_our_own_organisation_source_and_routing_key_whoever_asked() {
    let by_us = OwnRecord {
        author: Author::own(),
        authenticated: Authenticated::None,
        attributes: Map::new(),
        ..reading()
    };
    for own in [reading(), by_us] {
        let record = AuditRecord::try_new(own.into_draft()).expect("valid");
        assert_eq!(record.organisation().key.as_deref(), Some(OWN));
        assert_eq!((record.source().name.as_str(), record.source().system.as_str()), (OWN, "flagtrail"));
        assert_eq!(record.source().event, "flagtrail.log.read");
        assert_eq!(record.routing_key(), RoutingKey::own());
    }
}
