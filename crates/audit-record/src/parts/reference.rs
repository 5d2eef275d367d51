//! Things by id, key and name, as they were at the time: names are kept because platforms blank them later.

use crate::Map;
use crate::fields::{Field, Fields};
use crate::reader::Reader;

use super::drop_blank;

/// A thing by stable id, key and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ref {
    /// The platform's stable id; a number is kept as its digits.
    pub id: Option<String>,
    /// The key that code uses.
    pub key: Option<String>,
    /// The name that people read.
    pub name: Option<String>,
    /// Unknown fields.
    pub extra: Map,
}

impl Ref {
    /// A reference by id.
    pub fn by_id(id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::default() }
    }

    /// A reference by key.
    pub fn by_key(key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..Self::default() }
    }

    /// A reference by name.
    pub fn by_name(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// Adds a name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What routing goes by: id before key before name.
    pub fn stable(&self) -> Option<&str> {
        first_filled([&self.id, &self.key, &self.name])
    }

    /// What people say: key before name before id.
    pub fn handle(&self) -> Option<&str> {
        first_filled([&self.key, &self.name, &self.id])
    }

    /// Whether nothing identifies the thing.
    pub fn is_empty(&self) -> bool {
        self.stable().is_none()
    }

    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        Self {
            id: reader.take_string("id"),
            key: reader.take_string("key"),
            name: reader.take_string("name"),
            extra: reader.rest(),
        }
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields::new(
            &self.extra,
            [
                ("id", Field::maybe(self.id.as_ref())),
                ("key", Field::maybe(self.key.as_ref())),
                ("name", Field::maybe(self.name.as_ref())),
            ],
        )
    }

    pub(crate) fn tidy(&mut self) {
        drop_blank([&mut self.id, &mut self.key, &mut self.name]);
    }
}

fn first_filled(texts: [&Option<String>; 3]) -> Option<&str> {
    texts.into_iter().flatten().map(String::as_str).find(|text| !text.is_empty())
}

/// The override, rule, segment or environment that a change aims at.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// `environment`, `segment`, `identity`, `rule`, or another lower-case word.
    pub kind: String,
    /// Which one.
    pub what: Ref,
}

impl Target {
    /// A target of `kind`.
    pub fn new(kind: impl Into<String>, what: Ref) -> Self {
        Self { kind: kind.into(), what }
    }

    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        Self {
            kind: reader.require_string("type", "environment, segment, identity, rule or another word"),
            what: Ref::read(reader),
        }
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        self.what.fields().with("type", Field::text(&self.kind))
    }
}

/// The object that the platform's own record points at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectRef {
    /// The platform's uuid of the object.
    pub uuid: Option<String>,
    /// Id, key and name.
    pub what: Ref,
}

impl ObjectRef {
    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        Self { uuid: reader.take_string("uuid"), what: Ref::read(reader) }
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        self.what.fields().with("uuid", Field::maybe(self.uuid.as_ref()))
    }

    pub(crate) fn tidy(&mut self) {
        drop_blank([&mut self.uuid]);
        self.what.tidy();
    }
}
