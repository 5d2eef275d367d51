//! The records that benchmarks use: 700 to 800 bytes, spread over projects, flags and people.

use audit_record::{AuditRecord, Timestamp};

/// Projects.
pub(crate) const PROJECTS: usize = 100;

/// Flags in all.
const FLAGS: usize = 2_000;

/// People.
const AUTHORS: usize = 300;

/// What every record tells of.
pub(crate) const ACTION: &str = "flag.value.changed";

/// What the id of a record begins with; its number follows, in hexadecimal.
const ID_PREFIX: &str = "0190a000-0000-7000-8000-";

/// The largest number that an id has room for.
pub(crate) const NUMBER_MAX: usize = 0xffff_ffff_ffff;

/// The id of record `number`.
pub(crate) fn id(number: usize) -> String {
    format!("{ID_PREFIX}{number:012x}")
}

/// Which record has that id; `None` where it is no sample.
pub(crate) fn number(id: &str) -> Option<usize> {
    usize::from_str_radix(id.strip_prefix(ID_PREFIX)?, 16).ok()
}

/// The ids of the project, the flag and the author of record `number`. A flag's records are all of one project, and so
/// are an author's.
pub(crate) fn project_flag_author(number: usize) -> (usize, usize, usize) {
    (number % PROJECTS, number * 7 % FLAGS, number * 13 % AUTHORS)
}

/// When record `number` happened: within one second, over and over again.
pub(crate) fn occurred_at(number: usize) -> Timestamp {
    Timestamp::parse(&occurred_at_text(number)).expect("the sample's time is a valid one")
}

fn occurred_at_text(number: usize) -> String {
    format!("2026-01-02T03:04:05.{:06}Z", number % 1_000_000)
}

/// The JSON that a client would post as record `number`.
pub(crate) fn posted(number: usize) -> String {
    let (project, flag, author) = project_flag_author(number);
    let (before, after) = (number % 100, (number + 1) % 100);
    format!(
        r#"{{"action":"{ACTION}","log":"Remote config value updated for feature: flag_{flag}","author":{{"type":"user","id":"{author}","email":"person{author}@example.com","name":"Person {author}"}},"project":{{"id":"{project}","name":"Project {project}"}},"environment":{{"id":"{}","name":"Production"}},"flag":{{"id":"{flag}","name":"flag_{flag}"}},"related_object_type":"FEATURE_STATE","related_object":{{"id":"{number}"}},"change":{{"before":{{"value":{before}}},"after":{{"value":{after}}},"fields":[{{"field":"value","before":{before},"after":{after}}}]}},"occurred_at":"{}"}}"#,
        project * 3,
        occurred_at_text(number),
    )
}

/// Record `number` as it stands on the log.
pub(crate) fn record(number: usize) -> AuditRecord {
    let json = posted(number);
    let json = format!(
        r#"{},"id":"{}","recorded_at":"2026-01-02T03:04:06.000000Z","organisation":{{"key":"acme"}},"source":{{"name":"bench","system":"native","event":"flag.value.changed","received_at":"2026-01-02T03:04:06.000000Z","authenticated":"token"}}}}"#,
        &json[..json.len() - 1],
        id(number)
    );
    AuditRecord::from_json(json.as_bytes()).expect("the sample is a valid record")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_record_is_known_by_its_id() {
        for number in [0, 123_456, super::NUMBER_MAX] {
            assert_eq!(super::number(&super::id(number)), Some(number));
        }
        assert_eq!(super::number("0190a000-0000-7000-9000-000000000001"), None);
    }

    #[test]
    fn a_sample_has_the_size_that_the_targets_speak_of() {
        let bytes = super::record(123_456).canonical().len();
        assert!((700..=900).contains(&bytes), "{bytes}");
    }
}
