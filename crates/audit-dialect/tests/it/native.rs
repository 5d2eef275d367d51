//! Our own record through a hook.

use audit_dialect::Platform;
use audit_record::{Authenticated, Author, AuthorKind, Ref};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{Hook, RECEIVED_AT, pretty};

fn hook(body: impl ToString) -> Hook {
    Hook::post(Platform::Native, body.to_string())
}

fn least() -> Value {
    json!({"action": "flag.state.changed", "flag": {"key": "checkout"}, "project": {"key": "shop"}})
}

fn refusal(hook: &Hook) -> String {
    hook.translate().expect_err("refused").to_string()
}

#[test]
fn the_least_that_can_be_sent_is_filled_to_this_record() {
    insta::assert_snapshot!(pretty(&hook(least()).record()), @r#"
    {
      "action": "flag.state.changed",
      "author": {
        "type": "unknown"
      },
      "flag": {
        "key": "checkout"
      },
      "id": "(made by the server)",
      "log": "flag.state.changed: checkout",
      "occurred_at": "2026-09-01T12:00:00.000000Z",
      "organisation": {
        "key": "acme"
      },
      "project": {
        "key": "shop"
      },
      "recorded_at": "2026-09-01T12:00:00.000000Z",
      "related_object": {
        "key": "checkout"
      },
      "related_object_type": "FEATURE",
      "schema_version": 1,
      "source": {
        "authenticated": "token",
        "event": "flag.state.changed",
        "name": "main",
        "received_at": "2026-09-01T12:00:00.000000Z",
        "system": "native"
      }
    }
    "#);
}

#[test]
fn what_the_sender_gave_is_kept_and_what_is_the_sources_is_the_sources() {
    let mut body = least();
    body["id"] = json!("deploy-17");
    body["occurred_at"] = json!("2026-08-01T00:00:00+02:00");
    body["recorded_at"] = json!("1999-01-01T00:00:00Z");
    body["author"] = json!({"type": "service", "name": "deployer"});
    body["organisation"] = json!({"id": "somebody else"});
    body["source"] = json!({
        "name": "somebody else", "system": "deployer", "event": "deploy", "delivery_id": "d-1",
        "received_at": "nonsense", "authenticated": "signature", "region": "eu"
    });
    body["tomorrow"] = json!(1);
    let record = hook(body).record();
    assert_eq!(record.id(), "deploy-17");
    assert_eq!(record.occurred_at().to_string(), "2026-07-31T22:00:00.000000Z");
    assert_eq!(record.recorded_at().to_string(), RECEIVED_AT);
    assert_eq!(
        record.author(),
        &Author { name: Some("deployer".into()), ..Author::new(AuthorKind::Service) }
    );
    assert_eq!(record.organisation(), &Ref::by_key("acme"));
    assert_eq!(record.draft().attributes["stated_organisation"], json!({"id": "somebody else"}));
    let source = record.source();
    assert_eq!(
        (source.name.as_str(), source.system.as_str(), source.event.as_str()),
        ("main", "deployer", "deploy")
    );
    assert_eq!((source.delivery_id.as_deref(), source.authenticated), (Some("d-1"), Authenticated::Token));
    assert_eq!(source.received_at.to_string(), RECEIVED_AT);
    assert_eq!(source.extra["region"], "eu");
    assert_eq!(record.draft().extra["tomorrow"], 1);
}

#[rstest]
#[case::an_array(|records: &[Value]| Value::from(records).to_string())]
#[case::one_a_line(|records: &[Value]| records.iter().map(|r| format!("{r}\n")).collect())]
#[case::one_a_line_with_cr_and_blank_lines(|records: &[Value]| records.iter().map(|r| format!("{r}\r\n\r\n")).collect())]
fn several_records_come_as_an_array_or_one_a_line(#[case] write: fn(&[Value]) -> String) {
    let mut second = least();
    second["flag"]["key"] = json!("second\nline");
    let records = hook(write(&[least(), second])).records();
    let flags: Vec<_> = records.iter().map(|r| r.draft().flag.clone().unwrap().key.unwrap()).collect();
    assert_eq!(flags, ["checkout", "second\nline"]);
}

#[test]
fn project_and_environment_may_come_from_the_url() {
    let body = json!({"action": "flag.created", "flag": {"key": "f"}});
    let record = hook(body).with_query("project", "shop").with_query("environment", "prod").record();
    assert_eq!(record.draft().project, Some(Ref::by_key("shop")));
    assert_eq!(record.draft().environment, Some(Ref::by_key("prod")));
}

#[test]
fn every_violation_is_named_and_with_several_records_which_of_them() {
    let body = json!({"action": "created", "author": {"type": "robot"}});
    let reason = refusal(&hook(&body));
    assert!(reason.contains("action must be") && reason.contains("author.type must be one of"), "{reason}");
    let reason = refusal(&hook(json!([least(), json!({"action": "flag.created"})])));
    assert!(reason.starts_with("record 2: not a valid audit record: "), "{reason}");
    assert!(reason.contains("related_object_type is missing") && reason.contains("?project=…"), "{reason}");
}

#[rstest]
#[case::empty("", "the body is empty")]
#[case::an_empty_array("[]", "must hold at least one record")]
#[case::a_number("12", "a record is a JSON object")]
#[case::a_bad_second_line("{\"action\":\"a.b\"}\n{\"action\":", "record 2 is not JSON")]
#[case::cut_short("{\"action\":", "EOF")]
#[case::two_keys_alike("{\"a\":1,\"a\":2}", "stands twice")]
fn what_does_not_fit_is_refused_with_the_reason(#[case] body: &str, #[case] reason: &str) {
    let found = refusal(&hook(body));
    assert!(found.contains(reason), "{found}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>) {
        let _ = Hook::post(Platform::Native, body).translate();
    }
}
