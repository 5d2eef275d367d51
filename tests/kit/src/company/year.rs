//! The year, and how its moments are written.

use chrono::{DateTime, SecondsFormat, TimeDelta, TimeZone, Utc};

/// A moment of the year.
pub type Moment = DateTime<Utc>;

/// How many days it has.
pub(super) const DAYS: i64 = 365;

/// Its first moment. It lies in the past on any machine: what is dated at receipt is dated after it.
pub fn begin() -> Moment {
    Utc.with_ymd_and_hms(2025, 1, 1, 0, 0, 0).single().expect("a moment")
}

/// The moment after its last.
pub fn end() -> Moment {
    begin() + TimeDelta::days(DAYS)
}

/// So many seconds into a day, which counts from 0.
pub(super) fn at(day: i64, second: i64) -> Moment {
    begin() + TimeDelta::days(day) + TimeDelta::seconds(second)
}

/// RFC 3339 in UTC, to the microsecond, as records have it.
pub fn rfc3339(at: Moment) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The same moment as a clock `hours` east of Greenwich shows it.
pub(super) fn rfc3339_east(at: Moment, hours: i32) -> String {
    let zone = chrono::FixedOffset::east_opt(hours * 3_600).expect("an offset within a day");
    at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Micros, false)
}
