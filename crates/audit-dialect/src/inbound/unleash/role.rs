//! Roles: Unleash says some by name, and some by the number of a row alone.

use audit_record::Map;
use serde_json::Value;

use crate::inbound::json::{text, text_at};

/// The root roles that every installation begins with, whose numbers are the same everywhere (Unleash's API
/// documentation lists them under `rootRoles` of `/api/admin/user-admin`). Roles of one's own have other numbers.
const ROOT_ROLES: &[(&str, &str)] = &[("1", "Admin"), ("2", "Editor"), ("3", "Viewer")];

/// Where an access keeps the number by which the event named its role.
const ROLE_ID: &str = "role_id";

/// A role as a record names it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Role {
    /// Its name, or its number where nothing says the name.
    pub(super) name: Option<String>,
    /// Its number, where the event named it by that.
    pub(super) id: Option<String>,
}

impl Role {
    /// The role in the whole installation; `said` is a user.
    pub(super) fn in_root(said: &Value) -> Self {
        let Some(id) = text_at(said, "rootRole") else { return Self::default() };
        let known = ROOT_ROLES.iter().find(|(number, _)| *number == id);
        match (known, id.bytes().all(|byte| byte.is_ascii_digit())) {
            (Some((_, name)), _) => Self { name: Some((*name).to_owned()), id: Some(id) },
            (None, true) => Self { name: Some(id.clone()), id: Some(id) },
            // Some versions say the name.
            (None, false) => Self { name: Some(id), id: None },
        }
    }

    /// One role in a project by name or number, or several, with commas between.
    pub(super) fn in_project(said: &Value) -> Self {
        if let Some(name) = ["roleName", "role"].into_iter().find_map(|field| text_at(said, field)) {
            return Self { name: Some(name), id: text_at(said, "roleId") };
        }
        if let Some(id) = text_at(said, "roleId") {
            return Self { name: Some(id.clone()), id: Some(id) };
        }
        let roles = said.get("roles").and_then(Value::as_array).into_iter().flatten();
        let names: Vec<String> =
            roles.filter_map(|role| text_at(role, "name").or_else(|| text(role))).collect();
        Self { name: Some(names.join(", ")).filter(|names| !names.is_empty()), id: None }
    }

    /// The same where every role is meant: which those were stands beside.
    pub(super) fn unnamed(self) -> Self {
        Self { id: self.id.or(self.name), name: None }
    }

    /// What stands beside the name in the access.
    pub(super) fn extra(&self) -> Map {
        self.id.iter().map(|id| (ROLE_ID.to_owned(), id.as_str().into())).collect()
    }
}
