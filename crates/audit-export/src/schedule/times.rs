//! When a schedule is due: cron expression and time zone.
//!
//! The expression is about what a clock on the wall shows, and is searched as that; when a clock of the zone shows it is
//! decided here. So every time of the day is due once, and due times are in order.

use chrono::{DateTime, NaiveDateTime, SubsecRound, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// The longest gap that clocks are put forward over, in minutes: whole days have been left out.
const GAP_MINUTES_MAX: i64 = 25 * 60;

/// The longest that clocks are put back by.
const PUT_BACK_MAX: TimeDelta = TimeDelta::hours(3);

/// Most due times that are looked at in one search: those of every minute of the hours that come twice.
const STEPS_MAX: usize = 400;

/// Why there are no such times.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidTimes {
    /// No expression.
    #[error(
        "is no cron expression of five fields such as \"0 6 * * 1\" (minute, hour, day, month, day of the week): {0}"
    )]
    Cron(String),
    /// No zone.
    #[error("is no IANA time zone such as Europe/Berlin or UTC")]
    Zone,
    /// Nothing ever comes.
    #[error("names a time that never comes")]
    Never,
}

impl InvalidTimes {
    /// The field that is wrong.
    pub(super) fn field(&self) -> &'static str {
        match self {
            Self::Cron(_) | Self::Never => "cron",
            Self::Zone => "time_zone",
        }
    }
}

/// The times at which something is due.
#[derive(Clone, Debug)]
pub(super) struct Times {
    cron: Cron,
    zone: Tz,
}

impl Times {
    /// Reads an expression of five fields and the name of a zone.
    pub(super) fn read(cron: &str, zone: &str) -> Result<Self, InvalidTimes> {
        let zone: Tz = zone.parse().map_err(|_| InvalidTimes::Zone)?;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(cron).map_err(|error| InvalidTimes::Cron(error.to_string()))?;
        let times = Self { cron, zone };
        if times.next_after(DateTime::UNIX_EPOCH).is_none() { Err(InvalidTimes::Never) } else { Ok(times) }
    }

    /// The first due time after a moment.
    pub(super) fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Tz>> {
        let mut local = self.local(after);
        for _ in 0..STEPS_MAX {
            local = self.cron.find_next_occurrence(&local.and_utc(), false).ok()?.naive_utc();
            let due = self.moment(local)?;
            // Where the clock was put back, what comes twice may have been before.
            if due.to_utc() > after {
                return Some(due);
            }
        }
        None
    }

    /// The latest due time after `after` and not after `until`. What lies between was missed.
    pub(super) fn latest(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let first = self.next_after(after)?.to_utc();
        if first > until {
            return None;
        }
        // From beyond any hour that comes twice: what was due in it the first time may have a later time of the day.
        let mut local = self.local(until) + PUT_BACK_MAX;
        for _ in 0..STEPS_MAX {
            let Ok(before) = self.cron.find_previous_occurrence(&local.and_utc(), false) else { break };
            local = before.naive_utc();
            let due = self.moment(local)?.to_utc();
            if due <= until {
                return Some(due.max(first));
            }
        }
        Some(first)
    }

