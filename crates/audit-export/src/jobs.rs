//! Export jobs of one process: asked for, made one after the other, found again after a restart.
//!
//! Every job has a folder of its own, `<dir>/<id>`: `job.json`, written before the job is acknowledged, `bag`,
//! which is there whole or not at all, and `on-record`, which says that the log tells of it. If we crash after
//! the acknowledgement, the next start finds `job.json` without `bag` and goes on. If we crash between `bag` and
//! `on-record`, it puts the export on the record, perhaps again, under the same id. A job that is removed is renamed
//! to `.removed-<id>` before anything in it is deleted: what bears that name is no job any more. If we crash before a job that
//! is not to be kept is removed, the next start removes it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use audit_archive::Reader;
use audit_digest::Sha256;
use audit_journal::Journal;
use audit_record::{Period, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::destination::{Destinations, PutError};
use crate::durable::{sync_folder, write_whole};
use crate::evidence::{PreviousExport, Vouching};
use crate::job::ExportJob;
use crate::manifest::QueryText;
use crate::payload::{Compression, Format};
use crate::request::{ExportOrder, ExportRequest, ExportState, JOB_VERSION, StateSummary, SubmitError};
use crate::run::{Progress, run_export_to};

/// Most jobs that wait; more are refused.
pub const JOBS_WAITING_MAX: usize = 16;

/// Most jobs that are kept, whatever became of them; then one has to be removed before another is taken. None is
/// removed by itself: whoever asked for an export may still be about to fetch it.
pub const EXPORTS_KEPT_MAX: usize = 1_000;

/// How long after a destination was away an export is brought there again, and how long after it failed one is made again that
/// is not kept here.
const AGAIN_AFTER: Duration = Duration::from_secs(300);

/// What the folder of a removed job begins with until all of it is deleted.
const REMOVED_PREFIX: &str = ".removed-";

/// The file beside a bag that says that its completion is on the record.
const ON_RECORD: &str = "on-record";

/// The jobs of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ExportJobs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    states: Mutex<BTreeMap<String, (ExportRequest, ExportState)>>,
    /// Held while a job is taken, which writes files: one at a time, so that no two take the last place.
    taking: Mutex<()>,
    queue: mpsc::Sender<String>,
    destinations: Destinations,
    instance: Uuid,
}

/// Makes the jobs of an [`ExportJobs`], one after the other.
#[derive(Debug)]
pub struct ExportRunner {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<String>,
    vouching: Vouching,
}

impl ExportJobs {
    /// Opens the folder and finds the jobs of earlier runs. Those that were not finished are made again by the
    /// runner; what is left of removed ones is deleted.
    pub fn open(dir: impl Into<PathBuf>) -> std::io::Result<(Self, ExportRunner)> {
        Self::open_with(dir, Destinations::default())
    }

    /// As [`ExportJobs::open`]; jobs may name one of these destinations.
    pub fn open_with(
        dir: impl Into<PathBuf>,
        destinations: Destinations,
    ) -> std::io::Result<(Self, ExportRunner)> {
        let dir = dir.into();
        std::fs::create_dir_all(&dir)?;
        sync_folder(&dir)?;
        delete_removed(&dir)?;
        let states = found(&dir)?;
        let instance = instance(&dir)?;
        let (sender, queue) = mpsc::channel(JOBS_WAITING_MAX);
        let (states, taking) = (Mutex::new(states), Mutex::new(()));
        let shared = Arc::new(Shared { dir, states, taking, queue: sender, destinations, instance });
        Ok((Self { shared: shared.clone() }, ExportRunner { shared, queue, vouching: Vouching::default() }))
    }

    /// Takes a job whose export stays in this process's directory, until it is fetched.
    pub fn submit(
        &self,
        query: QueryText,
        format: Format,
        compression: Compression,
        asked_by: String,
    ) -> Result<ExportRequest, SubmitError> {
        let (id, destination, is_kept) = (None, None, true);
        self.submit_order(ExportOrder { id, query, format, compression, destination, is_kept, asked_by })
    }

