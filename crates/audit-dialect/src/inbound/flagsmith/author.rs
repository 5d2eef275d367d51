//! Who: Flagsmith says it in three ways, each with a gap where an organisation's API key acted.

use audit_record::{Author, AuthorKind, Map};
use serde_json::Value;

use crate::inbound::json::{text, text_at};

/// Of `changed_by`: a user's e-mail, an API key's name, or `""` where Flagsmith does not know.
pub(super) fn from_changed_by(changed_by: Option<&Value>) -> Author {
    match changed_by.and_then(text) {
        None => Author::new(AuthorKind::Unknown),
        Some(email) if is_email(&email) => Author::user(email),
        Some(name) => Author { name: Some(name), ..Author::new(AuthorKind::ApiKey) },
    }
}

/// Of a user object, as audit entries (`author`) and versions (`published_by`) carry it, with what it says
/// beyond the author's fields. `null` is an API key: Flagsmith names nobody then, not even the key.
pub(super) fn from_user(user: Option<Value>) -> (Author, Map) {
    let mut fields = match user {
        None | Some(Value::Null) => return (Author::new(AuthorKind::ApiKey), Map::new()),
        Some(Value::Object(fields)) => fields,
        other => return (from_changed_by(other.as_ref()), Map::new()),
    };
    let value = Value::Object(fields.clone());
    let [first, last] = ["first_name", "last_name"].map(|field| text_at(&value, field).unwrap_or_default());
    let name =
        [first.as_str(), &last].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let can_be_split = split_name(&name) == (&first, &last);
    let author = Author {
        id: text_at(&value, "id"),
        email: text_at(&value, "email"),
        name: Some(name).filter(|name| !name.is_empty()),
        ..Author::new(AuthorKind::User)
    };
    for read in ["id", "email"] {
        fields.remove(read);
    }
    if can_be_split {
        fields.remove("first_name");
        fields.remove("last_name");
    }
    (author, fields)
}

/// First and last name of a name in one: the first word, and the rest. Where Flagsmith's own parts are others
/// (a first name of two words), they are kept beside the name, so that the entry can be written again as it was.
pub(crate) fn split_name(name: &str) -> (&str, &str) {
    name.split_once(' ').unwrap_or((name, ""))
}

/// Good enough to tell an address from the name of a key.
fn is_email(text: &str) -> bool {
    let mut parts = text.split('@');
    let (Some(local), Some(domain), None) = (parts.next(), parts.next(), parts.next()) else { return false };
    !local.is_empty() && !domain.is_empty() && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::an_email_is_a_user("ada@example.com", AuthorKind::User)]
    #[case::another_word_is_a_keys_name("ci-këy", AuthorKind::ApiKey)]
    #[case::a_name_with_an_at_is_a_keys_name("ci @ prod", AuthorKind::ApiKey)]
    #[case::nothing_is_unknown("", AuthorKind::Unknown)]
    fn changed_by_tells_what_kind_of_author(#[case] changed_by: &str, #[case] kind: AuthorKind) {
        assert_eq!(from_changed_by(Some(&changed_by.into())).kind, kind);
    }
}
