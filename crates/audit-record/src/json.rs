//! Reading JSON strictly: nothing is silently dropped or altered.
//!
//! `serde_json` alone would keep the last of two equal keys. Numbers keep the text they came in
//! (`arbitrary_precision`), so 2^53 + 1 survives.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How `serde_json` marks an arbitrary-precision number while it deserialises; no input may contain it.
const PRIVATE_TOKEN: &[u8] = b"$serde_json::private";

/// Why a text is not JSON that can be kept faithfully.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, nested deeper than 128, a lone surrogate, not UTF-8, or an object that names a key twice.
    #[error("not JSON that can be kept faithfully: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A key that the parser reserves for itself.
    #[error("the text contains $serde_json::private, which can't be kept faithfully; rename that key")]
    Reserved,
}

/// Parses one JSON text. A key named twice, a lone surrogate and nesting beyond 128 levels are errors.
pub fn parse_strict(text: &[u8]) -> Result<Value, JsonError> {
    if text.windows(PRIVATE_TOKEN.len()).any(|w| w == PRIVATE_TOKEN) {
        return Err(JsonError::Reserved);
    }
    let mut parser = serde_json::Deserializer::from_slice(text);
    let value = Strict.deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
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
        Ok(Value::Number(value.into()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
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
        while let Some(key) = entries.next_key::<String>()? {
            if map.is_empty() && key.as_bytes().starts_with(PRIVATE_TOKEN) {
                let text: String = entries.next_value()?;
                let number: Number = text.parse().map_err(A::Error::custom)?;
                return Ok(Value::Number(number));
            }
            let value = entries.next_value_seed(Strict)?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} stands twice in one object")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_keeps_the_text_it_came_in() {
        let text = "[0,-0,7,-7,9007199254740993,18446744073709551616,30.0,1e+400,-1.50]";
        let value = parse_strict(text.as_bytes()).unwrap();
        assert_eq!(value.to_string(), text);
    }

    #[test]
    fn a_key_named_twice_is_an_error_at_any_depth() {
        assert!(parse_strict(br#"{"a":[{"b":1,"b":1}]}"#).is_err());
    }
}
