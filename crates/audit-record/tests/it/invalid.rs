//! What the reader says about what is wrong.

use audit_record::{AuditRecord, Draft, ObjectRef, RecordError, Ref, Target};
use serde_json::{Value, json};

use crate::sample::{draft, least, least_with};

fn complaint(value: &Value) -> String {
    AuditRecord::from_json(value.to_string().as_bytes()).expect_err("refused").to_string()
}

#[test]
fn every_missing_field_is_named_at_once_with_the_mend() {
    insta::assert_snapshot!(complaint(&json!({})).replace("; ", "\n"), @r#"
    not a valid audit record: id is missing: a string unique to the record
    action is missing: a dotted word such as flag.state.changed
    log is missing: a sentence that says what happened
    occurred_at is missing: when it happened, RFC 3339
    recorded_at is missing: when it was appended, RFC 3339
    author is missing: who did it
    {"type":"unknown"} where nobody knows
    organisation is missing: an object with id, key or name
    project is missing: an object with id, key or name (for a webhook source add ?project=… to its URL)
    related_object_type is missing: such as FEATURE
    source is missing: where the record came from
    "#);
}

#[test]
fn every_field_of_the_wrong_form_is_named_by_its_path() {
    let wrong = least_with(json!({
        "schema_version": "1",
        "action": "created",
        "occurred_at": "yesterday",
        "author": {"type": "robot", "id": 3},
        "flag": "checkout",
        "target": {},
        "change": {"fields": [{"field": "a"}, {"before": 1}, 7]},
        "access": {"subject": {"id": "1"}, "effect": "maybe"},
        "approval": {"required": "yes", "approvers": [{"type": "user"}, {}]},
        "source": {"name": "main", "received_at": 12},
        "attributes": []
    }));
    insta::assert_snapshot!(complaint(&wrong).replace("; ", "\n"), @r#"
    not a valid audit record: schema_version must be a whole number from 1
    action must be two or more dotted words of a-z, 0-9 and _, at most 128 bytes, such as flag.state.changed
    attributes must be an object
    occurred_at must be an RFC 3339 time with an offset, such as 2026-08-21T17:30:57.006318Z
    author.type must be one of user, api_key, service, system, unknown, not "robot"
    author.id must be a string, not a number
    flag must be an object, not a string
    target.type is missing: environment, segment, identity, rule or another word
    change.fields[1].field is missing: the dotted path of what changed
    change.fields[2] must be an object, not a number
    change.fields[2].field is missing: the dotted path of what changed
    access.subject.type is missing: user, group, api_key or another word
    access.scope is missing: what the access is to
    access.effect must be one of granted, removed, snapshot, not "maybe"
    approval.required must be true or false, not a string
    approval.approvers[1].type is missing: one of user, api_key, service, system, unknown
    source.system is missing: the platform
    source.event is missing: what the platform calls the event
    source.received_at must be a string, not a number
    "#);
}

#[test]
fn a_record_without_a_project_is_refused_with_the_hint_to_add() {
    let mut value = least();
    value["project"] = Value::Null;
    assert_eq!(
        complaint(&value),
        "not a valid audit record: project is missing: an object with id, key or name (for a webhook source add \
         ?project=… to its URL)"
    );
}

#[test]
fn a_draft_made_in_code_is_held_to_the_same_rules_as_one_that_is_read() {
    type Damage = fn(&mut Draft);
    let broken: [(&str, Damage); 6] = [
        ("id is missing", |draft| draft.id = Some(String::new())),
        ("log is missing", |draft| draft.log = Some(String::new())),
        ("target.type is missing", |draft| draft.target = Some(Target::new("", Ref::by_id("1")))),
        ("organisation is missing", |draft| draft.organisation = Some(Ref::by_id(""))),
        ("project needs an id, a key or a name", |draft| draft.project = Some(Ref::by_name(""))),
        ("source.event is missing", |draft| {
            draft.source.as_mut().expect("the sample has one").event.clear();
        }),
    ];
    for (expected, damage) in broken {
        let mut draft = draft();
        damage(&mut draft);
        let error = AuditRecord::try_new(draft).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn empty_optional_text_in_a_draft_counts_as_absent() {
    let mut draft = draft();
    draft.related_object = ObjectRef { uuid: Some(String::new()), what: Ref::by_id("") };
    draft.reason = Some(String::new());
    let record = AuditRecord::try_new(draft).expect("valid");
    assert_eq!(record.draft().reason, None);
    assert_eq!(record, AuditRecord::from_json(record.canonical()).expect("reads back"));
}

#[test]
fn a_caller_can_branch_on_the_kind_of_error_and_read_every_violation() {
    let error = AuditRecord::from_json(b"{}").expect_err("refused");
    let RecordError::Invalid(violations) = error else { panic!("{error}") };
    assert_eq!(violations[0].field, "id");
    assert_eq!(violations.len(), 10);
}
