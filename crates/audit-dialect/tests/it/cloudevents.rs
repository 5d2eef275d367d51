//! CloudEvents 1.0: structured, batched and binary. Cases are built from the specification.

use audit_dialect::Platform;
use audit_record::{AuthorKind, Ref};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{Hook, pretty};

fn event() -> Value {
    json!({
        "specversion": "1.0", "id": "A234-1234", "source": "/ci/deployer", "type": "com.example.Release-Done",
        "subject": "web", "time": "2026-08-01T10:00:00.5Z", "authtype": "service_account", "authid": "ci",
        "traceparent": "00-1", "datacontenttype": "application/json", "data": {"version": 1.5, "secret": "hunter2"}
    })
}

fn hook(body: impl ToString) -> Hook {
    Hook::post(Platform::CloudEvents, body.to_string()).with_query("project", "shop")
}

fn binary(headers: &[(&str, &str)], body: &[u8]) -> Hook {
    let mut hook = Hook::post(Platform::CloudEvents, body).with_query("project", "shop");
    hook.headers = headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
    hook
}

fn refusal(hook: &Hook) -> String {
    hook.translate().expect_err("refused").to_string()
}

#[test]
fn an_event_of_any_kind_is_this_record() {
    insta::assert_snapshot!(pretty(&hook(event()).record()), @r#"
    {
      "action": "com.example.release_done",
      "attributes": {
        "cloudevent": {
          "datacontenttype": "application/json",
          "traceparent": "00-1"
        },
        "data": {
          "secret": "[REDACTED]",
          "version": 1.5
        },
        "redacted": [
          "/data/secret"
        ]
      },
      "author": {
        "id": "ci",
        "type": "service"
      },
      "id": "a5bb99c2-c701-5237-a424-0f6b43cb02b8",
      "log": "com.example.Release-Done: web",
      "occurred_at": "2026-08-01T10:00:00.500000Z",
      "organisation": {
        "key": "acme"
      },
      "project": {
        "key": "shop"
      },
      "recorded_at": "2026-09-01T12:00:00.000000Z",
      "related_object": {
        "key": "web"
      },
      "related_object_type": "EVENT",
      "schema_version": 1,
      "source": {
        "authenticated": "token",
        "cloudevents_source": "/ci/deployer",
        "delivery_id": "A234-1234",
        "event": "com.example.Release-Done",
        "name": "main",
        "received_at": "2026-09-01T12:00:00.000000Z",
        "system": "cloudevents"
      }
    }
    "#);
}

#[test]
fn an_event_whose_data_is_our_record_is_that_record() {
    let mut body = event();
    body["data"] = json!({
        "action": "flag.created", "flag": {"key": "checkout"}, "project": {"key": "own"},
        "author": {"type": "user", "email": "ada@example.com"}
    });
    let record = hook(body).record();
    assert_eq!(record.action().as_str(), "flag.created");
    assert_eq!(record.draft().project, Some(Ref::by_key("own")));
    assert_eq!(record.occurred_at().to_string(), "2026-08-01T10:00:00.500000Z", "the envelope's time");
    let source = record.source();
    assert_eq!((source.system.as_str(), source.event.as_str()), ("cloudevents", "com.example.Release-Done"));
    assert_eq!(source.delivery_id.as_deref(), Some("A234-1234"));
    assert_eq!(record.draft().attributes["cloudevent"]["traceparent"], "00-1");
}

#[test]
fn secrets_in_extensions_are_redacted_whatever_the_data_is() {
    let mut body = event();
    body["token"] = json!("hunter3");
    let record = hook(&body).record();
    assert_eq!(record.draft().attributes["cloudevent"]["token"], "[REDACTED]");
    assert_eq!(record.draft().attributes["redacted"], json!(["/data/secret", "/token"]));
    body["data"] = json!({"action": "flag.created", "flag": {"key": "checkout"}});
    let record = hook(&body).record();
    assert!(!String::from_utf8(record.canonical().to_vec()).unwrap().contains("hunter3"));
    assert_eq!(record.draft().attributes["redacted"], json!(["/token"]));
}

#[test]
fn the_same_event_in_binary_mode_is_the_same_record() {
    let structured = hook(event()).record();
    let binary = binary(
        &[
            ("Content-Type", "application/json"),
            ("CE-SpecVersion", "1.0"),
            ("ce-id", "A234-1234"),
            ("ce-source", "/ci/deployer"),
            ("ce-type", "com.example.Release-Done"),
            ("ce-subject", "web"),
            ("ce-time", "2026-08-01T10:00:00.5Z"),
            ("ce-authtype", "service_account"),
            ("ce-authid", "ci"),
            ("ce-traceparent", "00-1"),
        ],
        br#"{"version": 1.5, "secret": "hunter2"}"#,
    )
    .record();
    let mut expected = structured.into_draft();
    let extension = expected.attributes["cloudevent"].as_object_mut().unwrap();
    extension.remove("datacontenttype");
    assert_eq!(binary.into_draft(), expected);
}

#[rstest]
#[case::percent_encoded("gr%C3%B6%C3%9Fe%20%22x%22", "größe \"x\"")]
#[case::plain("web", "web")]
fn a_binary_header_is_percent_decoded(#[case] header: &str, #[case] subject: &str) {
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "s"),
        ("ce-type", "flag.created"),
        ("ce-subject", header),
    ];
    let record = binary(&headers, b"").record();
    assert_eq!(record.draft().flag, Some(Ref::by_key(subject)));
}

