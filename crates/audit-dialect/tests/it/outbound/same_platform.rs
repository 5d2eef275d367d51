//! What a platform sent comes out again as it sent it: every recording, through a record, byte for byte but for
//! what is redacted.
//!
//! The rule on the way in: whatever the record's own fields don't give back stays in `attributes`, under the platform's
//! own name for it. So a name that can't be split into its parts keeps them there, a time that a
//! record can't hold keeps its text, and what nobody understood keeps its place.

use std::collections::BTreeMap;

use audit_dialect::Platform;
use audit_dialect::outbound::{BodyFormat, Carry, Outcome, Renderer};
use rstest::rstest;
use serde_json::Value;

use super::samples::stored;
use crate::recording::{self, Recording};

/// In what way a recording does not come out as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Otherwise {
    /// It became no record.
    Refused,
    /// The event inside the body comes out byte for byte, what stood around it does not.
    EventAlone,
}

/// Every recording that does not come out byte for byte: by a part of its name, and why.
const OTHERWISE: &[(Platform, &str, Otherwise, &str)] = &[
    (
        Platform::Unleash,
        "-template-",
        Otherwise::EventAlone,
        "a body template of the user's stands around the event: that is theirs, not Unleash's; a template of the endpoint's \
         makes such a body",
    ),
    (
        Platform::Unleash,
        "101-env-filter-",
        Otherwise::Refused,
        "a body template of the user's picked two words out of the event, and not the flag",
    ),
    (
        Platform::Unleash,
        "-not-json",
        Otherwise::Refused,
        "a body template of the user's made no JSON, or the body got lost",
    ),
];

#[rstest]
#[case(Platform::Flagsmith, BodyFormat::Flagsmith)]
#[case(Platform::Unleash, BodyFormat::Unleash)]
fn every_recording_comes_out_byte_for_byte_but_for_what_is_redacted(
    #[case] platform: Platform,
    #[case] format: BodyFormat,
) {
    let renderer = Renderer::try_new(&format, Carry::Body).unwrap();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for recording in recording::all(platform) {
        let listed = OTHERWISE.iter().find(|(of, part, ..)| *of == platform && recording.name.contains(part));
        let otherwise = listed.map(|(_, part, otherwise, _)| {
            *seen.entry(*part).or_default() += 1;
            *otherwise
        });
        let Ok(_) = recording.hook().translate() else {
            assert_eq!(otherwise, Some(Otherwise::Refused), "{} is refused", recording.name);
            continue;
        };
        let record = recording.hook().record();
        let outcome = renderer.render(&stored(&record), None).unwrap();
        let Outcome::Rendered(rendered) = outcome else { panic!("{} is skipped", recording.name) };
        assert_eq!(rendered.event, record.source().event, "{}", recording.name);
        let out = String::from_utf8(rendered.body.unwrap().to_vec()).unwrap();
        let redacted = record.draft().attributes.get("redacted");
        let came = redact(&String::from_utf8(recording.body.clone()).unwrap(), redacted);
        match otherwise {
            None => assert_eq!(out, came, "{}", recording.name),
            Some(Otherwise::EventAlone) => assert_eq!(Some(out), event_in(&recording), "{}", recording.name),
            Some(Otherwise::Refused) => panic!("{} is not refused", recording.name),
        }
    }
    for (of, part, ..) in OTHERWISE.iter().filter(|(of, ..)| *of == platform) {
        assert!(seen.contains_key(part), "no recording of {of} is called {part}");
    }
}

/// The event that a template wrote into a string.
fn event_in(recording: &Recording) -> Option<String> {
    let body: Value = serde_json::from_slice(&recording.body).unwrap();
    body.as_object()?.values().filter_map(Value::as_str).find(|text| text.starts_with('{')).map(str::to_owned)
}

/// The text with the mark of what was redacted in the place of each value that `paths` name.
fn redact(text: &str, paths: Option<&Value>) -> String {
    let parsed: Value = serde_json::from_str(text).unwrap();
    let mut text = text.to_owned();
    for path in paths.and_then(Value::as_array).into_iter().flatten() {
        let path = path.as_str().unwrap();
        let secret = parsed.pointer(path).unwrap_or_else(|| panic!("{path} points nowhere"));
        let name = path.rsplit('/').next().unwrap();
        let mut replaced = 0;
        for colon in [": ", ":"] {
            let field = format!("\"{name}\"{colon}{secret}");
            replaced += text.matches(&field).count();
            text = text.replace(&field, &format!("\"{name}\"{colon}\"[REDACTED]\""));
        }
        assert_eq!(replaced, 1, "{path} stands in the body once");
    }
    text
}
