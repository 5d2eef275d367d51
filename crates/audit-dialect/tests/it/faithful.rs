//! Whatever a platform said stands in the record: in a field of its own, or among the attributes.

use audit_dialect::Platform;
use rstest::rstest;
use serde_json::Value;

use crate::harness::value;
use crate::recording;

#[rstest]
#[case(Platform::Flagsmith)]
#[case(Platform::Unleash)]
fn every_text_and_number_of_a_recorded_body_stands_in_its_record(#[case] platform: Platform) {
    for recording in recording::all(platform) {
        if recording.hook().translate().is_err() {
            continue;
        }
        let body: Value = serde_json::from_slice(&recording.body).unwrap();
        let kept = leaves(&value(&recording.hook().record()), &|_| false);
        for said in leaves(&body, &is_redacted) {
            // An event in a template's string is looked for by its parts.
            let parts: Vec<String> = match serde_json::from_str::<Value>(&said) {
                Ok(event @ Value::Object(_)) if recording.name.contains("template") => {
                    leaves(&event, &is_redacted)
                }
                _ => vec![said],
            };
            for part in parts {
                // Times get six digits, first and last names become one name.
                let part = part.trim_end_matches('Z');
                assert!(kept.iter().any(|text| text.contains(part)), "{} lost {part:?}", recording.name);
            }
        }
    }
}

fn is_redacted(name: &str) -> bool {
    ["api_key", "last_login", "secret"].contains(&name)
}

/// The texts and the digits in `value`, but under the names to leave out.
fn leaves(value: &Value, leave_out: &dyn Fn(&str) -> bool) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(items) => items.iter().flat_map(|item| leaves(item, leave_out)).collect(),
        Value::Object(map) => {
            let said = map.iter().filter(|(name, _)| !leave_out(name));
            said.flat_map(|(_, inner)| leaves(inner, leave_out)).collect()
        }
        Value::Null | Value::Bool(_) => Vec::new(),
    }
}
