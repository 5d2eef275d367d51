//! можно's templates.

use audit_dialect::outbound::{BodyFormat, Escape, Outcome};
use audit_dialect::{MOZHNO_TEMPLATE, Platform};
use rstest::rstest;
use serde_json::{Value, json};

use super::samples::{body, full_with, render, sent, skipped, text};
use crate::harness::Hook;

/// A template with all ten variables.
pub(crate) const ALL_TEN: &str = r#"{"action": "{{events.action}}", "resourceType": "[[events.resourceType]]",
  "resourceId": {{events.resourceId}}, "resourceName": "{{events.resourceName}}", "details": {{events.details}},
  "projectId": [[events.projectId]], "user": {"id": {{events.user.id}}, "name": "{{events.user.name}}",
  "email": "[[events.user.email]]"}, "timestamp": "{{events.timestamp}}"}"#;

pub(crate) fn with_template(template: &str) -> BodyFormat {
    BodyFormat::Mozhno { template: Some(template.to_owned()), escape: Escape::Json }
}

#[test]
fn ids_stay_numbers_and_hostile_names_stay_names() {
    let name = "\", \"action\": \"flag.deleted\n\\";
    let fields = json!({
        "flag": {"id": "12", "name": name},
        "project": {"id": "7"},
        "author": {"type": "user", "id": "3", "name": "=cmd|' /C calc'!A0 🚀 \u{202e}"},
        "action": "flag.updated"
    });
    let body = body(&sent(&with_template(ALL_TEN), full_with(fields)));
    assert_eq!(body["action"], "flag.updated");
    assert_eq!(body["resourceName"], name);
    assert_eq!(
        (&body["resourceId"], &body["projectId"], &body["user"]["id"]),
        (&json!(12), &json!(7), &json!(3))
    );
    assert_eq!(body["user"]["name"], "=cmd|' /C calc'!A0 🚀 \u{202e}");
    assert_eq!(body["user"]["email"], "");
    assert_eq!(body["timestamp"], "2026-08-21T17:30:57.006318Z");
}

#[test]
fn nobody_known_is_empty_and_null() {
    let body = body(&sent(&with_template(ALL_TEN), full_with(json!({"author": {"type": "unknown"}}))));
    assert_eq!(body["user"], json!({"id": null, "name": "", "email": ""}));
}

#[rstest]
#[case(None)]
#[case(Some(""))]
fn without_a_template_there_is_no_body(#[case] template: Option<&str>) {
    let format = BodyFormat::Mozhno { template: template.map(str::to_owned), escape: Escape::Json };
    let rendered = sent(&format, full_with(json!({})));
    assert_eq!((rendered.body, rendered.content_type), (None, None));
    assert_eq!(rendered.event, "flag.updated");
}

/// What the template that Flagtrail gives out makes is what it reads.
#[rstest]
#[case::a_flag("flag.created", "flag", "Flag created: checkout")]
#[case::a_strategy("strategy.updated", "strategy", "Strategy updated for env 4")]
#[case::a_segment("segment.deleted", "segment", "Segment deleted")]
#[case::a_user("user.updated", "user", "Role: admin, Status: ACTIVE")]
#[case::a_key("apikey.created", "apikey", "")]
fn a_body_of_our_own_template_comes_out_byte_for_byte(
    #[case] action: &str,
    #[case] kind: &str,
    #[case] details: &str,
) {
    let mut sent = MOZHNO_TEMPLATE.to_owned();
    for (variable, value) in [
        ("action", action),
        ("resourceType", kind),
        ("resourceId", "12"),
        ("projectId", "7"),
        ("user.id", "3"),
        ("timestamp", "2026-01-02T03:04:05.120Z"),
        ("resourceName", "größe \"x\"\n{{events.other}} 🚀"),
        ("details", details),
        ("user.email", "ada@example.com"),
        ("user.name", ""),
    ] {
        sent = sent.replacen(&format!("{{{{events.{variable}}}}}"), value, 1);
    }
    let record = Hook::post(Platform::Mozhno, sent.clone()).record();
    let format = BodyFormat::Mozhno { template: Some(MOZHNO_TEMPLATE.to_owned()), escape: Escape::None };
    let Outcome::Rendered(rendered) = render(&format, &record).unwrap() else { panic!("skipped") };
    assert_eq!(text(&rendered), sent);
}

#[rstest]
#[case("flag.segment.changed", "segment.updated", "segment")]
#[case("api_key.created", "apikey.created", "apikey")]
#[case("flag.environment.removed", "environment.deleted", "environment")]
#[case("flag.override.created", "flag.updated", "flag")]
fn another_platforms_action_is_the_nearest_event(
    #[case] action: &str,
    #[case] event: &str,
    #[case] kind: &str,
) {
    let body: Value = body(&sent(&with_template(ALL_TEN), full_with(json!({"action": action}))));
    assert_eq!((&body["action"], &body["resourceType"]), (&event.into(), &kind.into()));
    let id = if kind == "flag" { "flag-id" } else { "object-id" };
    assert_eq!(body["resourceId"], id);
}

#[test]
fn what_mozhno_has_no_event_for_is_skipped() {
    let skip = skipped(&with_template(ALL_TEN), full_with(json!({"action": "access.granted"})));
    assert_eq!(skip.to_string(), "mozhno has no event for access.granted");
}
