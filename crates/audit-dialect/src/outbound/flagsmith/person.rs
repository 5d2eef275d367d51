//! Who, in Flagsmith's three ways.

use audit_record::{AuditRecord, Author, AuthorKind, Map};
use serde_json::Value;

use super::{came_from_flagsmith, id, kept_object};
use crate::inbound::split_name;
use crate::outbound::json_value::{handle, text};

/// `changed_by`: a user's e-mail, an API key's name, `""` for nobody known.
pub(super) fn changed_by(author: &Author) -> Value {
    match author.kind {
        AuthorKind::System | AuthorKind::Unknown => "".into(),
        _ => handle(author).unwrap_or_default().into(),
    }
}

/// The `author` of an audit entry: a user, or null, which in Flagsmith stands for an API key or the system.
pub(super) fn author(record: &AuditRecord) -> Value {
    let author = record.author();
    if author.kind != AuthorKind::User {
        return Value::Null;
    }
    let mut user = kept_object(record, "author");
    identity(author, &mut user);
    let (first, last) = split_name(author.name.as_deref().unwrap_or_default());
    for (field, part) in [("first_name", first), ("last_name", last)] {
        user.entry(field).or_insert_with(|| part.into());
    }
    Value::Object(user)
}

/// The `published_by` of a version: a user by id and e-mail, or null.
pub(super) fn published_by(record: &AuditRecord) -> Value {
    let author = record.author();
    if author.kind != AuthorKind::User {
        return Value::Null;
    }
    let mut user = kept_object(record, "published_by");
    identity(author, &mut user);
    if !came_from_flagsmith(record) {
        return Value::Object(user);
    }
    if let Some(name) = &author.name {
        let (first, last) = split_name(name);
        for (field, part) in [("first_name", first), ("last_name", last)] {
            user.entry(field).or_insert_with(|| part.into());
        }
    }
    Value::Object(user)
}

fn identity(author: &Author, user: &mut Map) {
    user.insert("id".to_owned(), id(author.id.as_deref()));
    user.insert("email".to_owned(), text(author.email.as_deref()));
}