    /// Takes a job. When it returns, the job is written down and will be made, by this process or the next. One whose id was
    /// taken before is the job that was: nothing is made twice.
    pub fn submit_order(&self, order: ExportOrder) -> Result<ExportRequest, SubmitError> {
        let ExportOrder { id, query, format, compression, destination, is_kept, asked_by } = order;
        if let Some(asked) = destination.as_ref().filter(|name| self.shared.destinations.get(name).is_none())
        {
            let known = self.shared.destinations.names().into_iter().map(str::to_owned).collect();
            return Err(SubmitError::Destination { asked: asked.clone(), known });
        }
        let id = id.unwrap_or_else(Uuid::now_v7).to_string();
        let asked_at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        format.fits(compression)?;
        let (v, id_of) = (JOB_VERSION, id.clone());
        let request = ExportRequest {
            v,
            id: id_of,
            query,
            format,
            compression,
            destination,
            is_kept,
            asked_by,
            asked_at,
        };
        period(&request.query)?;
        let _taking = self.shared.taking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((taken, _)) = self.get(&id) {
            return Ok(taken);
        }
        let kept = self.shared.lock().len();
        if kept >= EXPORTS_KEPT_MAX {
            return Err(SubmitError::TooManyKept);
        }
        // The place in the queue comes first: a job that is written down has one.
        let place = self.shared.queue.try_reserve().map_err(|_| SubmitError::Full)?;
        let folder = self.shared.dir.join(&id);
        std::fs::create_dir_all(&folder)?;
        write_whole(&folder.join("job.json"), &serde_json::to_vec(&request).map_err(std::io::Error::other)?)?;
        // `job.json` is durable in its folder, and only now the folder in its own.
        sync_folder(&folder)?;
        self.shared.lock().insert(id.clone(), (request.clone(), ExportState::Waiting));
        place.send(id);
        Ok(request)
    }

    /// Where jobs can be brought to.
    pub fn destinations(&self) -> &Destinations {
        &self.shared.destinations
    }

    /// What this directory of jobs is called: the same after a restart, and different from every other.
    pub fn instance(&self) -> Uuid {
        self.shared.instance
    }

    /// One job.
    pub fn get(&self, id: &str) -> Option<(ExportRequest, ExportState)> {
        self.shared.lock().get(id).cloned()
    }

    /// The latest `limit` jobs that `wanted` admits, the latest first; of those older than the job `before`, where
    /// one is named.
    pub fn list(
        &self,
        before: Option<&str>,
        limit: usize,
        wanted: impl Fn(&ExportRequest) -> bool,
    ) -> Vec<(ExportRequest, StateSummary)> {
        let older: (Bound<&str>, Bound<&str>) =
            (Bound::Unbounded, before.map_or(Bound::Unbounded, Bound::Excluded));
        let states = self.shared.lock();
        states
            .range::<str, _>(older)
            .rev()
            .filter(|(_, (request, _))| wanted(request))
            .take(limit)
            .map(|(_, (request, state))| (request.clone(), state.summary()))
            .collect()
    }

    /// The folder of a finished export.
    pub fn bag(&self, id: &str) -> Option<PathBuf> {
        let done = matches!(self.get(id)?.1, ExportState::Done { .. });
        done.then(|| self.shared.dir.join(id).join("bag"))
    }

    /// Removes a job that is done or failed, and its files. `false` where there is none, or it is being made.
    ///
    /// If we crash before the rename is durable, the job is there as it was; after it, the next start deletes
    /// what is left.
    pub fn remove(&self, id: &str) -> std::io::Result<bool> {
        let removed = self.shared.dir.join(format!("{REMOVED_PREFIX}{id}"));
        {
            let mut states = self.shared.lock();
            match states.get(id) {
                Some((_, ExportState::Done { .. } | ExportState::Failed { .. })) => {}
                _ => return Ok(false),
            }
            std::fs::rename(self.shared.dir.join(id), &removed)?;
            states.remove(id);
            sync_folder(&removed)?;
        }
        // Without the lock: a large export takes a while, and nobody finds it any more.
        std::fs::remove_dir_all(&removed).map_err(|error| {
            let text = format!(
                "the export is removed, but {} can't be deleted: {error}; the next start tries again",
                removed.display()
            );
            std::io::Error::new(error.kind(), text)
        })?;
        Ok(true)
    }
}

impl ExportRunner {
    /// With what it can vouch for its exports with; without, they say what is not proven.
    #[must_use]
    pub fn vouching(self, vouching: Vouching) -> Self {
        Self { vouching, ..self }
    }

