//! Every request that a real Flagsmith sent.

use std::collections::{BTreeMap, BTreeSet};

use audit_dialect::Platform;
use audit_record::{AuditRecord, AuthorKind, FieldChange};

use crate::recording::{self, Recording};

/// The flags of the recorded project.
const FLAGS: &[&str] = &[
    "checkout_redesign",
    "größe \"x\" & <b> 'q' 日本 🚀 \\back",
    "button_color",
    "no_value",
    "json_cfg",
    "with_v2",
    "made_by_key",
    "tp_flag",
    "made_by_ada",
];

fn all() -> Vec<(Recording, AuditRecord)> {
    let recordings = recording::all(Platform::Flagsmith);
    recordings
        .into_iter()
        .map(|recording| (recording.hook().record(), recording))
        .map(|(a, b)| (b, a))
        .collect()
}

fn is_test(record: &AuditRecord) -> bool {
    record.action().as_str() == "webhook.test"
}

#[test]
fn every_request_becomes_one_valid_record_with_a_derived_id() {
    for (recording, record) in all() {
        assert_eq!(record.source().system, "flagsmith");
        assert_eq!(record.id() == "(made by the server)", is_test(&record), "{}", recording.name);
    }
}

#[test]
fn who_changed_a_flag_finds_every_request_that_concerns_it() {
    let mut found = BTreeSet::new();
    for (recording, record) in all() {
        let body: serde_json::Value = serde_json::from_slice(&recording.body).unwrap();
        let concerned: Vec<&&str> = FLAGS.iter().filter(|flag| mentions(&body, flag)).collect();
        let flag = record.draft().flag.as_ref().and_then(|flag| flag.name.as_deref());
        assert!(concerned.len() <= 1, "{} mentions several flags", recording.name);
        assert_eq!(flag, concerned.first().map(|flag| **flag), "{}", recording.name);
        found.extend(flag.map(str::to_owned));
    }
    assert_eq!(found.len(), FLAGS.len(), "every flag was met");
}

/// Whether a string of `value` is `flag`, or a message that names it.
fn mentions(value: &serde_json::Value, flag: &str) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains(flag),
        serde_json::Value::Array(items) => items.iter().any(|item| mentions(item, flag)),
        serde_json::Value::Object(map) => map.values().any(|item| mentions(item, flag)),
        _ => false,
    }
}

#[test]
fn all_four_events_of_one_project_have_one_routing_key() {
    let mut events: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, record) in all().iter().filter(|(_, record)| !is_test(record)) {
        events.entry(record.routing_key().to_string()).or_default().insert(record.source().event.clone());
    }
    assert_eq!(events.keys().collect::<Vec<_>>(), ["acme/main/1"]);
    assert_eq!(events["acme/main/1"].len(), 4);
}

#[test]
fn the_same_bytes_give_the_same_id_and_only_they_do() {
    let mut bodies: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut ids: BTreeMap<Vec<u8>, BTreeSet<String>> = BTreeMap::new();
    for (recording, record) in all().into_iter().filter(|(_, record)| !is_test(record)) {
        bodies.entry(record.id().to_owned()).or_default().insert(recording.body.clone());
        ids.entry(recording.body).or_default().insert(record.id().to_owned());
    }
    assert!(bodies.values().all(|bodies| bodies.len() == 1), "two bodies share an id");
    assert!(ids.values().all(|ids| ids.len() == 1), "one body got two ids");
    assert!(ids.len() < all().len() - 50, "the twins and the retries are among them");
}

#[test]
fn no_request_leaks_what_is_redacted() {
    for (recording, record) in all() {
        let body: serde_json::Value = serde_json::from_slice(&recording.body).unwrap();
        let text = String::from_utf8(record.canonical().to_vec()).unwrap();
        for secret in ["/data/environment/api_key", "/data/author/last_login"] {
            if let Some(secret) = body.pointer(secret).and_then(serde_json::Value::as_str) {
                assert!(!text.contains(secret), "{} shows {secret}", recording.name);
                assert!(record.draft().attributes.contains_key("redacted"), "{}", recording.name);
            }
        }
    }
}

