//! What a change changed.

use serde_json::Value;

use crate::Map;
use crate::fields::{Field, Fields};
use crate::reader::Reader;

/// One field that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// Its dotted path.
    pub field: String,
    /// The value before; `null` where there was none.
    pub before: Value,
    /// The value after; `null` where there is none.
    pub after: Value,
    /// Unknown fields.
    pub extra: Map,
}

impl FieldChange {
    fn read(mut reader: Reader<'_>) -> Self {
        Self {
            field: reader.require_string("field", "the dotted path of what changed"),
            before: reader.take_any("before").unwrap_or_default(),
            after: reader.take_any("after").unwrap_or_default(),
            extra: reader.rest(),
        }
    }

    fn fields(&self) -> Fields<'_> {
        Fields::new(
            &self.extra,
            [
                ("field", Field::text(&self.field)),
                ("before", Field::Json(&self.before)),
                ("after", Field::Json(&self.after)),
            ],
        )
    }
}

/// Before and after, and what differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// The state before, as the platform gave it.
    pub before: Option<Value>,
    /// The state after.
    pub after: Option<Value>,
    /// What differs.
    pub fields: Vec<FieldChange>,
    /// Whether `before`, here and in the fields, may be older than what was there last: it is what the platform
    /// says was before, and what it sent does not prove that.
    pub unproven_before: Option<bool>,
    /// What differs, too, but may have changed before this: `fields` lists only what changed now.
    pub unproven_fields: Vec<FieldChange>,
    /// Unknown fields.
    pub extra: Map,
}

impl Change {
    /// Keeps both sides and computes the difference when both are given.
    pub fn between(before: Option<Value>, after: Option<Value>) -> Self {
        let fields = match (&before, &after) {
            (Some(before), Some(after)) => crate::field_diff(before, after),
            _ => Vec::new(),
        };
        Self { before, after, fields, ..Self::default() }
    }

    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        // `null` is a value here: a flag may have returned null before.
        Self {
            before: reader.take_any("before"),
            after: reader.take_any("after"),
            fields: reader.take_list("fields", FieldChange::read),
            unproven_before: reader.take_bool("unproven_before"),
            unproven_fields: reader.take_list("unproven_fields", FieldChange::read),
            extra: reader.rest(),
        }
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        let unproven_fields = match self.unproven_fields.as_slice() {
            [] => Field::Absent,
            some => Field::Parts(some.iter().map(FieldChange::fields).collect()),
        };
        Fields::new(
            &self.extra,
            [
                ("before", Field::given(self.before.as_ref(), Field::Json)),
                ("after", Field::given(self.after.as_ref(), Field::Json)),
                ("fields", Field::Parts(self.fields.iter().map(FieldChange::fields).collect())),
                ("unproven_before", Field::given(self.unproven_before, Field::Bool)),
                ("unproven_fields", unproven_fields),
            ],
        )
    }
}
