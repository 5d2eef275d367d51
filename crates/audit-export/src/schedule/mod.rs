//! Exports that are made again and again: at the times of a cron expression, read in a named time zone.
//!
//! A schedule is a setting. One process makes each of its runs: whoever is first writes to `control` that the run is his,
//! naming the version before, and of several the first in log order is. The export's id comes from the claim, so however often
//! a process asks for it, it is one export. If we crash after the claim, the same process finds it on its next start and goes on;
//! if it does not come back, another claims the run anew after [`CLAIM_MAX`].
//!
//! A run is done when the log says that its export is: that record is appended once the bag is at its destination. Until then
//! none follows. One that is not done [`RUN_MAX`] after its claim is made anew, as another export, by whoever looks first: its
//! machine may be gone. If that one comes back and ends its export all the same, there are two that hold the same.
//!
//! **Runs of a schedule together hold every record that it asks for.** Each begins where the last that is done ended, or
//! earlier: at the oldest record that came to the log since that one was claimed (see [`late`]). So exports may overlap, and what
//! each covers is in its manifest. Runs that were missed, or came to nothing, are made up for by one export, for the latest due time.
//! Of a schedule that says how much each run `covers`, each holds what happened so long before its due time, and begins earlier
//! only for what would be in no export otherwise: the time of runs that were missed, and what came late into the time of runs
//! before. What lies between the times that they cover was never asked for. What happened before a schedule was made, or before
//! the first of the times that its runs cover, is in none, whenever it comes.
//!
//! A schedule that stands in a file may be changed. Where it then asks for other records or brings them elsewhere, what its runs
//! hold is nothing of that: it begins anew, where it would have begun when it was made.
//!
//! Where a clock is put forward over a due time, the run is due right after the gap; where it is put back, a time that comes
//! twice is due once, the first time.

mod late;
mod run;
mod scheduler;
mod times;

use std::collections::BTreeMap;
use std::time::Duration;

use audit_digest::Sha256;
use audit_record::{Filter, Timestamp};
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};

use crate::payload::{Compression, Format};

use self::run::Run;
pub use self::run::{CLAIM_MAX, RUN_KIND, RUN_MAX};
pub use self::scheduler::Scheduler;
use self::times::{InvalidTimes, Times};

/// The kind of setting that schedules are.
pub const SCHEDULE_KIND: &str = "schedule";

/// The version of the document that this release writes; a higher one is not touched.
const SCHEDULE_VERSION: u32 = 1;

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Longest that one run may cover: a hundred years. None begins before 1970.
const COVERS_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

/// A schedule to be made: what is asked for, and no field beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSchedule(Asked);

impl<'de> Deserialize<'de> for NewSchedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Strict {
            #[serde(flatten)]
            asked: Asked,
            /// What is none of its fields.
            #[serde(flatten)]
            unknown: BTreeMap<String, IgnoredAny>,
        }
        let Strict { asked, unknown } = Strict::deserialize(deserializer)?;
        match unknown.into_keys().next() {
            Some(field) => Err(D::Error::custom(format!("unknown field `{field}`"))),
            None => Ok(Self(asked)),
        }
    }
}

fn usual_format() -> Format {
    Format::Ndjson
}

/// A schedule, as it stands in `Control`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    v: u32,
    /// What was asked for.
    #[serde(flatten)]
    pub asked: Asked,
    /// When it was made: nothing was due before.
    pub created_at: String,
    /// The configuration that it stands in. Then only that changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_in: Option<String>,
}

/// What is asked for. Read as it is stored, where a field that a later release adds is no error; [`NewSchedule`] is strict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its name, which is its id: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// When, as a cron expression of five fields: minute, hour, day of the month, month, day of the week.
    pub cron: String,
    /// The time zone that it is read in, by its IANA name such as `Europe/Berlin`.
    pub time_zone: String,
    /// The destination in the configuration that exports are brought to.
    pub destination: String,
    /// Which records.
    #[serde(default)]
    pub filter: Filter,
    /// Words that must all occur.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How long before its due time a run begins to cover, such as `30d`; earlier, where runs were missed, or records came late
    /// into the time of runs before. Absent: where the last run that is done ended, or earlier, where records came late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covers: Option<String>,
    /// The format.
    #[serde(default = "usual_format")]
    pub format: Format,
    /// How its files are compressed.
    #[serde(default)]
    pub compression: Compression,
}

/// What is wrong with a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct InvalidSchedule {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it, to read on from the field's name.
    pub problem: String,
}

