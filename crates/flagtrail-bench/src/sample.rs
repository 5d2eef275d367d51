//! The records that benchmarks use: 700 to 800 bytes, spread over projects, flags and people.

use audit_record::AuditRecord;

/// Projects.
pub(crate) const PROJECTS: usize = 100;

/// Flags in all.
const FLAGS: usize = 2_000;

/// People.
const AUTHORS: usize = 300;

/// The JSON that a client would post as record `number`.
pub(crate) fn posted(number: usize) -> String {
    let (project, flag, author) = (number % PROJECTS, number * 7 % FLAGS, number * 13 % AUTHORS);
    let (before, after) = (number % 100, (number + 1) % 100);
    format!(
        r#"{{"action":"flag.value.changed","log":"Remote config value updated for feature: flag_{flag}","author":{{"type":"user","id":"{author}","email":"person{author}@example.com","name":"Person {author}"}},"project":{{"id":"{project}","name":"Project {project}"}},"environment":{{"id":"{}","name":"Production"}},"flag":{{"id":"{flag}","name":"flag_{flag}"}},"related_object_type":"FEATURE_STATE","related_object":{{"id":"{number}"}},"change":{{"before":{{"value":{before}}},"after":{{"value":{after}}},"fields":[{{"field":"value","before":{before},"after":{after}}}]}},"occurred_at":"2026-01-02T03:04:05.{:06}Z"}}"#,
        project * 3,
        number % 1_000_000,
    )
}

/// Record `number` as it stands on the log.
pub(crate) fn record(number: usize) -> AuditRecord {
    let json = posted(number);
    let json = format!(
        r#"{},"id":"0190a000-0000-7000-8000-{number:012x}","recorded_at":"2026-01-02T03:04:06.000000Z","organisation":{{"key":"acme"}},"source":{{"name":"bench","system":"native","event":"flag.value.changed","received_at":"2026-01-02T03:04:06.000000Z","authenticated":"token"}}}}"#,
        &json[..json.len() - 1]
    );
    AuditRecord::from_json(json.as_bytes()).expect("the sample is a valid record")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_sample_has_the_size_that_the_targets_speak_of() {
        let bytes = super::record(123_456).canonical().len();
        assert!((700..=900).contains(&bytes), "{bytes}");
    }
}
