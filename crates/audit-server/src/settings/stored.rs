//! Settings whose documents are this crate's (sources and tokens): found, made, changed and deleted in one way.
//! What an endpoint is, and how it is kept, is the webhook crate's.

use std::sync::Arc;

use audit_journal::{Control, Entity, SettingsChange};
use audit_secret::{Keyring, SealError};
use serde_json::Value;

use crate::auth::Caller;
use crate::problem::{Kind, Problem, unsealed};
use crate::settings::change::{Told, write};

/// One kind of settings.
pub(crate) trait Setting: Sized {
    /// What they are called in `Control`, and one of them in sentences.
    const KIND: &'static str;
    /// What they are called in the audit log.
    const OBJECT_TYPE: &'static str;
    /// The action of a record that tells of a new one.
    const CREATED: &'static str;
    /// The action of a record that tells of a change.
    const UPDATED: &'static str;
    /// The action of a record that tells of one's end, and the word for that.
    const DELETED: (&'static str, &'static str);
    /// Most of them.
    const COUNT_MAX: usize;
    /// What to do when there are as many.
    const FULL_HINT: &'static str;

    /// Reads the document; `None` when a later release wrote it.
    fn read(entity: &Entity) -> Option<Self>;
    /// The document, as it is to stand in `Control`: its secrets sealed with the current key.
    fn document(&self, keyring: &Keyring) -> Result<Value, SealError>;
    /// The document as the audit log tells of it: without anything secret.
    fn told(&self) -> Value;
    /// What people call it.
    fn name(&self) -> &str;
}

/// A setting as it stands in `Control`.
#[derive(Clone, Debug)]
pub(crate) struct Stored<S> {
    pub(crate) id: String,
    pub(crate) version: u64,
    pub(crate) setting: S,
}

impl<S: Setting> Stored<S> {
    /// The one of that id.
    pub(crate) fn find(control: &Control, id: &str) -> Result<Self, Problem> {
        let missing = || Problem::new(Kind::NotFound, format!("there is no {} {id:?}", S::KIND));
        let entity = control.get(S::KIND, id).ok_or_else(missing)?;
        Self::read(&entity).ok_or_else(|| {
            Problem::new(Kind::Conflict, format!("the {} {id:?} was written by a later release", S::KIND))
                .hint("use that release")
        })
    }

    /// All that this release can read, by id.
    pub(crate) fn list(control: &Control) -> Vec<Self> {
        control.list(S::KIND).iter().filter_map(|entity| Self::read(entity)).collect()
    }

    /// Makes one, if there is none of that id and room for another.
    pub(crate) async fn make(
        control: &Control,
        keyring: &Keyring,
        id: &str,
        setting: S,
        caller: Option<&Caller>,
    ) -> Result<Self, Problem> {
        if control.list(S::KIND).len() >= S::COUNT_MAX {
            return Err(Problem::new(Kind::Conflict, format!("there may be {} {}s", S::COUNT_MAX, S::KIND))
                .hint(S::FULL_HINT));
        }
        let told = Told {
            action: S::CREATED,
            object_type: S::OBJECT_TYPE,
            id,
            name: setting.name(),
            log: sentence(&setting, "created"),
            before: None,
            after: Some(setting.told()),
        };
        let document = setting.document(keyring).map_err(unsealed)?;
        let entity = write(control, changing::<S>(id, 0, Some(document)), told, caller).await?;
        Self::written(entity, setting)
    }

    /// Puts `changed` in its place, if it is still the version that was found. `log` says what happened.
    pub(crate) async fn change(
        &self,
        control: &Control,
        keyring: &Keyring,
        changed: S,
        log: String,
        caller: Option<&Caller>,
    ) -> Result<Self, Problem> {
        let told = Told {
            action: S::UPDATED,
            object_type: S::OBJECT_TYPE,
            id: &self.id,
            name: changed.name(),
            log,
            before: Some(self.setting.told()),
            after: Some(changed.told()),
        };
        let document = changed.document(keyring).map_err(unsealed)?;
        let change = changing::<S>(&self.id, self.version, Some(document));
        Self::written(write(control, change, told, caller).await?, changed)
    }

    /// Deletes it, if it is still the version that was found.
    pub(crate) async fn delete(self, control: &Control, caller: Option<&Caller>) -> Result<(), Problem> {
        let (action, word) = S::DELETED;
        let told = Told {
            action,
            object_type: S::OBJECT_TYPE,
            id: &self.id,
            name: self.setting.name(),
            log: sentence(&self.setting, word),
            before: Some(self.setting.told()),
            after: None,
        };
        write(control, changing::<S>(&self.id, self.version, None), told, caller).await.map(drop)
    }

    fn read(entity: &Entity) -> Option<Self> {
        Some(Self { id: entity.id.clone(), version: entity.version, setting: S::read(entity)? })
    }

    fn written(entity: Option<Arc<Entity>>, setting: S) -> Result<Self, Problem> {
        let gone = || Problem::new(Kind::Conflict, format!("the {} was deleted meanwhile", S::KIND));
        let entity = entity.ok_or_else(gone)?;
        Ok(Self { id: entity.id.clone(), version: entity.version, setting })
    }
}

/// Such as `Source shop was created`.
pub(crate) fn sentence<S: Setting>(setting: &S, what: &str) -> String {
    let (first, rest) = S::KIND.split_at(1);
    format!("{}{rest} {} was {what}", first.to_ascii_uppercase(), setting.name())
}

fn changing<S: Setting>(id: &str, base_version: u64, value: Option<Value>) -> SettingsChange {
    SettingsChange { kind: S::KIND.to_owned(), id: id.to_owned(), base_version, value }
}
