//! The human sentence of an event that brings none: Flagsmith writes one only into its audit log.

use audit_record::{Change, FieldChange, Ref, Target};
use serde_json::Value;

use super::flag_state;

/// Longest value in a sentence, in characters; the whole one is in `change`.
const VALUE_CHARS_MAX: usize = 60;

/// Most changed fields named in a sentence.
const FIELDS_MAX: usize = 8;

/// What happened to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Created,
    Changed,
    Deleted,
}

/// The flag, where it changed, and how.
pub(super) fn of_state(
    verb: Verb,
    flag: &Ref,
    target: Option<&Target>,
    environment: Option<&Ref>,
    setting: &Value,
    change: &Change,
) -> String {
    let mut words = match target {
        Some(_) => format!("Override of flag {}", quoted(flag)),
        None => format!("Flag {}", quoted(flag)),
    };
    words += match verb {
        Verb::Created => " created",
        Verb::Changed => " changed",
        Verb::Deleted if target.is_some() => " removed",
        Verb::Deleted => " deleted",
    };
    if let Some(target) = target {
        words += &format!(" for {} {}", target.kind, quoted(&target.what));
    }
    if let Some(environment) = environment {
        words += &format!(" in {}", quoted(environment));
    }
    match verb {
        Verb::Created => words + &format!(": {}", flag_state::in_words(setting)),
        Verb::Deleted => words,
        Verb::Changed => {
            let (proven, unproven) = (&change.fields, &change.unproven_fields);
            let now = (!proven.is_empty()).then(|| listed(proven, setting));
            let earlier =
                (!unproven.is_empty()).then(|| format!("now or earlier {}", listed(unproven, setting)));
            let parts: Vec<String> = [now, earlier].into_iter().flatten().collect();
            match parts.is_empty() {
                true => words + "; the two states that Flagsmith gives are the same",
                false => words + ": " + &parts.join("; "),
            }
        }
    }
}

/// `enabled true → false, value "a" → "b"`.
fn listed(fields: &[FieldChange], setting: &Value) -> String {
    let change = |f: &FieldChange| {
        let field = flag_state::field_in_words(&f.field, setting);
        format!("{field} {} → {}", short(&f.before), short(&f.after))
    };
    let mut changes: Vec<String> = fields.iter().take(FIELDS_MAX).map(change).collect();
    if fields.len() > FIELDS_MAX {
        changes.push(format!("and {} more", fields.len() - FIELDS_MAX));
    }
    changes.join(", ")
}

/// A value as compact JSON, cut where it is long.
pub(super) fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

fn quoted(thing: &Ref) -> String {
    let name = thing.name.as_deref().or_else(|| thing.handle());
    format!("\"{}\"", name.unwrap_or_default())
}
