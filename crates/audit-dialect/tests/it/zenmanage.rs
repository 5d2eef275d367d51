//! Zenmanage. There are no recordings: the cases are built from its documentation, where `flag.target.changed`
//! is the one event with a published payload.

use audit_dialect::Platform;
use audit_record::{AuditRecord, Ref};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{Hook, pretty};

/// The example of Zenmanage's documentation.
const DOCUMENTED: &str = r#"{
"type": "flag.target.changed",
"timestamp": "2024-06-23T20:36:07+00:00",
"attributes": {
"project_key": "your-project",
"environment_key": "staging",
"flag_key": "new-checkout",
"new_target_value": "false",
"transaction_id": "wht_4a2b4f3c8d1e5f6g"
}
}"#;

fn hook(body: impl ToString) -> Hook {
    Hook::post(Platform::Zenmanage, body.to_string())
}

fn event(kind: &str, attributes: Value) -> Value {
    json!({"type": kind, "timestamp": "2024-06-23T20:36:07+00:00", "attributes": attributes})
}

fn place() -> Value {
    json!({"project_key": "p", "environment_key": "staging", "flag_key": "new-checkout", "transaction_id": "wht_1"})
}

fn refusal(hook: &Hook) -> String {
    hook.translate().expect_err("refused").to_string()
}

