//! Access-control events: whose access to what became what, as far as the event says.

use audit_record::{Access, AccessScope, Effect, Map, Subject};
use serde_json::Value;

use super::role::Role;
use super::types::Object;
use crate::inbound::json::text_at;

/// The access that an event of `kind` gives, takes or repeats; none where it names no one, or no role to give, or
/// shows that the role stayed as it was.
pub(super) fn access(event: &Value, kind: &str, object: Object) -> Option<Access> {
    let (data, before) = (event.get("data")?, event.get("preData").unwrap_or(&Value::Null));
    let removes = kind.ends_with("-deleted") || kind.ends_with("-removed");
    // What a removal was about stands in preData, where it is given at all.
    let said = if removes && !before.is_null() { before } else { data };
    match object {
        Object::User | Object::ServiceAccount => {
            let role = Role::in_root(said);
            let effect = match removes {
                true => Effect::Removed,
                false if role.name.is_none() => return None,
                false if kind.ends_with("-updated") => effect_of_update(&Role::in_root(before), &role)?,
                false => Effect::Granted,
            };
            let subject_kind = if object == Object::User { "user" } else { "service" };
            let subject = subject(subject_kind, text_at(said, "id"), said);
            Some(with_role(role, subject, scope("account", None), effect))
        }
        Object::ProjectAccess => {
            let (subject_kind, id) = ["userId", "groupId"]
                .into_iter()
                .find_map(|field| Some((field.trim_end_matches("Id"), text_at(said, field)?)))?;
            let (was, role) = (Role::in_project(before), Role::in_project(said));
            let subject = subject(subject_kind, Some(id), said);
            let project = scope("project", text_at(event, "project"));
            // All that somebody has there is changed or taken at once; then the roles that were are named by number.
            let (role, effect) = match kind {
                _ if kind.ends_with("-roles-deleted") => (role.unnamed(), Effect::Removed),
                _ if removes => (role, Effect::Removed),
                _ if kind.ends_with("-roles-updated") && role.name.is_none() => (role, Effect::Removed),
                _ if kind.ends_with("-roles-updated") && was == role => return None,
                _ => (role, Effect::Granted),
            };
            Some(with_role(role, subject, project, effect))
        }
        _ => None,
    }
}

/// An update of a user grants a role where the one before was another. Where nothing says what it was, the role is
/// how things stand; where it was the same, nothing happened to the access.
fn effect_of_update(before: &Role, after: &Role) -> Option<Effect> {
    match before.name {
        None => Some(Effect::Snapshot),
        _ => (before != after).then_some(Effect::Granted),
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
