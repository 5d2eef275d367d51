//! What becomes of the keys that sign checkpoints is on the record: which there are stands among the settings, by their
//! public halves, and each change of that is a record beside it, in one transaction.
//!
//! Whose signatures count is not for the log to say: whoever checks is told the keys by another way.

use std::time::Duration;

use audit_journal::{Control, SettingsChange, WriteError};
use audit_record::{AuditRecord, Authenticated, Author, Map, OwnRecord, Ref, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::keys::{PublicKeys, SealKeys};

/// The kind of the settings.
const KIND: &str = "log_key";

/// The version of a key's document.
const KEY_VERSION: u32 = 1;

/// Pause after the log did not take a change.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeyState {
    Signing,
    Retired,
}

/// A key as it stands among the settings.
#[derive(Debug, Serialize, Deserialize)]
struct StoredKey {
    v: u32,
    state: KeyState,
    /// The public half, in base64.
    log: String,
    /// The public half of the cosigner's key that belongs to it.
    clock: String,
}

/// What is to be told of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Created,
    Rotated,
    Retired,
}

impl Event {
    fn action(self) -> &'static str {
        match self {
            Self::Created => "flagtrail.key.created",
            Self::Rotated => "flagtrail.key.rotated",
            Self::Retired => "flagtrail.key.retired",
        }
    }

    fn in_words(self, key: &str) -> String {
        match self {
            Self::Created => format!("Key {key} signs checkpoints of the log"),
            Self::Rotated => format!(
                "Key {key} signs checkpoints of the log in place of the one before, which signs beside it"
            ),
            Self::Retired => format!("Key {key} signs checkpoints of the log no more"),
        }
    }

    fn state(self) -> KeyState {
        if self == Self::Retired { KeyState::Retired } else { KeyState::Signing }
    }
}

/// Puts what is new of these keys on the record; goes on until it is there, or until told to stop.
pub async fn record_keys(control: &Control, keys: &SealKeys, shutdown: &CancellationToken) {
    while let Err(error) = tell(control, keys).await {
        tracing::warn!(%error, "sealing: what became of the log's keys is not on the record yet");
        if shutdown.run_until_cancelled(tokio::time::sleep(RETRY_PAUSE)).await.is_none() {
            return;
        }
    }
}

async fn tell(control: &Control, keys: &SealKeys) -> Result<(), WriteError> {
    // The one in use comes first in the file; it is the newer one.
    for key in keys.signing().iter().rev() {
        if control.get(KIND, &key.fingerprint()).is_none() {
            let event = if control.list(KIND).is_empty() { Event::Created } else { Event::Rotated };
            write(control, key, 0, event).await?;
        }
    }
    for key in keys.former() {
        let Some(entity) = control.get(KIND, &key.fingerprint()) else { continue };
        // Of a later release nothing is known, and nothing is written.
        let stored = serde_json::from_value::<StoredKey>(entity.value.clone());
        if stored.is_ok_and(|stored| stored.v <= KEY_VERSION && stored.state == KeyState::Signing) {
            write(control, key, entity.version, Event::Retired).await?;
        }
    }
    Ok(())
}

async fn write(
    control: &Control,
    key: &PublicKeys,
    base_version: u64,
    event: Event,
) -> Result<(), WriteError> {
    let stored = StoredKey {
        v: KEY_VERSION,
        state: event.state(),
        log: STANDARD.encode(key.log),
        clock: STANDARD.encode(key.clock),
    };
    let change = SettingsChange {
        kind: KIND.to_owned(),
        id: key.fingerprint(),
        base_version,
        value: Some(serde_json::to_value(&stored).expect("a key's document has string keys only")),
    };
    match control.write(change, Some(&record(key, &stored, event))).await {
        // Another sealer told it.
        Ok(_) | Err(WriteError::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn record(key: &PublicKeys, stored: &StoredKey, event: Event) -> AuditRecord {
    let now = Timestamp::try_new(chrono::Utc::now()).expect("the clock stands between 1970 and 9999");
    let fingerprint = key.fingerprint();
    let mut attributes = Map::new();
    attributes.insert("log_key".to_owned(), json!(stored.log));
    attributes.insert("clock_key".to_owned(), json!(stored.clock));
    let told = OwnRecord {
        id: Uuid::now_v7().to_string(),
        action: event.action(),
        log: event.in_words(&fingerprint),
        at: now,
        author: Author::own(),
        authenticated: Authenticated::None,
        object_type: "FLAGTRAIL_KEY",
        object: Ref::by_id(fingerprint),
        attributes,
    };
    AuditRecord::try_new(told.into_draft())
        .expect("every required field is set, and two keys are far below the bound")
}
