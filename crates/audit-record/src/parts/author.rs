//! Who made a change.

use crate::Map;
use crate::fields::{Field, Fields};
use crate::reader::Reader;

use super::{drop_blank, words::words};

words! {
    /// What kind of actor made a change.
    AuthorKind {
        /// A person.
        User = "user",
        /// An API key of the platform.
        ApiKey = "api_key",
        /// A service account.
        Service = "service",
        /// The platform itself.
        System = "system",
        /// The platform did not say, or said something known to be wrong.
        Unknown = "unknown",
    }
}

/// Who made a change. Never absent: an author nobody named is [`AuthorKind::Unknown`].
#[derive(Clone, Debug, PartialEq)]
pub struct Author {
    /// What kind of actor.
    pub kind: AuthorKind,
    /// The platform's id of the actor.
    pub id: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// Unknown fields.
    pub extra: Map,
}

impl Author {
    /// An author of `kind` of whom nothing else is known.
    pub fn new(kind: AuthorKind) -> Self {
        Self { kind, id: None, email: None, name: None, extra: Map::new() }
    }

    /// A person by e-mail.
    pub fn user(email: impl Into<String>) -> Self {
        Self { email: Some(email.into()), ..Self::new(AuthorKind::User) }
    }

    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        Self {
            kind: reader
                .require_word("type", AuthorKind::WORDS, AuthorKind::parse)
                .unwrap_or(AuthorKind::Unknown),
            id: reader.take_string("id"),
            email: reader.take_string("email"),
            name: reader.take_string("name"),
            extra: reader.rest(),
        }
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields::new(
            &self.extra,
            [
                ("type", Field::text(self.kind.as_str())),
                ("id", Field::maybe(self.id.as_ref())),
                ("email", Field::maybe(self.email.as_ref())),
                ("name", Field::maybe(self.name.as_ref())),
            ],
        )
    }

    pub(crate) fn tidy(&mut self) {
        drop_blank([&mut self.id, &mut self.email, &mut self.name]);
    }
}
