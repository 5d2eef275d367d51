//! Reading JSON strictly: nothing is silently dropped or altered.
//!
//! `serde_json` alone would keep the last of two equal keys. Numbers keep the text they came in
//! (`arbitrary_precision`), so 2^53 + 1 survives.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

/// How `serde_json` marks an arbitrary-precision number while it deserialises. A key that begins so could not
/// be told from a number by other readers of the log, so no record has one.
const PRIVATE_KEY: &str = "$serde_json::private";

/// Most objects and arrays inside one another that are read, and so the most that a record may have.
pub const DEPTH_MAX: usize = 127;

/// Why a text is not JSON that can be kept faithfully.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, nested too deep, a lone surrogate, not UTF-8, or an object that names a key twice or has a
    /// key that the parser reserves for itself.
    #[error("not JSON that can be kept faithfully: {0}")]
    Syntax(#[from] serde_json::Error),
}

/// Parses one JSON text. A key named twice, a lone surrogate and nesting beyond [`DEPTH_MAX`] levels are errors.
pub fn parse_strict(text: &[u8]) -> Result<Value, JsonError> {
    // A number that fits no integer reaches `visit_map` as a map whose key is borrowed from the parser. A reader never lends a key
    // of the text, a slice does: where the text might hold such a key, it is read, which is slower.
    if text.contains(&b'$') {
        parse(serde_json::Deserializer::from_reader(text))
    } else {
        parse(serde_json::Deserializer::from_slice(text))
    }
}

fn parse<'de, R: serde_json::de::Read<'de>>(
    mut parser: serde_json::Deserializer<R>,
) -> Result<Value, JsonError> {
    let value = Strict.deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// What stands before a colon.
enum Key {
    /// A key of the text.
    Text(String),
    /// The parser's mark of a number.
    Number,
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_borrowed_str<E: serde::de::Error>(self, key: &'de str) -> Result<Key, E> {
        if key.starts_with(PRIVATE_KEY) { Ok(Key::Number) } else { self.visit_str(key) }
    }
    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Key, E> {
        if key.starts_with(PRIVATE_KEY) {
            return Err(E::custom(format_args!("no key may begin with {PRIVATE_KEY}; rename {key:?}")));
        }
        Ok(Key::Text(key.to_owned()))
    }
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    // Whole numbers that fit are handed over parsed; their digits are what was written.
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(KeySeed)? {
            let key = match key {
                Key::Text(key) => key,
                Key::Number => {
                    let text: String = entries.next_value()?;
                    return text.parse().map(Value::Number).map_err(A::Error::custom);
                }
            };
            let value = entries.next_value_seed(Strict)?;
            match map.entry(key) {
                Entry::Vacant(free) => {
                    free.insert(value);
                }
                Entry::Occupied(taken) => {
                    let key = taken.key();
                    return Err(A::Error::custom(format_args!("the key {key:?} stands twice in one object")));
                }
            }
        }
        Ok(Value::Object(map))
    }
}
