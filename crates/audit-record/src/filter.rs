//! Which records: the one filter that queries, exports and webhook endpoints share.

use serde::{Deserialize, Serialize};

use crate::parts::{Author, ObjectRef, Ref};
use crate::{AuditRecord, Timestamp};

/// An action by exact name, by `prefix.*`, or `*` for all, those added later included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ActionPattern(String);

/// The text is no action pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} must be an exact action, a prefix such as flag.*, or *")]
pub struct InvalidPattern(String);

impl ActionPattern {
    /// Checks the form of `text`.
    pub fn try_new(text: impl Into<String>) -> Result<Self, InvalidPattern> {
        let text = text.into();
        let stem = text.strip_suffix(".*").unwrap_or(&text);
        let word =
            |w: &str| !w.is_empty() && w.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        let valid = text == "*" || (stem.split('.').all(word) && (stem != text || stem.contains('.')));
        if valid { Ok(Self(text)) } else { Err(InvalidPattern(text)) }
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `action` fits.
    pub fn matches(&self, action: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => action.starts_with(prefix),
            None => self.0 == action,
        }
    }
}

impl TryFrom<String> for ActionPattern {
    type Error = InvalidPattern;
    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        Self::try_new(text)
    }
}

impl From<ActionPattern> for String {
    fn from(pattern: ActionPattern) -> Self {
        pattern.0
    }
}

/// A conjunction: every field that is set must fit. A list fits when one of its entries does. A thing
/// (organisation, project, environment, flag, object) fits by id, key or name, an author by id, e-mail or
/// name; all are compared exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Organisations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub organisation: Vec<String>,
    /// Projects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub project: Vec<String>,
    /// Environments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
    /// Flags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flag: Vec<String>,
    /// Authors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub author: Vec<String>,
    /// Actions, with `flag.*` and `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub action: Vec<ActionPattern>,
    /// `related_object_type`s.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related_object_type: Vec<String>,
    /// Related objects, by id, uuid, key or name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub object: Vec<String>,
    /// Source names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<String>,
}

impl Filter {
    /// Whether `record` fits.
    pub fn matches(&self, record: &AuditRecord) -> bool {
        let draft = record.draft();
        let thing = |wanted: &[String], thing: Option<&Ref>| {
            wanted.is_empty() || thing.is_some_and(|t| is_one_of(t, wanted))
        };
        thing(&self.organisation, Some(record.organisation()))
            && thing(&self.project, draft.project.as_ref())
            && thing(&self.environment, draft.environment.as_ref())
            && thing(&self.flag, draft.flag.as_ref())
            && (self.author.is_empty() || author_is_one_of(record.author(), &self.author))
            && (self.action.is_empty() || self.action.iter().any(|p| p.matches(record.action().as_str())))
            && (self.related_object_type.is_empty()
                || self.related_object_type.iter().any(|t| t == record.related_object_type()))
            && (self.object.is_empty() || object_is_one_of(&draft.related_object, &self.object))
            && (self.source.is_empty() || self.source.contains(&record.source().name))
    }
}

fn among(value: Option<&String>, wanted: &[String]) -> bool {
    value.is_some_and(|value| wanted.contains(value))
}

fn is_one_of(thing: &Ref, wanted: &[String]) -> bool {
    among(thing.id.as_ref(), wanted)
        || among(thing.key.as_ref(), wanted)
        || among(thing.name.as_ref(), wanted)
}

fn author_is_one_of(author: &Author, wanted: &[String]) -> bool {
    among(author.id.as_ref(), wanted)
        || among(author.email.as_ref(), wanted)
        || among(author.name.as_ref(), wanted)
}

fn object_is_one_of(object: &ObjectRef, wanted: &[String]) -> bool {
    among(object.uuid.as_ref(), wanted) || is_one_of(&object.what, wanted)
}

/// A period: from (inclusive) to (exclusive), by event time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// First moment inside; open where absent.
    pub from: Option<Timestamp>,
    /// First moment after; open where absent.
    pub to: Option<Timestamp>,
}