#[test]
fn what_is_to_be_kept_is_not_redacted() {
    let mut hook = recording::numbered(Platform::Flagsmith, "160").hook();
    hook.redact_keep = vec!["api_key".to_owned()];
    let record = hook.record();
    assert_eq!(record.draft().attributes["environment"]["api_key"], "Uv5zwKVpoh8C3gTKVWqHQn");
    assert_eq!(record.draft().attributes["redacted"], serde_json::json!(["/data/author/last_login"]));
}

#[test]
fn every_number_of_the_source_survives_as_it_was_written() {
    // A percentage of 30.0 stays 30.0, and 0 stays 0.
    let text = |number| {
        String::from_utf8(
            recording::numbered(Platform::Flagsmith, number).hook().record().canonical().to_vec(),
        )
    };
    assert!(text("038").unwrap().contains(r#""percentage_allocation":30.0"#));
    assert!(text("776").unwrap().contains(r#""value":0"#));
}

#[test]
fn authors_are_users_keys_the_system_or_unknown_and_never_the_wrong_person() {
    for (recording, record) in all() {
        let body: serde_json::Value = serde_json::from_slice(&recording.body).unwrap();
        let author = record.author();
        match (record.source().event.as_str(), is_test(&record)) {
            (_, true) | ("FLAG_DELETED", _) => {
                assert_eq!(author.kind, AuthorKind::Unknown, "{}", recording.name)
            }
            ("FLAG_UPDATED", _) => {
                let said = body["data"]["changed_by"].as_str().unwrap();
                let kind = match said {
                    "" => AuthorKind::Unknown,
                    email if email.contains('@') => AuthorKind::User,
                    _ => AuthorKind::ApiKey,
                };
                assert_eq!(author.kind, kind, "{}", recording.name);
            }
            ("AUDIT_LOG_CREATED", _) if body["data"]["author"].is_null() => {
                let system = body["data"]["is_system_event"] == true;
                let kind = if system { AuthorKind::System } else { AuthorKind::ApiKey };
                assert_eq!((author.kind, author.name.as_deref()), (kind, None), "{}", recording.name);
            }
            ("AUDIT_LOG_CREATED", _) => {
                assert_eq!(
                    author.email.as_deref(),
                    body["data"]["author"]["email"].as_str(),
                    "{}",
                    recording.name
                );
            }
            _ => {}
        }
    }
}

#[test]
fn a_deleted_flag_does_not_name_its_last_editor_as_the_one_who_deleted_it() {
    let recording = recording::numbered(Platform::Flagsmith, "784");
    let record = recording.hook().record();
    assert_eq!(record.author().kind, AuthorKind::Unknown);
    assert_eq!(record.occurred_at(), recording.received_at);
    assert_eq!(record.draft().attributes["last_change"]["changed_by"], "ada.owner@example.com");
}

/// Requests after which the flag was switched and nothing else, though the value stands in them as changed.
const MERE_SWITCHES: &[&str] = &[
    "069", "072", "120", "122", "238", "311", "312", "344", "459", "548", "549", "564", "565", "674", "683",
    "690",
];

/// Requests whose previous state was not the one before.
const OLDER_STATES: &[&str] = &["740", "741", "744", "746"];

#[test]
fn a_mere_switch_is_never_said_to_have_changed_the_value() {
    for number in MERE_SWITCHES {
        let record = recording::numbered(Platform::Flagsmith, number).hook().record();
        let change = record.draft().change.clone().unwrap();
        assert_eq!(names(&change.fields), ["enabled"], "{number}");
        assert_eq!(names(&change.unproven_fields), ["value"], "{number}");
        assert_eq!(record.action().as_str().split('.').next_back(), Some("changed"), "{number}");
        assert!(record.log().contains("; now or earlier value "), "{number}: {}", record.log());
    }
}

fn names(fields: &[FieldChange]) -> Vec<&str> {
    fields.iter().map(|change| change.field.as_str()).collect()
}

#[test]
fn what_differs_stands_in_the_record_once_and_the_switch_among_what_is_sure() {
    for (recording, record) in all().into_iter().filter(|(_, record)| record.source().event == "FLAG_UPDATED")
    {
        let Some(change) = record.draft().change.clone() else { continue };
        let told = [names(&change.fields), names(&change.unproven_fields)].concat();
        let (Some(before), Some(after)) = (&change.before, &change.after) else {
            assert!(told.is_empty(), "{}", recording.name);
            continue;
        };
        for field in ["enabled", "value"] {
            let is_told = told.iter().filter(|name| **name == field).count();
            assert_eq!(is_told, usize::from(before[field] != after[field]), "{}: {field}", recording.name);
        }
        assert!(!names(&change.unproven_fields).contains(&"enabled"), "{}", recording.name);
        assert!(!change.fields.is_empty(), "{} tells of no change that is sure", recording.name);
    }
}

#[test]
fn a_previous_state_of_an_update_is_marked_as_not_proven_and_that_of_a_deleted_flag_is_not() {
    let mut marked = BTreeSet::new();
    for (recording, record) in all().into_iter().filter(|(_, record)| !is_test(record)) {
        let Some(change) = &record.draft().change else { continue };
        let is_update = record.source().event == "FLAG_UPDATED" && change.before.is_some();
        assert_eq!(change.unproven_before, is_update.then_some(true), "{}", recording.name);
        marked.extend(is_update.then(|| recording.name.split('-').next().unwrap().to_owned()));
    }
    assert!([OLDER_STATES, MERE_SWITCHES].concat().iter().all(|number| marked.contains(*number)));
}

#[test]
fn a_change_that_names_nobody_happened_when_it_came_and_keeps_the_time_of_the_last_edit() {
    for number in ["556", "635", "636", "646", "647"] {
        let recording = recording::numbered(Platform::Flagsmith, number);
        let body: serde_json::Value = serde_json::from_slice(&recording.body).unwrap();
        let record = recording.hook().record();
        assert_eq!(record.occurred_at(), recording.received_at, "{number}");
        let last_change =
            serde_json::json!({"changed_by": "", "timestamp": body["data"]["timestamp"].clone()});
        assert_eq!(record.draft().attributes["last_change"], last_change, "{number}");
        assert_eq!(
            record.id(),
            recording.hook().record().id(),
            "{number} is still one record when it comes again"
        );
    }
}

#[test]
fn an_entry_that_flagsmith_also_writes_of_another_change_says_which() {
    let others = |number| {
        let record = recording::numbered(Platform::Flagsmith, number).hook().record();
        let others = record.draft().attributes.get("may_also_mean").cloned();
        (record.action().to_string(), others.unwrap_or_default())
    };
    let deleted = ("flag.deleted".to_owned(), serde_json::json!(["flag.environment.removed"]));
    assert_eq!(others("160"), deleted, "the flag was deleted, in this environment and all others");
    assert_eq!(others("270"), deleted, "the environment was deleted");
    assert_eq!(others("162").1, serde_json::Value::Null, "the flag itself");
    for number in ["164", "166", "170", "174"] {
        assert_eq!(
            others(number),
            ("flag.segment.created".to_owned(), serde_json::json!(["flag.segment.changed"]))
        );
    }
    assert_eq!(others("178").1, serde_json::json!(["flag.override.created"]));
    assert_eq!(others("144").1, serde_json::json!(["flag.archived", "flag.unarchived"]));
}

#[test]
fn every_recorded_sentence_is_recognised() {
    for (recording, record) in all() {
        assert!(
            !record.draft().attributes.contains_key("unrecognised_log"),
            "{}: {}",
            recording.name,
            record.log()
        );
        assert!(
            !record.draft().attributes.contains_key("ambiguous_log"),
            "{}: {}",
            recording.name,
            record.log()
        );
    }
}

#[test]
fn a_published_version_without_a_project_hint_is_refused_with_the_hint_to_add() {
    let mut hook = recording::numbered(Platform::Flagsmith, "407").hook();
    hook.query.clear();
    insta::assert_snapshot!(hook.translate().unwrap_err(), @r#"NEW_VERSION_PUBLISHED names no project: add ?project=… (and &environment=…) to the webhook's URL, or set a project on the source "main""#);
}
