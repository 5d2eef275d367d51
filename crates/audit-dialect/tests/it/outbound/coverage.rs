//! The tables of what is sent of another platform's record, against what is rendered.

use std::collections::BTreeMap;

use audit_dialect::outbound::coverage::{COVERAGE, Coverage, Origin, RECORD_FIELDS, events_of, markdown};
use audit_dialect::outbound::{BodyFormat, Outcome};
use serde_json::{Value, json};

use super::mozhno::{ALL_TEN, with_template};
use super::samples::{body, full, full_with, record, render, sent};

/// Set to have the tables written anew.
const UPDATE: &str = "UPDATE_COVERAGE";

#[test]
fn the_documentation_of_the_module_is_the_tables() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/outbound/coverage.md");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path, markdown()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert!(written == markdown(), "coverage.md is not what the tables say: run this test with {UPDATE}=1");
}

#[test]
fn every_field_of_a_record_stands_in_the_list_of_fields() {
    fn walk(path: String, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) if !RECORD_FIELDS.contains(&path.as_str()) => {
                for (name, inner) in map {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    walk(path, inner, found);
                }
            }
            _ => found.push(path),
        }
    }
    let mut found = Vec::new();
    walk(String::new(), &full(), &mut found);
    found.retain(|path| !path.starts_with("attributes."));
    found.sort();
    let mut listed: Vec<&str> = RECORD_FIELDS.to_vec();
    listed.sort_unstable();
    assert_eq!(found, listed);
}

/// The records that make every event of a table, and what comes of each.
fn bodies(table: &Coverage) -> Vec<(Value, Value)> {
    let identity = json!({"type": "identity", "id": "target-id", "key": "target-key", "name": "target-name"});
    let (format, records): (BodyFormat, Vec<Value>) = match (table.format, table.events) {
        ("flagsmith", events) if events.starts_with("FLAG_UPDATED") => {
            (BodyFormat::Flagsmith, vec![full(), full_with(json!({"target": identity}))])
        }
        ("flagsmith", _) => {
            (BodyFormat::Flagsmith, vec![full_with(json!({"action": "flag.segment.changed"}))])
        }
        ("zenmanage", _) => {
            (BodyFormat::Zenmanage, vec![full(), full_with(json!({"action": "flag.rule.changed"}))])
        }
        ("abtasty", _) => (
            BodyFormat::Abtasty,
            vec![
                full_with(json!({"action": "flag.campaign.status.changed"})),
                full_with(json!({"action": "access.granted"})),
                full_with(json!({"action": "flag.created"})),
            ],
        ),
        ("unleash", _) => (BodyFormat::Unleash, vec![full(), full_with(json!({"action": "flag.updated"}))]),
        ("mozhno", _) => {
            (with_template(ALL_TEN), vec![full(), full_with(json!({"action": "flag.segment.changed"}))])
        }
        (other, _) => panic!("{other} has a table, but no records to try it with"),
    };
    records.into_iter().map(|value| (value.clone(), body(&sent(&format, value)))).collect()
}

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |at, name| at.get(name))
}

#[test]
fn each_field_of_a_body_comes_from_where_its_table_says() {
    for table in COVERAGE {
        let mut met: BTreeMap<&str, bool> = table.fields.iter().map(|(path, _)| (*path, false)).collect();
        for (record, body) in bodies(table) {
            for (path, from) in table.fields {
                let Some(found) = at(&body, path) else { continue };
                met.insert(path, true);
                match from {
                    Origin::Copied(fields) => {
                        let said = fields.iter().find_map(|field| at(&record, field));
                        assert_eq!(Some(found), said, "{path} of {}", table.format);
                    }
                    Origin::Null => assert_eq!(*found, Value::Null, "{path} of {}", table.format),
                    Origin::Fixed(value) => {
                        assert_eq!(found.to_string(), *value, "{path} of {}", table.format)
                    }
                    Origin::Made(..) => {}
                }
            }
        }
        let never: Vec<_> = met.iter().filter(|(_, met)| !**met).map(|(path, _)| path).collect();
        assert!(never.is_empty(), "{} never sends {never:?}", table.format);
    }
}

#[test]
fn each_leaf_of_a_body_stands_in_its_table() {
    fn walk(path: String, value: &Value, check: &mut dyn FnMut(&str)) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (name, inner) in map {
                    walk(if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, inner, check);
                }
            }
            _ => check(&path),
        }
    }
    for table in COVERAGE {
        for (_, body) in bodies(table) {
            walk(String::new(), &body, &mut |path| {
                // The previous state has the fields of the new one; data and preData are the record's as they are.
                let path = path.replace("previous_state", "new_state");
                let covers = |listed: &str| path == listed || path.starts_with(&format!("{listed}."));
                assert!(
                    table.fields.iter().any(|(listed, _)| covers(listed)),
                    "{path} of {} stands in no table",
                    table.format
                );
            });
        }
    }
}

#[test]
fn what_a_table_says_is_not_sent_stands_nowhere_in_the_body() {
    for table in COVERAGE {
        for (record, body) in bodies(table) {
            let text = body.to_string();
            for field in table.not_sent() {
                let Some(Value::String(said)) = at(&record, field) else { continue };
                // Words that stand elsewhere in the body with another meaning.
                if ["user", "segment", "identity", "project", "granted", "FEATURE_STATE"]
                    .contains(&said.as_str())
                {
                    continue;
                }
                assert!(!text.contains(said.as_str()), "{field} is sent by {} as {text}", table.format);
            }
            assert!(!text.contains("the-attribute") && !text.contains("source-"), "{}: {text}", table.format);
        }
    }
}

#[test]
fn each_action_of_the_catalogue_becomes_the_event_that_the_table_names() {
    let catalogue: Value = serde_json::from_str(audit_record::CATALOGUE_JSON).unwrap();
    let formats = [
        BodyFormat::Flagsmith,
        BodyFormat::Zenmanage,
        BodyFormat::Abtasty,
        BodyFormat::Unleash,
        with_template(ALL_TEN),
    ];
    for entry in catalogue["actions"].as_array().unwrap() {
        let action = entry["action"].as_str().unwrap();
        for (format, listed) in formats.iter().zip(events_of(action)) {
            let outcome = render(format, &record(full_with(json!({"action": action})))).unwrap();
            match (outcome, listed) {
                (Outcome::Rendered(rendered), Some(listed)) => {
                    let by_more = listed.starts_with("by ");
                    assert!(
                        by_more || listed.contains(&rendered.event),
                        "{action}: {} is not {listed}",
                        rendered.event
                    );
                }
                (Outcome::Skipped(_), None) => {}
                (outcome, listed) => panic!("{action} in {}: {outcome:?}, listed {listed:?}", format.name()),
            }
        }
    }
}
