//! The action of a record: a dotted name such as `flag.state.changed`.

use std::fmt;

/// The catalogue of known actions.
pub(crate) mod catalogue {
    /// `schemas/actions.v1.json`, as shipped: action, object type, meaning, source event per platform.
    pub const CATALOGUE_JSON: &str = include_str!("../../../schemas/actions.v1.json");
}

/// Longest action accepted, in bytes.
const ACTION_BYTES_MAX: usize = 128;

/// A dotted action, `[a-z0-9_]+(\.[a-z0-9_]+)+`. The set is open; the known ones are in the catalogue.
/// Every action that can change what a flag returns begins with `flag.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Action(String);

/// The text is not a dotted action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be two or more dotted words of a-z, 0-9 and _, at most {ACTION_BYTES_MAX} bytes, such as flag.state.changed"
)]
pub struct InvalidAction;

impl Action {
    /// Checks the form of `text`.
    pub fn try_new(text: impl Into<String>) -> Result<Self, InvalidAction> {
        let text = text.into();
        let word =
            |w: &str| !w.is_empty() && w.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        let valid = text.len() <= ACTION_BYTES_MAX && text.contains('.') && text.split('.').all(word);
        if valid { Ok(Self(text)) } else { Err(InvalidAction) }
    }

    /// The dotted text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
