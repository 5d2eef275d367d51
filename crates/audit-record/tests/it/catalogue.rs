//! `schemas/actions.v1.json`.

use audit_record::{Action, CATALOGUE_JSON};
use serde_json::Value;

/// Where an event may come from: the platforms that have names for their events, and ourselves.
const SYSTEMS: &[&str] = &["abtasty", "flagsmith", "flagtrail", "mozhno", "unleash", "zenmanage"];

fn entries() -> Vec<Value> {
    let catalogue: Value = serde_json::from_str(CATALOGUE_JSON).expect("JSON");
    assert_eq!(catalogue["version"], 1);
    catalogue["actions"].as_array().expect("a list of actions").clone()
}

fn name(entry: &Value) -> &str {
    entry["action"].as_str().expect("an action")
}

#[test]
fn every_name_is_a_dotted_action_and_they_are_sorted_and_unique() {
    let entries = entries();
    let names: Vec<&str> = entries.iter().map(name).collect();
    for name in &names {
        Action::try_new(*name).unwrap_or_else(|error| panic!("{name} {error}"));
    }
    assert!(names.is_sorted_by(|a, b| a < b), "sorted, each once: {names:#?}");
}

#[test]
fn every_action_that_can_change_what_a_flag_returns_begins_with_flag() {
    for entry in entries() {
        if entry["affects_flags"].as_bool().expect("affects_flags is true or false") {
            assert!(name(&entry).starts_with("flag."), "{}", name(&entry));
        }
    }
}

#[test]
fn every_entry_says_what_it_means_and_which_event_of_which_system_it_is() {
    for entry in entries() {
        let name = name(&entry);
        assert!(entry["meaning"].as_str().is_some_and(|text| text.ends_with('.')), "{name}");
        let types = entry["related_object_types"].as_array().expect("a list");
        assert!(!types.is_empty(), "{name}");
        for kind in types {
            let kind = kind.as_str().expect("a name");
            let known = audit_record::KNOWN_OBJECT_TYPES.contains(&kind) || kind.starts_with("FLAGTRAIL_");
            assert!(known, "{name}: {kind}");
        }
        let sources = entry["sources"].as_object().expect("an object");
        assert!(!sources.is_empty(), "{name}");
        for (system, events) in sources {
            assert!(SYSTEMS.contains(&system.as_str()), "{name}: {system}");
            let events = events.as_array().expect("a list of events");
            assert!(!events.is_empty() && events.iter().all(Value::is_string), "{name}: {system}");
        }
    }
}

#[test]
fn no_event_of_a_platform_stands_under_two_actions_unless_its_text_has_a_blank_for_the_verb() {
    let mut seen = std::collections::BTreeMap::new();
    for entry in entries() {
        for (system, events) in entry["sources"].as_object().expect("an object") {
            for event in events.as_array().expect("a list") {
                let event = event.as_str().expect("text");
                let verb_is_a_blank = ["Experiment '%s' %s", "Warehouse connection %s", "Metric '%s' %s"]
                    .iter()
                    .any(|text| event.contains(text));
                let before = seen.insert((system.clone(), event.to_owned()), name(&entry).to_owned());
                assert!(before.is_none() || verb_is_a_blank, "{system} {event}: {before:?}");
            }
        }
    }
}
