//! Moments as people write them: a time, a day, or how long ago.

use chrono::Duration;

use crate::Timestamp;

/// The text is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an RFC 3339 time such as 2026-08-21T17:30:00Z, a day such as 2026-08-21, or a duration back from now such as 7d, 12h or 90min"
)]
pub struct InvalidMoment;

/// Reads `2026-08-21T17:30:00Z`, `2026-08-21` (midnight UTC), or a duration such as `7d` or `90min`, which is that
/// long before `now`.
pub fn parse_moment(text: &str, now: Timestamp) -> Result<Timestamp, InvalidMoment> {
    let as_time = || Timestamp::parse(text).or_else(|_| Timestamp::parse(&format!("{text}T00:00:00Z"))).ok();
    let ago = || {
        let ago = Duration::from_std(humantime::parse_duration(text).ok()?).ok()?;
        Timestamp::try_new(now.to_datetime().checked_sub_signed(ago)?).ok()
    };
    as_time().or_else(ago).ok_or(InvalidMoment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_moment_is_a_time_a_day_or_a_duration_back_from_now() {
        let now = at("2026-11-21T12:00:00Z");
        for (text, expected) in [
            ("2026-01-01T00:00:00+01:00", "2025-12-31T23:00:00Z"),
            ("2026-08-21T17:30:57.006318+02:00", "2026-08-21T15:30:57.006318Z"),
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("7d", "2026-11-14T12:00:00Z"),
            ("90m", "2026-11-21T10:30:00Z"),
            ("1h 30min", "2026-11-21T10:30:00Z"),
        ] {
            assert_eq!(parse_moment(text, now), Ok(at(expected)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_examples() {
        let now = at("2026-11-21T12:00:00Z");
        for text in ["", "d", "-1d", "7", "yesterday", "99999999999999999w", "900y", "7ж"] {
            assert_eq!(parse_moment(text, now), Err(InvalidMoment), "{text}");
        }
        assert!(InvalidMoment.to_string().contains("7d"));
    }
}
