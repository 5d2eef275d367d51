//! Asks for the exports that are due.

use std::collections::BTreeSet;
use std::time::Duration;

use audit_journal::{Control, SettingsChange, WriteError};
use audit_record::Timestamp;
use chrono::{DateTime, SecondsFormat, Utc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::run::{RUN_KIND, Run};
use super::{SCHEDULE_KIND, Schedule, covers, to_utc};
use crate::jobs::ExportJobs;
use crate::manifest::QueryText;
use crate::request::ExportOrder;

/// How often it is looked for what is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Most problems that are remembered as told; beyond, they are told again.
const TOLD_MAX: usize = 256;

/// Asks for what schedules say, in one process of those that make exports.
#[derive(Debug)]
pub struct Scheduler {
    control: Control,
    jobs: ExportJobs,
    namespace: Uuid,
    /// What problems have been told of: each once.
    told: BTreeSet<String>,
}

impl Scheduler {
    /// `namespace` is the deployment's.
    pub fn new(control: Control, jobs: ExportJobs, namespace: Uuid) -> Self {
        Self { control, jobs, namespace, told: BTreeSet::new() }
    }

    /// Asks for exports until told to stop. `now_ms` tells the time, in milliseconds since 1970.
    pub async fn run(mut self, now_ms: impl Fn() -> i64, shutdown: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(look.tick()).await.is_some() {
            self.look(now_ms()).await;
        }
    }

    /// Asks for everything that is due now.
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
        let before = match &entity {
            Some(entity) => {
                Some(Run::read(&entity.value).ok_or("its last run was written by a later release")?)
            }
            None => None,
        };
        let before = before.filter(|run| run.of == schedule.created_at);
        let run = match before {
            Some(run) if !run.is_asked_for => {
                if run.by == self.jobs.instance() {
                    return self.ask(schedule, run, version).await;
                }
                if !run.is_abandoned(now_ms) {
                    return Ok(());
                }
                Run { by: self.jobs.instance(), claimed_at_ms: now_ms, ..run }
            }
            before => {
                let last = before.map_or_else(|| schedule.created_at.clone(), |run| run.due);
                let last_at = moment(&last)?;
                let now = DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
                let times = schedule.times().map_err(|error| error.to_string())?;
                let Some(due) = times.latest(last_at, now) else { return Ok(()) };
                let from = match covers(schedule.asked.covers.as_deref())? {
                    Some(covers) => text(due - covers),
                    None => last,
                };
                Run::claim(schedule, from, text(due), self.jobs.instance(), now_ms)
            }
        };
        match self.write(name, &run, version).await {
            // If we crash here, the next start finds the claim to be its own.
            Ok(version) => self.ask(schedule, run, version).await,
            // Another process was faster.
            Err(WriteError::Conflict(_)) => Ok(()),
            // The next look shows whether it was written.
            Err(error) => Err(format!("its run can't be claimed: {error}")),
        }
    }

    /// Asks for the export of a run that is ours. Asked again, it is the same export.
    async fn ask(&self, schedule: &Schedule, run: Run, version: u64) -> Result<(), String> {
        let due_ms = moment(&run.due)?.timestamp_millis();
        let order = ExportOrder {
            id: Some(run.export_id(schedule, self.namespace, due_ms)),
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
        let asked_for = Run { is_asked_for: true, ..run };
        match self.write(&schedule.asked.name, &asked_for, version).await {
            Ok(_) | Err(WriteError::Conflict(_)) => Ok(()),
            Err(error) => Err(format!("that its run was asked for can't be written: {error}")),
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
            tracing::warn!(schedule, problem, "schedule: an export is not asked for");
        }
    }
}

fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    Timestamp::parse(text).map(to_utc).map_err(|error| format!("{text:?} is no time: {error}"))
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
