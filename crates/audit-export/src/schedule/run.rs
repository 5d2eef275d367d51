//! One run of a schedule: what it covers, whose it is, and which export it is.

use std::time::Duration;

use audit_archive::LogPlace;
use audit_digest::Sha256;
use audit_record::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use super::Schedule;

/// The kind of setting that the latest run of each schedule is, under the schedule's name.
pub const RUN_KIND: &str = "schedule_run";

/// How long a run that was claimed may take until it is asked for; then somebody else may do it.
pub const CLAIM_MAX: Duration = Duration::from_secs(3_600);

/// How long after it was claimed the export of a run may come to be on the record; then the run is made anew.
pub const RUN_MAX: Duration = Duration::from_secs(86_400);

/// The version of the document that this release writes; a higher one is not touched.
const RUN_VERSION: u32 = 1;

/// The latest run of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    v: u32,
    /// When its schedule was made: one of the same name that was made later is another.
    pub(super) of: String,
    /// Rises by one with every claim. It is part of the export's id: a run that is made anew is another export, so that
    /// whoever began it before may still end it.
    number: u64,
    /// What its schedule asked for when it was claimed ([`Schedule::question`]); absent where an earlier release wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    question: Option<String>,
    /// Where it begins to cover, RFC 3339.
    pub(super) from: String,
    /// When it was due, and where it ends to cover, RFC 3339.
    pub(super) due: String,
    /// How far the log had been looked through for what came late when `from` was chosen. The cut of the export lies at or
    /// behind it.
    reached: Vec<LogPlace>,
    /// What the runs before it hold together that were asked the same.
    covered: Option<Covered>,
    /// The process that asks for the export, by what its directory is called.
    pub(super) by: Uuid,
    /// When it said so, milliseconds since 1970.
    claimed_at_ms: i64,
    /// Whether it has asked for the export.
    pub(super) is_asked_for: bool,
    /// Whether the export is at its destination, and on the record as completed.
    pub(super) is_done: bool,
}

/// What runs that are done hold together: everything that had happened before a moment, as far as it had come to the log
/// before some places; of a schedule that says how much each run covers, of the times that they cover. What comes behind them
/// later is for the next run, however long ago it happened; of such a schedule, where it happened in the time of the runs before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Covered {
    /// Where the earliest of them begins, RFC 3339; absent where an earlier release wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    /// The moment, RFC 3339.
    pub(super) until: String,
    /// The places.
    pub(super) reached: Vec<LogPlace>,
}

/// What a run is to cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Where it begins, RFC 3339.
    pub(super) from: String,
    /// Where it ends, RFC 3339.
    pub(super) due: String,
    /// How far the log was looked through for what came late.
    pub(super) reached: Vec<LogPlace>,
}

impl Run {
    /// The run that follows on `last`, which is done or has come to nothing.
    pub(super) fn claim(
        schedule: &Schedule,
        last: Option<&Self>,
        window: Window,
        by: Uuid,
        now_ms: i64,
    ) -> Self {
        let Window { from, due, reached } = window;
        Self {
            v: RUN_VERSION,
            of: schedule.created_at.clone(),
            number: last.map_or(1, |last| last.number + 1),
            question: Some(schedule.question()),
            from,
            due,
            reached,
            covered: last.and_then(|last| last.covered_of(schedule)).cloned(),
            by,
            claimed_at_ms: now_ms,
            is_asked_for: false,
            is_done: false,
        }
    }

    /// Reads a document of `Control`; `None` when a later release wrote it.
    pub(super) fn read(document: &serde_json::Value) -> Option<Self> {
        let run: Self = serde_json::from_value(document.clone()).ok()?;
        (run.v <= RUN_VERSION).then_some(run)
    }

    /// Whether its schedule still asks for what it asked for then.
    pub(super) fn is_asked_the_same(&self, schedule: &Schedule) -> bool {
        self.question.as_ref().is_none_or(|question| *question == schedule.question())
    }

    /// What runs that are done hold together of what the schedule asks for now. Where it was changed, they hold nothing of it.
    pub(super) fn covered_of(&self, schedule: &Schedule) -> Option<&Covered> {
        self.covered.as_ref().filter(|_| self.is_asked_the_same(schedule))
    }

    /// The run once its process has asked for the export.
    pub(super) fn asked_for(self) -> Self {
        Self { is_asked_for: true, ..self }
    }

    /// The run once its export is done. One that could not cover every partition to its end adds nothing to what runs
    /// hold together: the next begins where it began, or earlier.
    pub(super) fn done(self, is_whole: bool) -> Self {
        let covered = if is_whole {
            let from = match &self.covered {
                None => Some(self.from.clone()),
                Some(covered) => covered.from.as_ref().map(|from| earlier(from, &self.from).to_owned()),
            };
            Some(Covered { from, until: self.due.clone(), reached: self.reached })
        } else {
            self.covered
        };
        Self { covered, reached: Vec::new(), is_done: true, ..self }
    }

    /// Whether whoever claimed it has had his time.
    pub(super) fn is_lost(&self, now_ms: i64) -> bool {
        let max = if self.is_asked_for { RUN_MAX } else { CLAIM_MAX };
        now_ms.saturating_sub(self.claimed_at_ms) > max.as_millis() as i64
    }

