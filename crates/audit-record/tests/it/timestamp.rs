//! Times.

use audit_record::{Timestamp, TimestampError};
use chrono::SecondsFormat;
use proptest::prelude::*;
use rstest::rstest;

#[rstest]
#[case::as_it_stands_on_the_log("2026-08-21T17:30:57.006318Z", "2026-08-21T17:30:57.006318Z")]
#[case::no_fraction("2026-08-21T17:30:57Z", "2026-08-21T17:30:57.000000Z")]
#[case::milliseconds("2026-08-21T17:30:57.5Z", "2026-08-21T17:30:57.500000Z")]
#[case::nanoseconds_are_cut_not_rounded("2026-08-21T17:30:57.999999999Z", "2026-08-21T17:30:57.999999Z")]
#[case::offset("2026-08-21T01:30:00+02:00", "2026-08-20T23:30:00.000000Z")]
#[case::negative_offset_of_half_hours("2026-08-21T01:30:00-03:30", "2026-08-21T05:00:00.000000Z")]
#[case::unknown_local_offset("2026-08-21T01:30:00-00:00", "2026-08-21T01:30:00.000000Z")]
#[case::lower_case("2026-08-21t01:30:00z", "2026-08-21T01:30:00.000000Z")]
#[case::leap_second_counts_as_the_next("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z")]
#[case::within_a_leap_second("2016-12-31T23:59:60.25Z", "2017-01-01T00:00:00.250000Z")]
#[case::leap_day("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z")]
#[case::first_moment("1969-12-31T23:00:00-01:00", "1970-01-01T00:00:00.000000Z")]
#[case::last_moment("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z")]
fn a_time_is_read_and_written_in_utc_with_six_digits(#[case] text: &str, #[case] expected: &str) {
    let time = Timestamp::parse(text).expect("a time");
    assert_eq!(time.to_string(), expected);
    assert_eq!(Timestamp::parse(expected), Ok(time), "its text reads back");
    assert_eq!(Timestamp::from_micros(time.micros()), Ok(time), "its number reads back");
}

#[rstest]
#[case::year_10000("10000-01-01T00:00:00Z", TimestampError::Format)]
#[case::year_10000_in_utc("9999-12-31T23:30:00-01:00", TimestampError::Range)]
#[case::leap_second_into_the_year_10000("9999-12-31T23:59:60Z", TimestampError::Range)]
#[case::year_1("0001-01-01T00:00:00Z", TimestampError::Range)]
#[case::before_1970("1969-12-31T23:59:59.999999Z", TimestampError::Range)]
#[case::thirty_february("2026-02-30T00:00:00Z", TimestampError::Format)]
#[case::no_leap_day("2026-02-29T00:00:00Z", TimestampError::Format)]
#[case::hour_24("2026-01-01T24:00:00Z", TimestampError::Format)]
#[case::no_offset("2026-01-01T00:00:00", TimestampError::Format)]
#[case::date_only("2026-01-01", TimestampError::Format)]
#[case::empty("", TimestampError::Format)]
#[case::words("yesterday", TimestampError::Format)]
#[case::a_number("1755797457", TimestampError::Format)]
fn an_absurd_time_is_refused(#[case] text: &str, #[case] error: TimestampError) {
    assert_eq!(Timestamp::parse(text), Err(error));
}

#[test]
fn numbers_outside_the_range_are_refused_without_overflow() {
    for micros in [i64::MIN, -1, 253_402_300_800_000_000, i64::MAX] {
        assert_eq!(Timestamp::from_micros(micros), Err(TimestampError::Range), "{micros}");
    }
}

#[test]
fn text_order_is_time_order() {
    let times = [
        "1970-01-01T00:00:00Z",
        "1999-12-31T23:59:59.999999Z",
        "2026-01-01T00:00:00Z",
        "9999-01-01T00:00:00Z",
    ];
    let times: Vec<Timestamp> = times.iter().map(|text| Timestamp::parse(text).expect("a time")).collect();
    assert!(times.is_sorted());
    assert!(times.iter().map(ToString::to_string).is_sorted());
}

proptest! {
    #[test]
    fn the_text_of_any_moment_is_what_chrono_writes_and_reads_back(micros in 0_i64..253_402_300_800_000_000) {
        let time = Timestamp::from_micros(micros).expect("in range");
        prop_assert_eq!(time.to_string(), time.to_datetime().to_rfc3339_opts(SecondsFormat::Micros, true));
        prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
    }
}
