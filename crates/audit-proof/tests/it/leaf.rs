//! What a leaf says, and what two messages that differ must not share.

use audit_proof::{
    InvalidLeaf, LEAF_BYTES_MAX, Leaf, LeafRecord, TEXT_BYTES_MAX, TagKey, body_hash, leaf_hash, read_bundle,
    write_bundle,
};
use audit_record::canonical_json;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::sample::record;

const SALT: &[u8; 16] = b"0123456789abcdef";

fn tags() -> [u8; 64] {
    let record = record(json!({}));
    let scope = record.routing_key();
    TagKey::derive(b"the deployment's secret").scope(&scope).tags(&scope, &record).to_header()
}

fn header_text(leaf: &Leaf<'_>) -> String {
    String::from_utf8(leaf.header()).expect("JSON")
}

#[test]
fn the_header_of_a_record_is_this() {
    let record = record(json!({}));
    let tags = tags();
    let leaf = Leaf::of(41, Some(SALT), Some(&tags), Some(record.canonical()));
    insta::assert_snapshot!(header_text(&leaf), @r#"{"action":"flag.state.changed","author":"hxW/ju7YFMXRraRyS2DOaw==","body":"nFJWwkG4jG+8oCc4ak6Q25/megeuYCQFlJU1a6TIE5E=","environment":"8LV7xlkpxycg+Fydeh25Zg==","flag":"UyC9LHA/RAro/eN2X2ErnQ==","id":"r-1","occurred_at":"2026-09-30T12:00:00.000001Z","recorded_at":"2026-09-30T12:00:01.000000Z","related_object_type":"FEATURE_STATE","scope":"0r+FMUF/dJFEHJfaEL0oFA==","seq":41,"v":1}"#);
    let mut buffer = b"left over".to_vec();
    assert_eq!(leaf.hash(&mut buffer), leaf_hash(&leaf.header()));
}

#[test]
fn the_header_of_what_is_no_record_is_this() {
    let leaf = Leaf::of(7, None, None, Some(b"\xff no record"));
    insta::assert_snapshot!(header_text(&leaf), @r#"{"action":null,"author":null,"body":"LC0ocj7pRudPvX3FMw8a8GVIHCTx3CdS73ZOTiOoNJE=","environment":null,"flag":null,"id":null,"occurred_at":null,"recorded_at":null,"related_object_type":null,"scope":null,"seq":7,"v":1}"#);
    let nothing = Leaf::of(8, None, None, None);
    assert_eq!(nothing.body[..], Sha256::digest([])[..]);
    assert_eq!(nothing.record, None);
}

#[test]
fn the_body_is_the_hash_of_salt_and_value() {
    let whole = [&SALT[..], b"value"].concat();
    assert_eq!(body_hash(Some(SALT), Some(b"value"))[..], Sha256::digest(whole)[..]);
    // A salt of another length is none: it could be part of the value as well.
    assert_eq!(body_hash(Some(b"0123456789abcde"), Some(b"value")), body_hash(None, Some(b"value")));
}

#[test]
fn values_that_are_no_record_for_a_leaf() {
    let good: Value = serde_json::from_slice(record(json!({})).canonical()).expect("JSON");
    assert!(LeafRecord::read(good.to_string().as_bytes()).is_some());
    let with = |field: &str, value: Value| {
        let mut other = good.clone();
        other[field] = value;
        other.to_string().into_bytes()
    };
    for bad in [
        b"".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        with("id", json!(5)),
        with("occurred_at", json!("yesterday")),
        with("recorded_at", json!(null)),
        with("action", json!("a".repeat(TEXT_BYTES_MAX + 1))),
        format!("{}x", good).into_bytes(),
        good.to_string().replacen('{', r#"{"id":"another","#, 1).into_bytes(),
    ] {
        assert_eq!(LeafRecord::read(&bad), None, "{}", String::from_utf8_lossy(&bad));
    }
}

#[test]
fn a_header_that_was_written_otherwise_is_refused() {
    let record = record(json!({}));
    let header = header_text(&Leaf::of(41, Some(SALT), Some(&tags()), Some(record.canonical())));
    for (altered, not_canonical) in [
        (header.replace(":41", ": 41"), true),
        (header.replace("2026-09-30T12:00:00.000001Z", "2026-09-30T14:00:00.000001+02:00"), true),
        (header.replace("\"id\":\"r-1\"", "\"id\":null"), true),
        (header.replace("{\"action\"", "{\"more\":1,\"action\""), false),
        (header.replace("\"body\":\"", "\"body\":\"AA"), false),
        (String::new(), false),
    ] {
        let refused = Leaf::parse(altered.as_bytes()).expect_err(&altered);
        assert_eq!(refused == InvalidLeaf::NotCanonical, not_canonical, "{altered}: {refused}");
    }
    let newer = header.replace("\"v\":1", "\"v\":2");
    assert_eq!(Leaf::parse(newer.as_bytes()), Err(InvalidLeaf::Newer(2)));
}

#[test]
fn the_longest_header_fits_into_an_entry_bundle() {
    let controls = "\u{1}".repeat(TEXT_BYTES_MAX);
    let value = json!({
        "id": controls, "action": controls, "related_object_type": controls,
        "occurred_at": "2026-09-30T12:00:00Z", "recorded_at": "2026-09-30T12:00:01Z",
    });
    let value = value.to_string();
    let leaf = Leaf::of(u64::MAX, Some(SALT), Some(&tags()), Some(value.as_bytes()));
    assert!(leaf.record.is_some());
    let header = leaf.header();
    assert!(header.len() <= LEAF_BYTES_MAX, "{}", header.len());
    let mut bundle = Vec::new();
    assert!(write_bundle(&mut bundle, &header) && write_bundle(&mut bundle, b""));
    assert_eq!(read_bundle(&bundle), Some(vec![&header[..], b""]));
    assert_eq!(read_bundle(&bundle[..bundle.len() - 1]), None);
    assert!(!write_bundle(&mut bundle, &[0; LEAF_BYTES_MAX + 1]));
}

proptest! {
    #[test]
    fn a_header_is_canonical_json_and_is_read_back(
        seq in 0_u64..1 << 53, id in any::<String>(), action in any::<String>(), kind in any::<String>(),
        at in 0_i64..253_402_300_799_999_999, tags in proptest::collection::vec(any::<u8>(), 60..66), salt in any::<[u8; 16]>())
    {
        let at = audit_record::Timestamp::from_micros(at).expect("a moment").to_string();
        let value = json!({
            "id": id, "action": action, "related_object_type": kind, "occurred_at": at, "recorded_at": at,
        }).to_string();
        let leaf = Leaf::of(seq, Some(&salt), Some(&tags), Some(value.as_bytes()));
        let header = leaf.header();
        let parsed: Value = serde_json::from_slice(&header).expect("JSON");
        let mut canonical = Vec::new();
        canonical_json(&parsed, &mut canonical);
        prop_assert_eq!(&canonical, &header);
        prop_assert_eq!(Leaf::parse(&header), Ok(leaf));
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Leaf::parse(&bytes);
        let _ = read_bundle(&bytes);
        let _ = Leaf::of(0, Some(&bytes), Some(&bytes), Some(&bytes)).header();
    }
}
