//! The filter that queries, exports and endpoints share.

use audit_record::{ActionPattern, Filter};
use rstest::rstest;
use serde_json::{Value, json};

use crate::sample::{least_with, record};

fn filter(value: Value) -> Filter {
    serde_json::from_value(value).expect("a filter")
}

fn matches(value: Value) -> bool {
    let record = record(&least_with(json!({
        "environment": {"id": "23", "key": "production", "name": "Production"},
        "flag": {"id": "7168", "key": "checkout", "name": "Checkout"},
        "author": {"type": "user", "id": "3", "email": "ada@example.com", "name": "Ada"},
        "related_object": {"id": "991", "uuid": "1f3b", "key": "k", "name": "n"}
    })));
    filter(value).matches(&record)
}

#[test]
fn an_empty_filter_matches_every_record() {
    assert!(matches(json!({})));
}

#[rstest]
#[case::organisation(json!({"organisation": ["1"]}))]
#[case::project_by_id(json!({"project": ["6"]}))]
#[case::project_by_name(json!({"project": ["Shop"]}))]
#[case::environment_by_key(json!({"environment": ["production"]}))]
#[case::flag_by_id(json!({"flag": ["7168"]}))]
#[case::flag_by_key(json!({"flag": ["checkout"]}))]
#[case::flag_by_name(json!({"flag": ["Checkout"]}))]
#[case::author_by_id(json!({"author": ["3"]}))]
#[case::author_by_email(json!({"author": ["ada@example.com"]}))]
#[case::author_by_name(json!({"author": ["Ada"]}))]
#[case::action_exact(json!({"action": ["flag.state.changed"]}))]
#[case::action_by_prefix(json!({"action": ["flag.*"]}))]
#[case::action_by_longer_prefix(json!({"action": ["flag.state.*"]}))]
#[case::action_any(json!({"action": ["*"]}))]
#[case::object_type(json!({"related_object_type": ["FEATURE_STATE"]}))]
#[case::object_by_uuid(json!({"object": ["1f3b"]}))]
#[case::object_by_name(json!({"object": ["n"]}))]
#[case::source(json!({"source": ["main"]}))]
#[case::one_of_a_list(json!({"flag": ["other", "checkout"]}))]
#[case::all_of_several_fields(json!({"flag": ["checkout"], "author": ["Ada"], "action": ["flag.*"]}))]
fn a_record_that_fits_is_matched(#[case] value: Value) {
    assert!(matches(value));
}

#[rstest]
#[case::another_project(json!({"project": ["7"]}))]
#[case::a_part_of_a_name(json!({"flag": ["check"]}))]
#[case::another_case_of_letters(json!({"environment": ["PRODUCTION"]}))]
#[case::another_action(json!({"action": ["flag.state.change"]}))]
#[case::a_prefix_is_of_whole_words(json!({"action": ["flag.stat.*"]}))]
#[case::one_field_of_several(json!({"flag": ["checkout"], "author": ["Grace"]}))]
#[case::another_source(json!({"source": ["Main"]}))]
fn a_record_that_does_not_fit_is_not_matched(#[case] value: Value) {
    assert!(!matches(value));
}

#[test]
fn a_record_without_a_flag_is_not_matched_by_a_filter_on_flags() {
    let record = record(&least_with(json!({})));
    assert!(!filter(json!({"flag": ["checkout"]})).matches(&record));
}

#[rstest]
#[case::everything("*", &["flag.created", "x.y"], &[])]
#[case::a_family("flag.*", &["flag.created", "flag.rule.changed"], &["flagtrail.token.created", "flags.x"])]
#[case::one("flag.created", &["flag.created"], &["flag.created.x", "flag.create"])]
fn a_pattern_matches(#[case] pattern: &str, #[case] hits: &[&str], #[case] misses: &[&str]) {
    let pattern = ActionPattern::try_new(pattern).expect("a pattern");
    assert!(hits.iter().all(|action| pattern.matches(action)));
    assert!(!misses.iter().any(|action| pattern.matches(action)));
}

#[rstest]
#[case("")]
#[case("flag")]
#[case("flag*")]
#[case("*.created")]
#[case("flag.*.changed")]
#[case("Flag.created")]
#[case(".*")]
#[case("flag..created")]
fn what_is_no_pattern_is_refused(#[case] text: &str) {
    let error = ActionPattern::try_new(text).expect_err("refused").to_string();
    assert_eq!(error, format!("{text:?} must be an exact action, a prefix such as flag.*, or *"));
}

#[test]
fn a_misspelt_field_of_a_filter_is_an_error_and_not_a_filter_that_matches_everything() {
    assert!(serde_json::from_value::<Filter>(json!({"flags": ["checkout"]})).is_err());
}

#[test]
fn a_filter_reads_back_from_its_own_json() {
    let filter = filter(json!({"action": ["flag.*"], "project": ["6"]}));
    let text = serde_json::to_string(&filter).expect("JSON");
    assert_eq!(text, r#"{"project":["6"],"action":["flag.*"]}"#);
    assert_eq!(serde_json::from_str::<Filter>(&text).expect("a filter"), filter);
}
