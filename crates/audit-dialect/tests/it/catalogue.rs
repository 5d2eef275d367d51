//! What the recordings become, against the catalogue of actions.

use std::collections::BTreeMap;

use audit_dialect::Platform;
use serde_json::Value;

use crate::recording;

#[test]
fn every_recorded_event_has_an_action_of_the_catalogue_for_its_kind_of_object() {
    let catalogue: Value = serde_json::from_str(audit_record::CATALOGUE_JSON).unwrap();
    let entries = catalogue["actions"].as_array().unwrap().iter();
    let types: BTreeMap<&str, &Value> =
        entries.map(|entry| (entry["action"].as_str().unwrap(), &entry["related_object_types"])).collect();
    for recording in [Platform::Flagsmith, Platform::Unleash].into_iter().flat_map(recording::all) {
        for draft in recording.hook().translate().into_iter().flat_map(|translation| translation.drafts) {
            let (action, kind) = (draft.action.unwrap(), draft.related_object_type.unwrap());
            let listed =
                types.get(action.as_str()).unwrap_or_else(|| panic!("{action} of {}", recording.name));
            let listed = listed.as_array().unwrap();
            assert!(listed.iter().any(|t| *t == kind.as_str()), "{action} of a {kind}: {}", recording.name);
        }
    }
}
