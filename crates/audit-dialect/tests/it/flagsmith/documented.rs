//! Bodies that Flagsmith's documentation shows, older versions sent, or its source can send.

use audit_dialect::Platform;
use audit_record::AuthorKind;
use serde_json::{Value, json};

use crate::harness::{Hook, RECEIVED_AT, matches_snapshot, shown};

fn hook(body: &Value) -> Hook {
    Hook::post(Platform::Flagsmith, body.to_string())
}

fn old_state(enabled: bool, initial_value: &str) -> Value {
    json!({
        "enabled": enabled,
        "environment": 23,
        "feature": {
            "created_date": "2020-02-25T22:11:16.355547Z", "default_enabled": false, "description": null,
            "id": 2411, "initial_value": initial_value, "name": "feature_name", "project": 12, "type": "FLAG|CONFIG"
        },
        "feature_segment": null, "feature_state_value": null, "id": 10430,
        "identity": null, "identity_identifier": null
    })
}

fn old_flag_updated() -> Value {
    json!({
        "data": {
            "changed_by": "Some User", "timestamp": "2020-03-07T13:59:07.040Z",
            "new_state": old_state(true, "blue"), "previous_state": old_state(false, "red")
        },
        "event_type": "FLAG_UPDATED"
    })
}

#[test]
fn the_documented_flag_updated_with_bare_ids() {
    matches_snapshot(
        "flagsmith.documented.flag_updated",
        "",
        &shown(hook(&old_flag_updated()).record().into_draft()),
    );
}

#[test]
fn a_state_event_without_its_wrapper_is_the_same_but_for_the_id() {
    let wrapped = hook(&old_flag_updated()).record();
    let bare = hook(&old_flag_updated()["data"]).record();
    assert_ne!(wrapped.id(), bare.id(), "the id is that of the bytes");
    let mut draft = bare.into_draft();
    draft.id = Some(wrapped.id().to_owned());
    assert_eq!(shown(draft), shown(wrapped.into_draft()));
}

fn documented_audit() -> Value {
    json!({
        "created_date": "2020-02-23T17:30:57.006318Z", "log": "New Flag / Remote Config created: my_flag",
        "author": {"id": 3, "email": "user@domain.com", "first_name": "Kyle", "last_name": "Johnson"},
        "environment": null, "project": {"id": 6, "name": "Project name", "organisation": 1},
        "related_object_id": 6, "related_object_type": "FEATURE"
    })
}

#[test]
fn the_documented_audit_entry_without_a_wrapper() {
    matches_snapshot(
        "flagsmith.documented.audit_entry",
        "",
        &shown(hook(&documented_audit()).record().into_draft()),
    );
}

