//! Small pieces of JSON that several dialects write alike.

use audit_record::{Author, Ref, Timestamp};
use serde_json::{Number, Value};

/// An id as platforms write it: digits are a number, anything else is text, nothing is null.
pub(super) fn number_or_text(text: Option<&str>) -> Value {
    match text {
        None => Value::Null,
        Some(text) => number(text).map_or_else(|| text.into(), Value::Number),
    }
}

/// The whole number that `text` is the digits of, as long as it may be.
pub(super) fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
        && text != "-0";
    is_number.then(|| text.parse().ok()).flatten()
}

/// Text, or null.
pub(super) fn text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
}

/// Who, in one word: e-mail, else name, else id.
pub(super) fn handle(author: &Author) -> Option<&str> {
    author.email.as_deref().or(author.name.as_deref()).or(author.id.as_deref())
}

/// RFC 3339 in whole seconds with `+00:00`, as PHP's `DATE_ATOM` and Python's `isoformat` write it.
pub(super) fn seconds_with_offset(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}+00:00", &text[.."2026-08-21T17:30:57".len()])
}

/// An object under writing whose fields stand in the order in which they are added, compact.
#[derive(Debug)]
pub(super) struct Ordered(Vec<u8>);

impl Ordered {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self(b"{".to_vec())
    }

    /// Adds a field.
    pub(super) fn field(&mut self, name: &str, value: &Value) {
        self.json(name, value.to_string().as_bytes());
    }

    /// Adds a field whose JSON is written already.
    pub(super) fn json(&mut self, name: &str, json: &[u8]) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.extend_from_slice(Value::from(name).to_string().as_bytes());
        self.0.push(b':');
        self.0.extend_from_slice(json);
    }

    /// Adds a text field where there is a text.
    pub(super) fn text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.field(name, &text.into());
        }
    }

    /// Adds `<what>_id`, `<what>_key` and `<what>_name`, as far as the thing has them.
    pub(super) fn reference(&mut self, what: &str, thing: Option<&Ref>) {
        let Some(thing) = thing else { return };
        self.text(&format!("{what}_id"), thing.id.as_deref());
        self.text(&format!("{what}_key"), thing.key.as_deref());
        self.text(&format!("{what}_name"), thing.name.as_deref());
    }

    /// The object's bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn digits_are_a_number_and_words_stay_words() {
        assert_eq!(number_or_text(Some("23")), json!(23));
        assert_eq!(number_or_text(Some("-42")), json!(-42));
        assert_eq!(number_or_text(Some("98765432109876543210987")).to_string(), "98765432109876543210987");
        for word in ["", "007", "-0", "1.5", "1e3", "web", "٣"] {
            assert_eq!(number_or_text(Some(word)), json!(word));
        }
        assert_eq!(number_or_text(None), Value::Null);
    }
}
