//! One export, from question to bag.
//!
//! Durable order: the cut (which ends of the log are covered) and every closed payload file are written down
//! before anything after them; the frame comes when all files are closed; the rename into place is the
//! moment the export exists. A kill anywhere leaves `<destination>.unfinished`, from which the same job goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audit_archive::{PartitionEnd, Query, Reader, ScanPosition};
use audit_journal::{Bounds, Journal, Topic};
use chrono::{SecondsFormat, Utc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bag::{Frame, write_frame};
use crate::destination::Destination;
use crate::durable::sync_folder;
use crate::error::ExportError;
use crate::evidence::{self, EvidenceWriter, Tool, Vouching, Written};
use crate::job::ExportJob;
use crate::manifest::{MANIFEST_VERSION, Manifest, PartitionEntry};
use crate::payload::{Format, PayloadFile, unfinished};
use crate::record::{Moment, put_on_record};
use crate::sending::send_bag;
use crate::state::{Cut, STATE_FILE, State};

/// How long the archive may take to pass the log's end.
pub const ARCHIVE_WAIT_MAX: Duration = Duration::from_secs(600);

/// Pause between two looks at the archive while it is behind.
const ARCHIVE_POLL: Duration = Duration::from_millis(100);

/// Progress is told once in so many records.
const PROGRESS_RECORDS: u64 = 1_000;

/// How often an export is begun anew because bodies were erased while it was made: erasures are seldom, and each goes by
/// within a moment.
const MADE_ANEW_MAX: u32 = 3;

/// How far an export is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages of the log that the cut covers: those that do not match are among them.
    pub covered: u64,
    /// Records written so far.
    pub records: u64,
}

/// Makes the export, or finishes the one that was begun. When it returns a manifest, the export stands whole
/// and durable at the job's destination, and the log says so.
///
/// Asked again after the answer was lost, it finds the finished export of this job and returns its manifest.
pub async fn run_export(
    journal: &Journal,
    reader: &Reader,
    job: &ExportJob,
    vouching: &Vouching,
    progress: impl Fn(Progress) + Send + Sync + 'static,
    stop: CancellationToken,
) -> Result<Manifest, ExportError> {
    run_export_to(journal, reader, job, vouching, None, progress, stop).await
}

/// As [`run_export`], and brings the finished export to `destination`: it is completed, and on the record as such, when
/// it stands there too.
pub async fn run_export_to(
    journal: &Journal,
    reader: &Reader,
    job: &ExportJob,
    vouching: &Vouching,
    destination: Option<&Destination>,
    progress: impl Fn(Progress) + Send + Sync + 'static,
    stop: CancellationToken,
) -> Result<Manifest, ExportError> {
    let sent_to = destination.map(Destination::name);
    let manifest = make(journal, reader, job, vouching, sent_to, progress, stop.clone()).await?;
    if let Some(destination) = destination {
        send_bag(destination, &job.id, &job.destination, &stop).await?;
    }
    put_on_record(journal, job, Moment::Completed(&manifest), sent_to).await?;
    Ok(manifest)
}

/// Makes the bag, or finds it made. Where bodies are erased while it is made, nothing of it is kept and it is made anew.
async fn make(
    journal: &Journal,
    reader: &Reader,
    job: &ExportJob,
    vouching: &Vouching,
    sent_to: Option<&str>,
    progress: impl Fn(Progress) + Send + Sync + 'static,
    stop: CancellationToken,
) -> Result<Manifest, ExportError> {
    job.format.fits(job.compression)?;
    let progress = Arc::new(progress);
    let mut anew = 0;
    loop {
        let progress = Arc::clone(&progress);
        let made = make_once(journal, reader, job, vouching, sent_to, progress, stop.clone()).await;
        match made {
            Err(ExportError::ErasedMeanwhile { partition }) if anew < MADE_ANEW_MAX => {
                anew += 1;
                tracing::info!(
                    export = job.id,
                    partition,
                    "export: bodies were erased meanwhile, it is made anew"
                );
                // If we crash before the state is gone, the same job finds the same, and comes here again. Once it is gone,
                // the files go with the next beginning.
                let root = unfinished(&job.destination);
                blocking(move || State::remove(&root).map_err(ExportError::from)).await?;
            }
            made => return made,
        }
    }
}

