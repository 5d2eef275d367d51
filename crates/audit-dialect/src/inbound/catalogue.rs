//! The dialects' tables against the catalogue of actions, `schemas/actions.v1.json`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{flagsmith, unleash};

/// Per action, the events of `platform` that the catalogue lists for it.
fn catalogued(platform: &str) -> BTreeMap<String, Vec<String>> {
    let catalogue: Value = serde_json::from_str(audit_record::CATALOGUE_JSON).unwrap();
    let actions = catalogue["actions"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    actions
        .map(|entry| {
            let events =
                entry["sources"][platform].as_array().map(|events| events.iter().map(text).collect());
            (text(&entry["action"]), events.unwrap_or_default())
        })
        .collect()
}

#[test]
fn the_catalogue_lists_every_sentence_of_flagsmith_under_its_action() {
    let catalogued = catalogued("flagsmith");
    for (template, action) in flagsmith::sentences() {
        // What a health provider adds in further paragraphs is not listed again.
        let template = template.split("\n\n").next().unwrap_or_default();
        // The catalogue writes %s for a hole, and one line for a verb that decides.
        let words = |text: &str| text.replace(" created", " %s").replace(" deleted", " %s");
        let plain = template.split(['{', '}']).enumerate();
        let plain: String = plain.map(|(n, part)| if n % 2 == 0 { part } else { "%s" }).collect();
        let plain = format!("AUDIT_LOG_CREATED: {}", plain.replace("%s%'", "%s%%'"));
        let listed = &catalogued[action];
        assert!(
            listed.iter().any(|event| *event == plain || words(event) == words(&plain)),
            "{action} lacks {plain:?}, has {listed:?}"
        );
    }
}

#[test]
fn the_catalogue_lists_every_type_of_unleash_under_its_action_and_no_other() {
    let catalogued = catalogued("unleash");
    for (name, action) in unleash::known_types() {
        assert!(catalogued[action].iter().any(|event| event == name), "{action} lacks {name}");
    }
    for (action, event) in
        catalogued.iter().flat_map(|(action, events)| events.iter().map(move |e| (action, e)))
    {
        assert!(
            unleash::known_types().any(|known| known == (event, action)),
            "{event} is not translated to {action}"
        );
    }
}

#[test]
fn every_action_of_a_sentence_that_is_not_known_is_in_the_catalogue() {
    let catalogued = catalogued("flagsmith");
    for kind in audit_record::KNOWN_OBJECT_TYPES {
        assert!(catalogued.contains_key(flagsmith::action_of_unknown(kind)), "{kind}");
    }
    for action in flagsmith::other_meanings() {
        assert!(catalogued.contains_key(action), "{action}");
    }
}
