//! Who, and what, compared across records that name them by halves.

use audit_record::{Author, AuthorKind, Ref};

use crate::words;

/// Somebody who wrote, approved or applied something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    kind: AuthorKind,
    id: Option<String>,
    email: Option<String>,
    name: Option<String>,
    shown: String,
}

impl Person {
    pub(crate) fn new(author: &Author) -> Self {
        Self {
            kind: author.kind,
            id: author.id.clone(),
            email: author.email.clone(),
            name: author.name.clone(),
            shown: words::who(author),
        }
    }

    /// Whether it says who it was at all.
    pub(crate) fn is_known(&self) -> bool {
        let is_named = self.id.is_some() || self.email.is_some() || self.name.is_some();
        is_named && self.kind != AuthorKind::System
    }

    /// Whether both are the same, as far as both say: by id or by e-mail (an address may change, and so may an account), else,
    /// where neither can be compared, by name. Two of whom one says nothing are not known to be the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let ids = self.id.as_ref().zip(other.id.as_ref()).map(|(mine, other)| mine == other);
        let emails = self.email.as_ref().zip(other.email.as_ref());
        let emails = emails.map(|(mine, other)| mine.eq_ignore_ascii_case(other));
        match (ids, emails) {
            (None, None) => self.name.is_some() && self.name == other.name,
            (ids, emails) => ids == Some(true) || emails == Some(true),
        }
    }

    /// Whether what somebody typed may mean them: any label, in capitals or not. Where it is about who may not have done
    /// something, a name that is shared counts, too.
    pub(crate) fn is_called(&self, typed: &str) -> bool {
        let typed = typed.trim().to_lowercase();
        [&self.id, &self.email, &self.name].into_iter().flatten().any(|label| label.to_lowercase() == typed)
    }

    /// What they are known by for sure: number and address. A name is shared too easily.
    pub(crate) fn labels(&self) -> Vec<String> {
        [&self.id, &self.email].into_iter().flatten().cloned().collect()
    }

    /// As it reads in a cell.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }
}

/// A project, environment, flag or target by its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Thing {
    id: Option<String>,
    key: Option<String>,
    name: Option<String>,
}

impl Thing {
    pub(crate) fn new(thing: &Ref) -> Self {
        Self { id: thing.id.clone(), key: thing.key.clone(), name: thing.name.clone() }
    }

    /// As it reads in a cell.
    pub(crate) fn shown(&self) -> &str {
        [&self.key, &self.name, &self.id].into_iter().flatten().next().map_or("", String::as_str)
    }

    /// Every name that it goes by.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        [&self.key, &self.name, &self.id].into_iter().flatten().map(String::as_str)
    }

    /// The id, where it has one.
    pub(crate) fn id(&self) -> Option<String> {
        self.id.clone()
    }

    /// The name, where it has one.
    pub(crate) fn name(&self) -> Option<String> {
        self.name.clone()
    }

    /// The name, else the key, else the id: what stands in most forms of one record.
    pub(crate) fn label(&self) -> &str {
        [&self.name, &self.key, &self.id].into_iter().flatten().next().map_or("", String::as_str)
    }

    /// The id, else the key, else the name: what stays the same longest.
    pub(crate) fn stable(&self) -> &str {
        [&self.id, &self.key, &self.name].into_iter().flatten().next().map_or("", String::as_str)
    }
}