/// Makes the bag, going on with what an earlier run left of it.
async fn make_once(
    journal: &Journal,
    reader: &Reader,
    job: &ExportJob,
    vouching: &Vouching,
    sent_to: Option<&str>,
    progress: Arc<impl Fn(Progress) + Send + Sync + 'static>,
    stop: CancellationToken,
) -> Result<Manifest, ExportError> {
    let root = unfinished(&job.destination);
    let (folder, asked) = (root.clone(), job.clone());
    let state = match blocking(move || left(&folder, &asked)).await? {
        Left::Finished(manifest) => return Ok(*manifest),
        Left::Unfinished(state) => *state,
        Left::Nothing => {
            put_on_record(journal, job, Moment::Requested, sent_to).await?;
            let asked_at = now();
            let state = State::begin(job, asked_at, cut(journal, reader, &stop).await?);
            let folder = root.clone();
            blocking(move || {
                state.write(&folder)?;
                Ok(state)
            })
            .await?
        }
    };
    let (archive, asked, folder, told_to_stop) = (reader.clone(), job.clone(), root.clone(), stop.clone());
    let state =
        blocking(move || write_payload(&folder, state, &archive, &asked, &*progress, &told_to_stop)).await?;
    // If we crash from here to the end, the same job writes its last payload file and all that follows again.
    let gathered = evidence::gather(journal, reader, job, &state, vouching, &stop).await?;
    let (log, archive, asked, vouching) = (journal.clone(), reader.clone(), job.clone(), vouching.clone());
    blocking(move || {
        sweep(&root, &state)?;
        let evidence = EvidenceWriter {
            root: &root,
            journal: &log,
            reader: &archive,
            job: &asked,
            state: &state,
            vouching: &vouching,
            stop: &stop,
        };
        let written = evidence.write(gathered)?;
        finish(&root, &state, &asked, log.identity().deployment, written, &vouching)
    })
    .await
}

/// Runs what blocks on a thread for it: it reads, writes, fsyncs and deletes.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
) -> Result<T, ExportError> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

/// What earlier runs left of a job.
enum Left {
    /// All of it.
    Finished(Box<Manifest>),
    /// Some of it.
    Unfinished(Box<State>),
    /// Nothing that can be gone on with; its folder is there, and empty.
    Nothing,
}

/// Looks for what earlier runs left of a job under `root`.
fn left(root: &Path, job: &ExportJob) -> Result<Left, ExportError> {
    if let Some(manifest) = finished(job)? {
        return Ok(Left::Finished(Box::new(manifest)));
    }
    match State::read(root)? {
        Some(state) if state.is_of(job) => Ok(Left::Unfinished(Box::new(state))),
        Some(_) => Err(ExportError::OtherJob(root.display().to_string())),
        None => {
            if root.exists() {
                std::fs::remove_dir_all(root)?;
            }
            std::fs::create_dir_all(root.join("data"))?;
            Ok(Left::Nothing)
        }
    }
}

/// The manifest that stands at the destination if it is this job's.
fn finished(job: &ExportJob) -> Result<Option<Manifest>, ExportError> {
    if !job.destination.exists() {
        return Ok(None);
    }
    let manifest = std::fs::read(job.destination.join("manifest.json")).ok();
    let manifest: Option<Manifest> = manifest.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    match manifest {
        Some(manifest) if manifest.export_id == job.id => Ok(Some(manifest)),
        _ => Err(ExportError::Exists(job.destination.display().to_string())),
    }
}

