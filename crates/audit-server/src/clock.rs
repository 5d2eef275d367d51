//! The present moment, as records carry it.

use audit_record::Timestamp;
use chrono::Utc;

/// Now, in microseconds.
pub(crate) fn now() -> Timestamp {
    Timestamp::try_new(Utc::now()).expect("the system's clock stands between the years 1970 and 9999")
}
