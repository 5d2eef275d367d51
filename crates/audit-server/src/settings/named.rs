//! An organisation, project or environment in settings.

use audit_record::Ref;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest id, key or name, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// A thing by id, key or name; at least one is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The platform's stable id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The key that code uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The name that people read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Named {
    /// By key alone.
    pub fn by_key(key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..Self::default() }
    }

    /// The same as a record's reference.
    pub(crate) fn to_ref(&self) -> Ref {
        Ref { id: self.id.clone(), key: self.key.clone(), name: self.name.clone(), ..Ref::default() }
    }

    /// Whether `other` can mean this thing: nothing that both name differs, and something agrees.
    pub(crate) fn agrees_with(&self, other: &Ref) -> bool {
        let sides = [(&self.id, &other.id), (&self.key, &other.key), (&self.name, &other.name)];
        let both = || sides.iter().filter_map(|(ours, theirs)| ours.as_ref().zip(theirs.as_ref()));
        both().next().is_some() && both().all(|(ours, theirs)| ours == theirs)
    }

    /// What is wrong with it, to read on from the field's name.
    pub fn problem(&self) -> Option<String> {
        let given: Vec<&String> = [&self.id, &self.key, &self.name].into_iter().flatten().collect();
        if given.is_empty() {
            return Some("needs an id, a key or a name".to_owned());
        }
        if given.iter().any(|text| text.is_empty() || text.len() > NAME_BYTES_MAX) {
            return Some(format!("must have 1 to {NAME_BYTES_MAX} bytes in each of id, key and name"));
        }
        if given.iter().any(|text| text.starts_with('~') || text.chars().any(char::is_control)) {
            return Some(
                "must not begin with ~ (reserved for Flagtrail's own) nor hold control characters".to_owned(),
            );
        }
        None
    }
}