/// Reads the log's ends, waits until the archive has passed them, and cuts there. A partition whose archive
/// is stopped is cut where it is and listed as incomplete.
async fn cut(journal: &Journal, reader: &Reader, stop: &CancellationToken) -> Result<Vec<Cut>, ExportError> {
    let log = journal.bounds(Topic::Records).await?;
    let epoch = journal.identity().epoch;
    let began = Instant::now();
    loop {
        let (archive, ends) = (reader.clone(), log.clone());
        if let Some(cuts) = blocking(move || look(&archive, epoch, &ends)).await? {
            return Ok(cuts);
        }
        if began.elapsed() > ARCHIVE_WAIT_MAX {
            return Err(ExportError::ArchiveBehind { seconds: ARCHIVE_WAIT_MAX.as_secs() });
        }
        if stop.run_until_cancelled(tokio::time::sleep(ARCHIVE_POLL)).await.is_none() {
            return Err(ExportError::Stopped);
        }
    }
}

/// The cuts, once every partition is passed or stopped.
fn look(reader: &Reader, epoch: u32, log: &[Bounds]) -> Result<Option<Vec<Cut>>, ExportError> {
    let status = match reader.status() {
        // An archive that has only just been started has no files yet.
        Err(audit_archive::QueryError::NoArchive(_)) => return Ok(None),
        status => status?,
    };
    let archived = reader.since(&[])?;
    let mut cuts = Vec::new();
    for bounds in log {
        let status = status.partitions.iter().find(|status| status.end.partition == bounds.partition);
        let reached = archived.iter().find(|since| since.place.partition == bounds.partition);
        let Some((status, reached)) = status.zip(reached) else { return Ok(None) };
        // After a new epoch the archive may have been further on the log before.
        let complete = reached.place.is_past(epoch, bounds);
        if !complete && status.stopped.is_none() {
            return Ok(None);
        }
        let PartitionEnd { partition, next, seq } = reached.end;
        cuts.push(Cut { partition, start: bounds.start, end: next, seq, complete, records: 0, erased: 0 });
    }
    Ok(Some(cuts))
}

fn write_payload(
    root: &Path,
    mut state: State,
    reader: &Reader,
    job: &ExportJob,
    progress: &(impl Fn(Progress) + ?Sized),
    stop: &CancellationToken,
) -> Result<State, ExportError> {
    let ends =
        state.cuts.iter().map(|cut| PartitionEnd { partition: cut.partition, next: cut.end, seq: cut.seq });
    let query =
        Query { filter: job.filter.clone(), period: job.period, text: job.text.clone(), ..Query::default() };
    let from = state.next.map(|(partition, seq)| ScanPosition { partition, seq });
    let mut scan = reader.scan(&query, ends.collect(), from)?;
    let covered = state.cuts.iter().map(|cut| cut.seq).sum();
    let mut records: u64 = state.files.iter().map(|file| file.records).sum();
    let begin = |state: &State| PayloadFile::create(root, state.files.len() + 1, job.format, job.compression);
    let mut open: Option<PayloadFile> = None;
    loop {
        // Not once in so many records: where little matches, it is long from one to the next.
        if stop.is_cancelled() {
            return Err(ExportError::Stopped);
        }
        let row = match scan.look_on().transpose()? {
            None => break,
            Some(None) => continue,
            Some(Some(row)) => row,
        };
        let cut = state.cuts.iter_mut().find(|cut| cut.partition == row.partition);
        // Its body was erased: it is counted, and not among the files.
        if row.erased {
            cut.into_iter().for_each(|cut| cut.erased += 1);
            continue;
        }
        if let Some(cut) = cut {
            cut.records += 1;
        }
        let mut file = match open.take() {
            Some(file) => file,
            None => begin(&state)?,
        };
        file.append(&row)?;
        records += 1;
        if records.is_multiple_of(PROGRESS_RECORDS) {
            progress(Progress { covered, records });
        }
        if file.is_full() {
            state.files.push(file.close()?);
            let position = scan.position();
            state.next = Some((position.partition, position.seq));
            state.write(root)?;
        } else {
            open = Some(file);
        }
    }
    if open.is_none() && state.files.is_empty() {
        // An export of nothing still shows what it would look like.
        open = Some(begin(&state)?);
    }
    if let Some(file) = open {
        state.files.push(file.close()?);
    }
    progress(Progress { covered, records });
    Ok(state)
}

