//! Input that lies, breaks or overwhelms: a clear error or a faithful record, never a panic.

use audit_record::{AuditRecord, DEPTH_MAX, JsonError, RECORD_BYTES_MAX, RecordError, parse_strict};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::sample::{draft, least, least_with_text, read_back};

fn refusal(text: &[u8]) -> String {
    parse_strict(text).expect_err("refused").to_string()
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

#[rstest]
#[case::a_key_twice(br#"{"a":1,"a":1}"#.as_slice(), "the key \"a\" stands twice")]
#[case::a_key_twice_far_down(br#"[{"x":{"b":1,"c":2,"b":3}}]"#, "the key \"b\" stands twice")]
#[case::a_key_twice_once_escaped(br#"{"a":1,"\u0061":2}"#, "the key \"a\" stands twice")]
#[case::a_lone_surrogate(br#""\ud800""#, "hex escape")]
#[case::surrogates_in_the_wrong_order(br#""\udc00\ud800""#, "surrogate")]
#[case::invalid_utf_8(b"\"\xff\"", "unicode")]
#[case::utf_8_of_a_surrogate(b"\"\xed\xa0\x80\"", "unicode")]
#[case::utf_16(b"\xff\xfe{\0}\0", "expected value")]
#[case::a_byte_order_mark(b"\xef\xbb\xbf{}", "expected value")]
#[case::a_raw_nul_in_a_string(b"\"a\0b\"", "control character")]
#[case::a_raw_newline_in_a_string(b"\"a\nb\"", "control character")]
#[case::empty(b"", "EOF")]
#[case::spaces(b"  \n", "EOF")]
#[case::cut_short(br#"{"a":[1,2"#, "EOF")]
#[case::something_after(b"{} {}", "trailing characters")]
#[case::not_a_number(b"NaN", "expected value")]
#[case::a_leading_zero(b"01", "invalid number")]
#[case::a_comment(b"{} // no", "trailing characters")]
#[case::single_quotes(b"{'a':1}", "key must be a string")]
fn what_is_not_json_is_refused_with_the_reason(#[case] text: &[u8], #[case] reason: &str) {
    let found = refusal(text);
    assert!(found.contains(reason), "{found}");
    assert!(found.starts_with("not JSON that can be kept faithfully: "), "{found}");
}

#[test]
fn nesting_is_read_to_the_limit_and_refused_beyond_it() {
    parse_strict(nested(DEPTH_MAX).as_bytes()).expect("the limit itself is fine");
    assert!(refusal(nested(DEPTH_MAX + 1).as_bytes()).contains("recursion limit"));
    assert!(refusal(nested(129).as_bytes()).contains("recursion limit"));
    assert!(refusal("{\"a\":".repeat(100_000).as_bytes()).contains("recursion limit"));
}

#[test]
fn a_record_nested_so_deep_that_it_could_not_be_read_back_is_refused() {
    let deep = parse_strict(nested(DEPTH_MAX).as_bytes()).expect("JSON");
    let mut too_deep = draft();
    too_deep.attributes.insert("deep".into(), deep);
    assert!(matches!(AuditRecord::try_new(too_deep), Err(RecordError::TooDeep)));
    let mut at_the_limit = draft();
    at_the_limit
        .attributes
        .insert("deep".into(), parse_strict(nested(DEPTH_MAX - 2).as_bytes()).expect("JSON"));
    let record = AuditRecord::try_new(at_the_limit).expect("valid");
    AuditRecord::from_json(record.canonical()).expect("reads back");
}

#[rstest]
#[case::as_it_is(r#"{"$serde_json::private::Number":"12"}"#)]
#[case::escaped(r#"{"\u0024serde_json::private::Number":"12"}"#)]
#[case::raw_value(r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#)]
#[case::not_the_first_key(r#"{"a":1,"$serde_json::private::Number":"12"}"#)]
#[case::holding_no_number(r#"{"$serde_json::private::Number":[]}"#)]
fn a_key_that_the_parser_uses_for_numbers_is_refused_and_never_taken_for_one(#[case] text: &str) {
    let found = refusal(text.as_bytes());
    assert!(found.contains("no key may begin with $serde_json::private"), "{found}");
}

#[test]
fn the_parsers_own_key_may_stand_in_a_value_and_numbers_beside_it_stay_numbers() {
    let text = r#"{"a":"$serde_json::private::Number","b":"\u0024serde_json::private","n":9007199254740993,"$":1.0}"#;
    let value = parse_strict(text.as_bytes()).expect("JSON");
    assert_eq!(value["a"], "$serde_json::private::Number");
    assert_eq!(value["b"], "$serde_json::private");
    assert_eq!((value["n"].to_string(), value["$"].to_string()), ("9007199254740993".into(), "1.0".into()));
    let record = AuditRecord::from_json(least_with_text("attributes", text).as_bytes()).expect("valid");
    AuditRecord::from_json(record.canonical()).expect("reads back");
}

#[test]
fn escaped_nul_characters_are_kept() {
    let record =
        AuditRecord::from_json(least_with_text("reason", r#""a\u0000b""#).as_bytes()).expect("valid");
    assert_eq!(record.draft().reason.as_deref(), Some("a\0b"));
    assert_eq!(read_back(&record)["reason"], "a\0b");
}

#[test]
fn a_hundred_thousand_unknown_fields_are_a_size_and_no_other_problem() {
    let fields = |count: usize, text: &str| {
        let fields: Vec<String> = (0..count).map(|n| format!("\"u{n}\":{text}")).collect();
        let least = least().to_string();
        format!("{},{}}}", &least[..least.len() - 1], fields.join(","))
    };
    let few = AuditRecord::from_json(fields(60_000, "1").as_bytes()).expect("fits");
    assert_eq!(few.draft().extra.len(), 60_000);
    let error = AuditRecord::from_json(fields(100_000, "1").as_bytes()).expect_err("too large");
    assert!(matches!(error, RecordError::TooLarge { bytes } if bytes > RECORD_BYTES_MAX), "{error}");
}

#[test]
fn a_record_of_one_mebibyte_is_taken_and_one_byte_more_is_refused_naming_both_sizes() {
    let empty = AuditRecord::from_json(least_with_text("reason", "\"x\"").as_bytes()).expect("valid");
    let room = RECORD_BYTES_MAX - empty.canonical().len() + 1;
    let mut full = draft();
    full.reason = Some("x".repeat(room));
    let record = AuditRecord::try_new(full.clone()).expect("exactly full");
    assert_eq!(record.canonical().len(), RECORD_BYTES_MAX);
    full.reason = Some("x".repeat(room + 1));
    let error = AuditRecord::try_new(full).expect_err("one too many");
    assert_eq!(
        error.to_string(),
        "the record has 1048577 bytes, 1048576 are allowed: shorten change or attributes"
    );
}

#[test]
fn a_flag_with_a_hostile_name_comes_back_as_it_went_in() {
    for name in [
        "=cmd|' /C calc'!A0",
        "🚀👩‍👩‍👧‍👦",
        "\u{202e}שלום עולם",
        "'; DROP TABLE audit_log; --",
        "a\r\nSet-Cookie: x",
        "\u{feff}\u{0}\u{7f}\u{85}\u{2028}",
        "\\\"\\u0000",
    ] {
        let value = crate::sample::least_with(json!({"flag": {"key": name, "name": name}}));
        let record = crate::sample::record(&value);
        assert_eq!(read_back(&record)["flag"]["key"], Value::from(name));
    }
}

#[test]
fn a_json_error_is_named_as_such() {
    let error = AuditRecord::from_json(b"{").expect_err("refused");
    assert!(matches!(error, RecordError::Json(JsonError::Syntax(_))));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = AuditRecord::from_json(&bytes);
    }

    #[test]
    fn no_damage_to_a_record_makes_the_reader_panic(at in 0_usize..600, byte: u8, cut in 0_usize..600) {
        let mut text = least().to_string().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        let _ = AuditRecord::from_json(&text);
        text.truncate(cut);
        let _ = AuditRecord::from_json(&text);
    }
}
