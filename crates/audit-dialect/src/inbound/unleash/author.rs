//! Who: `createdBy` is a name that a user and a token may share; the id tells which of them it was.

use audit_record::{Author, AuthorKind};
use serde_json::Value;

use crate::inbound::json::text_at;

/// The id of every admin token.
const ADMIN_TOKEN: &str = "-42";

pub(super) fn author(event: &Value) -> Author {
    let name = text_at(event, "createdBy");
    let id = text_at(event, "createdByUserId");
    let (kind, id) = match id.as_deref() {
        None => (AuthorKind::Unknown, None),
        // All tokens share one id, so it identifies none of them.
        Some(ADMIN_TOKEN) => (AuthorKind::ApiKey, None),
        // 0 is the migration, -1337 the system.
        Some(other) if other == "0" || other.starts_with('-') => (AuthorKind::System, id),
        Some(_) => (AuthorKind::User, id),
    };
    let is_email =
        name.as_deref().is_some_and(|name| name.contains('@') && !name.contains(char::is_whitespace));
    Author {
        id,
        email: name.clone().filter(|_| is_email),
        name: name.filter(|_| !is_email),
        ..Author::new(kind)
    }
}
