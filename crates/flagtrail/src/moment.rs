//! Moments on the command line: a time, or how long ago.

use audit_record::Timestamp;
use chrono::{NaiveDate, Utc};

/// Reads `2026-08-21T17:30:00Z`, `2026-08-21` (midnight UTC), or a duration such as `7d` or `90min`, which is
/// that long ago.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = Timestamp::parse(text) {
        return Ok(moment);
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        let midnight = day.and_hms_opt(0, 0, 0).ok_or("no such day")?.and_utc();
        return Timestamp::try_new(midnight).map_err(|error| error.to_string());
    }
    let wrong = || {
        format!(
            "{text:?} is neither a time (2026-08-21T17:30:00Z), a day (2026-08-21) nor a duration (7d, 12h, 90min)"
        )
    };
    let ago = humantime::parse_duration(text).map_err(|_| wrong())?;
    let moment = chrono::Duration::from_std(ago)
        .ok()
        .and_then(|ago| Utc::now().checked_sub_signed(ago))
        .ok_or_else(wrong)?;
    Timestamp::try_new(moment).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_time_a_day_and_a_duration_are_moments() {
        assert_eq!(
            parse("2026-08-21T17:30:57.006318+02:00").unwrap().to_string(),
            "2026-08-21T15:30:57.006318Z"
        );
        assert_eq!(parse("2026-08-21").unwrap().to_string(), "2026-08-21T00:00:00.000000Z");
        assert!(parse("7d").unwrap() < parse("6d").unwrap());
    }

    #[test]
    fn anything_else_is_refused_with_examples() {
        for text in ["yesterday", "7", "", "999999999999999999y"] {
            assert!(parse(text).unwrap_err().contains("7d"), "{text}");
        }
    }
}