impl NewSchedule {
    /// Checks it. Whether there is such a destination is for whoever has the configuration to say.
    pub fn make(self, now: Timestamp) -> Result<Schedule, InvalidSchedule> {
        let Self(asked) = self;
        let wrong = |field, problem: String| InvalidSchedule { field, problem };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if asked.name.is_empty() || asked.name.len() > NAME_BYTES_MAX || !asked.name.chars().all(fits) {
            let problem =
                format!("must be 1 to {NAME_BYTES_MAX} letters, digits, dots, dashes and underscores");
            return Err(wrong("name", problem));
        }
        if asked.destination.is_empty() {
            return Err(wrong("destination", "must name a destination of the configuration".to_owned()));
        }
        Times::read(&asked.cron, &asked.time_zone)
            .map_err(|error| wrong(error.field(), error.to_string()))?;
        covers(asked.covers.as_deref()).map_err(|problem| wrong("covers", problem))?;
        asked.format.fits(asked.compression).map_err(|error| wrong("compression", error.to_string()))?;
        Ok(Schedule { v: SCHEDULE_VERSION, asked, created_at: now.to_string(), declared_in: None })
    }
}

impl Schedule {
    /// Reads a document of `Control`; `None` when a later release wrote it.
    pub fn read(document: &serde_json::Value) -> Option<Self> {
        let v = document.get("v")?.as_u64()?;
        if v > u64::from(SCHEDULE_VERSION) {
            return None;
        }
        serde_json::from_value(document.clone()).ok()
    }

    /// When it is due next after `after`, RFC 3339 in its own time zone; `None` where it never is again.
    pub fn next_due(&self, after: Timestamp) -> Option<String> {
        let times = Times::read(&self.asked.cron, &self.asked.time_zone).ok()?;
        times.next_after(to_utc(after)).map(|due| due.to_rfc3339())
    }

    /// Up to when the runs that are done hold together everything that is asked for, RFC 3339, by what stands in `Control` under
    /// [`RUN_KIND`]. `None` where none is done yet; nor, where it was changed, since then.
    pub fn covered_until(&self, run: &serde_json::Value) -> Option<String> {
        let run = Run::read(run)?;
        run.covered_of(self).map(|covered| covered.until.clone())
    }

    /// What exports have to be of to go on from one another: which records, how much of them, and at which destination. As the
    /// hexadecimal SHA-256 of it.
    fn question(&self) -> String {
        let Asked { filter, text, covers, destination, .. } = &self.asked;
        let asked = serde_json::to_vec(&(filter, text, covers, destination));
        hex::encode(Sha256::digest(asked.expect("words and lists of them")))
    }

    fn times(&self) -> Result<Times, InvalidTimes> {
        Times::read(&self.asked.cron, &self.asked.time_zone)
    }
}

fn to_utc(at: Timestamp) -> chrono::DateTime<chrono::Utc> {
    at.to_datetime()
}

/// A duration such as `30d` or `12h`.
fn covers(text: Option<&str>) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    let problem = || "must be a duration such as 12h, 30d or 52w".to_owned();
    let (number, unit_s) = match text.char_indices().next_back() {
        Some((at, 'h')) => (&text[..at], 3_600),
        Some((at, 'd')) => (&text[..at], 86_400),
        Some((at, 'w')) => (&text[..at], 7 * 86_400),
        _ => return Err(problem()),
    };
    let number: u64 = number.parse().map_err(|_| problem())?;
    let covers = number.checked_mul(unit_s).map(Duration::from_secs);
    let covers = covers.filter(|covers| !covers.is_zero() && *covers <= COVERS_MAX);
    covers.map(Some).ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_is_not_known_is_refused_of_a_new_schedule_and_passed_over_in_a_stored_one() {
        let asked = json!({
            "name": "daily", "cron": "0 6 * * *", "time_zone": "UTC", "destination": "vault", "covers": "30d",
        });
        let new: NewSchedule = serde_json::from_value(asked.clone()).expect("a schedule");
        let made = new.make(Timestamp::from_micros(0).expect("a time")).expect("a schedule");
        let mut misspelt = asked;
        misspelt["cover"] = json!("30d");
        let refused = serde_json::from_value::<NewSchedule>(misspelt).expect_err("there is no such field");
        assert!(refused.to_string().contains("`cover`"), "{refused}");

        let mut stored = serde_json::to_value(&made).expect("JSON");
        assert_eq!(Schedule::read(&stored).as_ref(), Some(&made));
        stored["later"] = json!({"field": 1});
        assert_eq!(Schedule::read(&stored), Some(made));
    }
}