/// Removes what an earlier run left beside the payload: what proves the export is written anew, and need not have the same
/// files. One that nothing names would be damage to whoever checks.
fn sweep(root: &Path, state: &State) -> std::io::Result<()> {
    for (folder, prefix) in [(root.to_owned(), ""), (root.join("data"), "data/")] {
        let entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
        for entry in entries {
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let is_kept = ["data", STATE_FILE].contains(&path.as_str())
                || state.files.iter().any(|file| file.path == path);
            if is_kept {
                continue;
            }
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                std::fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

fn finish(
    root: &Path,
    state: &State,
    job: &ExportJob,
    deployment: Uuid,
    written: Written,
    vouching: &Vouching,
) -> Result<Manifest, ExportError> {
    let partition = |cut: &Cut| PartitionEntry {
        partition: cut.partition,
        start: cut.start,
        end: cut.end,
        complete: cut.complete,
        records: cut.records,
        erased: cut.erased,
    };
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        export_id: job.id.clone(),
        deployment: deployment.to_string(),
        written_by: concat!("flagtrail ", env!("CARGO_PKG_VERSION")).to_owned(),
        asked_by: state.asked_by.clone(),
        asked_at: state.asked_at.clone(),
        completed_at: now(),
        query: state.query.clone(),
        format: job.format,
        compression: job.compression,
        formula_guard: (job.format == Format::Csv).then(|| "'".to_owned()),
        records: state.files.iter().map(|file| file.records).sum(),
        files: state.files.clone(),
        partitions: state.cuts.iter().map(partition).collect(),
        tool: Some(Tool::this()),
        sources: written.sources,
        previous_export: vouching.previous.clone(),
        evidence: Some(written.evidence),
    };
    let signer = vouching.export.as_ref().map(|key| key.signer(&deployment)).transpose()?;
    write_frame(root, &manifest, &Frame { signer: signer.as_ref(), guide: Some(&written.guide) })?;
    // If we crash before the state is gone, the job goes on and writes the last file and the frame again. If
    // we crash between the two, the job begins anew.
    State::remove(root)?;
    std::fs::rename(root, &job.destination)?;
    sync_folder(&job.destination)?;
    Ok(manifest)
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use audit_record::{Filter, Period};

    use super::*;
    use crate::payload::Compression;

    /// Of nothing.
    fn job(dir: &Path) -> ExportJob {
        ExportJob {
            id: "nothing".to_owned(),
            filter: Filter::default(),
            period: Period::default(),
            text: None,
            format: Format::Ndjson,
            compression: Compression::None,
            destination: dir.join("bag"),
            asked_by: "a test".to_owned(),
        }
    }

    #[test]
    fn what_an_interrupted_run_left_beside_the_payload_is_swept_away() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, reader) = (dir.path(), Reader::open(dir.path()));
        std::fs::create_dir_all(root.join("data/proofs/0")).expect("made");
        let state = State::begin(&job(root), now(), Vec::new());
        state.write(root).expect("written");
        let (nobody, stop) = (|_: Progress| {}, CancellationToken::new());
        let state = write_payload(root, state, &reader, &job(root), &nobody, &stop).expect("written");
        for left in ["data/proofs/0/checkpoint-start", "data/records-00002.ndjson", "manifest.note"] {
            std::fs::write(root.join(left), "of an earlier run").expect("written");
        }
        sweep(root, &state).expect("swept");
        let names = |folder: &Path| {
            let entries = std::fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry"));
            let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(root), ["data", "state.json"]);
        assert_eq!(names(&root.join("data")), ["records-00001.ndjson"]);
    }

    #[test]
    fn a_stop_is_heeded_though_nothing_matches() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("data")).expect("made");
        let job = job(dir.path());
        let (stop, reader) = (CancellationToken::new(), Reader::open(dir.path()));
        let write = || {
            let state = State::begin(&job, now(), Vec::new());
            write_payload(dir.path(), state, &reader, &job, &|_: Progress| {}, &stop)
        };
        assert_eq!(write().expect("written").files.len(), 1);
        stop.cancel();
        assert!(matches!(write(), Err(ExportError::Stopped)));
    }
}