#[test]
fn the_documented_example_is_this_record() {
    insta::assert_snapshot!(pretty(&hook(DOCUMENTED).record()), @r#"
    {
      "action": "flag.value.changed",
      "author": {
        "type": "unknown"
      },
      "change": {
        "after": {
          "value": "false"
        },
        "fields": []
      },
      "environment": {
        "key": "staging"
      },
      "flag": {
        "key": "new-checkout"
      },
      "id": "36e6dc06-14c4-5c2b-85c1-7d7ce678f7d7",
      "log": "Target changed for flag new-checkout in staging, now \"false\"",
      "occurred_at": "2024-06-23T20:36:07.000000Z",
      "organisation": {
        "key": "acme"
      },
      "project": {
        "key": "your-project"
      },
      "recorded_at": "2026-09-01T12:00:00.000000Z",
      "related_object": {
        "key": "new-checkout"
      },
      "related_object_type": "FLAG_TARGET",
      "schema_version": 1,
      "source": {
        "authenticated": "token",
        "delivery_id": "wht_4a2b4f3c8d1e5f6g",
        "event": "flag.target.changed",
        "name": "main",
        "received_at": "2026-09-01T12:00:00.000000Z",
        "system": "zenmanage"
      },
      "target": {
        "key": "staging",
        "type": "environment"
      }
    }
    "#);
}

#[rstest]
#[case::changed("flag.target.changed", "flag.value.changed", "FLAG_TARGET")]
#[case::created("target.rule.created", "flag.rule.created", "TARGETING_RULE")]
#[case::edited("target.rule.changed", "flag.rule.changed", "TARGETING_RULE")]
#[case::removed("target.rule.removed", "flag.rule.removed", "TARGETING_RULE")]
#[case::added_later("target.rule.reordered", "flag.rule.reordered", "TARGETING_RULE")]
#[case::also_later("project.frozen", "flag.project.frozen", "FLAG_TARGET")]
fn every_event_can_change_what_a_flag_returns_so_its_action_begins_with_flag(
    #[case] event_type: &str,
    #[case] action: &str,
    #[case] object_type: &str,
) {
    let record = hook(event(event_type, place())).record();
    assert_eq!((record.action().as_str(), record.related_object_type()), (action, object_type));
    assert_eq!(record.source().event, event_type);
    assert_eq!(record.draft().flag, Some(Ref::by_key("new-checkout")));
    assert_eq!(record.draft().environment, Some(Ref::by_key("staging")));
}

#[test]
fn what_a_rule_event_says_beyond_its_documentation_is_kept() {
    let mut attributes = place();
    attributes["rule_id"] = json!(42);
    attributes["rule_name"] = json!("beta testers");
    attributes["conditions"] = json!([{"attribute": "country", "in": ["DE", "FR"]}]);
    attributes["note"] = json!("free text");
    attributes["token"] = json!("hunter2");
    let record = hook(event("target.rule.changed", attributes)).record();
    insta::assert_snapshot!(pretty(&record), @r#"
    {
      "action": "flag.rule.changed",
      "attributes": {
        "conditions": [
          {
            "attribute": "country",
            "in": [
              "DE",
              "FR"
            ]
          }
        ],
        "note": "free text",
        "redacted": [
          "/attributes/token"
        ],
        "token": "[REDACTED]"
      },
      "author": {
        "type": "unknown"
      },
      "environment": {
        "key": "staging"
      },
      "flag": {
        "key": "new-checkout"
      },
      "id": "ddda55d2-f4d7-56f8-93f3-29f57e4d43c3",
      "log": "Targeting rule changed for flag new-checkout in staging",
      "occurred_at": "2024-06-23T20:36:07.000000Z",
      "organisation": {
        "key": "acme"
      },
      "project": {
        "key": "p"
      },
      "recorded_at": "2026-09-01T12:00:00.000000Z",
      "related_object": {
        "id": "42",
        "name": "beta testers"
      },
      "related_object_type": "TARGETING_RULE",
      "schema_version": 1,
      "source": {
        "authenticated": "token",
        "delivery_id": "wht_1",
        "event": "target.rule.changed",
        "name": "main",
        "received_at": "2026-09-01T12:00:00.000000Z",
        "system": "zenmanage"
      },
      "target": {
        "id": "42",
        "name": "beta testers",
        "type": "rule"
      }
    }
    "#);
}

fn by_get() -> Hook {
    let mut hook = hook("").with_query("json", DOCUMENTED);
    hook.method = "GET".to_owned();
    hook
}

#[test]
fn by_post_put_patch_and_get_the_same_event_is_the_same_record() {
    let posted = hook(DOCUMENTED).record();
    for method in ["PUT", "PATCH"] {
        let mut hook = hook(DOCUMENTED);
        hook.method = method.to_owned();
        assert_eq!(hook.record(), posted, "{method}");
    }
    assert_eq!(by_get().record(), posted);
}

#[test]
fn a_get_without_its_parameter_is_refused() {
    let mut hook = by_get();
    hook.query.clear();
    assert_eq!(refusal(&hook), "a GET carries its event in the json query parameter, and there is none");
}

fn ids(event: &Value) -> String {
    hook(event).record().id().to_owned()
}

#[test]
fn a_repeat_has_the_same_id_and_another_event_of_the_transaction_another() {
    let first = event("target.rule.changed", place());
    let mut sent_later = first.clone();
    sent_later["timestamp"] = json!("2024-06-23T20:36:59+00:00");
    assert_eq!(ids(&first), ids(&sent_later));
    assert_ne!(ids(&first), ids(&event("target.rule.removed", place())));
    let mut other_flag = place();
    other_flag["flag_key"] = json!("other");
    assert_ne!(ids(&first), ids(&event("target.rule.changed", other_flag)));
    let mut other_rule = place();
    other_rule["rule_id"] = json!(2);
    assert_ne!(ids(&first), ids(&event("target.rule.changed", other_rule)));
}

#[test]
fn an_event_without_a_transaction_has_no_id_of_its_own() {
    let mut attributes = place();
    attributes.as_object_mut().unwrap().remove("transaction_id");
    let translation = hook(event("flag.target.changed", attributes)).translate().unwrap();
    assert_eq!(translation.drafts[0].id, None);
}

#[test]
fn a_project_may_come_from_the_url_and_none_at_all_is_refused_with_the_hint() {
    let body = event("flag.target.changed", json!({"flag_key": "f"}));
    let found = hook(&body).with_query("project", "p").with_query("environment", "prod").record();
    assert_eq!(found.routing_key().as_str(), "acme/main/p");
    assert_eq!(found.draft().environment, Some(Ref::by_key("prod")));
    assert!(refusal(&hook(&body)).contains("add ?project=…"), "{}", refusal(&hook(&body)));
}

#[test]
fn a_time_that_is_none_is_kept_and_the_receipt_counts() {
    let mut body = event("flag.target.changed", place());
    body["timestamp"] = json!("last Tuesday");
    let record = hook(&body).record();
    assert_eq!(record.occurred_at(), record.source().received_at);
    assert_eq!(record.draft().attributes["timestamp"], "last Tuesday");
}

#[rstest]
#[case::empty("", "the body is empty")]
#[case::cut_short("{\"type\":", "EOF")]
#[case::no_object("[1]", "not an event of Zenmanage")]
#[case::no_type("{}", "the body has no type")]
#[case::a_type_that_no_action_can_have(r#"{"type":"flag.Target changed"}"#, "is no event of Zenmanage")]
#[case::a_key_twice(r#"{"type":"a","type":"b"}"#, "stands twice")]
fn what_does_not_fit_is_refused_with_the_reason(#[case] body: &str, #[case] reason: &str) {
    let found = refusal(&hook(body));
    assert!(found.contains(reason), "{found}");
}

proptest! {
    #[test]
    fn any_text_in_any_field_is_kept_as_it_is(flag: String, new_value: String, project in ".+", extra: String) {
        let body = event("flag.target.changed", json!({
            "project_key": project, "flag_key": flag, "new_target_value": new_value, "extra": extra,
        }));
        let record: AuditRecord = hook(&body).record();
        let draft = record.draft();
        let name = draft.flag.as_ref().and_then(|flag| flag.key.clone()).unwrap_or_default();
        prop_assert_eq!(name, flag);
        let after = draft.change.as_ref().and_then(|change| change.after.clone());
        prop_assert_eq!(after, Some(json!({ "value": new_value })));
        prop_assert_eq!(&draft.attributes["extra"], &Value::from(extra));
    }

    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>) {
        let _ = Hook::post(Platform::Zenmanage, body).translate();
    }
}
