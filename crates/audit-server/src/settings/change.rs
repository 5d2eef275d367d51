//! A change of settings and the audit record that tells of it: one transaction on the log.

use std::sync::Arc;

use audit_journal::{Control, Entity, SettingsChange, WriteError};
use audit_record::{
    AuditRecord, Authenticated, Author, AuthorKind, Change, Draft, Map, OwnRecord, Ref, Timestamp,
};
use serde_json::Value;
use uuid::Uuid;

use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{Kind, Problem};

/// What a settings change looks like in the audit log.
pub(crate) struct Told<'a> {
    /// Such as `flagtrail.source.created`.
    pub(crate) action: &'static str,
    /// Such as `FLAGTRAIL_SOURCE`.
    pub(crate) object_type: &'static str,
    /// The setting's id.
    pub(crate) id: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
    /// The sentence.
    pub(crate) log: String,
    /// The setting before, without secrets.
    pub(crate) before: Option<Value>,
    /// The setting after, without secrets.
    pub(crate) after: Option<Value>,
}

/// Who changes settings.
pub(crate) fn author_of(caller: Option<&Caller>) -> Author {
    match caller {
        Some(caller) => Author {
            id: Some(caller.id().to_owned()),
            name: Some(caller.name().to_owned()),
            ..Author::new(AuthorKind::ApiKey)
        },
        None => Author::own(),
    }
}

impl Told<'_> {
    /// The record: above every organisation and project, under our own routing key.
    pub(crate) fn into_record(self, caller: Option<&Caller>, at: Timestamp) -> AuditRecord {
        AuditRecord::try_new(self.into_draft(caller, at))
            .expect("a settings record is small and has every required field")
    }

    /// The record in the making, under a new id.
    pub(crate) fn into_draft(self, caller: Option<&Caller>, at: Timestamp) -> Draft {
        let change =
            (self.before.is_some() || self.after.is_some()).then(|| Change::between(self.before, self.after));
        let told = OwnRecord {
            id: Uuid::now_v7().to_string(),
            action: self.action,
            log: self.log,
            at,
            author: author_of(caller),
            authenticated: if caller.is_some() { Authenticated::Token } else { Authenticated::None },
            object_type: self.object_type,
            object: Ref::by_id(self.id).named(self.name),
            attributes: Map::new(),
        };
        Draft { change, ..told.into_draft() }
    }
}

/// Writes the change and its record together, and returns the setting as it is then.
///
/// If we crash before the answer, both are on the log or neither; the client reads the setting to learn which.
pub(crate) async fn write(
    control: &Control,
    change: SettingsChange,
    told: Told<'_>,
    caller: Option<&Caller>,
) -> Result<Option<Arc<Entity>>, Problem> {
    let creating = change.base_version == 0;
    let record = told.into_record(caller, now());
    control.write(change, Some(&record)).await.map_err(|error| problem(error, creating))
}

fn problem(error: WriteError, creating: bool) -> Problem {
    match error {
        WriteError::Conflict(_) if creating => {
            Problem::new(Kind::Conflict, "it exists already").hint("choose another name, or change that one")
        }
        WriteError::Conflict(_) => Problem::new(Kind::Conflict, "it was changed meanwhile")
            .hint("read it again and repeat the change"),
        WriteError::NotWritten(cause) => {
            Problem::new(Kind::Unavailable, "the change was not written: the log does not take it now")
                .retry_after_s(2)
                .cause(cause)
        }
        WriteError::Unknown(cause) => {
            Problem::new(Kind::Unavailable, "it is not known whether the change was written")
                .hint("read it again: the version shows whether it was")
                .cause(cause)
        }
    }
}
