//! Which log this is: written into `control` when the log is made.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The identity of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogIdentity {
    /// The version of this document; a higher one is refused.
    pub v: u32,
    /// The deployment, made up once.
    pub deployment: Uuid,
    /// N: how many partitions records are spread over, whatever the topic has by now.
    pub partitions: u32,
    /// The namespace of ids derived from a platform's ids and bodies; secret to the deployment.
    pub namespace: Uuid,
    /// Rises with every `flagtrail log new-epoch`.
    pub epoch: u32,
}
