//! можно. There are no recordings: the cases are built from its documentation and from what its source puts
//! into the variables. [`render`] does what its renderer does: replace, and escape nothing.

use audit_dialect::{MOZHNO_TEMPLATE, Platform};
use audit_record::{AuditRecord, AuthorKind, CATALOGUE_JSON, Effect, Ref};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{Hook, pretty};

/// The variables of an event; what is left out is empty, as можно sends it.
#[derive(Clone, Debug, Default)]
struct Vars {
    action: String,
    resource_type: String,
    resource_id: String,
    resource_name: String,
    details: String,
    project_id: String,
    user_id: String,
    user_name: String,
    user_email: String,
    timestamp: String,
}

/// One pass over the template: a value that looks like a variable is not replaced again.
fn render(template: &str, vars: &Vars) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(start) = rest.find("{{events.") {
        let end = rest[start..].find("}}").expect("a closed variable") + start;
        out += &rest[..start];
        out += match &rest[start + "{{events.".len()..end] {
            "action" => &vars.action,
            "resourceType" => &vars.resource_type,
            "resourceId" => &vars.resource_id,
            "resourceName" => &vars.resource_name,
            "details" => &vars.details,
            "projectId" => &vars.project_id,
            "user.id" => &vars.user_id,
            "user.name" => &vars.user_name,
            "user.email" => &vars.user_email,
            "timestamp" => &vars.timestamp,
            other => panic!("no such variable: {other}"),
        };
        rest = &rest[end + 2..];
    }
    out + rest
}

fn created() -> Vars {
    Vars {
        action: "flag.created".into(),
        resource_type: "flag".into(),
        resource_id: "42".into(),
        resource_name: "New checkout".into(),
        details: "Flag created: new-checkout".into(),
        project_id: "7".into(),
        user_id: "3".into(),
        user_name: "Анна".into(),
        user_email: "anna@example.com".into(),
        timestamp: "2026-08-21T17:30:57.006318Z".into(),
    }
}

fn hook(body: impl Into<String>) -> Hook {
    Hook::post(Platform::Mozhno, body.into())
}

fn ours(vars: &Vars) -> AuditRecord {
    hook(render(MOZHNO_TEMPLATE, vars)).record()
}

fn refusal(hook: &Hook) -> String {
    hook.translate().expect_err("refused").to_string()
}

