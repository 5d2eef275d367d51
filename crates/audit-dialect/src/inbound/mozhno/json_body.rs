//! Reading the JSON that a user's own template makes, and what is left of it where a value has a quote.

use audit_record::parse_strict;
use serde_json::Value;

use super::event::Said;
use crate::inbound::json;

/// Reads an object that any template with plain names may have made. None where the text is no JSON object.
pub(super) fn read(text: &str, redact: impl FnOnce(&mut Value)) -> Option<Said> {
    let mut body = parse_strict(text.as_bytes()).ok().filter(Value::is_object)?;
    redact(&mut body);
    let Value::Object(map) = body else { return None };
    let mut said = Said::default();
    for (name, value) in map {
        walk(&mut said, &name, value);
    }
    Some(said)
}

/// Takes a value under the names of its path; what is no variable is kept.
fn walk(said: &mut Said, path: &str, value: Value) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                walk(said, &format!("{path}.{name}"), inner);
            }
        }
        other => {
            let text = json::text(&other);
            let taken = other.is_null() || text.as_deref().is_none_or(|text| said.set(path, text));
            let nothing = other.is_null() || other.as_str() == Some("");
            if !(taken && text.is_some() || nothing) {
                said.rest.insert(path.to_owned(), other);
            }
        }
    }
}

/// Reads a flat object that is no JSON because a value holds a quote, a backslash or a newline: what lies
/// between `"name": "` and `", "name":` or the closing brace is the value, as it is. None where a name
/// stands twice, because then the text can be read in more than one way, and where there are none.
pub(super) fn read_broken(text: &str) -> Option<Said> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut keys: Vec<Key<'_>> = keys(inside).collect();
    let mut said = Said::default();
    keys.sort_by_key(|key| key.start);
    for (index, key) in keys.iter().enumerate() {
        let end = keys.get(index + 1).map_or(inside.len(), |next| next.start);
        let region = inside[key.value..end].trim();
        let region = if index + 1 < keys.len() { region.strip_suffix(',')?.trim_end() } else { region };
        let value = match region.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"')?,
            None => region,
        };
        let same = keys.iter().filter(|other| other.name.eq_ignore_ascii_case(key.name)).count();
        if same > 1 || !said.set(key.name, value) {
            return None;
        }
    }
    said.action.is_some().then_some(said)
}

/// A `"name":` whose name is a variable's.
struct Key<'a> {
    name: &'a str,
    /// Where its opening quote is.
    start: usize,
    /// Where its value begins.
    value: usize,
}

fn keys(text: &str) -> impl Iterator<Item = Key<'_>> {
    text.match_indices('"').filter_map(|(start, _)| {
        let after = &text[start + 1..];
        let name = &after[..after.find('"')?];
        let tail = after[name.len() + 1..].trim_start();
        let value = text.len() - tail.strip_prefix(':')?.len();
        // An entry begins the object or follows a comma.
        let before = text[..start].trim_end();
        let is_entry = before.is_empty() || before.ends_with(',');
        (is_entry && Said::default().set(name, "x")).then_some(Key { name, start, value })
    })
}
