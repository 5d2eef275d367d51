//! A new epoch: the operator accepts the log as it stands, after it was re-created, truncated or restored.

use crate::control::{Control, SettingsChange, WriteError};
use crate::error::OpenError;
use crate::identity::{IDENTITY_ID, IDENTITY_KIND, LogIdentity};
use crate::journal::Journal;

/// Why no new epoch was begun.
#[derive(Debug, thiserror::Error)]
pub enum NewEpochError {
    /// The settings can't be read.
    #[error(transparent)]
    Control(#[from] OpenError),
    /// The event was not written, or somebody else began an epoch at the same time.
    #[error("no new epoch was begun: {0}")]
    Write(#[from] WriteError),
}

/// Writes the identity anew with the next epoch. A settings change like any other: of two at once, one wins.
pub(crate) async fn new_epoch(journal: &Journal) -> Result<LogIdentity, NewEpochError> {
    let control = Control::open(journal.clone()).await?;
    let (base_version, identity): (u64, LogIdentity) = match control.get(IDENTITY_KIND, IDENTITY_ID) {
        Some(entity) => {
            let identity = serde_json::from_value(entity.value.clone()).map_err(|e| {
                OpenError::Refused(format!("the log's identity in the control topic can't be read: {e}"))
            })?;
            (entity.version, identity)
        }
        None => (0, journal.identity().clone()),
    };
    let identity = identity.in_next_epoch();
    let value = serde_json::to_value(&identity).expect("an identity has string keys only");
    let change = SettingsChange {
        kind: IDENTITY_KIND.to_owned(),
        id: IDENTITY_ID.to_owned(),
        base_version,
        value: Some(value),
    };
    control.write(change, None).await?;
    tracing::warn!(epoch = identity.epoch, "a new epoch of the log begins: the log is accepted as it stands");
    Ok(identity)
}
