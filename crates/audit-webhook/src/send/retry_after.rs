//! The `Retry-After` header: seconds, or an HTTP date.

use std::time::Duration;

use chrono::DateTime;
use reqwest::header::HeaderValue;

/// How long from now the receiver wants to be left alone; what is in the past is no time at all. Of the
/// three forms of an HTTP date the one in use (IMF-fixdate) is read. `None` where it is neither.
pub(crate) fn retry_after(value: &HeaderValue, now_s: i64) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a u64 holds is a very long time; the caller clamps it.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some(Duration::from_secs(u64::try_from(date.timestamp() - now_s).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::HeaderValue;
    use rstest::rstest;

    use super::retry_after;

    #[rstest]
    #[case("120", Some(120))]
    #[case("0", Some(0))]
    #[case("99999999999999999999999", Some(u64::MAX))]
    #[case("Sun, 06 Nov 1994 08:49:37 GMT", Some(37))]
    #[case("Sun, 06 Nov 1994 08:00:00 GMT", Some(0))]
    #[case("soon", None)]
    #[case("-5", None)]
    #[case("", None)]
    fn seconds_and_dates_are_read_and_nonsense_is_not(
        #[case] text: &'static str,
        #[case] seconds: Option<u64>,
    ) {
        let now_s = 784_111_740;
        assert_eq!(retry_after(&HeaderValue::from_static(text), now_s), seconds.map(Duration::from_secs));
    }
}