    /// Makes jobs until `shutdown`; the one in hand is then left to be resumed by the next start.
    pub async fn run(mut self, journal: Journal, reader: Reader, shutdown: CancellationToken) {
        for id in self.shared.brought_away() {
            self.remove(&id).await;
        }
        let unfinished: Vec<String> = self.shared.waiting();
        let mut failed = Vec::new();
        for id in unfinished {
            failed.extend(self.make(&journal, &reader, &id, &shutdown).await.then_some(id));
        }
        let mut again = tokio::time::interval(AGAIN_AFTER);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        again.reset();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                asked = self.queue.recv() => {
                    let Some(id) = asked else { return };
                    failed.extend(self.make(&journal, &reader, &id, &shutdown).await.then_some(id));
                }
                _ = again.tick(), if !failed.is_empty() => {
                    for id in std::mem::take(&mut failed) {
                        self.shared.set(&id, ExportState::Waiting);
                        failed.extend(self.make(&journal, &reader, &id, &shutdown).await.then_some(id));
                    }
                }
            }
        }
    }

    /// Makes one. Whether it failed and is to be tried again: its destination was away, or nobody waits for it here.
    async fn make(&self, journal: &Journal, reader: &Reader, id: &str, shutdown: &CancellationToken) -> bool {
        let Some((request, ExportState::Waiting)) = self.shared.lock().get(id).cloned() else {
            return false;
        };
        if shutdown.is_cancelled() {
            return false;
        }
        let period = match period(&request.query) {
            Ok(period) => period,
            // It was checked when the job was taken: somebody has changed `job.json`.
            Err(error) => {
                self.shared.set(id, ExportState::Failed { problem: error.to_string() });
                return false;
            }
        };
        let destination = match &request.destination {
            None => None,
            Some(name) => match self.shared.destinations.get(name) {
                Some(destination) => Some(destination),
                None => {
                    let problem = format!("there is no destination {name:?} in the configuration any more");
                    self.shared.set(id, ExportState::Failed { problem });
                    return false;
                }
            },
        };
        let job = ExportJob {
            id: request.id.clone(),
            filter: request.query.filter.clone(),
            period,
            text: request.query.text.clone(),
            format: request.format,
            compression: request.compression,
            destination: self.shared.dir.join(id).join("bag"),
            asked_by: request.asked_by.clone(),
        };
        self.shared.set(id, ExportState::Running { records: 0 });
        let (shared, name) = (self.shared.clone(), id.to_owned());
        let told =
            move |progress: Progress| shared.set(&name, ExportState::Running { records: progress.records });
        let vouching = Vouching { previous: self.shared.latest_done().await, ..self.vouching.clone() };
        let made = run_export_to(journal, reader, &job, &vouching, destination, told, shutdown.clone()).await;
        let is_tried_again = match &made {
            Err(crate::ExportError::Destination(PutError::NotWritten { .. })) => true,
            Ok(_) | Err(crate::ExportError::Stopped) => false,
            Err(_) => !request.is_kept,
        };
        let state = match made {
            Ok(manifest) => {
                tracing::info!(
                    export = id,
                    records = manifest.records,
                    files = manifest.files.len(),
                    "export written"
                );
                self.shared.mark_on_record(id).await;
                ExportState::Done { manifest: Box::new(manifest) }
            }
            Err(crate::ExportError::Stopped) => ExportState::Waiting,
            Err(error) => {
                tracing::error!(export = id, %error, "export failed");
                ExportState::Failed { problem: error.to_string() }
            }
        };
        let is_done = matches!(state, ExportState::Done { .. });
        self.shared.set(id, state);
        if is_done && !request.is_kept {
            self.remove(id).await;
        }
        is_tried_again
    }
}

impl ExportRunner {
    /// Removes what was brought away. What can't be deleted is told; the next start tries again.
    async fn remove(&self, id: &str) {
        let (jobs, name) = (ExportJobs { shared: Arc::clone(&self.shared) }, id.to_owned());
        let removed = tokio::task::spawn_blocking(move || jobs.remove(&name)).await;
        if let Err(error) = removed.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            tracing::warn!(export = id, %error, "an export that was brought to its destination can't be removed");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (ExportRequest, ExportState)>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, id: &str, state: ExportState) {
        if let Some(job) = self.lock().get_mut(id) {
            job.1 = state;
        }
    }

