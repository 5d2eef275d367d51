//! A moment in UTC with microseconds, as records carry it.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike, Utc};

/// A moment in UTC, microsecond precision, between the years 1970 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime<Utc>);

/// The text or moment can't be a [`Timestamp`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Not RFC 3339.
    #[error("must be an RFC 3339 time with an offset, such as 2026-08-21T17:30:57.006318Z")]
    Format,
    /// Outside 1970 to 9999.
    #[error("must lie between the years 1970 and 9999")]
    Range,
}

impl Timestamp {
    /// Cuts to microseconds and checks the range. A leap second counts as the second after it, as in POSIX
    /// time, so that every moment has one text and one number.
    pub fn try_new(moment: DateTime<Utc>) -> Result<Self, TimestampError> {
        Self::from_micros(moment.timestamp_micros())
    }

    /// Reads RFC 3339 with any offset.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let moment = DateTime::parse_from_rfc3339(text).map_err(|_| TimestampError::Format)?;
        Self::try_new(moment.with_timezone(&Utc))
    }

    /// From microseconds since 1970.
    pub fn from_micros(micros: i64) -> Result<Self, TimestampError> {
        let moment = DateTime::from_timestamp_micros(micros).ok_or(TimestampError::Range)?;
        if (1970..=9999).contains(&moment.year()) { Ok(Self(moment)) } else { Err(TimestampError::Range) }
    }

    /// Microseconds since 1970.
    pub fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    /// The same moment for arithmetic.
    pub fn to_datetime(self) -> DateTime<Utc> {
        self.0
    }
}

/// What a moment's text has: `2026-08-21T17:30:57.006318Z`.
const TEXT_BYTES: usize = 27;

impl Timestamp {
    /// RFC 3339, always six digits and `Z`: text order is time order. Written by hand, because every record on
    /// its way to the log has three of them.
    fn text(self) -> [u8; TEXT_BYTES] {
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let mut put = |at: usize, digits: usize, mut number: u32| {
            for place in text[at..at + digits].iter_mut().rev() {
                *place = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        put(0, 4, self.0.year().unsigned_abs());
        put(5, 2, self.0.month());
        put(8, 2, self.0.day());
        put(11, 2, self.0.hour());
        put(14, 2, self.0.minute());
        put(17, 2, self.0.second());
        put(20, 6, self.0.timestamp_subsec_micros());
        text
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, always six digits and `Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).map_err(|_| fmt::Error)?)
    }
}
