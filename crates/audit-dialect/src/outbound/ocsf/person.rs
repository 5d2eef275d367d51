//! Who did it, and whom it was done to.

use audit_record::{Author, AuthorKind, Map, Subject};
use serde_json::{Value, json};

/// OCSF's numbers for kinds of users.
const UNKNOWN: u8 = 0;
const USER: u8 = 1;
const SYSTEM: u8 = 3;
const SERVICE: u8 = 4;
const OTHER: u8 = 99;

/// The actor; nothing where nobody is named.
pub(super) fn actor(author: &Author) -> Value {
    let (type_id, kind) = match author.kind {
        AuthorKind::User => (USER, "User"),
        AuthorKind::Service => (SERVICE, "Service"),
        AuthorKind::System => (SYSTEM, "System"),
        AuthorKind::ApiKey => (OTHER, "API Key"),
        AuthorKind::Unknown => (UNKNOWN, "Unknown"),
    };
    let user = user(type_id, kind, author.id.as_deref(), author.email.as_deref(), author.name.as_deref());
    user.map_or(Value::Null, |mut user| {
        if let (AuthorKind::ApiKey, Some(id)) = (author.kind, &author.id) {
            user.insert("credential_uid".to_owned(), json!(id));
        }
        json!({"user": user})
    })
}

/// Whose access changed.
pub(super) fn subject(subject: &Subject) -> Option<Map> {
    let (type_id, kind) = match subject.kind.as_str() {
        "user" => (USER, "User"),
        "service" | "service_account" => (SERVICE, "Service"),
        other => (OTHER, other),
    };
    user(type_id, kind, subject.id.as_deref(), subject.email.as_deref(), subject.name.as_deref())
}

/// A user object, which needs an id or a name.
pub(super) fn user(
    type_id: u8,
    kind: &str,
    id: Option<&str>,
    email: Option<&str>,
    name: Option<&str>,
) -> Option<Map> {
    let handle = email.or(name);
    if id.is_none() && handle.is_none() {
        return None;
    }
    let mut user = Map::new();
    let mut put = |field: &str, value: Option<&str>| {
        if let Some(value) = value {
            user.insert(field.to_owned(), json!(value));
        }
    };
    put("type", Some(kind));
    put("uid", id);
    put("name", handle);
    put("full_name", name.filter(|_| email.is_some()));
    put("email_addr", email.filter(|email| is_address(email)));
    user.insert("type_id".to_owned(), json!(type_id));
    Some(user)
}

/// Whether OCSF's type for e-mail addresses admits it. Whatever else a platform calls an address is a name.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_word = |c: char| c.is_ascii_alphanumeric();
    let Some((host, rest)) = domain.split_once('.') else { return false };
    !local.is_empty()
        && local.chars().all(|c| is_word(c) || "!#$%&'*+-/=?^_`{|}~.".contains(c))
        && !host.is_empty()
        && host.chars().all(|c| is_word(c) || c == '-')
        && !rest.is_empty()
        && rest.chars().all(|c| is_word(c) || c == '-' || c == '.')
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn an_address_is_what_the_schema_takes_for_one() {
        for address in ["ada@example.com", "a+b.c@mail.example.co", "o'neil@example-x.org"] {
            assert!(is_address(address), "{address}");
        }
        for other in
            ["ada", "ada@example", "ada lovelace@example.com", "@example.com", "ада@example.com", "a@b@c.d"]
        {
            assert!(!is_address(other), "{other}");
        }
    }
}
