//! Records in Flagtrail's own form, for `POST /v1/records`: what a company's own bridge appends, because a platform sends
//! no webhook for it (Flagsmith tells nothing of members), and the bulk of the year, as a backfill would.

use serde_json::{Map, Value, json};

use crate::company::people::Person;
use crate::company::projects::{Environment, Project};
use crate::company::year::{Moment, rfc3339};

/// A record in the making.
pub(in crate::company) struct Native(Map<String, Value>);

impl Native {
    pub(in crate::company) fn new(id: &str, action: &str, log: String, at: Moment, author: Value) -> Self {
        let record =
            json!({"id": id, "action": action, "log": log, "occurred_at": rfc3339(at), "author": author});
        match record {
            Value::Object(record) => Self(record),
            _ => unreachable!("it is an object"),
        }
    }

    /// With one more field, or another value of one.
    pub(in crate::company) fn with(mut self, field: &str, value: Value) -> Self {
        self.0.insert(field.to_owned(), value);
        self
    }

    pub(in crate::company) fn project(self, project: &Project) -> Self {
        self.with("project", json!({"id": project.id, "name": project.name}))
    }

    pub(in crate::company) fn environment(self, environment: &Environment) -> Self {
        self.with("environment", json!({"id": environment.number.to_string(), "name": environment.name}))
    }

    /// About a flag's setting.
    pub(in crate::company) fn flag(self, project: &Project, flag: &str) -> Self {
        let id = super::flagsmith::flag_number(project, flag).to_string();
        self.with("flag", json!({"id": id, "name": flag}))
            .with("related_object", json!({"name": flag}))
            .with("related_object_type", json!("FEATURE_STATE"))
    }

    /// One line of NDJSON.
    pub(in crate::company) fn line(self) -> String {
        Value::Object(self.0).to_string()
    }
}

/// A person as author or approver, as Flagsmith would name them.
pub(in crate::company) fn user(person: &Person, at: Moment) -> Value {
    json!({
        "type": "user", "id": person.flagsmith_id().to_string(), "email": person.email_at(at), "name": person.name,
    })
}
