//! Access-control events: whose access to what became what, as far as the event says.

use audit_record::{Access, AccessScope, Effect, Map, Subject};
use serde_json::Value;

use super::types::Object;
use crate::inbound::json::text_at;

/// The access that an event of `kind` gives or takes; none where it names no one, or no role to give.
pub(super) fn access(event: &Value, kind: &str, object: Object) -> Option<Access> {
    let (data, before) = (event.get("data")?, event.get("preData").unwrap_or(&Value::Null));
    let removes = kind.ends_with("-deleted") || kind.ends_with("-removed");
    // What a removal was about stands in preData, where it is given at all.
    let said = if removes && !before.is_null() { before } else { data };
    let effect = if removes { Effect::Removed } else { Effect::Granted };
    match object {
        Object::User | Object::ServiceAccount => {
            let subject_kind = if object == Object::User { "user" } else { "service" };
            let role = text_at(said, "rootRole");
            (removes || role.is_some()).then(|| Access {
                subject: subject(subject_kind, text_at(said, "id"), said),
                scope: scope("account", None),
                role,
                effect,
                extra: in_place(kind),
            })
        }
        Object::ProjectAccess => {
            let (subject_kind, id) = ["userId", "groupId"]
                .into_iter()
                .find_map(|field| Some((field.trim_end_matches("Id"), text_at(said, field)?)))?;
            Some(Access {
                subject: subject(subject_kind, Some(id), said),
                scope: scope("project", text_at(event, "project")),
                role: role_names(said),
                effect,
                extra: in_place(kind),
            })
        }
        _ => None,
    }
}

/// An event by which a role changes tells the whole of what is held there afterwards: it stands in place of what was.
fn in_place(kind: &str) -> Map {
    let changes = kind.ends_with("-updated") || kind.ends_with("-role-changed");
    changes.then(|| ("replaces".to_owned(), Value::Bool(true))).into_iter().collect()
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

/// One role by name or id, or several, with commas between.
fn role_names(said: &Value) -> Option<String> {
    let one = ["roleName", "role", "roleId"].into_iter().find_map(|field| text_at(said, field));
    one.or_else(|| {
        let several: Vec<String> = said
            .get("roles")?
            .as_array()?
            .iter()
            .filter_map(|role| text_at(role, "name").or_else(|| crate::inbound::json::text(role)))
            .collect();
        Some(several.join(", ")).filter(|names| !names.is_empty())
    })
}