    /// What the clocks of the zone show: whole seconds, for croner leaves what is below a second in what it finds.
    fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        at.with_timezone(&self.zone).naive_local().trunc_subsecs(0)
    }

    /// When the clocks of the zone first show a time; right after the gap, where they are put forward over it.
    fn moment(&self, local: NaiveDateTime) -> Option<DateTime<Tz>> {
        (0..=GAP_MINUTES_MAX).find_map(|minutes| {
            self.zone.from_local_datetime(&(local + TimeDelta::minutes(minutes))).earliest()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("a time").to_utc()
    }

    /// The due times after one moment and up to another.
    fn due(cron: &str, zone: &str, after: &str, until: &str) -> Vec<String> {
        let times = Times::read(cron, zone).expect("times");
        let (mut at, until) = (utc(after), utc(until));
        let mut due = Vec::new();
        while let Some(next) = times.next_after(at).filter(|next| *next <= until) {
            at = next.to_utc();
            due.push(next.to_rfc3339());
        }
        due
    }

    #[test]
    fn a_time_is_read_in_its_zone_in_winter_and_in_summer() {
        let mondays = due("0 6 * * 1", "Europe/Berlin", "2026-03-20T00:00:00Z", "2026-04-01T00:00:00Z");
        assert_eq!(mondays, ["2026-03-23T06:00:00+01:00", "2026-03-30T06:00:00+02:00"]);
        let months = due("0 0 1 * *", "America/New_York", "2026-10-15T00:00:00Z", "2026-12-02T00:00:00Z");
        assert_eq!(months, ["2026-11-01T00:00:00-04:00", "2026-12-01T00:00:00-05:00"]);
    }

    #[test]
    fn what_falls_into_the_gap_of_a_clock_put_forward_is_due_right_after_it() {
        // On 29 March 2026 two o'clock is three o'clock in Berlin.
        let nights = due("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z");
        assert_eq!(
            nights,
            ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
        );
        let hours = due("0 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z");
        assert_eq!(hours, ["2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"]);
    }

    #[test]
    fn a_time_that_comes_twice_is_due_the_first_time() {
        // On 25 October 2026 three o'clock is two o'clock in Berlin.
        let nights = due("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(nights, ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]);
        let hours = due("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T02:00:00Z");
        assert_eq!(hours, ["2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00"]);
        // Asked within the hour that comes again.
        let later = due("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(later, ["2026-10-26T02:30:00+01:00"]);
        let nightly = Times::read("30 2 * * *", "Europe/Berlin").expect("times");
        let first_time = Some(utc("2026-10-25T00:30:00Z"));
        assert_eq!(nightly.latest(utc("2026-10-24T12:00:00Z"), utc("2026-10-25T01:10:00Z")), first_time);
    }

    #[test]
    fn of_what_was_missed_the_latest_is_due() {
        let times = Times::read("0 6 * * *", "UTC").expect("times");
        let latest = |after, until| times.latest(utc(after), utc(until)).map(|due| due.to_rfc3339());
        assert_eq!(latest("2026-11-01T06:00:00Z", "2026-11-02T05:59:59Z"), None);
        let sixth = Some("2026-11-06T06:00:00+00:00".to_owned());
        assert_eq!(latest("2026-11-01T06:00:00Z", "2026-11-06T06:00:00Z"), sixth);
        assert_eq!(latest("2026-11-01T06:00:00Z", "2026-11-07T05:00:00Z"), sixth);
        // Right after a gap, and later.
        let nights = Times::read("30 2 * * *", "Europe/Berlin").expect("times");
        let due = nights.latest(utc("2026-03-28T12:00:00Z"), utc("2026-03-29T01:10:00Z"));
        assert_eq!(due, Some(utc("2026-03-29T01:00:00Z")));
        assert_eq!(nights.latest(utc("2026-03-29T01:00:00Z"), utc("2026-03-29T12:00:00Z")), None);
    }

    #[test]
    fn due_times_are_on_whole_seconds_though_they_are_searched_from_between_two() {
        let times = Times::read("0 6 * * *", "UTC").expect("times");
        let next = |after| times.next_after(utc(after)).map(|due| due.to_rfc3339());
        let second = Some("2026-11-02T06:00:00+00:00".to_owned());
        assert_eq!(next("2026-11-01T06:00:00.483920Z"), second);
        assert_eq!(next("2026-11-02T05:59:59.999999Z"), second);
        let latest = |until| times.latest(utc("2026-11-01T09:00:00.483920Z"), utc(until));
        assert_eq!(latest("2026-11-02T05:59:59.999Z"), None);
        for until in ["2026-11-02T06:00:00Z", "2026-11-02T06:00:00.25Z", "2026-11-02T17:00:00.75Z"] {
            assert_eq!(latest(until), Some(utc("2026-11-02T06:00:00Z")), "{until}");
        }
    }

    #[test]
    fn what_is_no_expression_no_zone_or_never_comes_is_refused() {
        for cron in ["", "* * * *", "0 0 6 * * 1", "61 * * * *", "hourly"] {
            let refused = Times::read(cron, "UTC").expect_err(cron);
            assert_eq!(refused.field(), "cron", "{cron}: {refused}");
        }
        assert_eq!(Times::read("0 6 * * *", "Berlin").expect_err("no zone").field(), "time_zone");
        assert_eq!(Times::read("0 0 30 2 *", "UTC").expect_err("never").field(), "cron");
    }
}
