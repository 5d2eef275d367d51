//! Switching an endpoint off, because its receiver answered 410 or has failed for too long: a settings change
//! like any other, in one transaction with the record that tells of it.

use std::sync::Arc;
use std::time::Duration;

use audit_journal::{SettingsChange, WriteError};

use super::Shared;
use crate::endpoint::{Endpoint, KIND};
use crate::live::Live;
use crate::operational;

/// How long to wait before trying again to write.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Disables the endpoint at the version that was sent to, however long the log takes to accept it.
///
/// The delivery that was answered so stays pending, and nothing more begins meanwhile. If we crash here,
/// it is tried again, answered again, and we are back.
pub(crate) async fn disable(shared: Arc<Shared>, live: Arc<Live>, because: String) {
    let endpoint =
        Endpoint { enabled: false, disabled_because: Some(because.clone()), ..live.endpoint.clone() };
    let record = operational::disabled(&endpoint, &because);
    let document = match endpoint.to_stored(&shared.keyring) {
        Ok(document) => document,
        Err(error) => {
            // An earlier release wrote its secrets in clear. In this process it stays stopped.
            tracing::error!(endpoint = %endpoint.id, %error, "an endpoint can't be disabled");
            return;
        }
    };
    loop {
        let change = SettingsChange {
            kind: KIND.to_owned(),
            id: endpoint.id.to_string(),
            base_version: live.version,
            value: Some(document.clone()),
        };
        match shared.control.write(change, Some(&record)).await {
            Ok(_) => {
                tracing::warn!(endpoint = %endpoint.id, name = endpoint.name, because, "an endpoint was disabled");
                return;
            }
            // Somebody changed it meanwhile, or another partition of it was quicker: what stands there
            // now counts, and if it is still enabled the next failure brings us here again.
            Err(WriteError::Conflict(_)) => return,
            Err(error) => {
                tracing::warn!(endpoint = %endpoint.id, %error, "an endpoint could not be disabled yet");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}
