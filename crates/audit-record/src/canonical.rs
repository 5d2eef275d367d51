//! Canonical JSON bytes: RFC 8785 (JCS) but for one thing: numbers keep the digits they were written with,
//! because JCS would push them through a double and 2^53 + 1 must survive. So `1.0` and `1` differ here.

use serde_json::Value;

use crate::Map;
use crate::timestamp::Timestamp;

/// Appends the canonical form of `value` to `out`.
pub fn canonical_json(value: &Value, out: &mut Vec<u8>) {
    let mut writer = Canonical { out: std::mem::take(out), depth: 0, deepest: 0 };
    writer.value(value);
    *out = writer.out;
}

/// A writer of canonical JSON that remembers how deep it went.
#[derive(Debug)]
pub(crate) struct Canonical {
    out: Vec<u8>,
    depth: usize,
    deepest: usize,
}

impl Canonical {
    /// An empty writer with room for `bytes`.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), depth: 0, deepest: 0 }
    }

    /// The most objects and arrays that stand inside one another.
    pub(crate) fn deepest(&self) -> usize {
        self.deepest
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Any value.
    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.literal("null"),
            Value::Bool(true) => self.literal("true"),
            Value::Bool(false) => self.literal("false"),
            Value::Number(number) => self.number(number.as_str()),
            Value::String(text) => self.string(text),
            Value::Array(items) => self.array(items, |out, item| out.value(item)),
            Value::Object(map) => self.map(map),
        }
    }

    /// An open object.
    pub(crate) fn map(&mut self, map: &Map) {
        let entries = map.iter().map(|(key, value)| (key.as_str(), value)).collect();
        self.object(entries, |out, value| out.value(value));
    }

    /// An object, its entries given in any order.
    pub(crate) fn object<T>(&mut self, mut entries: Vec<(&str, T)>, mut write: impl FnMut(&mut Self, T)) {
        // Byte order and UTF-16 order differ only where a key leaves the ASCII range.
        if entries.iter().all(|(key, _)| key.is_ascii()) {
            entries.sort_unstable_by_key(|(key, _)| *key);
        } else {
            entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        }
        self.open(b'{');
        for (index, (key, item)) in entries.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.string(key);
            self.out.push(b':');
            write(self, item);
        }
        self.close(b'}');
    }

    /// An array.
    pub(crate) fn array<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.open(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write(self, item);
        }
        self.close(b']');
    }

    /// A number, digit for digit. Only its exponent has one form, `e+2` or `e-2`, because the parser gives it
    /// that form and a number made in code has another.
    fn number(&mut self, text: &str) {
        let Some((digits, exponent)) = text.split_once(['e', 'E']) else { return self.literal(text) };
        self.literal(digits);
        self.literal(if exponent.starts_with(['+', '-']) { "e" } else { "e+" });
        self.literal(exponent);
    }

    /// A string, escaped as RFC 8785 asks.
    pub(crate) fn string(&mut self, text: &str) {
        // serde_json escapes exactly that. Writing to a Vec can't fail.
        let _ = serde_json::to_writer(&mut self.out, text);
    }

    /// A moment.
    pub(crate) fn time(&mut self, time: Timestamp) {
        self.out.push(b'"');
        self.literal(&time.to_string());
        self.out.push(b'"');
    }

    /// What needs no escaping.
    pub(crate) fn literal(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn open(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
    }

    fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.depth -= 1;
    }
}
