//! A platform's object under reading: each `take_…` removes what it understood, so that what remains, the
//! unexpected included, becomes the record's `attributes`.

use audit_record::{Map, Ref, Timestamp};
use serde_json::Value;

use super::{Refusal, json};

/// An object of which the known fields are being taken.
pub(crate) struct Fields(Map);

impl Fields {
    /// Begins; `what` is the object in words, for the refusal where `value` is none.
    pub(crate) fn of(value: Value, what: &str) -> Result<Self, Refusal> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            _ => Err(Refusal::new(format!("the body is JSON, but not {what}"))),
        }
    }

    /// The text (or the digits of the number) under the first of `names` that has one.
    pub(crate) fn take_text(&mut self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| {
            let text = json::text(self.0.get(*name)?)?;
            self.0.remove(*name);
            Some(text)
        })
    }

    /// The time under the first of `names` that has one; a text that is no time stays where it is.
    pub(crate) fn take_time(&mut self, names: &[&str]) -> Option<Timestamp> {
        names.iter().find_map(|name| {
            let time = Timestamp::parse(self.0.get(*name)?.as_str()?).ok()?;
            self.0.remove(*name);
            Some(time)
        })
    }

    /// The value under the first of `names` that is there.
    pub(crate) fn take_value(&mut self, names: &[&str]) -> Option<Value> {
        names.iter().find_map(|name| self.0.remove(*name))
    }

    /// The object under `name`; anything else stays where it is.
    pub(crate) fn take_object(&mut self, name: &str) -> Option<Map> {
        match self.0.get(name)? {
            Value::Object(_) => match self.0.remove(name) {
                Some(Value::Object(map)) => Some(map),
                _ => None,
            },
            _ => None,
        }
    }

    /// A thing written flat, as `<what>_id`, `<what>_key`, `<what>_name`, or as an object under `<what>`.
    /// None where nothing identifies it.
    pub(crate) fn take_ref(&mut self, what: &str) -> Option<Ref> {
        let part = |part: &str| format!("{what}_{part}");
        let mut found = Ref {
            id: self.take_text(&[&part("id")]),
            key: self.take_text(&[&part("key")]),
            name: self.take_text(&[&part("name")]),
            ..Ref::default()
        };
        if let Some(mut object) = self.take_object(what).map(Self) {
            found.id = found.id.or_else(|| object.take_text(&["id"]));
            found.key = found.key.or_else(|| object.take_text(&["key"]));
            found.name = found.name.or_else(|| object.take_text(&["name"]));
            if !object.0.is_empty() {
                self.0.insert(what.to_owned(), Value::Object(object.0));
            }
        }
        Some(found).filter(|found| !found.is_empty())
    }

    /// What nobody took.
    pub(crate) fn rest(self) -> Map {
        self.0
    }
}

impl From<Map> for Fields {
    fn from(map: Map) -> Self {
        Self(map)
    }
}
