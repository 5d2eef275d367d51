//! Whose access AB Tasty's access events are about. They are documented by name only, so every plausible
//! name of a field is tried.

use audit_record::{Access, AccessScope, Effect, Map, Ref, Subject};

use super::event::Scope;
use crate::inbound::fields::Fields;

/// What stands before `_id`, `_email` and `_name`, or holds an object with those. `user_…` written flat is
/// the one who acts; an object `user` beside it is the one acted upon.
const SUBJECTS: &[&str] = &[
    "target_user",
    "granted_user",
    "affected_user",
    "invited_user",
    "removed_user",
    "member",
    "recipient",
    "subject",
    "collaborator",
    "grantee",
];

/// Where the role is told that somebody got.
const ROLES: &[&str] =
    &["role", "granted_role", "new_role", "access_role", "target_user_role", "member_role"];

/// The role behind the events that name it: "edit role granted".
const EDIT_ROLE: &str = "edit";

pub(super) fn take(
    said: &mut Fields,
    scope: Scope,
    effect: Effect,
    edit_role: bool,
    project: Option<&Ref>,
    account: Option<&Ref>,
) -> Access {
    let place = match scope {
        Scope::Project => project,
        Scope::Account => account,
    };
    let named = said.take_text(ROLES);
    Access {
        subject: subject(said),
        scope: AccessScope {
            kind: match scope {
                Scope::Project => "project".to_owned(),
                Scope::Account => "account".to_owned(),
            },
            id: place.and_then(|place| place.id.clone()),
            key: place.and_then(|place| place.key.clone()),
            extra: Map::new(),
        },
        role: named.or_else(|| edit_role.then(|| EDIT_ROLE.to_owned())),
        effect,
        extra: Map::new(),
    }
}

fn subject(said: &mut Fields) -> Subject {
    let mut subject = Subject { kind: "user".to_owned(), ..Subject::default() };
    for what in SUBJECTS {
        let part = |part: &str| format!("{what}_{part}");
        subject.id = subject.id.or_else(|| said.take_text(&[&part("id")]));
        subject.email = subject.email.or_else(|| said.take_text(&[&part("email")]));
        subject.name = subject.name.or_else(|| said.take_text(&[&part("name")]));
    }
    for what in SUBJECTS.iter().chain(&["user"]) {
        if let Some(object) = said.take_object(what) {
            let mut object = Fields::from(object);
            subject.id = subject.id.or_else(|| object.take_text(&["id", "user_id"]));
            subject.email = subject.email.or_else(|| object.take_text(&["email", "user_email"]));
            subject.name = subject.name.or_else(|| object.take_text(&["name", "user_name"]));
            subject.extra.extend(object.rest());
        } else if let Some(text) = said.take_text(&[what]) {
            let slot = if text.contains('@') { &mut subject.email } else { &mut subject.name };
            slot.get_or_insert(text);
        }
    }
    subject
}
