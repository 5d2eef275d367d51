//! Canonical bytes: what stands on the log, and what proofs are made over.

use audit_record::{AuditRecord, canonical_json, parse_strict};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Map, Number, Value, json};

use crate::sample::{least, least_with_text};

fn canonical(value: &Value) -> String {
    let mut out = Vec::new();
    canonical_json(value, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn canonical_text(text: &str) -> String {
    canonical(&parse_strict(text.as_bytes()).expect("JSON"))
}

#[test]
fn the_canonical_bytes_of_a_record_are_these() {
    let record = AuditRecord::from_json(least().to_string().as_bytes()).expect("valid");
    assert_eq!(
        String::from_utf8_lossy(record.canonical()),
        concat!(
            r#"{"action":"flag.state.changed","author":{"email":"ada@example.com","type":"user"},"id":"r-1","#,
            r#""log":"Flag checkout was switched on in Production","occurred_at":"2026-08-21T17:30:57.006318Z","#,
            r#""organisation":{"id":"1"},"project":{"id":"6","name":"Shop"},"#,
            r#""recorded_at":"2026-08-21T17:30:57.206318Z","related_object":{},"#,
            r#""related_object_type":"FEATURE_STATE","schema_version":1,"#,
            r#""source":{"authenticated":"signature","event":"FLAG_UPDATED","name":"main","#,
            r#""received_at":"2026-08-21T17:30:57.106318Z","system":"flagsmith"}}"#,
        )
    );
}

#[rstest]
#[case::past_2_to_the_53("9007199254740993")]
#[case::past_a_u64("123456789012345678901234567890")]
#[case::past_a_double("1e+400")]
#[case::near_nothing("1e-400")]
#[case::minus_zero("-0.0")]
#[case::minus_integer_zero("-0")]
#[case::trailing_zeros("1.500")]
#[case::many_digits("3.14159265358979323846264338327950288")]
fn a_number_stays_as_it_was_written(#[case] number: &str) {
    assert_eq!(canonical_text(number), number);
    let text = least_with_text("attributes", &format!(r#"{{"n":{number}}}"#));
    let record = AuditRecord::from_json(text.as_bytes()).expect("valid");
    let found = String::from_utf8_lossy(record.canonical()).into_owned();
    assert!(found.contains(&format!(r#""attributes":{{"n":{number}}}"#)), "{found}");
}

#[rstest]
#[case("1e400", "1e+400")]
#[case("1E+2", "1e+2")]
#[case("1.50E-07", "1.50e-07")]
fn an_exponent_has_one_form(#[case] written: &str, #[case] expected: &str) {
    assert_eq!(canonical_text(written), expected);
}

#[test]
fn a_number_made_in_code_has_the_bytes_that_it_reads_back_with() {
    for number in [1e300, -2.5e-300, 0.1, -0.0] {
        let once = canonical(&json!(number));
        assert_eq!(canonical_text(&once), once);
    }
}

#[test]
fn keys_are_sorted_by_utf_16_code_units_as_rfc_8785_demands() {
    // The example of RFC 8785, section 3.2.3: by bytes the emoji would come after U+FB33.
    let text = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
        "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
    assert_eq!(
        canonical_text(text),
        concat!(
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",",
            "\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",",
            "\"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}"
        )
    );
}

#[test]
fn strings_are_escaped_as_little_as_rfc_8785_allows() {
    let text = r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/\u0008\u0009\u000c\u000d\u007f\u0000""#;
    assert_eq!(canonical_text(text), "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\\b\\t\\f\\r\u{7f}\\u0000\"");
}

#[test]
fn the_known_and_the_unknown_fields_of_a_record_are_sorted_together() {
    let text = least_with_text("aa", "1");
    let record = AuditRecord::from_json(text.as_bytes()).expect("valid");
    assert!(record.canonical().starts_with(br#"{"aa":1,"action":"#));
    let text = least_with_text("\u{1f600}", "1");
    let record = AuditRecord::from_json(text.as_bytes()).expect("valid");
    assert!(record.canonical().ends_with("},\"😀\":1}".as_bytes()));
}

/// Any JSON, numbers of any form included.
fn any_json() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("JSON has no such number", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
    ]
    .prop_map(|text| Value::Number(text.parse::<Number>().expect("a JSON number")));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number,
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The value as text, every object's keys in reverse order and spaces between all tokens.
fn written_backwards(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<String> = map
                .iter()
                .rev()
                .map(|(key, value)| format!(" {} : {}", json!(key), written_backwards(value)))
                .collect();
            format!("{{{}}}", entries.join(" , "))
        }
        Value::Array(items) => {
            format!("[ {} ]", items.iter().map(written_backwards).collect::<Vec<_>>().join("\n,"))
        }
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn canonical_bytes_read_back_as_themselves(value in any_json()) {
        let once = canonical(&value);
        prop_assert_eq!(canonical_text(&once), once);
    }

    #[test]
    fn canonical_bytes_do_not_depend_on_the_order_of_keys_or_on_spaces(value in any_json()) {
        prop_assert_eq!(canonical_text(&written_backwards(&value)), canonical(&value));
    }

    #[test]
    fn a_record_with_any_attributes_and_unknown_fields_reads_back_as_itself(
        attributes in prop::collection::btree_map(any::<String>(), any_json(), 0..6),
        unknown in prop::collection::btree_map(any::<String>(), any_json(), 0..6),
        name in any::<String>(),
    ) {
        let mut draft = crate::sample::draft();
        draft.attributes = attributes.into_iter().collect();
        draft.extra = unknown.into_iter().collect();
        draft.flag = Some(audit_record::Ref::by_name(name));
        let record = AuditRecord::try_new(draft).expect("valid");
        let again = AuditRecord::from_json(record.canonical()).expect("canonical bytes are a record");
        prop_assert_eq!(again.canonical(), record.canonical());
        prop_assert_eq!(again.routing_key(), record.routing_key());
    }
}
