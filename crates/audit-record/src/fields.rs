//! A record's fields on their way out. Each part of a record lists its fields once, here they become
//! canonical bytes or a JSON value.

use serde_json::Value;

use crate::Map;
use crate::canonical::Canonical;
use crate::timestamp::Timestamp;

/// The value of one field, borrowed from the record.
#[derive(Debug)]
pub(crate) enum Field<'a> {
    /// The record has none.
    Absent,
    /// A string that is not empty.
    Text(&'a str),
    /// A moment.
    Time(Timestamp),
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Number(u64),
    /// Any JSON.
    Json(&'a Value),
    /// An open object.
    Open(&'a Map),
    /// A nested part.
    Part(Fields<'a>),
    /// A list of nested parts.
    Parts(Vec<Fields<'a>>),
}

impl<'a> Field<'a> {
    /// Text; the empty one counts as absent, as it does for the reader.
    pub(crate) fn text(text: &'a str) -> Self {
        if text.is_empty() { Self::Absent } else { Self::Text(text) }
    }

    /// Text that may be absent.
    pub(crate) fn maybe(text: Option<&'a String>) -> Self {
        text.map_or(Self::Absent, |text| Self::text(text))
    }

    /// `of(value)`, where there is a value.
    pub(crate) fn given<T>(value: Option<T>, of: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Absent, of)
    }
}

/// The fields of one object: those it knows, and the unknown ones that it keeps. A key of `extra` that names a
/// known field is left out, so what is written always reads back.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    known: Vec<(&'static str, Field<'a>)>,
    extra: &'a Map,
}

impl<'a> Fields<'a> {
    /// Known fields in any order, absent ones included.
    pub(crate) fn new<const N: usize>(extra: &'a Map, known: [(&'static str, Field<'a>); N]) -> Self {
        Self { known: Vec::from(known), extra }
    }

    /// One more known field.
    pub(crate) fn with(mut self, name: &'static str, field: Field<'a>) -> Self {
        self.known.push((name, field));
        self
    }

    fn kept(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.extra.iter().filter(|(key, _)| !self.known.iter().any(|(name, _)| name == key))
    }

    /// Writes the object in canonical form.
    pub(crate) fn write(&self, out: &mut Canonical) {
        let known = self.known.iter().filter(|(_, field)| !matches!(field, Field::Absent));
        let mut entries: Vec<(&str, Entry<'_>)> = Vec::with_capacity(self.known.len() + self.extra.len());
        entries.extend(known.map(|(name, field)| (*name, Entry::Known(field))));
        entries.extend(self.kept().map(|(key, value)| (key.as_str(), Entry::Kept(value))));
        out.object(entries, |out, entry| match entry {
            Entry::Known(field) => field.write(out),
            Entry::Kept(value) => out.value(value),
        });
    }

    /// The object as a JSON value.
    pub(crate) fn to_value(&self) -> Value {
        let mut map: Map = self.kept().map(|(key, value)| (key.clone(), value.clone())).collect();
        for (name, field) in &self.known {
            if let Some(value) = field.to_value() {
                map.insert((*name).to_owned(), value);
            }
        }
        Value::Object(map)
    }
}

enum Entry<'a> {
    Known(&'a Field<'a>),
    Kept(&'a Value),
}

impl Field<'_> {
    fn write(&self, out: &mut Canonical) {
        match self {
            Self::Absent => {}
            Self::Text(text) => out.string(text),
            Self::Time(time) => out.time(*time),
            Self::Bool(value) => out.literal(if *value { "true" } else { "false" }),
            Self::Number(number) => out.literal(&number.to_string()),
            Self::Json(value) => out.value(value),
            Self::Open(map) => out.map(map),
            Self::Part(fields) => fields.write(out),
            Self::Parts(items) => out.array(items, |out, fields| fields.write(out)),
        }
    }

    fn to_value(&self) -> Option<Value> {
        Some(match self {
            Self::Absent => return None,
            Self::Text(text) => Value::from(*text),
            Self::Time(time) => Value::from(time.to_string()),
            Self::Bool(value) => Value::from(*value),
            Self::Number(number) => Value::from(*number),
            Self::Json(value) => (*value).clone(),
            Self::Open(map) => Value::Object((*map).clone()),
            Self::Part(fields) => fields.to_value(),
            Self::Parts(items) => items.iter().map(Fields::to_value).collect(),
        })
    }
}
