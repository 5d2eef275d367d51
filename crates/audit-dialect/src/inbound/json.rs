//! Reading a platform's JSON with tolerance for how it writes ids, names and times.

use audit_record::{Map, Ref, Timestamp};
use serde_json::Value;

/// An id, key or name: a string as it is, a number as its digits. Empty text, `null` and every other
/// kind are none.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The [`text`] at `field` of an object.
pub(crate) fn text_at(object: &Value, field: &str) -> Option<String> {
    object.get(field).and_then(text)
}

/// The RFC 3339 time at `field` of an object.
pub(crate) fn time_at(object: &Value, field: &str) -> Option<Timestamp> {
    Timestamp::parse(object.get(field)?.as_str()?).ok()
}

/// A reference that a platform wrote as an object `{id, key, name}` or, in older versions, as the bare
/// id. None where it names nothing.
pub(crate) fn reference(value: &Value) -> Option<Ref> {
    let reference = match value {
        Value::Object(_) => Ref {
            id: text_at(value, "id"),
            key: text_at(value, "key"),
            name: text_at(value, "name"),
            ..Ref::default()
        },
        other => Ref { id: text(other), ..Ref::default() },
    };
    Some(reference).filter(|reference| !reference.is_empty())
}

/// The [`reference`] at `field` of an object.
pub(crate) fn reference_at(object: &Value, field: &str) -> Option<Ref> {
    object.get(field).and_then(reference)
}

/// Removes `read` from the object at `path`, and the object itself once it is empty, a bare id or null.
pub(crate) fn take_read(map: &mut Map, path: &str, read: &[&str]) {
    if let Some((outer, inner)) = path.split_once('.') {
        if let Some(Value::Object(object)) = map.get_mut(outer) {
            take_read(object, inner, read);
        }
        return;
    }
    let done = match map.get_mut(path) {
        Some(Value::Object(object)) => {
            read.iter().for_each(|field| drop(object.remove(*field)));
            object.is_empty()
        }
        Some(Value::Array(_)) | None => false,
        Some(_) => true,
    };
    if done {
        map.remove(path);
    }
}

/// Longest object type made of a platform's word, in characters.
const OBJECT_TYPE_CHARS_MAX: usize = 64;

/// A platform's word for a kind of object in the form that records ask for: upper-case, `_` between words.
/// None where it does not begin with a letter.
pub(crate) fn object_type(word: &str) -> Option<String> {
    let shape = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let upper: String = word.chars().map(shape).take(OBJECT_TYPE_CHARS_MAX).collect();
    upper.starts_with(|c: char| c.is_ascii_uppercase()).then_some(upper)
}

/// Whether `text` is an RFC 3339 time with sub-second digits: only a body that carries one dates itself
/// finely enough for its hash to be an id.
pub(crate) fn is_subsecond_time(text: &str) -> bool {
    Timestamp::parse(text).is_ok() && text.contains('.')
}
