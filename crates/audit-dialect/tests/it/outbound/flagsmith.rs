//! Flagsmith's events: its signature, its audit entry alone, and records of other platforms.

use audit_dialect::outbound::{BodyFormat, Carry, Outcome, Renderer};
use audit_dialect::{HookRequest, Platform, SignatureCheck, check_signature};
use rstest::rstest;
use serde_json::{Value, json};

use super::samples::{body, full_with, record, render, sent, skipped, stored, text};
use crate::harness::{Hook, RECEIVED_AT};
use crate::recording;

/// A body and its signature under [`SECRET`], computed with Python's `json` and `hmac`.
const GOLDEN_BODY: &str = include_str!("golden/flagsmith-audit.json");
const SECRET: &str = "s3cret";
const GOLDEN_SIGNATURE: &str = "0805a2307a1ac62bbfc6b57092d596919c9011b021fe0dcf0853c62a5694d4a4";

#[test]
fn the_golden_vector_comes_out_with_its_signature() {
    let mut hook = Hook::post(Platform::Flagsmith, GOLDEN_BODY.trim_end());
    // Nothing redacted, so that the very bytes come out that were signed.
    hook.redact_keep = vec!["environment.api_key".to_owned(), "author.last_login".to_owned()];
    let stored = stored(&hook.record());
    let renderer = Renderer::try_new(&BodyFormat::Flagsmith, Carry::Body).unwrap();
    let Outcome::Rendered(rendered) = renderer.render(&stored, Some(SECRET.as_bytes())).unwrap() else {
        panic!("skipped")
    };
    assert_eq!(text(&rendered), GOLDEN_BODY.trim_end());
    assert_eq!(rendered.headers, [("x-flagsmith-signature", GOLDEN_SIGNATURE.to_owned())]);
    assert_eq!(rendered.event, "AUDIT_LOG_CREATED");
}

#[test]
fn what_is_sent_passes_the_check_of_what_comes_in() {
    let stored = stored(&record(full_with(json!({}))));
    let renderer = Renderer::try_new(&BodyFormat::Flagsmith, Carry::Body).unwrap();
    let Outcome::Rendered(rendered) = renderer.render(&stored, Some("sécret ✓".as_bytes())).unwrap()
    else {
        panic!("skipped")
    };
    let headers: Vec<(String, Vec<u8>)> = rendered
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes()))
        .collect();
    let request = HookRequest {
        method: "POST",
        query: &[],
        headers: &headers,
        body: rendered.body.as_deref().unwrap(),
        received_at: audit_record::Timestamp::parse(RECEIVED_AT).unwrap(),
    };
    let check = check_signature(Platform::Flagsmith, &["sécret ✓".as_bytes()], &request);
    assert_eq!(check, SignatureCheck::Valid);
}

#[test]
fn without_a_secret_there_is_no_signature() {
    let stored = stored(&record(full_with(json!({}))));
    let renderer = Renderer::try_new(&BodyFormat::Flagsmith, Carry::Body).unwrap();
    for none in [None, Some(&b""[..])] {
        let Outcome::Rendered(rendered) = renderer.render(&stored, none).unwrap() else { panic!("skipped") };
        assert!(rendered.headers.is_empty());
    }
}

#[test]
fn the_audit_entry_alone_is_what_stands_under_data_and_state_events_have_none() {
    let audit = recording::numbered(Platform::Flagsmith, "105").hook().record();
    let Outcome::Rendered(alone) = render(&BodyFormat::FlagsmithAudit, &audit).unwrap() else {
        panic!("skipped")
    };
    let Outcome::Rendered(whole) = render(&BodyFormat::Flagsmith, &audit).unwrap() else { panic!("skipped") };
    assert_eq!(
        text(&whole),
        format!("{{\"data\": {}, \"event_type\": \"AUDIT_LOG_CREATED\"}}", text(&alone))
    );
    let state = recording::numbered(Platform::Flagsmith, "113").hook().record();
    assert!(matches!(render(&BodyFormat::FlagsmithAudit, &state), Ok(Outcome::Skipped(_))));
}

#[rstest]
#[case::a_state(json!({}), "FLAG_UPDATED")]
#[case::a_first_state(json!({"action": "flag.created", "change": {"after": {"enabled": true}}}), "FLAG_UPDATED")]
#[case::a_deletion(json!({"action": "flag.deleted"}), "FLAG_DELETED")]
#[case::an_override_removed(json!({"action": "flag.override.removed"}), "FLAG_DELETED")]
#[case::no_environment(json!({"environment": null}), "AUDIT_LOG_CREATED")]
#[case::no_change(json!({"change": null}), "AUDIT_LOG_CREATED")]
#[case::something_else(json!({"action": "flag.segment.changed"}), "AUDIT_LOG_CREATED")]
#[case::no_setting(json!({"action": "flag.changed", "change": {"after": {"stale": true}}}), "AUDIT_LOG_CREATED")]
#[case::an_override_of_a_rule(
    json!({"action": "flag.override.changed", "target": {"type": "rule", "id": "r"}}),
    "AUDIT_LOG_CREATED"
)]
fn a_record_of_another_platform_is_a_state_where_it_tells_of_one(#[case] fields: Value, #[case] event: &str) {
    let rendered = sent(&BodyFormat::Flagsmith, full_with(fields));
    assert_eq!(rendered.event, event);
    assert_eq!(body(&rendered)["event_type"], event);
}

#[test]
fn a_deleted_flag_has_no_new_state_and_a_new_one_no_previous_state() {
    let deleted = body(&sent(&BodyFormat::Flagsmith, full_with(json!({"action": "flag.deleted"}))));
    assert_eq!(deleted["data"]["new_state"], Value::Null);
    assert_eq!(deleted["data"]["previous_state"]["feature_state_value"], "before-value");
    let new = json!({"action": "flag.created", "change": {"after": "blue"}});
    let new = body(&sent(&BodyFormat::Flagsmith, full_with(new)));
    assert_eq!(new["data"].get("previous_state"), None);
    assert_eq!(new["data"]["new_state"]["feature_state_value"], "blue");
    assert_eq!(new["data"]["new_state"]["enabled"], Value::Null);
}

#[test]
fn a_record_of_no_project_is_skipped() {
    let fields = json!({"action": "user.created", "related_object_type": "USER", "project": null});
    for format in [BodyFormat::Flagsmith, BodyFormat::FlagsmithAudit] {
        let skip = skipped(&format, full_with(fields.clone()));
        assert_eq!(skip.to_string(), "flagsmith sends no AUDIT_LOG_CREATED without a project");
        assert_eq!(skip.label(), "lacks");
    }
}

/// A user's name of three words, and a user without one, come out in the parts in which they came in.
#[rstest]
#[case("Mary Jane", "Watson")]
#[case("", "Watson")]
#[case("Ada", "King of Lovelace")]
#[case("", "")]
#[case(" ", "x ")]
fn a_name_comes_out_in_its_parts(#[case] first: &str, #[case] last: &str) {
    let mut entry: Value = serde_json::from_str(GOLDEN_BODY).unwrap();
    entry["data"]["author"]["first_name"] = first.into();
    entry["data"]["author"]["last_name"] = last.into();
    let hook = Hook::post(Platform::Flagsmith, entry.to_string());
    let Outcome::Rendered(rendered) = render(&BodyFormat::Flagsmith, &hook.record()).unwrap() else {
        panic!("skipped")
    };
    let author = &body(&rendered)["data"]["author"];
    assert_eq!((&author["first_name"], &author["last_name"]), (&first.into(), &last.into()));
}
