//! The formats that hold the record itself, and the platforms that were not recorded.

use audit_dialect::Platform;
use audit_dialect::outbound::{
    BodyFormat, Carry, Outcome, RenderError, Rendered, Renderer, URL_BYTES_MAX, sample_record,
};
use rstest::rstest;
use serde_json::{Value, json};

use super::samples::{body, full, full_with, record, render, sent, skipped, stored, text};
use crate::harness::Hook;

#[test]
fn a_bare_record_is_the_stored_bytes() {
    let record = record(full());
    let Outcome::Rendered(rendered) = render(&BodyFormat::Record, &record).unwrap() else {
        panic!("skipped")
    };
    assert_eq!(rendered.body.as_deref(), Some(record.canonical()));
    assert_eq!(rendered.content_type.as_deref(), Some("application/json"));
    assert_eq!(rendered.event, "flag.state.changed");
}

#[test]
fn a_structured_cloudevent_carries_the_stored_bytes_as_data_and_comes_back_as_the_record() {
    let record = record(full());
    let Outcome::Rendered(rendered) = render(&BodyFormat::CloudeventsStructured, &record).unwrap() else {
        panic!("skipped")
    };
    let stored = String::from_utf8(record.canonical().to_vec()).unwrap();
    assert_eq!(
        text(&rendered),
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"record-id\",\"source\":\"/organisation-id/source-name/project-id\",\
             \"type\":\"flag.state.changed\",\"time\":\"2026-08-21T17:30:57.006318Z\",\"subject\":\"flag-key\",\
             \"datacontenttype\":\"application/json\",\"data\":{stored}}}"
        )
    );
    let mut hook = Hook::post(Platform::CloudEvents, rendered.body.unwrap().to_vec());
    hook.headers = vec![("content-type".to_owned(), rendered.content_type.unwrap().into_bytes())];
    assert_eq!(hook.record().id(), "record-id");
}

