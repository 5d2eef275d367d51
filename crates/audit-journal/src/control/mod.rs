//! Settings as events on the `control` topic: the state is the fold from offset 0, and of two writes to
//! the same version the first in log order wins.

mod event;

use std::sync::Arc;

use audit_record::AuditRecord;
use serde_json::Value;
use tokio::sync::watch;

use crate::error::OpenError;
use crate::journal::Journal;

pub(crate) use event::{CONTROL_VERSION, ControlEvent, EventError};

/// One setting: an endpoint, a source, a token, …, as a JSON document of its owner's making.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// What it is: `endpoint`, `source`, `token`, …
    pub kind: String,
    /// Which one.
    pub id: String,
    /// Rises by one with every accepted write; the first is 1.
    pub version: u64,
    /// The document.
    pub value: Value,
}

/// A write that names the version it changes.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingsChange {
    /// What it is.
    pub kind: String,
    /// Which one.
    pub id: String,
    /// The version that the writer saw; 0 to create.
    pub base_version: u64,
    /// The new document; `None` deletes.
    pub value: Option<Value>,
}

/// Why a write changed nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// Somebody else's write came first (or the entity is gone: `None`).
    #[error("it was changed meanwhile; read it again and repeat the change")]
    Conflict(Option<Entity>),
    /// Not written.
    #[error("not written: {0}")]
    NotWritten(String),
    /// The answer was lost; reading shows whether it was written.
    #[error("it is not known whether it was written: {0}")]
    Unknown(String),
}

/// The fold of `control`, kept current by a follower. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {}

impl Control {
    /// Reads `control` from its start to its present end, then keeps following.
    pub async fn open(_journal: Journal) -> Result<Self, OpenError> {
        todo!()
    }

    /// One entity, as of the last event folded.
    pub fn get(&self, _kind: &str, _id: &str) -> Option<Arc<Entity>> {
        todo!()
    }

    /// All entities of a kind, by id.
    pub fn list(&self, _kind: &str) -> Vec<Arc<Entity>> {
        todo!()
    }

    /// Rises with every event folded: wait on it, then look again.
    pub fn revision(&self) -> watch::Receiver<u64> {
        todo!()
    }

    /// Appends the change, and the audit record that tells of it, in one transaction, and reads its own
    /// write back. `Ok` holds the new entity (`None` after a deletion).
    pub async fn write(
        &self,
        _change: SettingsChange,
        _record: Option<&AuditRecord>,
    ) -> Result<Option<Arc<Entity>>, WriteError> {
        todo!()
    }
}
