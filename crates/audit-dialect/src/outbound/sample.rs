//! A record to try a format with.

use audit_record::AuditRecord;

/// A flag switched on, with everything that such a record has.
const SAMPLE: &str = include_str!("../../assets/sample-record.json");

/// The record that is shown and sent where none is chosen.
pub fn sample_record() -> AuditRecord {
    AuditRecord::from_json(SAMPLE.as_bytes()).expect("the sample is a valid record; a test renders it")
}
