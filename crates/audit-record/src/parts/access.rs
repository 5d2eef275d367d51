//! Access-control changes: whose access to what became what.

use crate::Map;
use crate::fields::{Field, Fields};
use crate::reader::Reader;

use super::{drop_blank, words::words};

words! {
    /// What an access-control change did.
    Effect {
        /// Access was given.
        Granted = "granted",
        /// Access was taken away.
        Removed = "removed",
        /// The state at a moment: imported as a baseline, or repeated by an update that does not say whether it
        /// changed anything.
        Snapshot = "snapshot",
    }
}

/// Who an access-control change is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subject {
    /// `user`, `group`, `api_key`, or another lower-case word.
    pub kind: String,
    /// The platform's id.
    pub id: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// Unknown fields.
    pub extra: Map,
}

impl Subject {
    fn read(mut reader: Reader<'_>) -> Self {
        Self {
            kind: reader.require_string("type", "user, group, api_key or another word"),
            id: reader.take_string("id"),
            email: reader.take_string("email"),
            name: reader.take_string("name"),
            extra: reader.rest(),
        }
    }

    fn fields(&self) -> Fields<'_> {
        Fields::new(
            &self.extra,
            [
                ("type", Field::text(&self.kind)),
                ("id", Field::maybe(self.id.as_ref())),
                ("email", Field::maybe(self.email.as_ref())),
                ("name", Field::maybe(self.name.as_ref())),
            ],
        )
    }
}

/// What an access-control change covers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessScope {
    /// `account`, `project` or `environment`.
    pub kind: String,
    /// The platform's id.
    pub id: Option<String>,
    /// The key.
    pub key: Option<String>,
    /// Unknown fields.
    pub extra: Map,
}

impl AccessScope {
    fn read(mut reader: Reader<'_>) -> Self {
        Self {
            kind: reader.require_string("type", "account, project or environment"),
            id: reader.take_string("id"),
            key: reader.take_string("key"),
            extra: reader.rest(),
        }
    }

    fn fields(&self) -> Fields<'_> {
        Fields::new(
            &self.extra,
            [
                ("type", Field::text(&self.kind)),
                ("id", Field::maybe(self.id.as_ref())),
                ("key", Field::maybe(self.key.as_ref())),
            ],
        )
    }
}

/// An access-control change.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Whose access.
    pub subject: Subject,
    /// To what.
    pub scope: AccessScope,
    /// In which role; a removal may name none.
    pub role: Option<String>,
    /// Granted, removed, or a snapshot.
    pub effect: Effect,
    /// Unknown fields.
    pub extra: Map,
}

impl Access {
    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        let subject = reader.take_object("subject", Subject::read);
        let scope = reader.take_object("scope", AccessScope::read);
        if subject.is_none() {
            reader.problem("subject", "is missing: whose access changed");
        }
        if scope.is_none() {
            reader.problem("scope", "is missing: what the access is to");
        }
        Self {
            subject: subject.unwrap_or_default(),
            scope: scope.unwrap_or_default(),
            role: reader.take_string("role"),
            effect: reader.require_word("effect", Effect::WORDS, Effect::parse).unwrap_or(Effect::Granted),
            extra: reader.rest(),
        }
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields::new(
            &self.extra,
            [
                ("subject", Field::Part(self.subject.fields())),
                ("scope", Field::Part(self.scope.fields())),
                ("role", Field::maybe(self.role.as_ref())),
                ("effect", Field::text(self.effect.as_str())),
            ],
        )
    }

    pub(crate) fn tidy(&mut self) {
        let Subject { id, email, name, .. } = &mut self.subject;
        drop_blank([id, email, name, &mut self.scope.id, &mut self.scope.key, &mut self.role]);
    }
}
