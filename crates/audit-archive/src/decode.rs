//! What the archive needs to know of a record, read from its bytes without making a record of it.
//!
//! The record was checked before it was appended; here only as much is read as people search by. A message
//! that does not give that much is kept as undecodable. Whatever else a record says, known or not, stays in
//! its bytes.

use std::borrow::Cow;

use audit_record::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

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
        })
    }
}