#[test]
fn a_flag_created_by_our_template_is_this_record() {
    insta::assert_snapshot!(pretty(&ours(&created())), @r#"
    {
      "action": "flag.created",
      "attributes": {
        "details": "Flag created: new-checkout",
        "resource_type": "flag"
      },
      "author": {
        "email": "anna@example.com",
        "id": "3",
        "name": "Анна",
        "type": "user"
      },
      "flag": {
        "id": "42",
        "key": "new-checkout",
        "name": "New checkout"
      },
      "id": "(made by the server)",
      "log": "Flag created: new-checkout (New checkout)",
      "occurred_at": "2026-08-21T17:30:57.006318Z",
      "organisation": {
        "key": "acme"
      },
      "project": {
        "id": "7"
      },
      "recorded_at": "2026-09-01T12:00:00.000000Z",
      "related_object": {
        "id": "42",
        "key": "new-checkout",
        "name": "New checkout"
      },
      "related_object_type": "FEATURE",
      "schema_version": 1,
      "source": {
        "authenticated": "token",
        "event": "flag.created",
        "name": "main",
        "received_at": "2026-09-01T12:00:00.000000Z",
        "system": "mozhno"
      }
    }
    "#);
}

#[test]
fn a_role_in_an_update_by_our_template_is_this_record() {
    let vars = Vars {
        action: "user.updated".into(),
        resource_type: "user".into(),
        resource_id: "12".into(),
        resource_name: "bob@example.com".into(),
        details: "Role: EDITOR, Status: ACTIVE".into(),
        project_id: String::new(),
        ..created()
    };
    insta::assert_snapshot!(pretty(&ours(&vars)), @r#"
    {
      "access": {
        "effect": "snapshot",
        "replaces": true,
        "role": "EDITOR",
        "scope": {
          "type": "account"
        },
        "subject": {
          "email": "bob@example.com",
          "id": "12",
          "type": "user"
        }
      },
      "action": "user.updated",
      "attributes": {
        "details": "Role: EDITOR, Status: ACTIVE",
        "resource_type": "user"
      },
      "author": {
        "email": "anna@example.com",
        "id": "3",
        "name": "Анна",
        "type": "user"
      },
      "id": "(made by the server)",
      "log": "User updated: Role: EDITOR, Status: ACTIVE (bob@example.com)",
      "occurred_at": "2026-08-21T17:30:57.006318Z",
      "organisation": {
        "key": "acme"
      },
      "recorded_at": "2026-09-01T12:00:00.000000Z",
      "related_object": {
        "id": "12",
        "name": "bob@example.com"
      },
      "related_object_type": "USER",
      "schema_version": 1,
      "source": {
        "authenticated": "token",
        "event": "user.updated",
        "name": "main",
        "received_at": "2026-09-01T12:00:00.000000Z",
        "system": "mozhno"
      }
    }
    "#);
}

/// можно's events, the action that each becomes, and its object type.
const EVENTS: [(&str, &str, &str); 33] = [
    ("flag.created", "flag.created", "FEATURE"),
    ("flag.updated", "flag.updated", "FEATURE"),
    ("flag.deleted", "flag.deleted", "FEATURE"),
    ("flag.archived", "flag.archived", "FEATURE"),
    ("flag.unarchived", "flag.unarchived", "FEATURE"),
    ("strategy.created", "flag.strategy.created", "STRATEGY"),
    ("strategy.updated", "flag.strategy.changed", "STRATEGY"),
    ("environment.created", "environment.created", "ENVIRONMENT"),
    ("environment.updated", "environment.updated", "ENVIRONMENT"),
    ("environment.deleted", "flag.environment.removed", "ENVIRONMENT"),
    ("project.created", "project.created", "PROJECT"),
    ("project.updated", "project.updated", "PROJECT"),
    ("project.deleted", "flag.project.removed", "PROJECT"),
    ("project.logo_updated", "project.updated", "PROJECT"),
    ("user.created", "user.created", "USER"),
    ("user.updated", "user.updated", "USER"),
    ("user.deleted", "user.deleted", "USER"),
    ("user.avatar_updated", "user.updated", "USER"),
    ("segment.created", "flag.segment.created", "SEGMENT"),
    ("segment.updated", "flag.segment.changed", "SEGMENT"),
    ("segment.deleted", "flag.segment.removed", "SEGMENT"),
    ("tag.created", "tag.created", "TAG"),
    ("tag.updated", "tag.updated", "TAG"),
    ("tag.deleted", "tag.deleted", "TAG"),
    ("apikey.created", "api_key.created", "API_KEY"),
    ("apikey.updated", "api_key.updated", "API_KEY"),
    ("apikey.deleted", "api_key.deleted", "API_KEY"),
    ("context_definition.created", "context_definition.created", "CONTEXT_DEFINITION"),
    ("context_definition.updated", "context_definition.updated", "CONTEXT_DEFINITION"),
    ("context_definition.deleted", "context_definition.deleted", "CONTEXT_DEFINITION"),
    ("context_value.created", "context_value.created", "CONTEXT_VALUE"),
    ("context_value.updated", "context_value.updated", "CONTEXT_VALUE"),
    ("context_value.deleted", "context_value.deleted", "CONTEXT_VALUE"),
];

#[test]
fn every_event_becomes_an_action_of_the_catalogue_with_its_object_type() {
    let catalogue: Value = serde_json::from_str(CATALOGUE_JSON).unwrap();
    for (event, action, object_type) in EVENTS {
        let record = ours(&Vars { action: event.into(), ..created() });
        assert_eq!(
            (record.action().as_str(), record.related_object_type()),
            (action, object_type),
            "{event}"
        );
        let entry = catalogue["actions"].as_array().unwrap().iter().find(|entry| entry["action"] == action);
        let events =
            &entry.unwrap_or_else(|| panic!("{action} is not in the catalogue"))["sources"]["mozhno"];
        assert!(events.as_array().is_some_and(|events| events.contains(&json!(event))), "{event}: {events}");
    }
}

#[rstest]
#[case("flagCreated", "flag.created")]
#[case("userInvited", "user.created")]
fn the_names_of_old_are_known(#[case] event: &str, #[case] action: &str) {
    assert_eq!(ours(&Vars { action: event.into(), ..created() }).action().as_str(), action);
}

#[test]
fn ten_archived_flags_with_the_same_body_are_ten_changes() {
    let body = r#"{ "event": "flag.archived", "resource": "" }"#;
    for _ in 0..10 {
        let translation = hook(body).with_query("project", "7").translate().unwrap();
        assert_eq!(translation.drafts[0].id, None, "the caller makes an id of its own for each");
    }
}

#[test]
fn an_archived_flag_has_no_name_and_is_known_by_its_id() {
    let vars = Vars {
        action: "flag.archived".into(),
        resource_name: String::new(),
        details: "Flag archived".into(),
        ..created()
    };
    let record = ours(&vars);
    assert_eq!(record.draft().flag, Some(Ref::by_id("42")));
    assert_eq!(record.log(), "Flag archived (id 42)");
}

#[rstest]
#[case("flag.archived", true)]
#[case("flag.unarchived", false)]
fn archiving_says_by_its_name_what_is_now_and_nobody_says_what_was(#[case] event: &str, #[case] after: bool) {
    let change = ours(&Vars { action: event.into(), ..created() }).draft().change.clone().unwrap();
    assert_eq!(change.after, Some(json!({ "archived": after })));
    assert_eq!((change.before, change.fields.len(), change.unproven_before), (None, 0, None));
}

#[rstest]
#[case("Strategy updated for env 5")]
#[case("Strategy upserted for env 5")]
fn a_strategy_names_the_flag_and_in_its_details_the_environment(#[case] details: &str) {
    let vars = Vars {
        action: "strategy.updated".into(),
        resource_type: "strategy".into(),
        resource_id: "9".into(),
        resource_name: "New checkout".into(),
        details: details.into(),
        ..created()
    };
    let record = ours(&vars);
    let draft = record.draft();
    assert_eq!(draft.flag, Some(Ref::by_name("New checkout")));
    assert_eq!(draft.environment, Some(Ref::by_id("5")));
    assert_eq!(draft.related_object.what.id.as_deref(), Some("9"));
}

#[rstest]
#[case::created("user.created", "Role: VIEWER", Effect::Granted, Some("VIEWER"))]
#[case::updated("user.updated", "Role: ADMIN, Status: ACTIVE", Effect::Snapshot, Some("ADMIN"))]
#[case::blocked("user.updated", "Role: ADMIN, Status: BLOCKED", Effect::Removed, Some("ADMIN"))]
#[case::deleted("user.deleted", "User deleted", Effect::Removed, None)]
fn a_users_event_is_an_access_change(
    #[case] event: &str,
    #[case] details: &str,
    #[case] effect: Effect,
    #[case] role: Option<&str>,
) {
    let vars = Vars { action: event.into(), details: details.into(), project_id: String::new(), ..created() };
    let record = ours(&vars);
    let access = record.draft().access.as_ref().expect("access");
    assert_eq!((access.effect, access.role.as_deref()), (effect, role));
    assert_eq!((access.scope.kind.as_str(), access.subject.id.as_deref()), ("account", Some("42")));
    assert_eq!(record.draft().project, None);
}

#[test]
fn a_change_by_nobody_has_an_unknown_author() {
    let vars =
        Vars { user_id: String::new(), user_name: String::new(), user_email: String::new(), ..created() };
    assert_eq!(ours(&vars).author().kind, AuthorKind::Unknown);
}

#[rstest]
#[case::quote("a \"quoted\" name")]
#[case::backslash("back\\slash \\n \\u0041")]
#[case::newline("two\nlines")]
#[case::carriage_return("two\r\nlines\r")]
#[case::json("\",\"event\":\"flag.deleted\",\"x\":\"")]
#[case::posing_as_lines("x\naction=flag.deleted\nuser.id=1")]
#[case::half_a_marker("x\n--- flagtrail details")]
#[case::a_variable("{{events.action}} [[events.x]]")]
#[case::nothing_but_a_variable("{{events.action}}")]
#[case::a_dollar("$1 \\$2")]
#[case::formula("=cmd|' /C calc'!A0")]
#[case::right_to_left("\u{202e}שלום 🚀")]
fn our_template_survives_a_hostile_name_in_every_place(#[case] name: &str) {
    let vars = Vars {
        resource_name: name.into(),
        details: format!("Flag created: {name}"),
        user_name: name.into(),
        user_email: name.into(),
        ..created()
    };
    let record = ours(&vars);
    let flag = record.draft().flag.clone().unwrap();
    assert_eq!((flag.name.as_deref(), flag.key.as_deref()), (Some(name), Some(name)));
    assert_eq!((record.author().name.as_deref(), record.author().email.as_deref()), (Some(name), Some(name)));
    assert_eq!(record.action().as_str(), "flag.created");
}

#[test]
fn a_name_that_holds_a_whole_marker_of_ours_leaves_the_names_unread_and_the_rest_true() {
    let vars =
        Vars { resource_name: "x\n--- flagtrail details ---\nFlag created: another".into(), ..created() };
    let record = ours(&vars);
    let draft = record.draft();
    assert_eq!(draft.flag, Some(Ref::by_id("42")), "by its id, which nobody can write");
    assert_eq!(record.author().id.as_deref(), Some("3"));
    assert_eq!(record.author().name, None);
    let unread = draft.attributes["unread_text"].as_str().unwrap();
    assert!(unread.contains("Flag created: another"), "{unread}");
    assert!(unread.contains("anna@example.com"), "{unread}");
}

#[test]
fn our_template_with_the_line_ends_of_a_browsers_form_is_read_the_same() {
    let template = MOZHNO_TEMPLATE.replace('\n', "\r\n");
    let vars = Vars { resource_name: "two\nlines".into(), ..created() };
    assert_eq!(hook(render(&template, &vars)).record(), ours(&vars));
    let trimmed = render(MOZHNO_TEMPLATE.trim_end(), &vars);
    assert_eq!(hook(trimmed).record(), ours(&vars), "without its last line end");
}

#[rstest]
#[case::cut_short("--- flagtrail user.name ---", "", "cut short")]
#[case::a_line_missing("user.id={{events.user.id}}\n", "", "no line user.id=…")]
#[case::of_tomorrow("flagtrail mozhno 1", "flagtrail mozhno 2", "the version that is known")]
fn our_template_altered_is_refused_with_what_it_lacks(
    #[case] from: &str,
    #[case] to: &str,
    #[case] reason: &str,
) {
    let found = refusal(&hook(render(&MOZHNO_TEMPLATE.replace(from, to), &created())));
    assert!(found.contains(reason), "{found}");
}

/// The small template of можно's own documentation.
const DOCUMENTED: &str = r#"{ "event": "{{events.action}}", "resource": "{{events.resourceName}}" }"#;

#[test]
fn the_small_template_of_the_documentation_works_with_the_project_in_the_url() {
    let body = render(DOCUMENTED, &created());
    let record = hook(body.clone()).with_query("project", "7").record();
    assert_eq!(record.draft().flag, Some(Ref::by_name("New checkout")));
    assert_eq!(record.action().as_str(), "flag.created");
    assert!(refusal(&hook(body)).contains("add ?project=…"));
}

#[rstest]
#[case::quote("a \"quoted\" name")]
#[case::newline("two\nlines")]
#[case::backslash("\\x back\\slash\\")]
#[case::brace("a \"}\" b")]
fn the_small_template_broken_by_a_name_is_still_read_where_it_can_be(#[case] name: &str) {
    let body = render(DOCUMENTED, &Vars { resource_name: name.into(), ..created() });
    let record = hook(body).with_query("project", "7").record();
    assert_eq!(record.draft().flag, Some(Ref::by_name(name)));
}

#[test]
fn a_name_that_poses_as_another_event_in_the_small_template_is_refused_naming_the_template_to_use() {
    let name = r#"x", "event": "flag.deleted"#;
    let body = render(DOCUMENTED, &Vars { resource_name: name.into(), ..created() });
    let found = refusal(&hook(body).with_query("project", "7"));
    assert!(found.contains("can be read in one way only"), "{found}");
    assert!(found.contains("put Flagtrail's body template for mozhno into the webhook"), "{found}");
}

#[rstest]
#[case::snake_case(r#"{"action":"{{events.action}}","resource_type":"{{events.resourceType}}","resource_id":{{events.resourceId}},"resource_name":"{{events.resourceName}}","details":"{{events.details}}","project_id":{{events.projectId}},"user":{"id":{{events.user.id}},"name":"{{events.user.name}}","email":"{{events.user.email}}"},"timestamp":"{{events.timestamp}}","team":"web"}"#)]
#[case::nested(r#"{"events":{"action":"{{events.action}}","resourceType":"{{events.resourceType}}","resource":{"id":"{{events.resourceId}}","name":"{{events.resourceName}}"},"details":"{{events.details}}","projectId":"{{events.projectId}}","user":{"id":"{{events.user.id}}","name":"{{events.user.name}}","email":"{{events.user.email}}"},"timestamp":"{{events.timestamp}}"},"team":"web"}"#)]
#[case::flat(r#"{"event":"{{events.action}}","resourceType":"{{events.resourceType}}","resourceId":"{{events.resourceId}}","resourceName":"{{events.resourceName}}","details":"{{events.details}}","projectId":"{{events.projectId}}","user_id":"{{events.user.id}}","user_name":"{{events.user.name}}","user_email":"{{events.user.email}}","timestamp":"{{events.timestamp}}","team":"web"}"#)]
fn a_json_template_with_plain_names_says_the_same_as_ours(#[case] template: &str) {
    let mut found = hook(render(template, &created())).record().into_draft();
    assert_eq!(found.attributes.remove("team"), Some(json!("web")), "what is no variable is kept");
    assert_eq!(found, ours(&created()).into_draft());
}

#[test]
fn placeholders_in_square_brackets_come_as_they_stand_and_count_as_absent() {
    let body = r#"{"event":"[[events.action]]","resource":"[[events.resourceName]]"}"#;
    let found = refusal(&hook(body).with_query("project", "7"));
    assert!(found.contains("write them in double curly braces"), "{found}");
    let body =
        r#"{"event":"flag.created","resource":"[[events.resourceName]]","details":"{{events.detail}}"}"#;
    let record = hook(body).with_query("project", "7").record();
    assert_eq!((record.draft().flag.clone(), record.draft().attributes.get("details")), (None, None));
}

#[rstest]
#[case::empty("", "the body is empty, as mozhno sends it where the webhook has none")]
#[case::spaces("  \n", "the body is empty")]
#[case::no_event("{}", "names no event")]
#[case::not_an_event(r#"{"event":"hello"}"#, "is no event of mozhno")]
#[case::plain_text("Flag created", "is no JSON")]
#[case::cut_short(r#"{"event":"flag.cre"#, "is no JSON")]
fn what_does_not_fit_is_refused_with_the_reason_and_the_mend(#[case] body: &str, #[case] reason: &str) {
    let found = refusal(&hook(body));
    assert!(found.contains(reason), "{found}");
    assert!(found.contains("put Flagtrail's body template for mozhno into the webhook"), "{found}");
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    assert_eq!(refusal(&Hook::post(Platform::Mozhno, vec![0xff, 0xfe])), "the body is not UTF-8");
}

/// Text made of what could be taken for our template, JSON, or nothing in particular.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<String>(),
        1 => Just("\n".to_owned()),
        1 => Just("\r\n".to_owned()),
        1 => Just("--- flagtrail details ---".to_owned()),
        1 => Just("\n--- flagtrail details ---\n".to_owned()),
        1 => Just("--- flagtrail resourceName ---\n".to_owned()),
        1 => Just("\n--- flagtrail user.email ---".to_owned()),
        1 => Just("\n--- flagtrail user.name ---\n".to_owned()),
        1 => Just("\n--- flagtrail end ---".to_owned()),
        1 => Just("--- flagtrail".to_owned()),
        1 => Just("flagtrail mozhno 1\naction=flag.deleted\n".to_owned()),
        1 => Just("\",\"event\":\"flag.deleted\"".to_owned()),
        1 => Just("\\".to_owned()),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_people_write_our_template_is_read_truly_or_its_texts_are_left_unread(
        resource_name in hostile(), details in hostile(), user_name in hostile(), user_email in hostile(),
    ) {
        let vars = Vars {
            resource_name: resource_name.clone(), details: details.clone(), user_name: user_name.clone(),
            user_email: user_email.clone(), ..created()
        };
        let record = ours(&vars);
        let draft = record.draft();
        // What можно makes holds in any case.
        prop_assert_eq!(record.action().as_str(), "flag.created");
        prop_assert_eq!(record.routing_key().to_string(), "acme/main/7");
        prop_assert_eq!(record.author().id.as_deref(), Some("3"));
        prop_assert_eq!(draft.flag.as_ref().and_then(|flag| flag.id.as_deref()), Some("42"));
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        match draft.attributes.get("unread_text") {
            None => {
                prop_assert_eq!(draft.flag.as_ref().and_then(|flag| flag.name.clone()), some(&resource_name));
                prop_assert_eq!(record.author().name.clone(), some(&user_name));
                prop_assert_eq!(record.author().email.clone(), some(&user_email));
                prop_assert_eq!(draft.attributes.get("details").cloned(), some(&details).map(Value::from));
            }
            Some(unread) => {
                let unread = unread.as_str().expect("text");
                for text in [&resource_name, &details, &user_name, &user_email] {
                    prop_assert!(unread.contains(text.as_str()), "nothing is lost");
                }
                let has_marker = [&resource_name, &details, &user_name, &user_email]
                    .iter().any(|text| text.contains("--- flagtrail "));
                prop_assert!(has_marker, "only a marker of ours in a text leaves it unread");
                prop_assert!(record.author().name.is_none() && record.author().email.is_none());
            }
        }
    }

    #[test]
    fn a_json_template_never_loses_its_event_to_a_name_that_is_taken_as_it_is(name in "[^\"\\\\\u{0}-\u{1f}]{0,40}") {
        let body = render(DOCUMENTED, &Vars { resource_name: name.clone(), ..created() });
        let record = hook(body).with_query("project", "7").record();
        prop_assert_eq!(record.action().as_str(), "flag.created");
    }

    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>, name in hostile()) {
        let _ = Hook::post(Platform::Mozhno, body).translate();
        let _ = hook(name.clone()).translate();
        let _ = hook(render(DOCUMENTED, &Vars { resource_name: name, ..created() })).translate();
    }
}
