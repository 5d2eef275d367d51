//! Bodies that are no event, or none that a well-meaning sender would make: a refusal or a faithful record,
//! never a panic.

use audit_dialect::Platform;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{Hook, any_json, finish, matches_snapshot};
use crate::recording;

#[rstest]
#[case("empty", "")]
#[case("blank", " \n")]
#[case("cut_short", r#"{"data": {"new_state"#)]
#[case("a_key_twice", r#"{"event_type": "FLAG_UPDATED", "data": {}, "data": {}}"#)]
#[case("a_list", "[]")]
#[case("nothing", "{}")]
#[case("an_unknown_event", r#"{"event_type": "COFFEE_MADE", "data": {"cups": 2}}"#)]
#[case("an_evaluation", r#"{"identity": "x", "traits": [], "flags": [], "segments": []}"#)]
#[case("no_states", r#"{"event_type": "FLAG_UPDATED", "data": {"changed_by": "a@b"}}"#)]
#[case("states_that_are_none", r#"{"event_type": "FLAG_UPDATED", "data": {"new_state": 7}}"#)]
#[case("no_feature", r#"{"event_type": "FLAG_UPDATED", "data": {"new_state": {"enabled": true}}}"#)]
#[case("no_project", r#"{"event_type": "FLAG_UPDATED", "data": {"new_state": {"feature": {"name": "f"}}}}"#)]
#[case("no_log", r#"{"event_type": "AUDIT_LOG_CREATED", "data": {"project": {"id": 1}}}"#)]
#[case("data_that_is_none", r#"{"event_type": "AUDIT_LOG_CREATED", "data": "x"}"#)]
fn what_is_no_event_is_refused_with_a_reason(#[case] name: &str, #[case] body: &str) {
    let refusal = Hook::post(Platform::Flagsmith, body).translate().unwrap_err();
    matches_snapshot(&format!("flagsmith.refused.{name}"), body, &refusal.reason);
}

#[test]
fn a_body_that_is_not_utf8_is_refused() {
    assert!(Hook::post(Platform::Flagsmith, b"{\"log\": \"\xff\"}".to_vec()).translate().is_err());
}

#[test]
fn every_cut_of_a_real_body_is_refused() {
    let body = recording::numbered(Platform::Flagsmith, "069").body;
    for length in (0..body.len()).step_by(7) {
        assert!(Hook::post(Platform::Flagsmith, &body[..length]).translate().is_err(), "at {length}");
    }
}

#[rstest]
#[case("1969-12-31T23:59:59.999999Z")]
#[case("10000-01-01T00:00:00.000000Z")]
#[case("2026-02-30T00:00:00.000000Z")]
#[case("yesterday")]
fn an_absurd_date_is_kept_and_the_time_of_receipt_counts(#[case] date: &str) {
    let recording = recording::numbered(Platform::Flagsmith, "005");
    let mut body: Value = serde_json::from_slice(&recording.body).unwrap();
    body["data"]["created_date"] = date.into();
    let mut hook = recording.hook();
    hook.body = body.to_string().into_bytes();
    let record = hook.record();
    assert_eq!(record.occurred_at(), recording.received_at);
    assert_eq!(record.draft().attributes["created_date"], date);
}

#[test]
fn numbers_past_2_to_the_53_and_a_formula_as_a_name_are_kept_exactly() {
    let number = "9007199254740993";
    let body = format!(
        r#"{{"event_type":"FLAG_UPDATED","data":{{"timestamp":"","changed_by":"","new_state":{{"enabled":true,"feature":{{"id":{number},"name":"=cmd|' /C calc'!A0","project":1}},"feature_state_value":{number}}}}}}}"#
    );
    let record = Hook::post(Platform::Flagsmith, body).record();
    let flag = record.draft().flag.clone().unwrap();
    assert_eq!((flag.id.as_deref(), flag.name.as_deref()), (Some(number), Some("=cmd|' /C calc'!A0")));
    let text = String::from_utf8(record.canonical().to_vec()).unwrap();
    assert!(text.contains(&format!(r#""value":{number}"#)));
}

#[test]
fn a_hundred_thousand_unknown_fields_are_kept() {
    let mut data = json!({"log": "Segment updated: s", "related_object_type": "SEGMENT", "project": 1});
    for index in 0..100_000 {
        data[format!("k{index}")] = 1.into();
    }
    let draft = Hook::post(Platform::Flagsmith, data.to_string()).translate().unwrap().drafts.remove(0);
    assert_eq!(draft.attributes.len(), 100_000);
}

/// Whatever comes of a body can be a record, but for its size.
fn survives(body: &[u8]) {
    let hook = Hook::post(Platform::Flagsmith, body).with_query("project", "1");
    for draft in hook.translate().into_iter().flat_map(|translation| translation.drafts) {
        finish(draft, hook.received_at);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&bytes);
    }

    #[test]
    fn no_json_panics(value in any_json()) {
        survives(value.to_string().as_bytes());
    }

    #[test]
    fn a_real_body_with_one_part_replaced_never_panics(
        number in prop::sample::select(vec!["005", "069", "124", "181", "225", "407", "631", "784"]),
        place in any::<prop::sample::Index>(),
        value in any_json(),
    ) {
        let mut body: Value = serde_json::from_slice(&recording::numbered(Platform::Flagsmith, number).body).unwrap();
        let places = count(&body);
        replace(&mut body, &mut place.index(places), &value);
        survives(body.to_string().as_bytes());
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// Puts `new` at the place that `left` counts down to.
fn replace(value: &mut Value, left: &mut usize, new: &Value) -> bool {
    if *left == 0 {
        *value = new.clone();
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| replace(item, left, new)),
        Value::Object(map) => map.values_mut().any(|item| replace(item, left, new)),
        _ => false,
    }
}
