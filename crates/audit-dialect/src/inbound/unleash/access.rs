//! Access-control events: whose access to what became what, as far as the event says.
//!
//! An access of a record is one role of one subject, so an event may have several: roles changed at once, or given to
//! several users and groups at once.

use audit_record::{Access, AccessScope, Effect, Map, Subject};
use serde_json::Value;

use super::role::Role;
use super::types::Object;
use crate::inbound::intake::REPLACES;
use crate::inbound::json::{text, text_at};

/// The type of event that gives roles in a project to several at once.
const GIVEN_AT_ONCE: &str = "project-access-added";

/// The accesses that an event of `kind` gives, takes or repeats, in the order in which the event has them; none where it
/// names no one, or no role to give, or shows that the roles stayed as they were. No more than one above `most`.
pub(super) fn accesses(event: &Value, kind: &str, object: Object, most: usize) -> Vec<Access> {
    let Some(data) = event.get("data") else { return Vec::new() };
    let before = event.get("preData").unwrap_or(&Value::Null);
    // What a removal was about stands in preData, where it is given at all.
    let said = if removes(kind) && !before.is_null() { before } else { data };
    let mut accesses = match object {
        Object::User | Object::ServiceAccount => of_user(said, before, kind, object).into_iter().collect(),
        Object::ProjectAccess => {
            let project = scope("project", text_at(event, "project"));
            let given = if kind == GIVEN_AT_ONCE { given_at_once(said, &project, most) } else { Vec::new() };
            if given.is_empty() { in_project(said, before, kind, &project) } else { given }
        }
        _ => Vec::new(),
    };
    accesses.truncate(most.saturating_add(1));
    accesses
}

fn removes(kind: &str) -> bool {
    kind.ends_with("-deleted") || kind.ends_with("-removed")
}

/// The root role of a user, who has one.
fn of_user(said: &Value, before: &Value, kind: &str, object: Object) -> Option<Access> {
    let role = Role::in_root(said);
    let is_updated = kind.ends_with("-updated");
    let effect = match removes(kind) {
        true => Effect::Removed,
        false if role.name.is_none() => return None,
        false if is_updated => effect_of_update(&Role::in_root(before), &role)?,
        false => Effect::Granted,
    };
    let subject_kind = if object == Object::User { "user" } else { "service" };
    let subject = subject(subject_kind, text_at(said, "id"), said);
    let mut access = with_role(role, subject, scope("account", None), effect);
    if is_updated {
        stands_in_place_of_all(&mut access);
    }
    Some(access)
}

/// An update of a user grants a role where the one before was another. Where nothing says what it was, the role is
/// how things stand; where it was the same, nothing happened to the access.
fn effect_of_update(before: &Role, after: &Role) -> Option<Effect> {
    match before.name {
        None => Some(Effect::Snapshot),
        _ => (before != after).then_some(Effect::Granted),
    }
}

/// Every role that is given, by each to whom it is: `roles` is a list of `{roleId, groupIds, userIds}` or one such role; old
/// versions have `{roleId, groups, users}` in its place.
fn given_at_once(said: &Value, project: &AccessScope, most: usize) -> Vec<Access> {
    let roles = match said.get("roles") {
        Some(Value::Array(roles)) => roles.as_slice(),
        Some(role) => std::slice::from_ref(role),
        None => std::slice::from_ref(said),
    };
    let subjects = |role: &Value, kind: &str, fields: [&str; 2]| -> Vec<Subject> {
        let ids = fields.into_iter().find_map(|field| role.get(field)?.as_array());
        let ids = ids.into_iter().flatten().filter_map(text).take(most.saturating_add(1));
        ids.map(|id| subject(kind, Some(id), &Value::Null)).collect()
    };
    let mut given = Vec::new();
    for said in roles {
        let Some(role) = Role::by_number(said) else { continue };
        let mut subjects_of = subjects(said, "group", ["groupIds", "groups"]);
        subjects_of.extend(subjects(said, "user", ["userIds", "users"]));
        let granted = |subject| with_role(role.clone(), subject, project.clone(), Effect::Granted);
        given.extend(subjects_of.into_iter().map(granted));
        if given.len() > most {
            break;
        }
    }
    given
}

/// The roles of one subject in a project.
fn in_project(said: &Value, before: &Value, kind: &str, project: &AccessScope) -> Vec<Access> {
    let named = ["userId", "groupId"]
        .into_iter()
        .find_map(|field| Some((field.trim_end_matches("Id"), text_at(said, field)?)));
    let Some((subject_kind, id)) = named else { return Vec::new() };
    let access = |role, effect| {
        with_role(role, subject(subject_kind, Some(id.clone()), said), project.clone(), effect)
    };
    let roles = Role::in_project(said);
    if kind.ends_with("-roles-deleted") {
        // All that somebody has there is taken at once; then the roles that were are named by number.
        return vec![access(Role::unnamed(&roles), Effect::Removed)];
    }
    if kind.ends_with("-roles-updated") {
        return updated(&Role::in_project(before), &roles, access);
    }
    let effect = if removes(kind) { Effect::Removed } else { Effect::Granted };
    let roles = if roles.is_empty() { vec![Role::default()] } else { roles };
    let mut accesses: Vec<Access> = roles.into_iter().map(|role| access(role, effect)).collect();
    if kind.ends_with("-role-changed") {
        first_in_place_of_all(&mut accesses);
    }
    accesses
}

/// What an update of all roles that somebody has in a project did: `was` they were, as far as the event says.
fn updated(was: &[Role], roles: &[Role], access: impl Fn(Role, Effect) -> Access) -> Vec<Access> {
    let is_same = roles.len() == was.len() && roles.iter().all(|role| was.contains(role));
    if roles.is_empty() {
        return vec![access(Role::default(), Effect::Removed)];
    }
    if is_same {
        return Vec::new();
    }
    let granted = |role: &Role| access(role.clone(), Effect::Granted);
    if roles.len() == 1 || was.is_empty() {
        let mut accesses: Vec<Access> = roles.iter().map(granted).collect();
        first_in_place_of_all(&mut accesses);
        return accesses;
    }
    // A role that stays is not told again: none of the others stands in its place.
    let gone = was.iter().filter(|role| !roles.contains(role));
    let new = roles.iter().filter(|role| !was.contains(role));
    let gone = gone.map(|role| access(role.clone(), Effect::Removed));
    gone.chain(new.map(granted)).collect()
}

/// Marks the first of the roles that stand in place of every other that the subject had there: it ends those, and the
/// rest are granted beside it.
fn first_in_place_of_all(accesses: &mut [Access]) {
    if let Some(first) = accesses.first_mut() {
        stands_in_place_of_all(first);
    }
}

/// Marks a role that stands in place of every other that the subject had there.
fn stands_in_place_of_all(access: &mut Access) {
    if access.effect != Effect::Removed {
        access.extra.insert(REPLACES.to_owned(), true.into());
    }
}

fn with_role(role: Role, subject: Subject, scope: AccessScope, effect: Effect) -> Access {
    Access { subject, scope, effect, extra: role.extra(), role: role.name }
}

fn subject(kind: &str, id: Option<String>, said: &Value) -> Subject {
    Subject {
        kind: kind.to_owned(),
        id,
        email: text_at(said, "email"),
        name: text_at(said, "name").or_else(|| text_at(said, "username")),
        extra: Map::new(),
    }
}

fn scope(kind: &str, id: Option<String>) -> AccessScope {
    AccessScope { kind: kind.to_owned(), id, key: None, extra: Map::new() }
}
