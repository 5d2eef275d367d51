//! How people, things and changes read in a cell.

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
    match differing(change).as_slice() {
        [] => whole.map(Value::to_string),
        [only] if only.field == "value" => Some(of(only).to_string()),
        fields => {
            let named = fields.iter().map(|field| (field.field.clone(), of(field).clone()));
            Some(Value::Object(named.collect::<Map>()).to_string())
        }
    }
}

/// What stands behind a field of which the record does not prove that it changed then, and not before.
const UNPROVEN: &str = " (now or earlier)";

/// The fields that differ: as the record lists them, those that it does not prove among them by another name; else
/// computed where it has both sides.
fn differing(change: &Change) -> Vec<FieldChange> {
    if change.fields.is_empty()
        && change.unproven_fields.is_empty()
        && let (Some(before), Some(after)) = (&change.before, &change.after)
    {
        return field_diff(before, after);
    }
    let unproven = change.unproven_fields.iter().cloned().map(|mut field| {
        field.field.push_str(UNPROVEN);
        field
    });
    change.fields.iter().cloned().chain(unproven).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_is_not_proven_is_shown_and_marked() {
        let field = |name: &str| FieldChange {
            field: name.to_owned(),
            before: "a".into(),
            after: "b".into(),
            extra: Map::new(),
        };
        let change = Change {
            fields: vec![field("enabled")],
            unproven_fields: vec![field("value")],
            ..Change::default()
        };
        assert_eq!(fields(&change), ["enabled", "value (now or earlier)"]);
        assert_eq!(new(&change).as_deref(), Some(r#"{"enabled":"b","value (now or earlier)":"b"}"#));
    }
}
