//! How people, things and changes read in a cell.

use std::borrow::Cow;

use audit_record::{Author, Change, FieldChange, Map, field_diff};
use serde_json::Value;

/// Somebody: by e-mail, else name, else id; else what kind of author it is, in brackets.
pub(crate) fn who(author: &Author) -> String {
    let named = [&author.email, &author.name, &author.id].into_iter().flatten().next();
    named.cloned().unwrap_or_else(|| format!("({})", author.kind.as_str()))
}

/// The fields that differ.
pub(crate) fn fields(change: &Change) -> Vec<String> {
    differing(change).iter().map(|field| field.field.clone()).collect()
}

/// What stood before, of the fields that differ.
pub(crate) fn old(change: &Change) -> Option<String> {
    side(change, change.before.as_ref(), |field| &field.before)
}

/// What stands after, of the fields that differ.
pub(crate) fn new(change: &Change) -> Option<String> {
    side(change, change.after.as_ref(), |field| &field.after)
}

fn side(change: &Change, whole: Option<&Value>, of: impl Fn(&FieldChange) -> &Value) -> Option<String> {
    match differing(change).as_ref() {
        [] => whole.map(Value::to_string),
        [only] if only.field == "value" => Some(of(only).to_string()),
        fields => {
            let named = fields.iter().map(|field| (field.field.clone(), of(field).clone()));
            Some(Value::Object(named.collect::<Map>()).to_string())
        }
    }
}

/// The fields that differ: as the record lists them, else computed where it has both sides.
fn differing(change: &Change) -> Cow<'_, [FieldChange]> {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) if change.fields.is_empty() => Cow::Owned(field_diff(before, after)),
        _ => Cow::Borrowed(&change.fields),
    }
}
