//! A record as a CloudEvents message in binary mode.

use audit_record::{RoutingKey, ce_headers, ce_source};
use serde_json::json;

use crate::sample::{least_with, record};

fn header(record: &audit_record::AuditRecord, name: &str) -> Option<String> {
    ce_headers(record).into_iter().find(|(header, _)| *header == name).map(|(_, value)| value)
}

#[test]
fn the_headers_are_the_required_attributes_the_time_and_the_flag() {
    let record = record(&least_with(json!({"flag": {"id": "7", "key": "checkout"}})));
    let headers = ce_headers(&record);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(
        headers,
        [
            ("ce_specversion", "1.0"),
            ("ce_id", "r-1"),
            ("ce_type", "flag.state.changed"),
            ("ce_source", "/1/main/6"),
            ("ce_time", "2026-08-21T17:30:57.006318Z"),
            ("content-type", "application/json"),
            ("ce_subject", "checkout"),
        ]
    );
}

#[test]
fn a_record_without_a_flag_has_no_subject() {
    assert_eq!(header(&record(&least_with(json!({}))), "ce_subject"), None);
}

#[test]
fn a_control_character_in_a_flags_name_is_percent_encoded_because_cloudevents_forbids_it() {
    let record = record(&least_with(json!({"flag": {"name": "größe\n\u{85}🚀"}})));
    assert_eq!(header(&record, "ce_subject").as_deref(), Some("größe%0A%C2%85🚀"));
}

#[test]
fn the_source_is_a_uri_path_also_for_our_own_records() {
    assert_eq!(ce_source(&RoutingKey::own()), "/%7Eflagtrail/%7Eflagtrail/%7Eorganisation");
}