    /// Writes down that the log tells of a finished export. Where that fails, the next start tells the log again.
    async fn mark_on_record(&self, id: &str) {
        let marker = self.dir.join(id).join(ON_RECORD);
        let marked = tokio::task::spawn_blocking(move || write_whole(&marker, b"")).await;
        if let Err(error) = marked.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            tracing::warn!(export = id, %error, "the export is on the record, which could not be written down");
        }
    }

    /// The export of this folder that was completed last.
    async fn latest_done(&self) -> Option<PreviousExport> {
        let id = {
            let states = self.lock();
            let done = states.iter().filter_map(|(id, (_, state))| match state {
                ExportState::Done { manifest } => Some((manifest.completed_at.clone(), id.clone())),
                _ => None,
            });
            done.max().map(|(_, id)| id)
        }?;
        let manifest = self.dir.join(&id).join("bag").join("manifest.json");
        let digest = move || std::fs::read(manifest).map(|manifest| hex::encode(Sha256::digest(manifest)));
        let manifest_sha256 = tokio::task::spawn_blocking(digest).await.ok()?.ok()?;
        Some(PreviousExport { id, manifest_sha256 })
    }

    /// Exports that stand at their destination and are not to be kept here: the process died before it removed them.
    fn brought_away(&self) -> Vec<String> {
        let states = self.lock();
        let is_brought_away = |request: &ExportRequest, state: &ExportState| {
            !request.is_kept && matches!(state, ExportState::Done { .. })
        };
        let found = states.iter().filter(|(_, (request, state))| is_brought_away(request, state));
        found.map(|(id, _)| id.clone()).collect()
    }

    fn waiting(&self) -> Vec<String> {
        let states = self.lock();
        states
            .iter()
            .filter(|(_, (_, state))| *state == ExportState::Waiting)
            .map(|(id, _)| id.clone())
            .collect()
    }
}

/// Deletes what is left of jobs whose removal was cut short. What can't be deleted is told, and ignored.
fn delete_removed(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let folder = entry?.path();
        if is_removed(&folder)
            && let Err(error) = std::fs::remove_dir_all(&folder)
        {
            tracing::warn!(folder = %folder.display(), %error, "a removed export can't be deleted: delete it by hand");
        }
    }
    Ok(())
}

/// The name of this directory; made up where it has none yet.
fn instance(dir: &Path) -> std::io::Result<Uuid> {
    let place = dir.join("instance");
    match std::fs::read_to_string(&place) {
        Ok(text) => text.trim().parse().map_err(std::io::Error::other),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let instance = Uuid::new_v4();
            write_whole(&place, instance.to_string().as_bytes())?;
            Ok(instance)
        }
        Err(error) => Err(error),
    }
}

fn is_removed(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(REMOVED_PREFIX.as_bytes()))
}

/// The jobs that earlier runs wrote down. What is no job (another version, a cut-off folder) is left alone.
fn found(dir: &Path) -> std::io::Result<BTreeMap<String, (ExportRequest, ExportState)>> {
    let mut states = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let folder = entry?.path();
        if is_removed(&folder) {
            continue;
        }
        let Ok(bytes) = std::fs::read(folder.join("job.json")) else { continue };
        let Ok(request) = serde_json::from_slice::<ExportRequest>(&bytes) else { continue };
        if request.v > JOB_VERSION {
            tracing::warn!(folder = %folder.display(), "an export was asked for by a later release; it is left alone");
            continue;
        }
        let manifest = std::fs::read(folder.join("bag").join("manifest.json")).ok();
        let state = match manifest.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(manifest) if folder.join(ON_RECORD).exists() => {
                ExportState::Done { manifest: Box::new(manifest) }
            }
            _ => ExportState::Waiting,
        };
        states.insert(request.id.clone(), (request, state));
    }
    Ok(states)
}