#[test]
fn the_audit_entry_id_is_what_counts_not_its_bytes() {
    let mut entry = documented_audit();
    entry["id"] = 1001.into();
    let first = hook(&entry).record();
    entry["author"]["last_login"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(first.id(), hook(&entry).record().id());
    entry["id"] = 1002.into();
    assert_ne!(first.id(), hook(&entry).record().id());
}

#[test]
fn a_hint_tells_the_name_of_a_project_given_by_number_and_keeps_its_key() {
    let bare = hook(&old_flag_updated());
    let hinted = hook(&old_flag_updated()).with_query("project", "12").with_query("project_name", "Website");
    assert_eq!(hinted.record().draft().project.as_ref().unwrap().name.as_deref(), Some("Website"));
    assert_eq!(hinted.record().routing_key(), bare.record().routing_key());
    let other = hook(&old_flag_updated()).with_query("project", "13").with_query("project_name", "Other");
    assert_eq!(other.record().routing_key(), bare.record().routing_key(), "the body counts before the URL");
}

#[test]
fn an_entry_of_the_whole_project_does_not_take_the_urls_environment() {
    let hinted = hook(&documented_audit()).with_query("environment", "23");
    assert_eq!(hinted.record().draft().environment, None);
}

#[test]
fn a_test_request_with_an_empty_timestamp_is_no_change_and_never_the_same_record_twice() {
    let mut sample = old_flag_updated();
    sample["data"]["timestamp"] = "".into();
    for state in ["new_state", "previous_state"] {
        sample["data"][state]["feature"]["name"] = "test_feature".into();
        sample["data"][state]["feature"]["project"] = json!({"id": 1, "name": "Test Project"});
    }
    let draft = hook(&sample).translate().unwrap().drafts.remove(0);
    assert_eq!(draft.action.unwrap().as_str(), "webhook.test");
    assert_eq!((draft.id, draft.flag, draft.project), (None, None, None));
}

#[test]
fn a_real_change_without_a_time_is_a_change_all_the_same() {
    let mut body = old_flag_updated();
    body["data"]["timestamp"] = "".into();
    let record = hook(&body).record();
    assert_eq!(record.action().as_str(), "flag.state.changed");
    assert_eq!(record.id(), "(made by the server)", "a body without a time does not date itself");
    assert_eq!(record.occurred_at().to_string(), RECEIVED_AT);
    // Nor does one that is dated to the second.
    body["data"]["timestamp"] = "2020-03-07T13:59:07Z".into();
    assert_eq!(hook(&body).record().id(), "(made by the server)");
}

#[test]
fn the_edge_service_tells_truly_who_removed_an_identitys_override() {
    let mut state = old_state(true, "blue");
    state["identity"] = "b1f2".into();
    state["identity_identifier"] = "user-1".into();
    let body = json!({"event_type": "FLAG_DELETED", "data": {
        "changed_by": "ada@example.com", "timestamp": "2026-03-07T13:59:07.040000Z",
        "new_state": null, "previous_state": state
    }});
    let record = hook(&body).record();
    assert_eq!(record.action().as_str(), "flag.override.removed");
    assert_eq!(record.author().kind, AuthorKind::User);
    assert_eq!(record.occurred_at().to_string(), "2026-03-07T13:59:07.040000Z");
    assert_eq!(record.draft().target.as_ref().unwrap().what.key.as_deref(), Some("user-1"));
}

#[test]
fn shares_that_only_got_new_ids_are_no_change() {
    let share = |id: u64, percent: f64| json!([{"id": id, "multivariate_feature_option": {"id": 1, "value": "red"}, "percentage_allocation": percent}]);
    let mut body = old_flag_updated();
    body["data"]["previous_state"]["enabled"] = true.into();
    body["data"]["previous_state"]["multivariate_feature_state_values"] = share(7, 30.0);
    body["data"]["new_state"]["multivariate_feature_state_values"] = share(8, 30.0);
    let record = hook(&body).record();
    assert_eq!(record.draft().change.as_ref().unwrap().fields, []);
    assert_eq!(record.action().as_str(), "flag.changed");
    body["data"]["new_state"]["multivariate_feature_state_values"] = share(8, 45.0);
    assert_eq!(hook(&body).record().action().as_str(), "flag.variant.changed");
}

#[test]
fn an_event_of_tomorrow_that_looks_like_one_of_today_is_understood() {
    let mut body = old_flag_updated();
    body["event_type"] = "FLAG_CREATED".into();
    body["data"].as_object_mut().unwrap().remove("previous_state");
    body["data"]["cause"] = json!({"kind": "rollback"});
    body["signature_version"] = 2.into();
    let record = hook(&body).record();
    assert_eq!(record.action().as_str(), "flag.created");
    assert_eq!(record.source().event, "FLAG_CREATED");
    assert_eq!(record.draft().attributes["cause"], json!({"kind": "rollback"}));
    assert_eq!(record.draft().attributes["envelope"], json!({"signature_version": 2}));
}

#[test]
fn an_unknown_sentence_is_kept_under_an_action_of_its_kind() {
    let mut entry = documented_audit();
    entry["log"] = "Feature frobnicated".into();
    let record = hook(&entry).record();
    assert_eq!(record.action().as_str(), "flag.changed");
    assert_eq!(record.log(), "Feature frobnicated");
    assert_eq!(record.draft().flag.as_ref().unwrap().id.as_deref(), Some("6"));
    assert_eq!(record.draft().attributes["unrecognised_log"], true);
    entry["related_object_type"] = "brand new thing".into();
    assert_eq!(hook(&entry).record().related_object_type(), "BRAND_NEW_THING");
}