#[test]
fn a_binary_cloudevent_has_its_attributes_in_headers_of_printable_ascii() {
    let record = record(full_with(json!({"flag": {"key": "größe \"x\" 100%\n🚀"}})));
    let Outcome::Rendered(rendered) = render(&BodyFormat::CloudeventsBinary, &record).unwrap() else {
        panic!("skipped")
    };
    assert_eq!(rendered.body.as_deref(), Some(record.canonical()));
    assert_eq!(
        rendered.headers,
        [
            ("ce-specversion", "1.0"),
            ("ce-id", "record-id"),
            ("ce-source", "/organisation-id/source-name/project-id"),
            ("ce-type", "flag.state.changed"),
            ("ce-time", "2026-08-21T17:30:57.006318Z"),
            // A newline is no character of an attribute, so it is encoded before the header is.
            ("ce-subject", "gr%C3%B6%C3%9Fe%20%22x%22%20100%25%250A%F0%9F%9A%80"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
    );
    let mut hook = Hook::post(Platform::CloudEvents, record.canonical());
    hook.headers = rendered.headers.iter().map(|(n, v)| ((*n).to_owned(), v.clone().into_bytes())).collect();
    hook.headers.push(("content-type".to_owned(), b"application/json".to_vec()));
    assert_eq!(hook.record().draft().flag, record.draft().flag);
}

#[test]
fn a_binary_cloudevent_can_not_be_a_get() {
    let error = Renderer::try_new(&BodyFormat::CloudeventsBinary, Carry::Query).unwrap_err();
    assert!(error.to_string().contains("use cloudevents-structured"));
}

#[test]
fn no_body_is_no_body() {
    let rendered = sent(&BodyFormat::None, full());
    assert_eq!(rendered, Rendered { event: "flag.state.changed".to_owned(), ..Rendered::default() });
}

const ZENMANAGE: &str = r#"{"type":"flag.target.changed","timestamp":"2024-06-23T20:36:07+00:00","attributes":{"project_key":"your-project","environment_key":"staging","flag_key":"new-checkout","new_target_value":"false","transaction_id":"wht_4a2b4f3c8d1e5f6g"}}"#;

const ABTASTY: &str = r#"{"event":"campaign.status.changed","user_id":"u1","user_email":"jane@acme.com","user_role":"admin","date":"2026-01-02T03:04:05+00:00","account_id":"a1","account_name":"Acme","environment_id":"e1","campaign_id":"c1","campaign_name":"Blue","campaign_type":"ab","campaign_status":"active"}"#;

/// Neither was recorded: these are the documented payload of Zenmanage, and a body of AB Tasty put together from
/// the fields that it documents.
#[rstest]
#[case(Platform::Zenmanage, BodyFormat::Zenmanage, ZENMANAGE)]
#[case(Platform::AbTasty, BodyFormat::Abtasty, ABTASTY)]
fn a_documented_body_comes_out_byte_for_byte(
    #[case] platform: Platform,
    #[case] format: BodyFormat,
    #[case] documented: &str,
) {
    let mut hook = Hook::post(platform, documented);
    if platform == Platform::AbTasty {
        // Its body names no project, so its source must; and that is then sent, too.
        hook.project = Some(audit_record::Ref::by_id("p1"));
    }
    let Outcome::Rendered(rendered) = render(&format, &hook.record()).unwrap() else { panic!("skipped") };
    assert_eq!(text(&rendered).replace(r#""project_id":"p1","#, ""), documented);
}

#[rstest]
#[case::a_rule("target.rule.created", json!({"rule_id": "r1", "conditions": [1, {"b": 1.50}]}))]
#[case::an_event_of_tomorrow("flag.target.scheduled", json!({"at": "2030-01-01"}))]
fn what_zenmanage_does_not_document_comes_out_as_it_came(#[case] kind: &str, #[case] more: Value) {
    let mut event: Value = serde_json::from_str(ZENMANAGE).unwrap();
    event["type"] = kind.into();
    for (name, value) in more.as_object().unwrap() {
        event["attributes"][name] = value.clone();
    }
    let hook = Hook::post(Platform::Zenmanage, event.to_string());
    let Outcome::Rendered(rendered) = render(&BodyFormat::Zenmanage, &hook.record()).unwrap() else {
        panic!("skipped")
    };
    assert_eq!(body(&rendered), event);
}

#[test]
fn a_get_carries_its_json_in_the_query_and_comes_back_in() {
    let renderer = Renderer::try_new(&BodyFormat::Zenmanage, Carry::Query).unwrap();
    let rendered = renderer.render(&stored(&record(full())), None).unwrap();
    let Outcome::Rendered(rendered) = rendered else { panic!("skipped") };
    assert_eq!((&rendered.body, &rendered.content_type), (&None, &None));
    let json = rendered.query_json.clone().unwrap();
    let url = rendered.url("https://receiver.example/hook?a=1").unwrap();
    let query = url.strip_prefix("https://receiver.example/hook?a=1&json=").expect("the JSON follows");
    assert_eq!(percent_encoding::percent_decode_str(query).decode_utf8().unwrap(), json);
    let mut hook = Hook::post(Platform::Zenmanage, "").with_query("json", &json);
    hook.method = "GET".to_owned();
    assert_eq!(hook.record().draft().flag.as_ref().unwrap().key.as_deref(), Some("flag-key"));
}

#[test]
fn a_get_that_is_too_long_is_a_clear_failure() {
    let value = json!({"before": null, "after": {"value": "x".repeat(URL_BYTES_MAX)}});
    let long = record(full_with(json!({"change": value, "action": "flag.value.changed"})));
    let renderer = Renderer::try_new(&BodyFormat::Zenmanage, Carry::Query).unwrap();
    let rendered = renderer.render(&stored(&long), None).unwrap();
    let Outcome::Rendered(rendered) = rendered else { panic!("skipped") };
    let error = rendered.url("https://receiver.example/").unwrap_err();
    assert!(matches!(error, RenderError::UrlTooLong { bytes } if bytes > URL_BYTES_MAX));
    assert!(error.to_string().contains("8192 are allowed: use POST"), "{error}");
}

#[rstest]
#[case::a_value(r#"{"value": "blue", "enabled": true}"#, "blue")]
#[case::only_on_or_off(r#"{"enabled": false}"#, "false")]
#[case::a_bare_number("4.50", "4.50")]
#[case::a_value_of_json(r#"{"value": {"a": [1]}}"#, r#"{"a":[1]}"#)]
fn a_new_target_value_is_text(#[case] after: &str, #[case] expected: &str) {
    let after = audit_record::parse_strict(after.as_bytes()).unwrap();
    let body = body(&sent(&BodyFormat::Zenmanage, full_with(json!({"change": {"after": after}}))));
    assert_eq!(body["attributes"]["new_target_value"], expected);
}

#[test]
fn what_zenmanage_can_not_say_is_skipped_with_the_reason() {
    let reason = |fields| skipped(&BodyFormat::Zenmanage, full_with(fields)).to_string();
    assert_eq!(reason(json!({"action": "flag.archived"})), "zenmanage has no event for flag.archived");
    assert_eq!(reason(json!({"change": null})), "zenmanage sends no flag.target.changed without a new value");
    assert_eq!(reason(json!({"flag": null})), "zenmanage sends no flag.target.changed without a flag");
}

#[rstest]
#[case("access.granted", "project", "Project access granted to user")]
#[case("access.role.granted", "project", "Project edit role granted to user")]
#[case("access.removed", "project", "Project access removed")]
#[case("access.granted", "account", "Account access granted to user")]
#[case("access.role.granted", "account", "Account edit role granted to user")]
#[case("access.removed", "account", "Account access removed")]
fn access_is_told_as_ab_tasty_tells_it_and_read_back(
    #[case] action: &str,
    #[case] scope: &str,
    #[case] event: &str,
) {
    let mut value = full_with(json!({"action": action}));
    value["access"]["scope"]["type"] = scope.into();
    if action == "access.removed" {
        value["access"]["effect"] = "removed".into();
    }
    let rendered = sent(&BodyFormat::Abtasty, value.clone());
    assert_eq!(rendered.event, event);
    let read = Hook::post(Platform::AbTasty, text(&rendered)).record();
    assert_eq!(read.action().as_str(), action);
    let access = read.draft().access.clone().unwrap();
    assert_eq!(access.subject.email.as_deref(), Some("subject@example.com"));
    assert_eq!(access.scope.kind, scope);
}

#[test]
fn a_switch_is_one_of_two_events_in_unleash_and_is_read_back() {
    for (enabled, kind) in [(true, "feature-environment-enabled"), (false, "feature-environment-disabled")] {
        let rendered =
            sent(&BodyFormat::Unleash, full_with(json!({"change": {"after": {"enabled": enabled}}})));
        assert_eq!(rendered.event, kind);
        assert_eq!(body(&rendered)["data"], Value::Null);
        let read = Hook::post(Platform::Unleash, text(&rendered)).record();
        assert_eq!(read.action().as_str(), "flag.state.changed");
    }
    let skip = skipped(
        &BodyFormat::Unleash,
        full_with(json!({"action": "source.silent", "related_object_type": "WEBHOOK"})),
    );
    assert_eq!(skip.to_string(), "unleash has no event for source.silent");
}

#[test]
fn settings_name_the_format_and_what_it_asks_for() {
    for name in BodyFormat::NAMES {
        let with_template = json!({"format": name, "template": "{}"});
        let value = if name == "template" { with_template } else { json!(name) };
        let format = BodyFormat::from_value(&value).unwrap();
        assert_eq!(format.name(), name);
        Renderer::try_new(&format, Carry::Body).unwrap();
        // What is written is read again.
        assert_eq!(BodyFormat::from_value(&serde_json::to_value(&format).unwrap()).unwrap(), format);
    }
    assert_eq!(BodyFormat::from_value(&json!("standard-webhooks")).unwrap(), BodyFormat::default());
    for underscored in BodyFormat::NAMES.map(|name| name.replace('-', "_")).iter().filter(|n| n.contains('_'))
    {
        assert!(BodyFormat::from_value(&json!(underscored)).is_ok(), "{underscored}");
    }
    let mozhno = json!({"format": "mozhno", "template": "{}", "escape": "none"});
    assert_eq!(serde_json::to_value(BodyFormat::from_value(&mozhno).unwrap()).unwrap(), mozhno);
}

#[rstest]
#[case(json!("slak"), "there is no format \"slak\"; there are standard-webhooks, record")]
#[case(json!({"template": "x"}), "there is no format \"\"")]
#[case(json!({"format": "slack", "template": "x"}), "the format slack has no template: leave it out")]
#[case(json!({"format": "template"}), "the format template can't be read: missing field `template`")]
#[case(json!({"format": "mozhno", "templat": "x"}), "unknown field `templat`")]
#[case(json!(7), "a format is its name, or an object")]
fn settings_that_are_no_format_are_refused_with_what_is_wrong(#[case] value: Value, #[case] words: &str) {
    let error = BodyFormat::from_value(&value).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn every_format_has_a_word_for_the_sample_record() {
    let template = || Some(r#"{"a": "{{events.action}}"}"#.to_owned());
    for format in [
        BodyFormat::StandardWebhooks,
        BodyFormat::Record,
        BodyFormat::CloudeventsStructured,
        BodyFormat::CloudeventsBinary,
        BodyFormat::Flagsmith,
        BodyFormat::FlagsmithAudit,
        BodyFormat::Zenmanage,
        BodyFormat::Unleash,
        BodyFormat::Mozhno { template: template(), escape: Default::default() },
        BodyFormat::Template { template: "{{ record }}".to_owned(), content_type: None },
        BodyFormat::Slack,
        BodyFormat::Teams,
        BodyFormat::SplunkHec,
        BodyFormat::Datadog,
        BodyFormat::None,
    ] {
        let outcome = render(&format, &sample_record());
        assert!(matches!(outcome, Ok(Outcome::Rendered(_))), "{}: {outcome:?}", format.name());
    }
}