#[rstest]
#[case::text("text/plain", b"hello \"you\"".as_slice(), json!("hello \"you\""))]
#[case::json_that_is_none("application/json", b"{", json!("{"))]
#[case::bytes("application/octet-stream", b"\xff\x00", json!("/wA="))]
fn data_of_any_type_is_kept(#[case] content_type: &str, #[case] body: &[u8], #[case] data: Value) {
    let headers = [
        ("content-type", content_type),
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "s"),
        ("ce-type", "a.b"),
    ];
    assert_eq!(binary(&headers, body).record().draft().attributes["data"], data);
}

#[test]
fn data_in_base64_is_decoded() {
    let mut body = event();
    body.as_object_mut().unwrap().remove("data");
    body["data_base64"] = json!("eyJhIjoxfQ==");
    assert_eq!(hook(body).record().draft().attributes["data"], json!({"a": 1}));
}

#[test]
fn a_batch_gives_a_record_an_event_and_one_bad_event_refuses_it_by_its_number() {
    let mut second = event();
    second["id"] = json!("2");
    let records = hook(json!([event(), second])).records();
    assert_eq!(records.len(), 2);
    assert_ne!(records[0].id(), records[1].id());
    let reason = refusal(&hook(json!([event(), {"specversion": "1.0", "id": "1", "source": "s"}])));
    assert_eq!(reason, "event 2: the event has no type: a CloudEvent has specversion, id, source and type");
}

#[test]
fn source_and_id_together_make_the_records_id() {
    let id = |source: &str, id: &str| {
        let mut body = event();
        body["source"] = json!(source);
        body["id"] = json!(id);
        hook(body).record().id().to_owned()
    };
    assert_eq!(id("a", "1"), id("a", "1"));
    assert_ne!(id("a", "1"), id("a", "2"));
    assert_ne!(id("a", "b 1"), id("a b", "1"));
    assert_ne!(id("a", "b1"), id("ab", "1"));
}

#[rstest]
#[case::one_word("Deployed", "event.deployed")]
#[case::reverse_dns("com.github.pull.create", "com.github.pull.create")]
#[case::odd_characters("https://Example/Ünit test", "https.example._nit_test")]
#[case::flag("flag.state.changed", "flag.state.changed")]
fn an_action_is_made_of_any_type(#[case] kind: &str, #[case] action: &str) {
    let mut body = event();
    body["type"] = json!(kind);
    assert_eq!(hook(body).record().action().as_str(), action);
}

#[test]
fn an_author_is_unknown_unless_the_auth_context_says_who() {
    let mut body = event();
    let map = body.as_object_mut().unwrap();
    map.remove("authtype");
    map.remove("authid");
    assert_eq!(hook(&body).record().author().kind, AuthorKind::Unknown);
    assert_eq!(hook(event()).record().author().id.as_deref(), Some("ci"));
}

#[rstest]
#[case::empty("", "the body is empty")]
#[case::an_empty_batch("[]", "the batch is empty")]
#[case::no_object("1", "a CloudEvent is a JSON object")]
#[case::no_version("{}", "no specversion")]
#[case::an_older_version(r#"{"specversion":"0.3"}"#, "CloudEvents 0.3")]
#[case::both_kinds_of_data(r#"{"data":1,"data_base64":"AA=="}"#, "not both")]
#[case::bad_base64(r#"{"data_base64":"?"}"#, "not base64")]
fn what_does_not_fit_is_refused_with_the_reason(#[case] body: &str, #[case] reason: &str) {
    let found = refusal(&hook(body));
    assert!(found.contains(reason), "{found}");
}

#[test]
fn without_a_project_it_is_refused_with_the_hint() {
    let mut hook = hook(event());
    hook.query.clear();
    assert!(refusal(&hook).contains("add ?project=…"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>, header: Vec<u8>) {
        let mut hook = Hook::post(Platform::CloudEvents, body);
        let _ = hook.translate();
        hook.headers = vec![("ce-specversion".into(), b"1.0".to_vec()), ("ce-id".into(), header)];
        let _ = hook.translate();
    }
}
