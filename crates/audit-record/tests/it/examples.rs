//! `schemas/examples/`: every case is judged by this crate and by an independent JSON Schema implementation.

use std::fs;
use std::path::{Path, PathBuf};

use audit_record::AuditRecord;
use jsonschema::Validator;
use serde_json::Value;

/// What JSON Schema can't express: sizes in bytes, moments in UTC, and how a number is written.
const BEYOND_JSON_SCHEMA: &[&str] = &[
    "id-of-86-emoji-is-more-than-256-bytes",
    "occurred-at-1969-in-utc",
    "occurred-at-year-10000-in-utc",
    "schema-version-written-as-1-0",
];

/// What a schema never gets to see: the text is no JSON, or is altered once a lenient parser has read it.
const BEFORE_ANY_SCHEMA: &[&str] = &[
    "a-key-reserved-by-the-parser",
    "a-key-twice-in-one-object",
    "a-key-twice-once-escaped",
    "a-lone-surrogate",
    "cut-short",
    "empty",
    "nested-128-deep",
    "not-utf-8",
    "something-after-the-record",
];

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

fn examples(kind: &str) -> Vec<(String, Vec<u8>)> {
    let folder = schemas().join("examples").join(kind);
    let mut found: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of examples")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("an example"))
        })
        .collect();
    found.sort();
    assert!(found.len() >= 15, "{kind}: only {} examples", found.len());
    found
}

fn validator() -> Validator {
    let text = fs::read(schemas().join("audit-record.v1.schema.json")).expect("the schema");
    let schema: Value = serde_json::from_slice(&text).expect("the schema is JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is a JSON Schema 2020-12");
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&schema)
        .expect("the schema compiles")
}

#[test]
fn every_valid_example_is_accepted_by_the_reader_and_by_the_schema() {
    let schema = validator();
    for (name, text) in examples("valid") {
        let record = AuditRecord::from_json(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let value: Value = serde_json::from_slice(&text).expect("JSON");
        schema.validate(&value).unwrap_or_else(|error| panic!("{name}: {error}"));
        let canonical: Value = serde_json::from_slice(record.canonical()).expect("JSON");
        schema.validate(&canonical).unwrap_or_else(|error| panic!("{name}, canonical: {error}"));
    }
}

#[test]
fn every_invalid_example_is_refused_by_the_reader_and_where_it_can_say_so_by_the_schema() {
    let schema = validator();
    let examples = examples("invalid");
    for (name, text) in &examples {
        assert!(AuditRecord::from_json(text).is_err(), "{name}: the reader takes it");
        if BEFORE_ANY_SCHEMA.contains(&name.as_str()) {
            continue;
        }
        let value: Value = serde_json::from_slice(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let inexpressible = BEYOND_JSON_SCHEMA.contains(&name.as_str());
        assert_eq!(schema.is_valid(&value), inexpressible, "{name}: the schema's verdict");
    }
    for name in BEYOND_JSON_SCHEMA.iter().chain(BEFORE_ANY_SCHEMA) {
        assert!(examples.iter().any(|(example, _)| example == name), "{name}: no such example");
    }
}

#[test]
fn reader_and_schema_agree_on_which_objects_may_stand_above_projects() {
    let schema = validator();
    let path = schemas().join("examples/valid/strategy-kind-of-the-whole-installation.json");
    let mut example: Value = serde_json::from_slice(&fs::read(path).expect("the example")).expect("JSON");
    assert_eq!(example.get("project"), None);
    for kind in audit_record::KNOWN_OBJECT_TYPES {
        example["related_object_type"] = (*kind).into();
        let is_read = AuditRecord::from_json(example.to_string().as_bytes()).is_ok();
        assert_eq!(schema.is_valid(&example), is_read, "{kind}: the schema's verdict");
    }
}

#[test]
fn a_valid_example_is_the_same_record_after_it_went_over_the_log() {
    for (name, text) in examples("valid") {
        let record = AuditRecord::from_json(&text).expect("valid");
        let again = AuditRecord::from_json(record.canonical()).expect("valid");
        assert_eq!(record, again, "{name}");
    }
}
