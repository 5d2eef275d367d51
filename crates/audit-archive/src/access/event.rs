//! What a record says of access.

use serde::Deserialize;

use crate::decode::Fields;

/// The action of the record that says that all rows of a snapshot are on the log. Until it is there, a snapshot confirms and begins, but
/// what it does not name is not missing from it.
pub(super) const SNAPSHOT_COMPLETED: &str = "access.snapshot.completed";

/// The actions of a removal after which there is nobody who could hold anything.
const SUBJECT_ENDS: [&str; 3] = ["api_key.deleted", "group.deleted", "user.deleted"];

/// What became of the access. The numbers stand in `access_event.effect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Granted = 0,
    Removed = 1,
    Snapshot = 2,
}

impl Effect {
    pub(super) fn of(number: u8) -> Self {
        match number {
            0 => Self::Granted,
            1 => Self::Removed,
            _ => Self::Snapshot,
        }
    }
}

/// How far a removal reaches. The numbers stand in `access_event.reach`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Its own scope.
    Scope = 0,
    /// Access to an account: what lies below is not ended by it, as far as anybody knows.
    Account = 1,
    /// The subject is no more: whatever it held is ended.
    Subject = 2,
}

/// A record's `access`, with what of the record goes with it.
#[derive(Debug)]
pub(super) struct Event<'a> {
    pub(super) subject: Subject,
    pub(super) scope: Scope,
    /// Empty where the record names none.
    pub(super) role: String,
    pub(super) effect: Effect,
    /// Whether it stands in place of whatever other role was held there.
    pub(super) replaces: bool,
    pub(super) reach: Reach,
    pub(super) source: &'a str,
    pub(super) organisation: Thing,
    pub(super) project: Thing,
    pub(super) environment: Thing,
}

#[derive(Deserialize)]
struct Wire {
    subject: Subject,
    scope: Scope,
    #[serde(default)]
    role: Option<String>,
    effect: String,
    #[serde(default)]
    replaces: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Subject {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) email: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Scope {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Thing {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) key: Option<String>,
    #[serde(default)]
    pub(super) name: Option<String>,
}

impl Thing {
    /// Everything that it is called.
    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        [&self.id, &self.key, &self.name].into_iter().filter_map(|label| filled(label.as_ref()))
    }

    /// What it is known by: id before key before name.
    pub(super) fn stable(&self) -> &str {
        self.labels().next().unwrap_or_default()
    }
}

/// Absent counts as empty, as it does in a record.
pub(super) fn filled(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

impl<'a> Event<'a> {
    /// Reads it. `None` where the record says nothing of access, or says it in words that this release does not know (an
    /// effect of tomorrow): such a record is among the others, and in no interval.
    pub(super) fn read(fields: &'a Fields<'_>) -> Option<Self> {
        let wire: Wire = serde_json::from_str(fields.access?).ok()?;
        let thing = |text: Option<&str>| text.and_then(|text| serde_json::from_str(text).ok());
        let effect = match wire.effect.as_str() {
            "granted" => Effect::Granted,
            "removed" => Effect::Removed,
            "snapshot" => Effect::Snapshot,
            _ => return None,
        };
        let reach = match effect {
            Effect::Removed if SUBJECT_ENDS.contains(&&*fields.action) => Reach::Subject,
            Effect::Removed if wire.scope.kind == "account" => Reach::Account,
            _ => Reach::Scope,
        };
        Some(Self {
            subject: wire.subject,
            scope: wire.scope,
            role: wire.role.unwrap_or_default(),
            effect,
            replaces: effect != Effect::Removed && wire.replaces == Some(true),
            reach,
            source: &fields.source,
            organisation: thing(Some(fields.organisation)).unwrap_or_default(),
            project: thing(fields.project).unwrap_or_default(),
            environment: thing(fields.environment).unwrap_or_default(),
        })
    }
}
