//! What the archive needs to know of a record, read from its bytes without making a record of it.
//!
//! The record was checked before it was appended; here only as much is read as people search by. A message
//! that does not give that much is kept as undecodable. Whatever else a record says, known or not, stays in
//! its bytes.

use std::borrow::Cow;

use audit_record::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// How deep a record may be nested, itself included. SQLite reads JSON that is nested 1,000 deep, and over one record that
/// is deeper it refuses whole queries.
const NESTING_MAX: usize = 900;

/// Fields of a record, borrowed from its bytes. Objects that recur are kept as text, so that one seen before
/// is recognised without being parsed.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) json: &'a str,
    pub(crate) id: Cow<'a, str>,
    pub(crate) action: Cow<'a, str>,
    pub(crate) occurred_at: Timestamp,
    pub(crate) recorded_at: Timestamp,
    pub(crate) object_type: Cow<'a, str>,
    pub(crate) source: Cow<'a, str>,
    pub(crate) organisation: &'a str,
    pub(crate) author: &'a str,
    pub(crate) project: Option<&'a str>,
    pub(crate) environment: Option<&'a str>,
    pub(crate) flag: Option<&'a str>,
    pub(crate) object: Option<&'a str>,
    pub(crate) access: Option<&'a str>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    occurred_at: Cow<'a, str>,
    #[serde(borrow)]
    recorded_at: Cow<'a, str>,
    #[serde(borrow)]
    related_object_type: Cow<'a, str>,
    #[serde(borrow)]
    source: WireSource<'a>,
    #[serde(borrow)]
    organisation: &'a RawValue,
    #[serde(borrow)]
    author: &'a RawValue,
    #[serde(borrow, default)]
    project: Option<&'a RawValue>,
    #[serde(borrow, default)]
    environment: Option<&'a RawValue>,
    #[serde(borrow, default)]
    flag: Option<&'a RawValue>,
    #[serde(borrow, default)]
    related_object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    access: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireSource<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl<'a> Fields<'a> {
    /// Reads a message's value. The error says what is wrong, for `record.problem`.
    pub(crate) fn read(value: Option<&'a [u8]>) -> Result<Self, String> {
        let value = value.ok_or("the message has no value")?;
        let json = std::str::from_utf8(value).map_err(|error| format!("the value is not UTF-8: {error}"))?;
        if is_nested_deeper(json, NESTING_MAX) {
            return Err(format!("the value is nested more than {NESTING_MAX} deep"));
        }
        let wire: Wire<'a> =
            serde_json::from_str(json).map_err(|error| format!("the value is no record: {error}"))?;
        let time = |field: &str, text: &str| {
            Timestamp::parse(text).map_err(|error| format!("the value is no record: {field} {error}"))
        };
        Ok(Self {
            json,
            occurred_at: time("occurred_at", &wire.occurred_at)?,
            recorded_at: time("recorded_at", &wire.recorded_at)?,
            id: wire.id,
            action: wire.action,
            object_type: wire.related_object_type,
            source: wire.source.name,
            organisation: wire.organisation.get(),
            author: wire.author.get(),
            project: wire.project.map(RawValue::get),
            environment: wire.environment.map(RawValue::get),
            flag: wire.flag.map(RawValue::get),
            object: wire.related_object.map(RawValue::get),
            access: wire.access.map(RawValue::get),
        })
    }
}

/// Whether JSON is nested deeper than `max`. Of a text that is no JSON it says anything.
fn is_nested_deeper(json: &str, max: usize) -> bool {
    // Nearly always that settles it.
    if json.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() <= max {
        return false;
    }
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_string,
            b'"' => is_string = !is_string,
            b'{' | b'[' if !is_string => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' if !is_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_where_they_nest_and_not_in_texts() {
        for (json, depth) in [
            ("1", 0),
            ("[[],[],{}]", 2),
            (r#"{"a":{"b":[1,2]},"c":[]}"#, 3),
            (r#"["[[[[", "\"[[[[", "\\", [[1]]]"#, 3),
        ] {
            assert!(!is_nested_deeper(json, depth), "{json}");
            assert!(depth == 0 || is_nested_deeper(json, depth - 1), "{json}");
        }
    }
}
