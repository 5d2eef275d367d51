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
#[derive(Clone, Debug, Default, PartialEq)]
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

    /// The role of which only the number is said.
    pub(super) fn by_number(said: &Value) -> Option<Self> {
        text_at(said, "roleId").map(Self::numbered)
    }

    /// The roles in a project: one by name or number, or a list of them.
    pub(super) fn in_project(said: &Value) -> Vec<Self> {
        if let Some(name) = ["roleName", "role"].into_iter().find_map(|field| text_at(said, field)) {
            return vec![Self { name: Some(name), id: text_at(said, "roleId") }];
        }
        if let Some(role) = Self::by_number(said) {
            return vec![role];
        }
        let roles = said.get("roles").and_then(Value::as_array).into_iter().flatten();
        roles.filter_map(Self::in_list).collect()
    }

    /// One of a list: an object with a name, or the name or number alone.
    fn in_list(said: &Value) -> Option<Self> {
        match (text_at(said, "name"), said) {
            (Some(name), _) => Some(Self { name: Some(name), id: text_at(said, "id") }),
            (None, Value::Number(number)) => Some(Self::numbered(number.to_string())),
            (None, other) => text(other).map(|name| Self { name: Some(name), id: None }),
        }
    }

    fn numbered(number: String) -> Self {
        Self { name: Some(number.clone()), id: Some(number) }
    }

    /// All of these where every role is meant, whichever those are: it has no name, and which they were stands beside.
    pub(super) fn unnamed(roles: &[Self]) -> Self {
        let ids: Vec<&str> =
            roles.iter().filter_map(|role| role.id.as_deref().or(role.name.as_deref())).collect();
        Self { name: None, id: Some(ids.join(", ")).filter(|ids| !ids.is_empty()) }
    }

    /// What stands beside the name in the access.
    pub(super) fn extra(&self) -> Map {
        self.id.iter().map(|id| (ROLE_ID.to_owned(), id.as_str().into())).collect()
    }
}
