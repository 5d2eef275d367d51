//! AB Tasty FE&R. There are no recordings and no documented bodies: the cases are built from the documented
//! names of events and fields.

use audit_dialect::Platform;
use audit_record::{AuditRecord, Effect, Ref};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{Hook, pretty};

fn hook(body: impl ToString) -> Hook {
    Hook::post(Platform::AbTasty, body.to_string()).with_query("project", "shop-1")
}

/// An event with the common fields of the documentation, and more.
fn event(name: &str, more: Value) -> Value {
    let mut body = json!({
        "event": name,
        "user_id": 12,
        "user_email": "jane@acme.com",
        "user_role": "admin",
        "date": "2026-01-02T03:04:05+00:00",
        "account_id": 77,
        "account_name": "Acme"
    });
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

fn record(name: &str, more: Value) -> AuditRecord {
    hook(event(name, more)).record()
}

#[test]
fn a_campaign_that_went_live_is_this_record() {
    let record = record(
        "Campaign.status.changed",
        json!({
            "environment_id": "env-9", "campaign_id": "c-1", "campaign_name": "Summer \"sale\"",
            "campaign_type": "ab", "campaign_status": "active", "pipeline_token": "x", "token": "hunter2"
        }),
    );
    insta::assert_snapshot!(pretty(&record), @r#"
    {
      "action": "flag.campaign.status.changed",
      "attributes": {
        "account_id": "77",
        "account_name": "Acme",
        "campaign_id": "c-1",
        "campaign_name": "Summer \"sale\"",
        "campaign_type": "ab",
        "pipeline_token": "[REDACTED]",
        "redacted": [
          "/pipeline_token",
          "/token"
        ],
        "token": "[REDACTED]"
      },
      "author": {
        "email": "jane@acme.com",
        "id": "12",
        "role": "admin",
        "type": "user"
      },
      "change": {
        "after": {
          "status": "active"
        },
        "fields": []
      },
      "environment": {
        "id": "env-9"
      },
      "id": "(made by the server)",
      "log": "Campaign status changed to active: Summer \"sale\"",
      "occurred_at": "2026-01-02T03:04:05.000000Z",
      "organisation": {
        "key": "acme"
      },
      "project": {
        "id": "shop-1"
      },
      "recorded_at": "2026-09-01T12:00:00.000000Z",
      "related_object": {
        "id": "c-1",
        "name": "Summer \"sale\""
      },
      "related_object_type": "CAMPAIGN",
      "schema_version": 1,
      "source": {
        "authenticated": "token",
        "event": "Campaign.status.changed",
        "name": "main",
        "received_at": "2026-09-01T12:00:00.000000Z",
        "system": "abtasty"
      },
      "target": {
        "id": "env-9",
        "type": "environment"
      }
    }
    "#);
}

#[test]
fn project_access_granted_is_this_record() {
    let record = record(
        "Project access granted to user",
        json!({
            "project_id": 5, "project_name": "Shop", "target_user_email": "bob@acme.com", "target_user_id": 31,
            "role": "viewer"
        }),
    );
    insta::assert_snapshot!(pretty(&record), @r#"
    {
      "access": {
        "effect": "granted",
        "role": "viewer",
        "scope": {
          "id": "5",
          "type": "project"
        },
        "subject": {
          "email": "bob@acme.com",
          "id": "31",
          "type": "user"
        }
      },
      "action": "access.granted",
      "attributes": {
        "account_id": "77",
        "account_name": "Acme"
      },
      "author": {
        "email": "jane@acme.com",
        "id": "12",
        "role": "admin",
        "type": "user"
      },
      "id": "(made by the server)",
      "log": "bob@acme.com was granted the role viewer in the project",
      "occurred_at": "2026-01-02T03:04:05.000000Z",
      "organisation": {
        "key": "acme"
      },
      "project": {
        "id": "5",
        "name": "Shop"
      },
      "recorded_at": "2026-09-01T12:00:00.000000Z",
      "related_object": {
        "id": "5",
        "name": "Shop"
      },
      "related_object_type": "PROJECT_ACCESS",
      "schema_version": 1,
      "source": {
        "authenticated": "token",
        "event": "Project access granted to user",
        "name": "main",
        "received_at": "2026-09-01T12:00:00.000000Z",
        "system": "abtasty"
      }
    }
    "#);
}

#[rstest]
#[case("Flag created", "flag.created")]
#[case("flag.created", "flag.created")]
#[case("FLAG_CREATED", "flag.created")]
#[case("flagCreated", "flag.created")]
#[case("Flag.new", "flag.created")]
#[case("Flag removed", "flag.deleted")]
#[case("flag.removed", "flag.deleted")]
#[case("Flag.deleted", "flag.deleted")]
#[case("Campaign.status.changed", "flag.campaign.status.changed")]
#[case("campaign.status.changed", "flag.campaign.status.changed")]
#[case("Campaign Status Changed", "flag.campaign.status.changed")]
#[case("Project access granted to user", "access.granted")]
#[case("project.access.granted", "access.granted")]
#[case("Project edit role granted to user", "access.role.granted")]
#[case("project_edit_role_granted", "access.role.granted")]
#[case("Project access removed", "access.removed")]
#[case("project.access.removed.from.user", "access.removed")]
#[case("Account access granted to user", "access.granted")]
#[case("Account edit role granted to user", "access.role.granted")]
#[case("accountEditRoleGranted", "access.role.granted")]
#[case("Account access removed", "access.removed")]
#[case("Feature.status", "flag.state.changed")]
#[case("Feature.active", "flag.state.changed")]
#[case("feature_paused", "flag.state.changed")]
#[case("Environment.synchronize", "flag.environment.synchronized")]
fn an_event_is_known_in_every_spelling(#[case] spelling: &str, #[case] action: &str) {
    let record = record(spelling, json!({}));
    assert_eq!(record.action().as_str(), action);
    assert_eq!(record.source().event, spelling, "as it was spelt");
}

#[rstest]
#[case::flat(json!({"target_user_email": "bob@acme.com"}))]
#[case::another_name(json!({"member_email": "bob@acme.com"}))]
#[case::an_object(json!({"granted_user": {"email": "bob@acme.com"}}))]
#[case::an_object_beside_the_actor(json!({"user": {"email": "bob@acme.com"}}))]
#[case::a_bare_address(json!({"recipient": "bob@acme.com"}))]
fn the_subject_of_an_access_event_is_found_under_any_plausible_name(#[case] more: Value) {
    let record = record("Account access removed", more);
    let access = record.draft().access.as_ref().expect("access");
    assert_eq!(access.subject.email.as_deref(), Some("bob@acme.com"));
    assert_eq!(record.author().email.as_deref(), Some("jane@acme.com"), "the actor is another");
    assert_eq!((access.scope.kind.as_str(), access.scope.id.as_deref()), ("account", Some("77")));
    assert_eq!(access.effect, Effect::Removed);
    assert_eq!(record.log(), "bob@acme.com lost access to the account");
}

#[test]
fn an_access_event_that_names_no_subject_is_still_a_record() {
    let record = record("Account edit role granted to user", json!({}));
    let access = record.draft().access.as_ref().expect("access");
    assert_eq!((access.subject.kind.as_str(), access.role.as_deref()), ("user", Some("edit")));
    assert_eq!(record.log(), "Account edit role granted to user");
}

#[test]
fn an_account_wide_event_needs_no_project_and_takes_none_from_the_url() {
    let mut hook = hook(event("Account access granted to user", json!({})));
    assert_eq!(hook.record().draft().project, None);
    hook.query.clear();
    assert_eq!(hook.record().routing_key().as_str(), "acme/main/~organisation");
}

#[test]
fn any_other_event_without_a_project_is_refused_with_the_hint() {
    let mut hook = hook(event("Flag created", json!({"flag_key": "f"})));
    hook.query.clear();
    let reason = hook.translate().expect_err("refused").to_string();
    assert!(reason.contains("add ?project=…"), "{reason}");
}

#[rstest]
#[case::active("Feature.active", json!({}), true)]
#[case::paused("Feature.paused", json!({}), false)]
#[case::status_on("Feature.status", json!({"status": "ON"}), true)]
#[case::status_off("Feature.status", json!({"campaign_status": "paused"}), false)]
fn the_older_product_says_whether_a_feature_is_on(#[case] name: &str, #[case] more: Value, #[case] on: bool) {
    let mut body = event(name, more);
    body["campaign_id"] = json!("c-1");
    body["campaign_name"] = json!("checkout");
    let record = hook(body).record();
    let draft = record.draft();
    assert_eq!(draft.change.as_ref().and_then(|c| c.after.clone()), Some(json!({"enabled": on})));
    assert_eq!(draft.flag, Some(Ref::by_id("c-1").named("checkout")));
}

#[test]
fn a_flag_is_found_by_id_key_and_name() {
    let record =
        record("Flag removed", json!({"flag_id": 9, "flag_key": "checkout", "flag_name": "Checkout"}));
    let flag = Ref {
        id: Some("9".into()),
        key: Some("checkout".into()),
        name: Some("Checkout".into()),
        ..Ref::default()
    };
    assert_eq!(record.draft().flag, Some(flag.clone()));
    assert_eq!(record.draft().related_object.what, flag);
    assert_eq!(record.log(), "Flag removed: checkout");
}

#[test]
fn custom_payload_parameters_are_kept_and_secrets_among_them_are_not() {
    let record = record(
        "Environment.synchronize",
        json!({"ref": "main", "variables": {"password": "hunter2", "n": 1.50}}),
    );
    assert_eq!(record.draft().attributes["ref"], "main");
    assert_eq!(record.draft().attributes["variables"], json!({"password": "[REDACTED]", "n": 1.50}));
    assert_eq!(record.draft().attributes["redacted"], json!(["/variables/password"]));
}

#[test]
fn a_body_has_no_id_of_its_own_because_its_time_is_in_whole_seconds() {
    let translation = hook(event("Flag created", json!({}))).translate().unwrap();
    assert_eq!(translation.drafts[0].id, None);
    assert_eq!(translation.drafts[0].occurred_at.unwrap().to_string(), "2026-01-02T03:04:05.000000Z");
}

#[rstest]
#[case::empty("", "the body is empty")]
#[case::no_object("\"x\"", "not an event of AB Tasty")]
#[case::no_event("{}", "names no event")]
#[case::unknown(r#"{"event":"Report ready"}"#, "is no event of AB Tasty that is known")]
#[case::cut_short(r#"{"event":"Flag cre"#, "EOF")]
fn what_does_not_fit_is_refused_with_the_reason(#[case] body: &str, #[case] reason: &str) {
    let found = hook(body).translate().expect_err("refused").to_string();
    assert!(found.contains(reason), "{found}");
}

proptest! {
    #[test]
    fn any_text_in_any_field_gives_a_record(
        fields in prop::collection::btree_map("(flag|campaign|account|environment|user|member)(_(id|key|name|email|status|role))?", any::<String>(), 0..12),
        event_name in prop::sample::select(vec!["Flag created", "Campaign.status.changed", "Project access removed", "Account access removed", "Feature.status", "Environment.synchronize"]),
    ) {
        let body = event(event_name, json!(fields));
        prop_assert_eq!(hook(body).records().len(), 1);
    }

    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>) {
        let _ = Hook::post(Platform::AbTasty, body).translate();
    }
}
