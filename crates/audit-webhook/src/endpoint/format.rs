//! How the body of a delivery looks. Here it is only carried; what it may be is `send`'s to say.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A format by its name, or an object with what the format needs besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Format(Value);

impl Format {
    /// Most bytes of a format, as JSON.
    pub(crate) const BYTES_MAX: usize = 64 * 1024;

    /// What was written.
    pub fn as_value(&self) -> &Value {
        &self.0
    }

    /// Whether it has the form of a format at all.
    pub(crate) fn is_well_formed(&self) -> bool {
        (self.0.is_string() || self.0.is_object()) && self.0.to_string().len() <= Self::BYTES_MAX
    }
}

impl Default for Format {
    fn default() -> Self {
        Self(Value::from("standard-webhooks"))
    }
}