fn period(query: &QueryText) -> Result<Period, SubmitError> {
    let moment = |field, text: &Option<String>| {
        let parsed = text.as_deref().map(Timestamp::parse).transpose();
        parsed.map_err(|error| SubmitError::Query { field, problem: error.to_string() })
    };
    Ok(Period { from: moment("from", &query.from)?, to: moment("to", &query.to)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn submitted(dir: &Path) -> String {
        let (jobs, _runner) = ExportJobs::open(dir).expect("opened");
        jobs.submit(QueryText::default(), Format::Ndjson, Compression::None, "a test".to_owned())
            .expect("taken")
            .id
    }

    #[test]
    fn a_job_whose_removal_was_cut_short_is_not_found_again_and_its_files_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let (kept, id) = (submitted(dir.path()), submitted(dir.path()));
        let removed = dir.path().join(format!("{REMOVED_PREFIX}{id}"));
        std::fs::rename(dir.path().join(&id), &removed).expect("renamed, and then the process died");

        assert!(found(dir.path()).expect("read").into_keys().eq([kept.clone()]));
        let (jobs, _runner) = ExportJobs::open(dir.path()).expect("opened");
        assert!(jobs.get(&id).is_none() && jobs.get(&kept).is_some());
        assert!(!removed.exists());
    }

    #[test]
    fn an_export_that_may_not_be_on_the_record_yet_is_not_done() {
        let dir = tempfile::tempdir().expect("a directory");
        let id = submitted(dir.path());
        let folder = dir.path().join(&id);
        let manifest = Manifest {
            version: 1,
            export_id: id.clone(),
            deployment: "a deployment".to_owned(),
            written_by: "a test".to_owned(),
            asked_by: "a test".to_owned(),
            asked_at: "2026-11-21T12:00:00Z".to_owned(),
            completed_at: "2026-11-21T12:00:01Z".to_owned(),
            query: QueryText::default(),
            format: Format::Ndjson,
            compression: Compression::None,
            formula_guard: None,
            records: 0,
            files: Vec::new(),
            partitions: Vec::new(),
            tool: None,
            sources: Vec::new(),
            previous_export: None,
            evidence: None,
        };
        std::fs::create_dir(folder.join("bag")).expect("made");
        let json = serde_json::to_vec(&manifest).expect("JSON");
        std::fs::write(folder.join("bag").join("manifest.json"), json).expect("written");
        let state = || found(dir.path()).expect("read").remove(&id).expect("the job").1;

        assert_eq!(state(), ExportState::Waiting, "the process died before the log answered");
        std::fs::write(folder.join(ON_RECORD), "").expect("written");
        assert!(matches!(state(), ExportState::Done { .. }));
    }

    #[test]
    fn beyond_the_most_that_are_kept_an_export_is_refused_until_one_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (jobs, _runner) = ExportJobs::open(dir.path()).expect("opened");
        let submit =
            || jobs.submit(QueryText::default(), Format::Ndjson, Compression::None, "a test".to_owned());
        let first = submit().expect("taken");
        jobs.shared.set(&first.id, ExportState::Failed { problem: "the disk is full".to_owned() });
        for number in 1..EXPORTS_KEPT_MAX {
            let other = ExportRequest { id: format!("another-{number}"), ..first.clone() };
            jobs.shared.lock().insert(other.id.clone(), (other, ExportState::Waiting));
        }

        let refused = submit().expect_err("there is no place");
        assert!(matches!(refused, SubmitError::TooManyKept), "{refused}");
        assert!(refused.to_string().contains("flagtrail export delete"), "{refused}");
        assert!(jobs.remove(&first.id).expect("removed"));
        submit().expect("there is one place");
        assert!(matches!(submit(), Err(SubmitError::TooManyKept)));
    }

    #[test]
    fn pages_of_jobs_follow_each_other_the_latest_first_and_leave_out_what_is_not_wanted() {
        let dir = tempfile::tempdir().expect("a directory");
        let (jobs, _runner) = ExportJobs::open(dir.path()).expect("opened");
        let submit = || {
            jobs.submit(QueryText::default(), Format::Ndjson, Compression::None, "a test".to_owned())
                .expect("taken")
                .id
        };
        let mut ids = [submit(), submit(), submit(), submit()];
        ids.sort();
        let [oldest, second, hidden, latest] = ids;
        let page = |before: Option<&str>| -> Vec<String> {
            let listed = jobs.list(before, 2, |request| request.id != hidden);
            listed.into_iter().map(|(request, _)| request.id).collect()
        };
        assert_eq!(page(None), [latest, second.clone()]);
        assert_eq!(page(Some(&second)), std::slice::from_ref(&oldest));
        assert!(page(Some(&oldest)).is_empty());
    }

    #[test]
    fn a_job_that_failed_is_removed_with_its_files_and_one_that_waits_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let (jobs, _runner) = ExportJobs::open(dir.path()).expect("opened");
        let submit = || {
            jobs.submit(QueryText::default(), Format::Ndjson, Compression::None, "a test".to_owned())
                .expect("taken")
                .id
        };
        let (failed, waiting) = (submit(), submit());
        jobs.shared.set(&failed, ExportState::Failed { problem: "the disk is full".to_owned() });

        assert!(jobs.remove(&failed).expect("removed"));
        assert!(!jobs.remove(&waiting).expect("refused"));
        let left = std::fs::read_dir(dir.path()).expect("read").map(|entry| entry.expect("read").file_name());
        let left: Vec<_> = left.filter(|name| name != "instance").collect();
        assert_eq!(left, [waiting.as_str()]);
        assert!(!jobs.remove(&failed).expect("gone already"));
    }
}
