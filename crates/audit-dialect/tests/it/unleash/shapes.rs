//! What Unleash can send beyond the recordings: types of events that need other editions, templates, and
//! bodies that are none of it.

use audit_dialect::Platform;
use audit_record::{Access, Effect};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Hook, any_json, finish};

fn event(kind: &str, more: Value) -> Hook {
    let mut event = json!({
        "id": 5, "type": kind, "createdBy": "ada@example.com", "createdByUserId": 3,
        "createdAt": "2026-11-21T08:14:43.163Z", "data": null, "preData": null, "tags": [],
        "featureName": null, "project": null, "environment": null
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Hook::post(Platform::Unleash, event.to_string())
}

#[test]
fn a_type_that_is_not_known_is_a_record_under_its_own_name() {
    let record = event("banner-created", json!({"data": {"id": 1, "name": "x"}})).record();
    assert_eq!(record.action().as_str(), "banner.created");
    assert_eq!(record.related_object_type(), "ACCOUNT");
    assert_eq!(record.draft().related_object.what.name.as_deref(), Some("x"));
    let record = event("signal-endpoint-updated", json!({"project": "web"})).record();
    assert_eq!(
        (record.action().as_str(), record.related_object_type()),
        ("signal_endpoint.updated", "SIGNAL_ENDPOINT")
    );
}

#[test]
fn a_type_that_is_not_known_but_may_change_flags_begins_with_flag() {
    let record = event("feature-turned-inside-out", json!({"featureName": "f", "project": "web"})).record();
    assert_eq!((record.action().as_str(), record.related_object_type()), ("flag.changed", "FEATURE"));
    let record = event("drop-features", json!({})).record();
    assert_eq!((record.action().as_str(), record.related_object_type()), ("flag.changed", "ACCOUNT"));
    let record = event("feature-favorited", json!({"featureName": "f", "project": "web"})).record();
    assert_eq!(record.action().as_str(), "feature.favorited");
}

#[test]
fn a_changed_role_stands_in_place_of_the_others_and_an_added_one_beside_them() {
    for (kind, replaces) in [
        ("project-user-added", false),
        ("project-user-role-changed", true),
        ("project-access-user-roles-updated", true),
    ] {
        let record =
            event(kind, json!({"project": "web", "data": {"userId": 7, "roleName": "Member"}})).record();
        let access = record.draft().access.clone().unwrap();
        assert_eq!(access.extra.get("replaces"), replaces.then_some(&json!(true)), "{kind}");
    }
}

#[test]
fn access_to_a_project_says_who_got_which_role() {
    let record = event(
        "project-user-added",
        json!({"project": "web", "data": {"userId": 7, "email": "bob@example.com", "roleName": "Member"}}),
    )
    .record();
    let access = record.draft().access.clone().unwrap();
    assert_eq!(record.action().as_str(), "access.granted");
    assert_eq!((access.subject.kind.as_str(), access.subject.id.as_deref()), ("user", Some("7")));
    assert_eq!((access.scope.kind.as_str(), access.scope.id.as_deref()), ("project", Some("web")));
    assert_eq!((access.role.as_deref(), access.effect), (Some("Member"), Effect::Granted));

    let removed = event(
        "project-access-group-roles-deleted",
        json!({"project": "web", "preData": {"groupId": 2, "roles": [{"name": "Owner"}, 5]}}),
    )
    .record();
    let access = removed.draft().access.clone().unwrap();
    assert_eq!((access.subject.kind.as_str(), access.effect), ("group", Effect::Removed));
    assert_eq!(access.role, None, "all that the group had");
    assert_eq!(access.extra.get("role_id"), Some(&json!("Owner, 5")));
}

#[test]
fn an_update_to_no_role_in_a_project_is_a_removal_and_one_to_the_same_roles_is_nothing() {
    let updated = |before: Value, after: Value| {
        let of = |roles: Value| json!({"userId": 7, "roles": roles});
        let body = json!({"project": "web", "preData": of(before), "data": of(after)});
        event("project-access-user-roles-updated", body).record()
    };
    let action = updated(json!([4, 5]), json!([])).action().to_string();
    assert_eq!(action, "access.removed");
    let updated = |before, after| updated(before, after).into_draft().access;
    let none_left = updated(json!([4, 5]), json!([])).unwrap();
    assert_eq!((none_left.role, none_left.effect), (None, Effect::Removed));
    assert_eq!(updated(json!([4]), json!([4])), None);
    let other = updated(json!([4]), json!([5])).unwrap();
    assert_eq!((other.role.as_deref(), other.effect), (Some("5"), Effect::Granted));
}

/// What each record says became of whose role, and the first record's sentence.
fn told(hook: &Hook) -> (Vec<String>, String) {
    let records = hook.records();
    let told = records.iter().map(|record| {
        let Access { subject, role, effect, .. } = record.draft().access.clone().unwrap();
        format!("{} {} {} {}", effect.as_str(), role.unwrap(), subject.kind, subject.id.unwrap())
    });
    (told.collect(), records[0].log().to_owned())
}

#[test]
fn roles_given_to_several_at_once_are_a_record_for_each_role_and_whom_it_was_given() {
    let given = |data: Value| event("project-access-added", json!({"project": "web", "data": data}));
    let hook = given(json!({"roles": [
        {"roleId": 4, "groupIds": [2], "userIds": [7, 8]}, {"roleId": 5, "groupIds": [], "userIds": [7]}
    ]}));
    let (accesses, log) = told(&hook);
    assert_eq!(accesses, ["granted 4 group 2", "granted 4 user 7", "granted 4 user 8", "granted 5 user 7"]);
    assert_eq!(log, "Access to project \"web\" granted: role 4 given to group 2");
    let ids = || hook.records().iter().map(|record| record.id().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(), ids(), "sent again they are the same records");
    assert_eq!(ids().into_iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "and four");
    assert!(hook.records().iter().all(|record| record.action().as_str() == "access.granted"));
    // As older versions said it.
    let one = given(json!({"roles": {"roleId": 4, "groupIds": [2], "userIds": [7]}}));
    assert_eq!(told(&one).0, ["granted 4 group 2", "granted 4 user 7"]);
    let oldest = given(json!({"roleId": 4, "groups": [], "users": [7]}));
    assert_eq!(told(&oldest).0, ["granted 4 user 7"]);
    assert_eq!(given(json!({"roles": [{"groupIds": [2]}]})).record().draft().access, None, "no role is said");
}

#[test]
fn an_event_with_more_accesses_than_there_is_room_for_is_one_record_without() {
    let users: Vec<u32> = (0..20_000).collect();
    let given = json!({"roles": [{"roleId": 4, "groupIds": [], "userIds": users}]});
    let record = event("project-access-added", json!({"project": "web", "data": given})).record();
    assert_eq!(record.draft().access, None);
    assert!(record.draft().change.is_some(), "the event itself is whole");
    assert_eq!(record.draft().attributes.get("access_left_out"), Some(&json!(true)), "and it says so");
    let given = json!({"roles": [{"roleId": 4, "groupIds": [], "userIds": [7]}]});
    let record = event("project-access-added", json!({"project": "web", "data": given})).record();
    assert_eq!(record.draft().attributes.get("access_left_out"), None);
}

#[test]
fn several_roles_changed_at_once_are_what_is_gone_and_what_is_new_where_the_event_says_what_was() {
    let updated = |before: Value, after: Value| {
        let data = json!({"userId": 7, "roles": after});
        event("project-access-user-roles-updated", json!({"project": "web", "preData": before, "data": data}))
    };
    let was = |roles: Value| json!({"userId": 7, "roles": roles});
    let hook = updated(was(json!([4, 5])), json!([5, 6, 7]));
    assert_eq!(told(&hook).0, ["removed 4 user 7", "granted 6 user 7", "granted 7 user 7"]);
    let actions: Vec<_> = hook.records().iter().map(|record| record.action().to_string()).collect();
    assert_eq!(actions, ["access.removed", "access.role.granted", "access.role.granted"]);
    let in_another_order = updated(was(json!([4, 5])), json!([5, 4])).record();
    assert_eq!(in_another_order.draft().access, None, "nothing happened");

    let hook = updated(Value::Null, json!([5, 6]));
    assert_eq!(told(&hook).0, ["granted 5 user 7", "granted 6 user 7"]);
    let replaces = hook
        .records()
        .into_iter()
        .map(|record| record.into_draft().access.is_some_and(|access| access.extra.contains_key("replaces")));
    assert_eq!(replaces.collect::<Vec<_>>(), [true, false], "the first ends all others, whatever they were");
}

/// The event that a real Unleash logged for a changed role.
fn user_updated(before: Value, after: Value) -> Option<Access> {
    let record = event("user-updated", json!({"data": after, "preData": before})).record();
    record.draft().access.clone()
}

fn bob(role: u8) -> Value {
    json!({"id": 2, "name": "Bob 2", "email": "bob@example.com", "rootRole": role})
}

#[test]
fn an_update_of_a_user_grants_a_role_only_where_it_was_another() {
    let access = user_updated(bob(2), bob(3)).unwrap();
    assert_eq!((access.role.as_deref(), access.effect), (Some("Viewer"), Effect::Granted));
    assert_eq!(access.extra.get("replaces"), Some(&json!(true)), "a user has one root role");
    let mut renamed = bob(3);
    renamed["name"] = json!("Bob");
    assert_eq!(user_updated(bob(3), renamed), None, "nothing happened to his access");
    let access = user_updated(Value::Null, bob(3)).unwrap();
    assert_eq!(access.effect, Effect::Snapshot, "that is what he has, whatever he had before");
}

#[test]
fn a_root_role_has_its_name_and_another_role_the_id_that_the_event_gave() {
    let role = |id: Value| {
        let mut user = bob(0);
        user["rootRole"] = id;
        let access = event("user-created", json!({ "data": user })).record().draft().access.clone().unwrap();
        (access.role.unwrap(), access.extra.get("role_id").and_then(Value::as_str).map(str::to_owned))
    };
    assert_eq!(role(json!(1)), ("Admin".to_owned(), Some("1".to_owned())));
    assert_eq!(role(json!(2)), ("Editor".to_owned(), Some("2".to_owned())));
    assert_eq!(role(json!(3)), ("Viewer".to_owned(), Some("3".to_owned())));
    assert_eq!(role(json!(17)), ("17".to_owned(), Some("17".to_owned())));
    assert_eq!(role(json!("Editor")), ("Editor".to_owned(), None));
}

#[test]
fn archiving_and_reviving_are_changes_by_their_type_alone() {
    for (kind, after) in [("feature-archived", true), ("feature-revived", false)] {
        let record = event(kind, json!({"featureName": "f", "project": "web"})).record();
        let change = record.draft().change.clone().unwrap();
        assert_eq!(change.after, Some(json!({ "archived": after })), "{kind}");
        assert_eq!(change.before, Some(json!({ "archived": !after })), "{kind}");
    }
}

#[test]
fn a_type_of_tags_is_no_tag() {
    let record = event("tag-type-deleted", json!({"data": {"name": "jira"}})).record();
    assert_eq!((record.action().as_str(), record.related_object_type()), ("tag_type.deleted", "TAG_TYPE"));
    assert_eq!(record.log(), "Type of tags \"jira\" deleted");
}

#[test]
fn an_approved_change_request_names_its_approver() {
    let record = event(
        "change-request-approved",
        json!({"project": "web", "environment": "production", "data": {"changeRequestId": 12}}),
    )
    .record();
    let approval = record.draft().approval.clone().unwrap();
    assert_eq!(approval.change_request_id.as_deref(), Some("12"));
    assert_eq!(approval.approvers[0].email.as_deref(), Some("ada@example.com"));
}

#[test]
fn secrets_of_tokens_and_integrations_are_redacted() {
    let record =
        event("api-token-created", json!({"data": {"tokenName": "t", "secret": "*:dev.abc"}})).record();
    let text = String::from_utf8(record.canonical().to_vec()).unwrap();
    assert!(!text.contains("abc") && text.contains("\"t\""));
    assert_eq!(record.draft().attributes["redacted"], json!(["/data/secret"]));

    let parameters =
        json!({"url": "https://x", "authorization": "Bearer abc", "customHeaders": "{\"X\":\"abc\"}"});
    let record = event("addon-config-updated", json!({"data": {"id": 1, "parameters": parameters}})).record();
    assert!(!String::from_utf8(record.canonical().to_vec()).unwrap().contains("abc"));

    let signup = json!({"data": {"name": "all", "url": "https://unleash/new-user?invite=abc"}});
    let record = event("public-signup-token-created", signup).record();
    assert!(!String::from_utf8(record.canonical().to_vec()).unwrap().contains("abc"));
}

#[test]
fn the_address_of_the_request_is_kept() {
    let record = event("user-deleted", json!({"ip": "192.0.2.7"})).record();
    assert_eq!(record.draft().request.clone().unwrap().ip.as_deref(), Some("192.0.2.7"));
}

#[test]
fn the_recommended_template_gives_the_event_itself() {
    let plain = event("feature-archived", json!({"featureName": "f \"q\"\n", "project": "web"}));
    let text = String::from_utf8(plain.body.clone()).unwrap();
    let wrapped = Hook::post(Platform::Unleash, json!({ "json": text }).to_string());
    assert_eq!(wrapped.record(), plain.record());
}

#[test]
fn a_template_without_the_project_needs_the_hint() {
    let body = r#"{"type": "feature-archived", "featureToggle": "f", "user": "ada"}"#;
    let refusal = Hook::post(Platform::Unleash, body).translate().unwrap_err();
    assert!(refusal.reason.contains("?project="), "{refusal}");
    let record = Hook::post(Platform::Unleash, body).with_query("project", "web").record();
    assert_eq!(record.draft().flag.as_ref().unwrap().name.as_deref(), Some("f"));
    assert_eq!(record.author().name.as_deref(), Some("ada"));
    assert_eq!(record.id(), "(made by the server)");
    assert!(!record.draft().attributes.contains_key("template"));
}

#[test]
fn what_a_template_says_beyond_the_event_is_kept_and_its_blanks_are_not() {
    let body = r#"{"type": "feature-archived", "flag": "f", "desc": "", "raw": null, "team": "web"}"#;
    let record = Hook::post(Platform::Unleash, body).with_query("project", "web").record();
    assert_eq!(record.draft().attributes["template"], json!({"team": "web"}));
}

#[test]
fn what_a_template_says_beyond_the_event_is_without_secrets() {
    let body = r#"{"type": "feature-archived", "flag": "f", "headers": {"authorization": "Bearer abc"}, "team": "web"}"#;
    let record = Hook::post(Platform::Unleash, body).with_query("project", "web").record();
    let attributes = &record.draft().attributes;
    assert_eq!(attributes["template"], json!({"headers": {"authorization": "[REDACTED]"}, "team": "web"}));
    assert_eq!(attributes["redacted"], json!(["/template/headers/authorization"]));

    let plain = event("api-token-created", json!({"data": {"tokenName": "t", "secret": "abc"}}));
    let text = String::from_utf8(plain.body.clone()).unwrap();
    let wrapped = json!({"json": text, "api_key": "abc"}).to_string();
    let record = Hook::post(Platform::Unleash, wrapped).record();
    assert!(!String::from_utf8(record.canonical().to_vec()).unwrap().contains("abc"));
    assert_eq!(record.draft().attributes["redacted"], json!(["/data/secret", "/template/api_key"]));
}

#[test]
fn a_template_without_the_flag_is_refused_unless_the_event_concerns_none() {
    let post = |kind: &str| {
        let body = json!({"type": kind, "user": "ada", "featureToggle": ""}).to_string();
        Hook::post(Platform::Unleash, body).with_query("project", "web").translate()
    };
    let refusal = post("feature-environment-enabled").unwrap_err();
    assert!(refusal.reason.contains(r#""featureName": "{{event.featureName}}""#), "{refusal}");
    assert_eq!(post("segment-updated").unwrap().drafts.len(), 1);
}

proptest! {
    #[test]
    fn no_bytes_and_no_json_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), value in any_json()) {
        for body in [bytes, value.to_string().into_bytes()] {
            let hook = Hook::post(Platform::Unleash, body).with_query("project", "web");
            for draft in hook.translate().into_iter().flat_map(|translation| translation.drafts) {
                finish(draft, hook.received_at);
            }
        }
    }

    #[test]
    fn an_event_with_any_parts_never_panics(
        kind in prop_oneof![Just("feature-created".to_owned()), Just("user-created".to_owned()), "[a-z-]{0,30}", any::<String>()],
        data in any_json(),
        before in any_json(),
        feature in any_json(),
        author in any_json(),
    ) {
        let hook = event(&kind, json!({"data": data, "preData": before, "featureName": feature, "createdByUserId": author}));
        for draft in hook.with_query("project", "web").translate().into_iter().flat_map(|t| t.drafts) {
            finish(draft, hook_time());
        }
    }
}

fn hook_time() -> audit_record::Timestamp {
    audit_record::Timestamp::parse(crate::harness::RECEIVED_AT).unwrap()
}
