//! Asks for the exports that are due.

use std::collections::BTreeSet;
use std::time::Duration;

use audit_archive::{Query, Reader};
use audit_journal::{Control, SettingsChange, WriteError};
use audit_record::{Timestamp, TimestampError};
use chrono::{DateTime, SecondsFormat, Utc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::late::{self, Late};
use super::run::{Covered, RUN_KIND, Run, Window};
use super::{SCHEDULE_KIND, Schedule, covers, to_utc};
use crate::jobs::ExportJobs;
use crate::manifest::QueryText;
use crate::record::{completed_whole, completion_id};
use crate::request::{ExportOrder, ExportState};

/// How often it is looked for what is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Most problems that are remembered as told; beyond, they are told again.
const TOLD_MAX: usize = 256;

/// Asks for what schedules say, in one process of those that make exports.
#[derive(Debug)]
pub struct Scheduler {
    control: Control,
    jobs: ExportJobs,
    /// Of an archive of the log: it tells what came late, and which exports are completed.
    reader: Reader,
    namespace: Uuid,
    stop: CancellationToken,
    /// What problems have been told of: each once.
    told: BTreeSet<String>,
}

impl Scheduler {
    /// `namespace` is the deployment's.
    pub fn new(control: Control, jobs: ExportJobs, reader: Reader, namespace: Uuid) -> Self {
        let stop = CancellationToken::new();
        Self { control, jobs, reader, namespace, stop, told: BTreeSet::new() }
    }

    /// Asks for exports until told to stop. `now_ms` tells the time, in milliseconds since 1970.
    pub async fn run(mut self, now_ms: impl Fn() -> i64, shutdown: CancellationToken) {
        self.stop = shutdown.clone();
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(look.tick()).await.is_some() {
            self.look(now_ms()).await;
        }
    }

    /// Looks after the runs that are under way, and asks for everything that is due now.
    pub async fn look(&mut self, now_ms: i64) {
        for entity in self.control.list(SCHEDULE_KIND) {
            let Some(schedule) = Schedule::read(&entity.value) else {
                self.tell(&entity.id, "it was written by a later release: use that release");
                continue;
            };
            if let Err(problem) = self.look_at(&schedule, now_ms).await {
                self.tell(&schedule.asked.name, &problem);
            }
        }
        self.forget_runs_of_deleted().await;
    }

    async fn look_at(&self, schedule: &Schedule, now_ms: i64) -> Result<(), String> {
        let name = &schedule.asked.name;
        if self.jobs.destinations().get(&schedule.asked.destination).is_none() {
            return Err(format!(
                "this process has no destination {:?} in its configuration, so another has to make its exports",
                schedule.asked.destination
            ));
        }
        let entity = self.control.get(RUN_KIND, name);
        let version = entity.as_ref().map_or(0, |entity| entity.version);
        let last = match &entity {
            Some(entity) => {
                Some(Run::read(&entity.value).ok_or("its last run was written by a later release")?)
            }
            None => None,
        };
        let (last, version) = match last.filter(|run| run.of == schedule.created_at) {
            Some(run) if !run.is_done => match self.go_on(schedule, run, version, now_ms).await? {
                Some((over, version)) => (Some(over), version),
                None => return Ok(()),
            },
            last => (last, version),
        };
        self.follow_on(schedule, last, version, now_ms).await
    }

    /// Looks after a run that is not done. `Some` with the version that stands when it is over: it is done, or came to nothing
    /// and is to be made anew.
    async fn go_on(
        &self,
        schedule: &Schedule,
        run: Run,
        version: u64,
        now_ms: i64,
    ) -> Result<Option<(Run, u64)>, String> {
        let id = self.export_id(schedule, &run)?;
        let is_ours = run.by == self.jobs.instance();
        if let Some(is_whole) = self.completed(&id).await? {
            if !is_whole {
                tracing::warn!(
                    schedule = schedule.asked.name,
                    export = %id,
                    "a scheduled export does not cover every partition to its end: the next one makes up for it"
                );
            }
            // It was asked for twice, because it could not be written down that it was.
            if is_ours
                && self.has_failed(&id)
                && let Err(problem) = self.discard(&id).await
            {
                tracing::warn!(export = %id, problem, "what is left of an export that is done can't be removed");
            }
            let done = run.done(is_whole);
            return match self.write(&schedule.asked.name, &done, version).await {
                Ok(version) => Ok(Some((done, version))),
                // Another process saw it, too.
                Err(WriteError::Conflict(_)) => Ok(None),
                Err(error) => Err(format!("that its run is done can't be written: {error}")),
            };
        }
        let is_lost = run.is_lost(now_ms);
        if !is_ours {
            return Ok(is_lost.then_some((run, version)));
        }
        if !run.is_asked_for {
            // We crashed, or could not write, between the claim and here.
            if !run.is_asked_the_same(schedule) {
                // Its window is that of another question: it is claimed anew.
                return Ok(Some((run, version)));
            }
            return self.ask(schedule, run, version).await.map(|()| None);
        }
        match self.jobs.get(&id.to_string()).map(|(_, state)| state) {
            // Once it is done, the archive brings the record of it.
            Some(ExportState::Waiting | ExportState::Running { .. } | ExportState::Done { .. }) => Ok(None),
            Some(ExportState::Failed { problem }) if !is_lost => {
                Err(format!("export {id} of its run failed, and is tried again: {problem}"))
            }
            Some(ExportState::Failed { .. }) => Ok(self.discard(&id).await?.then_some((run, version))),
            // It was brought away, and the archive will say so; or somebody has deleted it.
            None => Ok(is_lost.then_some((run, version))),
        }
    }

    /// Claims the run that is due after `last`, or that makes up for it, and asks for its export.
    async fn follow_on(
        &self,
        schedule: &Schedule,
        last: Option<Run>,
        version: u64,
        now_ms: i64,
    ) -> Result<(), String> {
        let times = schedule.times().map_err(|error| error.to_string())?;
        let last_due = moment(last.as_ref().map_or(&schedule.created_at, |run| &run.due))?;
        let now = DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
        let due = match times.latest(last_due, now) {
            Some(due) => due,
            None if last.as_ref().is_some_and(|run| !run.is_done) => last_due,
            None => return Ok(()),
        };
        let covered = last.as_ref().and_then(|run| run.covered_of(schedule)).cloned();
        let Some(window) = self.window(schedule, due, covered).await? else { return Ok(()) };
        let run = Run::claim(schedule, last.as_ref(), window, self.jobs.instance(), now_ms);
        match self.write(&schedule.asked.name, &run, version).await {
            // If we crash here, the next start finds the claim to be its own.
            Ok(version) => self.ask(schedule, run, version).await,
            // Another process was faster.
            Err(WriteError::Conflict(_)) => Ok(()),
            // The next look shows whether it was written.
            Err(error) => Err(format!("its run can't be claimed: {error}")),
        }
    }

    /// What the run of a due time has to cover, so that with the runs before it nothing is left out. `None`: told to stop.
    async fn window(
        &self,
        schedule: &Schedule,
        due: DateTime<Utc>,
        covered: Option<Covered>,
    ) -> Result<Option<Window>, String> {
        let covers = covers(schedule.asked.covers.as_deref())?;
        let time = |text: &str| Timestamp::parse(text).map_err(|error| no_time(text, error));
        let until = covered.as_ref().map(|covered| time(&covered.until)).transpose()?;
        // What happened before the first of them begins is not asked for: one old record would bring the whole history with it.
        let since = covered.as_ref().map(|covered| covered.from.as_deref().unwrap_or(&schedule.created_at));
        let period = (since.map(time).transpose()?, until);
        let (reader, stop) = (self.reader.clone(), self.stop.clone());
        let asked = &schedule.asked;
        let query = Query { filter: asked.filter.clone(), text: asked.text.clone(), ..Query::default() };
        let before = covered.map(|covered| covered.reached).unwrap_or_default();
        // Reads all that was archived since.
        let looked =
            tokio::task::spawn_blocking(move || late::look(&reader, query, &before, period, &stop)).await;
        let looked = looked.map_err(|error| error.to_string())?;
        let Some(Late { oldest_us, reached }) = looked.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let oldest = oldest_us.and_then(|oldest_us| Timestamp::from_micros(oldest_us).ok());
        let from = match (covers, until) {
            (Some(covers), _) => {
                // Where runs were missed or came to nothing, it makes up for the first of them, too.
                let last_end =
                    until.map_or_else(|| moment(&schedule.created_at), |until| Ok(to_utc(until)))?;
                let times = schedule.times().map_err(|error| error.to_string())?;
                let first_due = times.next_after(last_end).map_or(due, |first| first.to_utc().min(due));
                let begin = (first_due - covers).max(DateTime::UNIX_EPOCH);
                oldest
                    .filter(|oldest| to_utc(*oldest) < begin)
                    .map_or_else(|| text(begin), |at| at.to_string())
            }
            (None, None) => schedule.created_at.clone(),
            (None, Some(until)) => oldest.map_or(until, |oldest| oldest.min(until)).to_string(),
        };
        Ok(Some(Window { from, due: text(due), reached }))
    }

    fn export_id(&self, schedule: &Schedule, run: &Run) -> Result<Uuid, String> {
        Ok(run.export_id(schedule, self.namespace, moment(&run.due)?.timestamp_millis()))
    }

    /// Whether the log says of an export that it is completed, and then whether it covers every partition to its end.
    async fn completed(&self, id: &Uuid) -> Result<Option<bool>, String> {
        let (reader, record) = (self.reader.clone(), completion_id(self.namespace, &id.to_string()));
        let found = tokio::task::spawn_blocking(move || reader.get(&record.to_string())).await;
        let rows = found.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(rows.iter().find_map(|row| completed_whole(&row.json)))
    }

    fn has_failed(&self, id: &Uuid) -> bool {
        matches!(self.jobs.get(&id.to_string()), Some((_, ExportState::Failed { .. })))
    }

    /// Removes what is left here of an export that failed. `false` where it is just tried again.
    async fn discard(&self, id: &Uuid) -> Result<bool, String> {
        let (jobs, id) = (self.jobs.clone(), id.to_string());
        let removed = tokio::task::spawn_blocking(move || jobs.remove(&id)).await;
        removed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Asks for the export of a run that is ours. Asked again, it is the same export.
    async fn ask(&self, schedule: &Schedule, run: Run, version: u64) -> Result<(), String> {
        let order = ExportOrder {
            id: Some(self.export_id(schedule, &run)?),
            query: QueryText {
                filter: schedule.asked.filter.clone(),
                from: Some(run.from.clone()),
                to: Some(run.due.clone()),
                text: schedule.asked.text.clone(),
            },
            format: schedule.asked.format,
            compression: schedule.asked.compression,
            destination: Some(schedule.asked.destination.clone()),
            // Nobody fetches it here, and they would fill the place.
            is_kept: false,
            asked_by: format!("schedule {}", schedule.asked.name),
        };
        let jobs = self.jobs.clone();
        // Writes a small file and fsyncs it.
        let asked = tokio::task::spawn_blocking(move || jobs.submit_order(order)).await;
        let request = asked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        tracing::info!(
            schedule = schedule.asked.name,
            due = run.due,
            export = request.id,
            "an export is due"
        );
        match self.write(&schedule.asked.name, &run.asked_for(), version).await {
            Ok(_) | Err(WriteError::Conflict(_)) => Ok(()),
            Err(error) => Err(format!("that its run was asked for can't be written: {error}")),
        }
    }

    /// Forgets the runs of schedules that were deleted. What is not forgotten now is by a later look.
    async fn forget_runs_of_deleted(&self) {
        for run in self.control.list(RUN_KIND) {
            if self.control.get(SCHEDULE_KIND, &run.id).is_none() {
                let change = SettingsChange {
                    kind: RUN_KIND.to_owned(),
                    id: run.id.clone(),
                    base_version: run.version,
                    value: None,
                };
                if let Err(error) = self.control.write(change, None).await {
                    tracing::debug!(schedule = run.id, %error, "the run of a deleted schedule is not forgotten yet");
                }
            }
        }
    }

    async fn write(&self, name: &str, run: &Run, base_version: u64) -> Result<u64, WriteError> {
        let value = serde_json::to_value(run).expect("a run has string keys only");
        let (kind, id) = (RUN_KIND.to_owned(), name.to_owned());
        let written = self.control.write(SettingsChange { kind, id, base_version, value: Some(value) }, None);
        Ok(written.await?.map_or(base_version + 1, |entity| entity.version))
    }

    fn tell(&mut self, schedule: &str, problem: &str) {
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        if self.told.insert(format!("{schedule}: {problem}")) {
            tracing::warn!(schedule, problem, "schedule: an export is not made");
        }
    }
}

fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    Timestamp::parse(text).map(to_utc).map_err(|error| no_time(text, error))
}

fn no_time(text: &str, error: TimestampError) -> String {
    format!("{text:?} is no time: {error}")
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
