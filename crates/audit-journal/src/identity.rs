//! Which log this is: written into `control` as the log's first message.

use audit_proof::{ScopeKey, TagKey};
use audit_record::RoutingKey;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::control::{ControlEvent, EventError};
use crate::error::OpenError;
use crate::message::{Message, NewMessage};

/// The kind and id that the identity has among the settings.
pub(crate) const IDENTITY_KIND: &str = "log";
pub(crate) const IDENTITY_ID: &str = "identity";

/// The highest version of [`LogIdentity`] that this release reads.
const IDENTITY_VERSION: u32 = 1;

/// The identity of a log. It is the value of a control event of kind `log` and id `identity`, the first
/// message of `control`; a new epoch is a later event of the same entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogIdentity {
    /// The version of this document; a higher one is refused.
    pub v: u32,
    /// The deployment, made up once.
    pub deployment: Uuid,
    /// N: how many partitions records are spread over, whatever the topic has by now.
    pub partitions: u32,
    /// The namespace of ids derived from a platform's ids and bodies, and the secret that the keys of tags follow
    /// from. Secret to those who may read the log.
    pub namespace: Uuid,
    /// Rises with every `flagtrail log new-epoch`; the first is 0, later ones are the second since 1970 in
    /// which they began: so they are later than those of a log that this one has replaced, too.
    pub epoch: u32,
}

impl LogIdentity {
    /// A new log's.
    pub(crate) fn new(partitions: u32) -> Self {
        let (deployment, namespace) = (Uuid::new_v4(), Uuid::new_v4());
        Self { v: IDENTITY_VERSION, deployment, partitions, namespace, epoch: 0 }
    }

    /// The same log in its next epoch.
    pub(crate) fn in_next_epoch(self) -> Self {
        let now_s = u32::try_from(chrono::Utc::now().timestamp()).unwrap_or(u32::MAX);
        Self { epoch: now_s.max(self.epoch.saturating_add(1)), ..self }
    }

    /// The key that the tags of this log's records are made with. It follows from the namespace: whoever may read
    /// the log may read the records themselves, so tags hide nothing from him, and every process that appends
    /// makes the same tags without being given a key. An order to erase is vouched for with it, too: so who may only append
    /// to the records, and not read `control`, can't give one.
    pub fn tag_key(&self) -> TagKey {
        TagKey::derive(self.namespace.as_bytes())
    }

    /// The key of one scope's tags, which is disclosed to those who audit that scope.
    pub fn scope_key(&self, scope: &RoutingKey) -> ScopeKey {
        self.tag_key().scope(scope)
    }

    /// The first message of a new log's `control`.
    pub(crate) fn first_message(&self) -> NewMessage {
        let value = serde_json::to_value(self).expect("an identity has string keys only");
        ControlEvent::new(IDENTITY_KIND, IDENTITY_ID, 0, Some(value)).message()
    }

    /// The identity after these messages of `control`, which may be all or only those whose key is the
    /// identity's, in order from the start; `None` where none is there. Of two processes that both made
    /// the log, the first in log order won.
    pub(crate) fn fold<'a>(
        messages: impl IntoIterator<Item = &'a Message>,
    ) -> Result<Option<Self>, OpenError> {
        let mut identity = None;
        let mut version = 0;
        for message in messages {
            if message.key != identity_key() {
                continue;
            }
            let event = ControlEvent::read(message)?;
            if event.base_version == version {
                version += 1;
                identity = event.value;
            }
        }
        identity.map(Self::read).transpose()
    }

    /// Reads the identity's document.
    pub(crate) fn read(value: serde_json::Value) -> Result<Self, OpenError> {
        let found = value.get("v").and_then(serde_json::Value::as_u64).unwrap_or(0) as u32;
        if found > IDENTITY_VERSION {
            return Err(OpenError::Newer { found, known: IDENTITY_VERSION });
        }
        serde_json::from_value(value).map_err(|e| {
            OpenError::Refused(format!("the log's identity in the control topic can't be read: {e}"))
        })
    }
}

/// The key of every message that concerns the identity.
pub(crate) fn identity_key() -> String {
    format!("{IDENTITY_KIND}/{IDENTITY_ID}")
}

impl From<EventError> for OpenError {
    fn from(error: EventError) -> Self {
        match error {
            EventError::Newer { found, .. } => Self::Newer { found, known: crate::control::CONTROL_VERSION },
            EventError::Unreadable { .. } => Self::Refused(error.to_string()),
        }
    }
}