    /// The export's id: the same in every process, and in the order of time among others.
    pub(super) fn export_id(&self, schedule: &Schedule, namespace: Uuid, due_ms: i64) -> Uuid {
        let digest = Sha256::new()
            .chain_update(namespace.as_bytes())
            .chain_update(format!("{}\n{}\n{}\n{}", schedule.asked.name, self.of, self.due, self.number))
            .finalize();
        let mut random = [0; 10];
        random.copy_from_slice(&digest[..10]);
        Builder::from_unix_timestamp_millis(u64::try_from(due_ms).unwrap_or(0), &random).into_uuid()
    }
}

/// The earlier of two times.
fn earlier<'t>(one: &'t str, other: &'t str) -> &'t str {
    match (Timestamp::parse(one), Timestamp::parse(other)) {
        (Ok(at), Ok(other_at)) if other_at < at => other,
        _ => one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Format;
    use crate::schedule::{Asked, NewSchedule};

    fn daily() -> Schedule {
        let new: NewSchedule = serde_json::from_value(serde_json::json!({
            "name": "daily", "cron": "0 6 * * *", "time_zone": "UTC", "destination": "vault",
        }))
        .expect("a schedule");
        new.make(Timestamp::from_micros(0).expect("a time")).expect("a schedule")
    }

    #[test]
    fn a_run_that_could_not_cover_everything_leaves_what_runs_hold_together_as_it_was() {
        let schedule = daily();
        let run = |last: Option<&Run>, due: &str, next| {
            let reached = vec![LogPlace { partition: 0, epoch: 0, next }];
            let window = Window { from: "1970-01-01T00:00:00Z".to_owned(), due: due.to_owned(), reached };
            Run::claim(&schedule, last, window, Uuid::nil(), 0)
        };
        let first = run(None, "1970-01-01T06:00:00Z", 10).done(true);
        let covered = Covered {
            from: Some("1970-01-01T00:00:00Z".to_owned()),
            until: "1970-01-01T06:00:00Z".to_owned(),
            reached: vec![LogPlace { partition: 0, epoch: 0, next: 10 }],
        };
        assert_eq!(first.covered, Some(covered.clone()));
        let second = run(Some(&first), "1970-01-02T06:00:00Z", 20).done(false);
        assert_eq!(second.covered, Some(covered));
        let third = run(Some(&second), "1970-01-03T06:00:00Z", 30).done(true);
        assert_eq!(third.covered.map(|covered| covered.until).as_deref(), Some("1970-01-03T06:00:00Z"));
    }

    #[test]
    fn runs_hold_together_what_the_earliest_of_them_began_with() {
        let run = |last: Option<&Run>, from: &str, due: &str| {
            let window = Window { from: from.to_owned(), due: due.to_owned(), reached: Vec::new() };
            Run::claim(&daily(), last, window, Uuid::nil(), 0).done(true)
        };
        let from = |run: &Run| run.covered.as_ref().and_then(|covered| covered.from.clone());
        let first = run(None, "1970-01-02T06:00:00Z", "1970-01-03T06:00:00Z");
        let second = run(Some(&first), "1970-01-03T06:00:00Z", "1970-01-04T06:00:00Z");
        assert_eq!(from(&second).as_deref(), Some("1970-01-02T06:00:00Z"));
        let third = run(Some(&second), "1970-01-01T23:59:59.5Z", "1970-01-05T06:00:00Z");
        assert_eq!(from(&third).as_deref(), Some("1970-01-01T23:59:59.5Z"));
    }

    #[test]
    fn runs_hold_nothing_of_what_their_schedule_was_changed_to_ask_for() {
        let schedule = daily();
        let run = |schedule: &Schedule, last: Option<&Run>| {
            let window = Window {
                from: "1970-01-02T06:00:00Z".to_owned(),
                due: "1970-01-03T06:00:00Z".to_owned(),
                reached: Vec::new(),
            };
            Run::claim(schedule, last, window, Uuid::nil(), 0)
        };
        let done = run(&schedule, None).done(true);
        let changed = |change: fn(&mut Asked)| {
            let mut changed = schedule.clone();
            change(&mut changed.asked);
            changed
        };
        for (held, changed) in [
            (true, changed(|asked| asked.cron = "0 7 * * *".to_owned())),
            (true, changed(|asked| asked.format = Format::Csv)),
            (false, changed(|asked| asked.filter.project.push("b".to_owned()))),
            (false, changed(|asked| asked.text = Some("word".to_owned()))),
            (false, changed(|asked| asked.destination = "another".to_owned())),
            (false, changed(|asked| asked.covers = Some("30d".to_owned()))),
        ] {
            assert_eq!(done.covered_of(&changed).is_some(), held, "{changed:?}");
            assert_eq!(run(&changed, Some(&done)).covered.is_some(), held, "{changed:?}");
        }
        // As an earlier release wrote it.
        let earlier = Run { question: None, ..done };
        assert!(earlier.covered_of(&changed(|asked| asked.text = Some("word".to_owned()))).is_some());
    }

    #[test]
    fn a_run_that_is_made_anew_is_another_export() {
        let schedule = daily();
        let window = Window {
            from: "1970-01-01T00:00:00Z".to_owned(),
            due: "1970-01-01T06:00:00Z".to_owned(),
            reached: Vec::new(),
        };
        let first = Run::claim(&schedule, None, window.clone(), Uuid::nil(), 0);
        let again = Run::claim(&schedule, Some(&first), window, Uuid::nil(), 0);
        let id = |run: &Run| run.export_id(&schedule, Uuid::nil(), 21_600_000);
        assert_eq!(id(&first), id(&first.clone().asked_for()));
        assert_ne!(id(&first), id(&again));
    }
}
