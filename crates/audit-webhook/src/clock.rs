//! The wall clock that due times are written in, as an argument.

use std::fmt;
use std::sync::Arc;

use audit_record::Timestamp;

/// Tells the time in milliseconds since 1970. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The machine's.
    pub fn system() -> Self {
        Self::from_fn(|| chrono::Utc::now().timestamp_millis())
    }

    /// Another one: a test's.
    pub fn from_fn(now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.0)()
    }
}

/// A time as people read it, RFC 3339; empty for one that lies beyond the calendar.
pub(crate) fn rfc3339(millis: i64) -> String {
    Timestamp::from_micros(millis.saturating_mul(1_000)).map(|time| time.to_string()).unwrap_or_default()
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
